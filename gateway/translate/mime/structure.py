"""The leaves of a message: multipart taken apart (RFC 2046), within bounds.

Outer boundaries are looked for first, so a part that does not end by itself ends where the part around it does.
"""

import re
from collections.abc import Iterator

from msgspec import Struct

from gateway.translate.mime.defects import Defects
from gateway.translate.mime.header import Header, read_header
from gateway.translate.mime.source import Source, occurrences

MAX_DEPTH = 10
MAX_PARTS = 1000
_MAX_MARKS = 20_000
"""Lines that begin like a boundary: each costs a look at the rest of the line."""
_MARK_BYTES = 256
_REST = re.compile(rb"(--)?[ \t]*\r?(\n|\Z)")

Range = tuple[int, int]


class Leaf(Struct, frozen=True):
    """A part that has no parts: its header, and where its content stands."""

    part_id: str
    header: Header
    start: int
    end: int
    first: bool = True
    """Whether it is the first of its siblings."""
    parent: str = ""
    """The type of the multipart around it."""


class _Mark(Struct, frozen=True):
    """A boundary line."""

    start: int
    end: int
    closes: bool


class Walk:
    """Takes one message apart."""

    def __init__(self, source: Source, defects: Defects) -> None:
        self.leaves: list[Leaf] = []
        self._source = source
        self._defects = defects
        self._marks = 0
        self._parts = 0

    def message(self, header: Header) -> list[Leaf]:
        """The leaves of a message with this header. Raises OSError."""
        root = Leaf("1", header, 0, self._source.size)
        self._take(root, "", 0)
        return self.leaves

    def _take(self, part: Leaf, prefix: str, depth: int) -> None:
        ranges = self._parts_of(part, depth) if part.header.type.startswith("multipart/") else None
        if ranges is None:
            self.leaves.append(part)
            return
        kind = part.header.type
        default = "message/rfc822" if kind == "multipart/digest" else "text/plain"
        for number, (start, end) in enumerate(ranges, 1):
            self._parts += 1
            if self._parts > MAX_PARTS:
                self._defects.add("message", f"more than {MAX_PARTS} parts")
                return
            part_id = f"{prefix}{number}"
            header, begin = read_header(self._source, start, end, f"part {part_id}", self._defects, default)
            self._take(Leaf(part_id, header, begin, end, number == 1, kind), f"{part_id}.", depth + 1)

    def _parts_of(self, part: Leaf, depth: int) -> list[Range] | None:
        """Where the parts of a multipart stand, None where it cannot be taken apart."""
        note, boundary = part.header.note, part.header.boundary
        if depth >= MAX_DEPTH:
            note(f"parts nested more than {MAX_DEPTH} deep")
            return None
        if not boundary:
            note("multipart without a boundary")
            return None
        if part.header.encoding in ("base64", "quoted-printable"):
            note("multipart with a transfer encoding")
        ranges: list[Range] = []
        begun = -1
        for mark in self._boundary_lines(boundary, part.start, part.end):
            if begun >= 0:
                ranges.append((begun, max(begun, mark.start)))
            begun = mark.end
            if mark.closes:
                return ranges
            if len(ranges) > MAX_PARTS:
                return ranges
        if begun < 0:
            note("multipart without its boundary lines")
            return None
        note("multipart without its last boundary line")
        return [*ranges, (begun, part.end)]

    def _boundary_lines(self, boundary: bytes, start: int, end: int) -> Iterator[_Mark]:
        delimiter = b"--" + boundary
        if self._source.read(start, min(end, start + len(delimiter))) == delimiter:
            mark = self._mark(start, start + len(delimiter), end)
            if mark is not None:
                yield mark
        for found in occurrences(self._source, b"\n" + delimiter, start, end):
            self._marks += 1
            if self._marks > _MAX_MARKS:
                self._defects.add("message", "more lines like boundaries than are read")
                return
            mark = self._mark(found, found + 1 + len(delimiter), end)
            if mark is not None:
                yield mark

    def _mark(self, start: int, rest: int, end: int) -> _Mark | None:
        """The boundary line whose mark ends at `rest`, or None where more stands in it; it takes the break before."""
        look = min(end, rest + _MARK_BYTES)
        match = _REST.match(self._source.read(rest, look))
        if match is None or (not match[2] and look < end):
            return None
        if start and self._source.read(start - 1, start) == b"\r":
            start -= 1
        return _Mark(start, rest + match.end(), bool(match[1]))
