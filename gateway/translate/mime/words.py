"""Text of header fields: RFC 2047's encoded words among Latin-1 that stands for bytes."""

import binascii
import re
from email.errors import MessageError

from gateway.translate.mime.encodings import Note, text_of

FAULTS = (
    MessageError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RecursionError,
)
"""What the standard library's readers of header fields raise where they should not; never OSError or MemoryError."""

_WORD = re.compile(r"=\?([^?\s]{1,80})\?([bBqQ])\?([^?]*)\?=")


def words(text: str, note: Note) -> str:
    """The text, with encoded words decoded; blanks between two of them do not count, a broken one stays as it is."""
    made: list[tuple[str | None, bytes]] = []
    at = 0
    for match in _WORD.finditer(text):
        decoded = _decoded(match[2].lower(), match[3])
        if decoded is None:
            note("an encoded word is broken")
            continue
        between = text[at : match.start()]
        if between.strip(" \t") or not made or made[-1][0] is None:
            made.append((None, between.encode("latin-1")))
        charset = match[1].partition("*")[0].lower()
        if made and made[-1][0] == charset:
            made[-1] = (charset, made[-1][1] + decoded)  # a character may be cut between two words
        else:
            made.append((charset, decoded))
        at = match.end()
    made.append((None, text[at:].encode("latin-1")))
    return "".join(text_of(raw, charset, note) for charset, raw in made)


def _decoded(encoding: str, data: str) -> bytes | None:
    raw = data.encode("latin-1")
    if encoding == "q":
        return binascii.a2b_qp(raw, header=True)
    raw = raw.rstrip(b"= \t")
    try:
        return binascii.a2b_base64(raw + b"=" * (-len(raw) % 4))
    except binascii.Error:
        return None
