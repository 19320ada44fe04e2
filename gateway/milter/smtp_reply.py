"""The text of REPLYCODE, made fit for both MTAs and for SMTP (smfi_setmlreply; RFC 5321 §4.2.1, RFC 3463)."""

import re
from collections.abc import Sequence

from gateway.milter.messages import ReplyCode

MAX_LINES = 32
MAX_LINE = 980
"""Bytes of text in one line, as in libmilter."""

_ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
_UNPRINTABLE = re.compile(rb"[^\t\x20-\x7e]")


def is_enhanced_code(text: str) -> bool:
    """Whether this is an enhanced status code (RFC 3463 §2)."""
    return _ENHANCED.fullmatch(text) is not None


def reply_code(code: int, enhanced: str, lines: Sequence[str]) -> ReplyCode:
    """Build a reply; lines without CR, LF and NUL.

    What is not printable ASCII becomes `?` (Sendmail strips the eighth bit), long lines are wrapped, lines beyond the
    32nd are dropped, and each `%` is doubled once, since both MTAs read the text as a format.
    """
    wrapped: list[bytes] = []
    for line in lines:
        text = _UNPRINTABLE.sub(b"?", line.encode("ascii", "replace"))
        wrapped += [text[at : at + MAX_LINE] for at in range(0, max(len(text), 1), MAX_LINE)]
    wrapped = wrapped[:MAX_LINES] or [b""]
    start = f"{code}-{enhanced} ".encode()
    last = f"{code} {enhanced} ".encode()
    parts = [start + text for text in wrapped[:-1]] + [last + wrapped[-1]]
    return ReplyCode(b"\r\n".join(parts).replace(b"%", b"%%"))


def read_reply(reply: ReplyCode) -> tuple[int, str | None, list[str]]:
    """Take a reply apart again: code, enhanced code (None where it has none), lines of text."""
    lines = reply.text.replace(b"%%", b"%").decode("ascii", "replace").split("\r\n")
    code = int(lines[0][:3]) if lines[0][:3].isdigit() else 0
    texts, enhanced = [], None
    for line in lines:
        word, _, rest = line[4:].partition(" ")
        if is_enhanced_code(word):
            enhanced = word
            texts.append(rest)
        else:
            texts.append(line[4:])
    return code, enhanced, texts
