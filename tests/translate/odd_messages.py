"""A thousand messages as they come in real life, with whatever goes wrong in mail; the same ones each time."""

import base64
import binascii
import quopri
import random
from collections.abc import Callable, Sequence

Draw = random.Random

_PEOPLE = (
    b"ann@client.example",
    b"Ann Smith <ann@client.example>",
    b'"Smith, Ann" <ann@client.example>',
    b"ann@client.example (Ann (the first) Smith)",
    b"=?utf-8?q?Ann_Sm=C3=BCth?= <ann@client.example>",
    b"=?utf-8?b?QW5uIFNtw7x0aA?= <ann@client.example>",
    b"=?x-unknown?q?Ann_=FC?= <ann@client.example>",
    b'"=?utf-8?q?Ann?=" <ann@client.example>',
    b"Ann Sm\xc3\xbcth <ann@client.example>",
    b"Ann Sm\xfcth <ann@client.example>",
    b"friends: ann@client.example, Bob <bob@site.example>;",
    b"undisclosed-recipients:;",
    b'"unterminated <ann@client.example>',
    b"Ann Smith ann@client.example",
    b"<ann@client.example",
    b"ann@client.example>",
    b"<@relay.example:ann@client.example>",
    b"ann@[192.0.2.25]",
    b"<>",
    b"",
    b",,, ,",
    b"(" * 3000,
    b"Ann <ann@client.example>, , <bob@site.example>",
    b'"a\\"b" <ann@client.example>',
    b"ann@client.example;bob@site.example",
    b"\xe2\x82\xac@\xe2\x82\xac.example",
    b"ann@client@example",
    b"mailto:ann@client.example",
    b"Ann <ann@client.example> <other@client.example>",
    b"a\x00b <ann@client.example>",
)
_TEXTS = (
    b"Lunch on Friday?",
    b"=?utf-8?q?caf=C3=A9?=",
    b"=?utf-8?b?Y2Fmw6k=?= =?utf-8?b?Y2Fmw6k=?=",
    b"=?utf-8?b?Y2Fmw?= =?utf-8?b?6k=?=",
    b"=?utf-8?q?caf=C3?= =?utf-8?q?=A9?=",
    b"=?iso-8859-1*de?q?f=FCr?=",
    b"=?utf-8?q?broken",
    b"=?utf-8?x?broken?=",
    b"=?utf-8?b?!!!!?=",
    b"=?utf-8?q?a b c?=",
    b"=?utf-7?q?+2AA-?=",
    b"=?idna?q?xn--a?=",
    b"=?gb2312?b?xOO6ww==?=",
    b"=?iso-2022-jp?b?GyRCJUYlOSVIGyhC?=",
    b"=??q?a?=",
    b"=?utf-8?q??=",
    b"folded\r\n subject\r\n\tagain",
    b"caf\xc3\xa9 raw",
    b"caf\xe9 raw",
    b"\xc3\x85 =?utf-8?q?=C3=85?= \xc3\x85",
    b"with\x00nul",
    b"x" * 5000,
    b"=?utf-8?q?" + b"=C3=A9" * 500 + b"?=",
    b"",
    b" ",
    b"\x1b[31mred\x07",
    b"=?utf-8?q?=00=1B=0A=0D?=",
    b"=?unicode_escape?q?=5Cud800?=",
)
_DATES = (
    b"Fri, 20 Nov 2026 09:20:03 +0000",
    b"Fri, 20 Nov 2026 09:20:03 -0000",
    b"20 Nov 26 09:20 EST",
    b"Fri, 20 Nov 2026 09:20:03 +0530 (IST)",
    b"Fri, 31 Feb 2026 09:20:03 +0000",
    b"Fri, 20 Nov 2026 25:61:61 +0000",
    b"Fri, 20 Nov 2026 23:59:60 +0000",
    b"Fri, 20 Nov 0000 09:20:03 +0000",
    b"Fri, 20 Nov 99999 09:20:03 +0000",
    b"Fri, 20 Nov 2026 09:20:03 +9999",
    b"2026-11-20T09:20:03Z",
    b"yesterday",
    b"",
    b"Fri Nov 20 09:20:03 2026",
    b"Fri, 20 Nov 2026 09:20:03 GMT+1",
    b"1795166403",
    b"\xff\xfe",
    b"Fri, 20 Nov 2026 09:20:03 +00:00",
)
_IDS = (
    b"<1@client.example>",
    b"1@client.example",
    b"<<1@client.example>>",
    b"<1@client",
    b"<>",
    b"",
    b"<a b> <c@d>",
    b"<\xff>",
)
_CHARSETS = (
    b"", b"; charset=utf-8", b'; charset="iso-8859-1"', b"; charset=us-ascii", b"; charset=x-none", b"; charset=utf-7",
    b"; charset=utf-16", b"; charset=shift_jis", b"; charset=rot13", b"; charset=idna", b"; charset=\xff",
    b"; charset=",
    b"; charset*=utf-8''utf-8", b"; charset=a\x00b", b"; charset=unicode-1-1-utf-7", b"; charset=base64",
)  # fmt: skip
_NAMES = (
    b'filename="menu.pdf"',
    b"filename=menu.pdf",
    b"filename*=utf-8''caf%C3%A9.pdf",
    b"filename*=iso-8859-1'de'caf%E9.pdf",
    b"filename*=x-none''a%FF.pdf",
    b"filename*=utf-8''%FF%FE",
    b"filename*=%",
    b'filename*0="a long "; filename*1="name.pdf"',
    b"filename*0*=utf-8''caf%C3; filename*1*=%A9; filename*2=.pdf",
    b'filename*1="second"; filename*0="first "',
    b"filename*99999999999999999999=a",
    b'filename="=?utf-8?q?caf=C3=A9=2Epdf?="',
    b'filename="unterminated.pdf',
    b'filename="../../etc/passwd"',
    b'filename="a\\"b.pdf"',
    b'filename="a;b=c.pdf"',
    b'filename="caf\xc3\xa9.pdf"',
    b'filename="caf\xe9.pdf"',
    b'filename=""',
    b"filename",
    b";;;",
    b'filename="a\x00.exe"',
    b"filename*0*=utf-8''" + b"%C3%A9" * 300,
)
_TYPES = (
    b"application/pdf", b"application/ms-tnef", b"image/png", b"text/calendar", b"text", b"/", b"application/", b"",
    b"TEXT/HTML", b"application/octet-stream; name*=utf-8''a%20b", b"message/rfc822", b"message/delivery-status",
    b"\xff/\xff", b"multipart/mixed", b"application/x-zip-compressed; x=y; x=z",
)  # fmt: skip
_CONTENTS = (
    b"Hello Bob,\r\n",
    b"",
    b"caf\xc3\xa9\r\n",
    b"caf\xe9\r\n",
    b"\x00\x01\x02\xff",
    b"bare\nline\nfeeds",
    b"bare\rcarriage\rreturns",
    b"begin 644 menu.txt\r\n%:&5L;&\\`\r\n`\r\nend\r\n",
    b"\x78\x9f\x3e\x22" + b"\x01\x00" * 50,  # what TNEF begins with
    b"x" * 3000,
    b"--not a boundary\r\n--b\r\n--\r\n",
    b"From: Eve <eve@client.example>\r\nSubject: inside\r\n\r\nhello\r\n",
    b"\xf0\x9f\x93\xa8 \xed\xa0\x80",
    b"=C3=A9 =\r\n=E",
)


