"""The bytes of a body, read in windows, so that a large one never stands in memory as a whole."""

from collections.abc import Iterator
from typing import Protocol

WINDOW = 512 * 1024


class Source(Protocol):
    """Bytes that can be read anywhere."""

    size: int

    def read(self, start: int, end: int) -> bytes:
        """The bytes from `start` to `end`. Raises OSError."""


class Memory:
    """A `Source` of bytes at hand."""

    def __init__(self, raw: bytes) -> None:
        self.size = len(raw)
        self._raw = raw

    def read(self, start: int, end: int) -> bytes:
        """See `Source`."""
        return self._raw[start:end]

    def close(self) -> None:
        """Nothing is to be let go of."""


HIDDEN = Memory(b"")
"""A body that is not shown."""


def pieces(source: Source, start: int, end: int) -> Iterator[bytes]:
    """The bytes of a range, window by window. Raises OSError."""
    for at in range(start, end, WINDOW):
        yield source.read(at, min(end, at + WINDOW))


def occurrences(source: Source, mark: bytes, start: int, end: int) -> Iterator[int]:
    """Where `mark` begins in a range. Raises OSError."""
    for at in range(start, end, WINDOW):
        window = source.read(at, min(end, at + WINDOW + len(mark) - 1))
        found = window.find(mark)
        while found >= 0:
            yield at + found
            found = window.find(mark, found + 1)
