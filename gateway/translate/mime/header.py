"""The header of a message or of one of its parts, and what it says about the content (RFC 2045, 2183, 2231).

Values are kept as Latin-1, in which every byte is one character: so the standard library can take them apart, and what
it hands out becomes bytes again without loss.
"""

import re
from collections.abc import Iterable, Mapping
from email.message import Message
from email.utils import unquote

from gateway.translate.mime.defects import Defects
from gateway.translate.mime.encodings import text_of
from gateway.translate.mime.source import Source
from gateway.translate.mime.words import FAULTS, words

_HEADER_BYTES = 64 * 1024
"""What is looked at of the header of a part."""
_PARAMS_BYTES = 8 * 1024
"""What is looked at of a field with parameters: the standard library takes quadratic time."""
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:(.*)", re.DOTALL)
_READ = frozenset(
    (
        *("from", "to", "cc", "reply-to", "subject", "date", "message-id", "in-reply-to", "references"),
        *("content-type", "content-transfer-encoding", "content-disposition", "content-id"),
    )
)
"""The others may be as large as they like."""
_AFTER_WORD = re.compile(r"[ \t;(]")
_TYPE = re.compile(r"[!#$&^_.+a-z0-9-]+/[!#$&^_.+a-z0-9-]+")

Pair = tuple[bytes, bytes]
Param = str | tuple[str | None, str | None, str]


class Header:
    """Fields by name. `where` is how a defect names this part."""

    def __init__(self, pairs: Iterable[Pair], where: str, defects: Defects, default_type: str = "text/plain") -> None:
        self.where = where
        self._fields: dict[str, list[str]] = {}
        for name, value in pairs:
            key = name.decode("latin-1").strip(" \t").lower()
            if key not in _READ:
                continue
            text = value.decode("latin-1").replace("\r", "").replace("\n", "").strip(" \t")
            self._fields.setdefault(key, []).append(text)
        self._defects = defects
        self._default_type = default_type
        self._params: dict[str, Mapping[str, Param]] = {}
        self.type = self._type()

    def all(self, name: str) -> list[str]:
        """The values of a field."""
        return self._fields.get(name, [])

    def first(self, name: str) -> str | None:
        """The first value of a field that should stand once."""
        values = self.all(name)
        if len(values) > 1:
            self.note(f"{name} stands more than once")
        return values[0] if values else None

    def note(self, what: str) -> None:
        """Add a defect of this part."""
        self._defects.add(self.where, what)

    def _type(self) -> str:
        value = self.first("content-type")
        if value is None:
            return self._default_type
        found = _word(value)
        if _TYPE.fullmatch(found):
            return found
        self.note("content-type is no type")
        return "text/plain"

    @property
    def encoding(self) -> str:
        """The transfer encoding."""
        return _word(self.first("content-transfer-encoding") or "")

    @property
    def disposition(self) -> str | None:
        """`attachment`, `inline`, or what else is said; None where nothing is."""
        value = _word(self.first("content-disposition") or "")
        return text_of(value.encode("latin-1"), None, self.note) if value else None

    @property
    def charset(self) -> str | None:
        """The charset of a text."""
        return self.param("content-type", "charset")

    @property
    def boundary(self) -> bytes:
        """The boundary of a multipart, empty where none is said."""
        found = self._param("content-type", "boundary")
        text = found[2] if isinstance(found, tuple) else found or ""
        return text.rstrip(" \t").encode("latin-1", "replace")

    @property
    def name(self) -> str | None:
        """The name of the file."""
        return self.param("content-disposition", "filename") or self.param("content-type", "name")

    @property
    def cid(self) -> str | None:
        """The Content-ID, without its brackets."""
        value = self.first("content-id")
        return None if not value else words(value.strip("<> "), self.note)

    def param(self, field: str, name: str) -> str | None:
        """A parameter as text, whichever way it is encoded."""
        found = self._param(field, name)
        if found is None:
            return None
        if isinstance(found, str):
            return words(found, self.note)
        charset, _, value = found
        return text_of(value.encode("latin-1", "replace"), charset or None, self.note)

    def _param(self, field: str, name: str) -> Param | None:
        if field not in self._params:
            self._params[field] = self._read_params(field)
        return self._params[field].get(name)

    def _read_params(self, field: str) -> Mapping[str, Param]:
        values = self.all(field)
        if not values:
            return {}
        message = Message()
        message[field] = values[0][:_PARAMS_BYTES]
        try:
            found = message.get_params(header=field, unquote=False) or []
        except FAULTS:
            self.note(f"{field} cannot be read")
            return {}
        params: dict[str, Param] = {}
        for key, value in found[1:]:
            params.setdefault(key.lower(), _unquoted(value))
        return params


def _word(value: str) -> str:
    """What stands before parameters and comments, in lower case."""
    return _AFTER_WORD.split(value, maxsplit=1)[0].lower()


def _unquoted(value: Param) -> Param:
    return (value[0], value[1], unquote(value[2])) if isinstance(value, tuple) else unquote(value)


def read_header(
    source: Source, start: int, end: int, where: str, defects: Defects, default_type: str
) -> tuple[Header, int]:
    """The header that begins at `start`, and where the content behind it begins. Raises OSError."""
    raw = source.read(start, min(end, start + _HEADER_BYTES))
    pairs: list[Pair] = []
    at = 0
    while at < len(raw):
        line_end = raw.find(b"\n", at) + 1 or len(raw)
        line = raw[at:line_end]
        content = line.rstrip(b"\r\n")
        if not content:
            return Header(pairs, where, defects, default_type), start + line_end
        field = _FIELD.fullmatch(content)
        if content[:1] in (b" ", b"\t") and pairs:
            pairs[-1] = (pairs[-1][0], pairs[-1][1] + content)
        elif field is not None:
            pairs.append((field[1], field[2]))
        else:
            defects.add(where, "no blank line behind the header")
            break
        at = line_end
    if at >= len(raw) and start + at < end:
        defects.add(where, "a header beyond 64 KiB")
    return Header(pairs, where, defects, default_type), start + at