def _b64(content: bytes) -> bytes:
    return base64.encodebytes(content).replace(b"\n", b"\r\n")


_ENCODED: Sequence[tuple[bytes, Callable[[bytes], bytes]]] = (
    (b"", lambda content: content),
    (b"7bit", lambda content: content),
    (b"8bit", lambda content: content),
    (b"base64", _b64),
    (b"BASE64 ", _b64),
    (b"base64", lambda content: _b64(content)[:-4]),
    (b"base64", lambda content: b"!" + _b64(content) + b"!!"),
    (b"base64", lambda content: _b64(content) + _b64(content)),
    (b"base64", lambda content: content),
    (b"quoted-printable", lambda content: quopri.encodestring(content).replace(b"\n", b"\r\n")),
    (b"quoted-printable", lambda content: content + b"=ZZ =\r\n="),
    (b"x-uuencode", lambda content: binascii.b2a_uu(content[:45])),
    (b"none; at=all", lambda content: content),
)


def _leaf(draw: Draw, kind: bytes | None = None) -> bytes:
    """A part without parts: its header, a blank line, its content."""
    encoding, encode = draw.choice(_ENCODED)
    if kind is None:
        kind = draw.choice((b"text/plain", b"text/plain", b"text/html", *_TYPES))
    lines = [b"Content-Type: " + kind + (draw.choice(_CHARSETS) if kind.startswith(b"text/") else b"")]
    if encoding:
        lines.append(b"Content-Transfer-Encoding: " + encoding)
    if draw.random() < 0.5:
        lines.append(
            b"Content-Disposition: " + draw.choice((b"attachment; ", b"inline; ", b"; ")) + draw.choice(_NAMES)
        )
    if draw.random() < 0.2:
        lines.append(b"Content-ID: " + draw.choice(_IDS))
    if draw.random() < 0.05:
        lines.append(
            draw.choice(
                (b"no colon here", b" folded first", b"Content-Type: text/html", b": x", b"X-Long: " + b"A" * 70_000)
            )
        )
    draw.shuffle(lines)
    end = b"\r\n" if draw.random() < 0.9 else b"\n"
    blank = b"" if draw.random() < 0.05 else end
    return end.join(lines) + end + blank + encode(draw.choice(_CONTENTS))


