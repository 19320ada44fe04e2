"""A stream of bytes as packets, for somebody who only listens: nothing is refused, whatever the stream holds.

A packet keeps its beginning and its size, so a listener's memory is bounded whatever the two ends send.
"""

import struct

from msgspec import Struct

from gateway.milter.constants import MAX_PAYLOAD

LARGEST = 1024 * 1024
"""MILTER_MDS_1M and the code byte: no milter speaks of more. A larger length says that this is not the protocol."""

PREVIEW = 256
"""Bytes that are kept of what is only shown in part."""

_LENGTH = struct.Struct(">I")


class Packet(Struct, frozen=True):
    """A packet: `payload` is the beginning of what follows the code byte, `size` is how much there was.

    The code is empty in a packet of length 0.
    """

    code: bytes
    payload: bytes
    size: int

    @property
    def whole(self) -> bool:
        """Whether all of the payload was kept."""
        return len(self.payload) == self.size


class Lost(Struct, frozen=True):
    """A length that no packet has: from here on nobody can say where packets begin."""

    length: int
    payload: bytes
    """The four bytes of the length."""


class Raw(Struct, frozen=True):
    """Bytes behind a lost frame."""

    payload: bytes
    size: int


Piece = Packet | Lost | Raw


class Framer:
    """Cuts one direction of a connection into pieces.

    `bodies` are the codes of packets that hold a part of a body: of those the first `kept` bytes are kept.
    """

    def __init__(self, bodies: bytes = b"", kept: int = PREVIEW) -> None:
        self._bodies = bodies
        self._kept = kept
        self._head = b""
        self._missing = 0
        self._content = bytearray()
        self._length = 0
        self.lost = False

    @property
    def pending(self) -> int:
        """Bytes of a packet that has begun and not ended."""
        return len(self._head) + (self._length - self._missing if self._missing else 0)

    def feed(self, data: bytes) -> list[Piece]:
        """Take what arrived, and give what is complete."""
        pieces: list[Piece] = []
        at = 0
        while at < len(data):
            if self.lost:
                pieces.append(Raw(data[at : at + self._kept], len(data) - at))
                break
            at = self._take_content(data, at, pieces) if self._missing else self._take_length(data, at, pieces)
        return pieces

    def _take_length(self, data: bytes, at: int, pieces: list[Piece]) -> int:
        end = at + _LENGTH.size - len(self._head)
        self._head += data[at:end]
        if len(self._head) < _LENGTH.size:
            return len(data)
        (self._length,) = _LENGTH.unpack(self._head)
        if self._length > LARGEST:
            self.lost = True
            pieces.append(Lost(self._length, self._head))
            self._head = b""
            return end
        self._head = self._head if self._length else b""
        self._missing = self._length
        if not self._length:
            pieces.append(Packet(b"", b"", 0))
        return end

    def _take_content(self, data: bytes, at: int, pieces: list[Piece]) -> int:
        end = min(at + self._missing, len(data))
        code = bytes(self._content[:1]) or data[at : at + 1]
        room = 1 + (self._kept if code in self._bodies else MAX_PAYLOAD) - len(self._content)
        self._content += data[at : min(end, at + max(room, 0))]
        self._missing -= end - at
        if not self._missing:
            pieces.append(Packet(code, bytes(self._content[1:]), self._length - 1))
            self._head, self._content = b"", bytearray()
        return end
