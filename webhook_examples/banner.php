<?php
// Put a line at the top of every mail from outside, in its text and in its HTML. What its author has signed or
// encrypted (S/MIME, PGP) stays as it is; bounces get the line too, since anybody can write mail without a sender. A
// changed body has no valid DKIM signature: let signatures be verified before.
//
//     php -S 127.0.0.1:8000 webhook_examples/banner.php

const BANNER = 'This mail comes from outside. Think before you open or answer it.'; // ASCII, for any charset

ini_set('display_errors', '0'); // warnings belong in the log, not in the answer
ini_set('memory_limit', '1G'); // mails may be large
header('Content-Type: application/json');
$call = json_decode(file_get_contents('php://input'), true, 512, JSON_THROW_ON_ERROR);
$body = $call['message']['body'] ?? null; // `on_too_large` may leave it out
$outside = !$call['auth'] && $call['client']['port']; // our users log in; programs on this machine have no TCP port
$old = $body['text'] ?? base64_decode($body['base64'] ?? ''); // bytes that are no UTF-8 come as base64
$head = implode(array_map(fn ($field) => "$field[name]: $field[value]\r\n", $call['message']['headers']));
$whole = $body && !$call['data']['truncated']; // what is not here cannot be replaced
$new = $outside && $whole ? with_banner($head, $old) : $old;
$content = isset($body['text']) ? ['text' => $new] : ['base64' => base64_encode($new)];
echo $new === $old ? '{}' : json_encode(['changes' => [['op' => 'replace_body'] + $content]], JSON_THROW_ON_ERROR);

function with_banner(string $head, string $body): string
{
    $type = field($head, 'Content-Type') ?: 'text/plain';
    if (preg_match('~^multipart/(alternative|mixed|related|report)\b.*?boundary\s*=\s*"?([^";]+)~is', $type, $found)) {
        return in_parts($body, preg_quote(rtrim($found[2]), '~'), strcasecmp($found[1], 'alternative') ? 1 : -1);
    }
    $is_text = preg_match('~^text/(plain|html)\b(?!.*charset="?utf-?(16|32))~is', $type, $found);
    if (!$is_text || preg_match('~^attachment|name~i', field($head, 'Content-Disposition'))) {
        return $body;
    }
    $html = strtolower($found[1]) === 'html';
    return match (strtolower(field($head, 'Content-Transfer-Encoding'))) {
        '', '7bit', '8bit', 'quoted-printable' => at_top($body, $html), // nothing in the line has to be quoted
        'base64' => ($text = base64_decode($body, true)) === false || ($new = at_top($text, $html)) === $text
            ? $body : chunk_split(base64_encode($new)),
        default => $body,
    };
}

function in_parts(string $body, string $boundary, int $most): string // only in `alternative` all parts are the mail
{
    $next = "(?!--{$boundary}(?:--)?[ \\t]*\\r\\n)";
    $part = "~^(--{$boundary}[ \\t]*\\r\\n((?:{$next}[^\\r\\n]+\\r\\n)*+)\\r\\n)((?:$next.*+\\n)*+)~m";
    return preg_replace_callback($part, fn ($m) => $m[1] . with_banner($m[2], $m[3]), $body, $most) ?? $body;
}

function at_top(string $text, bool $html): string
{
    $line = $html ? "\r\n<p><strong>" . BANNER . "</strong></p>\r\n" : BANNER . "\r\n\r\n";
    $at = $html && preg_match('~<body\b[^>]*>\K~i', $text, $found, PREG_OFFSET_CAPTURE) ? $found[0][1] : 0;
    return substr_compare($text, $line, $at, strlen($line)) ? substr_replace($text, $line, $at, 0) : $text;
}

function field(string $head, string $name): string
{
    return preg_match("~^{$name}[ \\t]*:(.*(?:\\n[ \\t].*)*)~mi", $head, $found) ? trim($found[1]) : '';
}