def _multipart(draw: Draw, depth: int) -> bytes:
    """A part with parts, of which something may be missing."""
    boundary = draw.choice((b"b", b"=_next", b"b b", b"0" * 70, b"'()+_,-./:=?", b"b\xc3\xa9", b"B%d" % depth))
    given = draw.choice(
        (b'boundary="%s"', b'boundary="%s"', b'boundary="%s"', b"boundary=%s", b'BOUNDARY = "%s"', b"x=%s")
    )
    kind = draw.choice((b"mixed", b"alternative", b"related", b"digest", b"signed", b"report", b"x-odd", b""))
    count = draw.choice((0, 1, 2, 2, 3, 5))
    parts = [_multipart(draw, depth + 1) if depth < 4 and draw.random() < 0.3 else _leaf(draw) for _ in range(count)]
    end = draw.choice((b"\r\n", b"\r\n", b"\r\n", b"\n"))
    lines = [b"preamble"] if draw.random() < 0.3 else []
    for part in parts:
        lines += [b"--" + boundary + draw.choice((b"", b"", b"", b" \t")), part]
    lines.append(draw.choice((b"--" + boundary + b"--", b"--" + boundary + b"--", b"--" + boundary, b"")))
    if draw.random() < 0.2:
        lines.append(b"epilogue\r\n--" + boundary)
    encoding = b"Content-Transfer-Encoding: base64\r\n" if draw.random() < 0.03 else b""
    head = b"Content-Type: multipart/" + kind + b"; " + given.replace(b"%s", boundary) + b"\r\n" + encoding + b"\r\n"
    return head + end.join(lines) + end


def _nested(draw: Draw) -> bytes:
    """Parts in parts, deeper than anybody reads."""
    deep = draw.choice((5, 11, 40))
    heads = [b"Content-Type: multipart/mixed; boundary=n%d\r\n\r\n--n%d\r\n" % (at, at) for at in range(deep)]
    return b"".join(heads) + _leaf(draw)


def _many(draw: Draw) -> bytes:
    """More parts than anybody reads."""
    return (
        b"Content-Type: multipart/mixed; boundary=m\r\n\r\n"
        + b"--m\r\n\r\nx\r\n" * draw.choice((300, 1200))
        + b"--m--\r\n"
    )


def _header(draw: Draw) -> list[bytes]:
    fields = [
        b"From: " + draw.choice(_PEOPLE),
        b"To: " + b", ".join(draw.choices(_PEOPLE, k=draw.choice((1, 1, 2, 5)))),
        b"Subject: " + draw.choice(_TEXTS),
        b"Date: " + draw.choice(_DATES),
        b"Message-ID: " + draw.choice(_IDS),
    ]
    for name, values in ((b"Cc", _PEOPLE), (b"Reply-To", _PEOPLE), (b"References", _IDS), (b"In-Reply-To", _IDS)):
        if draw.random() < 0.4:
            fields.append(name + b": " + draw.choice(values))
    if draw.random() < 0.1:
        fields.append(draw.choice(fields))
    if draw.random() < 0.1:
        fields.append(b"X-Huge: " + b"\r\n ".join([b"y" * 900] * 60))
    if draw.random() < 0.05:
        fields.append(b"To: " + b",\r\n ".join(b"Person %d <p%d@client.example>" % (at, at) for at in range(1000)))
    kept = [field for field in fields if draw.random() < 0.9]
    draw.shuffle(kept)
    return kept


def _message(draw: Draw) -> bytes:
    make = draw.choices(
        (_leaf, lambda d: _multipart(d, 0), _nested, _many, lambda _: b"\r\nbody only\r\n", lambda _: b""),
        weights=(30, 60, 3, 1, 2, 2),
    )[0]
    fields = _header(draw) if draw.random() < 0.97 else []
    return b"".join(field + b"\r\n" for field in fields) + make(draw)


def odd_messages(count: int = 1000) -> list[bytes]:
    """That many of them."""
    return [_message(random.Random(number)) for number in range(count)]
