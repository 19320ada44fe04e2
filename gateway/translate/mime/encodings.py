"""Transfer encodings (RFC 2045) and charsets, as far as they can be undone."""

import binascii
import codecs
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

Note = Callable[[str], None]
"""Takes a defect."""

_SPACE = b" \t\r\n"
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))
_LINE_BYTES = 64 * 1024
"""A line of quoted-printable beyond this is decoded in pieces."""
_BAD_QUOTED = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*(?:\r?\n|\Z))")
_CHARSET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,39}")
_NO_CHARSETS = frozenset(("idna", "mbcs", "oem", "punycode", "raw_unicode_escape", "undefined", "unicode_escape"))
"""Codecs of Python that are text encodings in name only."""
_WIDER: Mapping[str, str] = {"gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949"}
"""What mail under these names is written in."""
_UNFIT = re.compile("[\0\ud800-\udfff]")


def transfer_decoded(pieces: Iterable[bytes], encoding: str, note: Note) -> Iterator[bytes]:
    """The content behind a Content-Transfer-Encoding; what is unknown stays as it is."""
    decode = _ENCODINGS.get(encoding)
    if decode is None:
        note("unknown transfer encoding")
        decode = _as_it_is
    return decode(pieces, note)


def _as_it_is(pieces: Iterable[bytes], _: Note) -> Iterator[bytes]:
    yield from pieces


def _base64(pieces: Iterable[bytes], note: Note) -> Iterator[bytes]:
    rest, ended = b"", False
    for piece in pieces:
        kept = piece.translate(None, _NOT_BASE64)
        if len(kept) != len(piece.translate(None, _SPACE)):
            note("base64 with foreign characters")
        data, padding, after = kept.partition(b"=")
        if (ended and kept.strip(b"=")) or after.strip(b"="):
            note("base64 goes on after its end")
        if ended:
            continue
        ended = bool(padding)
        data = rest + data
        whole = len(data) - len(data) % 4
        rest = data[whole:]
        yield binascii.a2b_base64(data[:whole])
    if len(rest) == 1:
        note("base64 is cut off")
    elif rest:
        if not ended:
            note("base64 without its padding")
        yield binascii.a2b_base64(rest + b"=" * (4 - len(rest)))


def _quoted_printable(pieces: Iterable[bytes], note: Note) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        data = rest + piece
        cut = data.rfind(b"\n") + 1
        if not cut and len(data) > _LINE_BYTES:
            begun = data.rfind(b"=", len(data) - 2)  # `=XY` stays together
            cut = len(data) if begun < 0 else begun
        rest = data[cut:]
        yield _unquoted(data[:cut], note)
    yield _unquoted(rest, note)


def _unquoted(data: bytes, note: Note) -> bytes:
    if _BAD_QUOTED.search(data):
        note("quoted-printable with a stray =")
    return binascii.a2b_qp(data)


_ENCODINGS: Mapping[str, Callable[[Iterable[bytes], Note], Iterator[bytes]]] = {
    "": _as_it_is,
    "7bit": _as_it_is,
    "8bit": _as_it_is,
    "binary": _as_it_is,
    "base64": _base64,
    "quoted-printable": _quoted_printable,
}


def text_of(raw: bytes, charset: str | None, note: Note, *, whole: bool = True) -> str:
    """Bytes as text that any JSON reader takes; `whole` False: they may end within a character.

    Without a charset, and where it is not known, text that is UTF-8 counts as that.
    """
    name = _codec(charset, note)
    try:
        text = codecs.getincrementaldecoder(name)("strict").decode(raw, whole)
    except UnicodeError:
        note("not in its charset" if charset else "bytes that are not UTF-8")
        text = raw.decode(name, "replace")
    return fit(text, note)


def fit(text: str, note: Note) -> str:
    """The same with U+FFFD in the place of NUL and of half characters."""
    made = _UNFIT.sub("\ufffd", text)
    if made != text:
        note("NUL or half a character")
    return made


def _codec(charset: str | None, note: Note) -> str:
    """Python's name of a charset; ASCII is read as UTF-8, which contains it."""
    if charset is None:
        return "utf-8"
    try:
        name = codecs.lookup(charset).name if _CHARSET.fullmatch(charset) else ""
    except (LookupError, ValueError):
        name = ""
    if not name or name.replace("-", "_") in _NO_CHARSETS or not _decodes_text(name):
        note("unknown charset")
        return "utf-8"
    return "utf-8" if name == "ascii" else _WIDER.get(name, name)


def _decodes_text(name: str) -> bool:
    """Whether it makes text of bytes (`rot13` and `zlib` do not)."""
    try:
        b"a".decode(name, "replace")
    except (LookupError, ValueError):
        return False
    return True
