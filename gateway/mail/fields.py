"""Header fields with their exact bytes."""

import re
from collections.abc import Iterable, Sequence

from msgspec import Struct

_NAME = re.compile(rb"[\x21-\x39\x3b-\x7e]+")
_LONE_CR = re.compile(rb"\r(?!\n)")


class Field(Struct, eq=False, gc=False):
    """One field of the message in the making; two of them are never equal, since each stands in a place of its own.

    `raw` is what follows the colon, with the leading space and with folds as a lone LF (the spelling of the milter
    protocol). `arrived` is what the MTA sent, or None for a field that was added. A deleted field stays in its place,
    so that positions in what an earlier request showed keep their meaning.
    """

    name: bytes
    raw: bytes
    arrived: bytes | None = None
    deleted: bool = False
    on_top: bool = False

    @classmethod
    def of_mta(cls, name: bytes, raw: bytes) -> "Field":
        """A field as the MTA sent it."""
        return cls(name, raw, raw)

    @property
    def value(self) -> bytes:
        """What follows the colon less one leading space."""
        return self.raw[1:] if self.raw[:1] == b" " else self.raw

    @property
    def size(self) -> int:
        """Bytes on the SMTP wire, line ends included."""
        return size_on_wire(self.name, self.raw)

    def named(self, name: bytes) -> bool:
        """Whether this is a field of that name; names are case-insensitive (RFC 5322 §1.2.2)."""
        return self.name.lower() == name.lower()


def size_on_wire(name: bytes, raw: bytes) -> int:
    """Bytes of a field on the SMTP wire, line ends included."""
    return len(name) + len(raw) + raw.count(b"\n") + 3  # the colon and CRLF


def header_size(fields: Iterable[Field]) -> int:
    """Bytes of the header block on the SMTP wire, the blank line included."""
    return sum(field.size for field in fields) + 2


def header_bytes(fields: Iterable[Field]) -> bytes:
    """The header block with CRLF, the blank line included."""
    parts = [field.name + b":" + field.raw.replace(b"\n", b"\r\n") + b"\r\n" for field in fields]
    return b"".join(parts) + b"\r\n"


def name_fault(name: bytes) -> str | None:
    """Why this is no field name, or None."""
    if _NAME.fullmatch(name):
        return None
    return "a field name is one or more of the characters 0x21 to 0x7E without a colon"


def value_fault(value: bytes) -> str | None:
    """Why this is no field value, or None. Line breaks may be CRLF or LF."""
    if b"\0" in value:
        return "a field value contains NUL"
    if _LONE_CR.search(value):
        return "a field value contains a lone CR"
    lines = value.replace(b"\r\n", b"\n").split(b"\n")
    if any(line[:1] not in (b" ", b"\t") for line in lines[1:]):
        return "a line break in a field value is not followed by a blank"
    return None


class MalformedMessageError(ValueError):
    """The bytes are no message: the header block has a line that is no field."""


def parse_message(raw: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Split a message into (name, raw value) pairs and the body; line ends may be CRLF or LF.

    Raises MalformedMessageError.
    """
    head, body = _split(raw)
    pairs: list[tuple[bytes, bytes]] = []
    for line in head.replace(b"\r\n", b"\n").split(b"\n") if head else ():
        if line[:1] in (b" ", b"\t") and pairs:
            name, value = pairs[-1]
            pairs[-1] = (name, value + b"\n" + line)
            continue
        name, colon, value = line.partition(b":")
        fault = (not colon and "no colon") or name_fault(name) or value_fault(value)
        if fault:
            raise MalformedMessageError(f"line {line[:60]!r} of the header: {fault}")
        pairs.append((name, value))
    return pairs, body


def _split(raw: bytes) -> tuple[bytes, bytes]:
    for start in (b"\r\n", b"\n"):
        if raw.startswith(start):
            return b"", raw[len(start) :]
    ends = [(at, len(mark)) for mark in (b"\r\n\r\n", b"\n\n", b"\n\r\n") if (at := raw.find(mark)) >= 0]
    if not ends:
        return raw.removesuffix(b"\n").removesuffix(b"\r"), b""
    at, length = min(ends)
    return raw[:at], raw[at + length :]


def occurrences(fields: Sequence[Field]) -> list[int]:
    """For each field its number among the fields of its name, from 1."""
    seen: dict[bytes, int] = {}
    numbers = []
    for field in fields:
        key = field.name.lower()
        seen[key] = seen.get(key, 0) + 1
        numbers.append(seen[key])
    return numbers
