"""Bodies in memory and on disk, and the budget that all of them share.

A body stays in memory up to `spool_above`, or less where the budget is used up; beyond, it lies in a temporary file
without a name, which vanishes with the process. Files are written and read in threads, never on the event loop. A body
can be read while it still grows (`follow`): whoever keeps up gets what is about to be written, without the disk.
"""

import asyncio
import codecs
import os
import tempfile
from collections.abc import AsyncIterator, Iterable
from io import FileIO
from pathlib import Path

FLUSH_BYTES = 256 * 1024
"""What may wait in memory for the disk, and what is read from it at once."""

_PIECES = 512
"""How many pieces are written as they are; the limit of the system is 1024 (IOV_MAX)."""

_PLAIN = bytes(byte for byte in range(0x20, 256) if byte not in b'"\\')
"""Bytes that stand for themselves in a JSON string."""
_SHORT = b'"\\\b\f\n\r\t'
"""Bytes whose escape has two characters; that of any other has six."""


def _escapes(data: bytes) -> int:
    """How many bytes longer JSON makes this text."""
    special = data.translate(None, _PLAIN)
    return len(special) + 4 * len(special.translate(None, _SHORT)) if special else 0


class MemoryBudget:
    """Bytes that all buffered mail and all answers of this process may take together."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def reserve(self, size: int, /) -> bool:
        """Take `size` bytes; False where there is no room."""
        if self.used + size > self.limit:
            return False
        self.used += size
        return True

    def release(self, size: int, /) -> None:
        """Give `size` bytes back."""
        self.used -= size


class SpooledBytes:
    """A body on disk that stays readable until `close`, also where the spool is closed before."""

    def __init__(self, descriptor: int, size: int) -> None:
        self.size = size
        self._file = FileIO(descriptor, "r")

    def read(self, start: int, end: int) -> bytes:
        """The bytes from `start` to `end`. Raises OSError."""
        read = os.pread(self._file.fileno(), end - start, start)
        if len(read) < end - start:
            raise OSError(f"the spooled message ends after {start + len(read)} of {self.size} bytes")
        return read

    def close(self) -> None:
        """Let go of it."""
        self._file.close()


class Spool:
    """One body: filled by `append`, read by `in_memory` or `chunks`, forgotten by `close`."""

    def __init__(
        self, budget: MemoryBudget, spool_above: int, directory: str | None = None, *, counts_escapes: bool = True
    ) -> None:
        self.size = 0
        self._budget = budget
        self._spool_above = spool_above
        self._directory = directory
        self._counts_escapes = counts_escapes
        self._chunks: list[bytes] = []
        self._reserved = 0
        self._file: FileIO | None = None
        self._writing: asyncio.Future[None] | None = None
        self._on_disk = False
        self._waiting = 0
        self.written = 0
        self._latest: tuple[int, list[bytes]] = (0, [])
        """Where the last piece that was written begins, and the piece."""
        self._complete = False
        self._grown = asyncio.Event()
        self._escapes = 0
        self._checker = codecs.getincrementaldecoder("utf-8")()
        self._text = True

    def append(self, chunk: bytes) -> None:
        """Take a chunk; where `wants_flush` then holds, `flush` is to run before the next one."""
        self.size += len(chunk)
        self._chunks.append(chunk)
        self._check_text(chunk)
        if not self._on_disk and self.size <= self._spool_above and self._budget.reserve(len(chunk)):
            self._reserved += len(chunk)
            return
        if not self._on_disk:
            self._on_disk = True
            self._waiting = self.size
            self._count_escapes(self._chunks)
        else:
            self._waiting += len(chunk)
            self._count_escapes((chunk,))

    def _count_escapes(self, chunks: Iterable[bytes]) -> None:
        if self._counts_escapes and self._text:
            self._escapes += sum(map(_escapes, chunks))

    def _check_text(self, chunk: bytes) -> None:
        if not self._text:
            return
        try:
            self._checker.decode(chunk)
        except UnicodeDecodeError:
            self._text = False
        else:
            self._text = b"\0" not in chunk

    @property
    def is_text(self) -> bool:
        """Valid UTF-8 without NUL."""
        return self._text and not self._checker.getstate()[0]

    @property
    def wants_flush(self) -> bool:
        """Whether enough waits for the disk."""
        return self._waiting >= FLUSH_BYTES

    @property
    def unwritten(self) -> bool:
        """Whether anything waits for the disk."""
        return self._waiting > 0

    async def flush(self) -> None:
        """Write what waits for the disk. Raises OSError."""
        if self._waiting:
            chunks, self._chunks = self._chunks, []
            size, self._waiting = self._waiting, 0
            self._writing = asyncio.ensure_future(asyncio.to_thread(self._write, chunks))
            await asyncio.shield(self._writing)
            self._release()
            self._latest = (self.written, chunks if size <= 2 * FLUSH_BYTES else [])
            self.written += size
            self._grow()

    def _write(self, chunks: list[bytes]) -> None:
        if self._file is None:
            descriptor, path = tempfile.mkstemp(prefix="milter-gateway-", dir=self._directory)
            Path(path).unlink()
            self._file = FileIO(descriptor, "r+")
        if len(chunks) > _PIECES:
            chunks = [b"".join(chunks)]
        written = os.writev(self._file.fileno(), chunks)
        if written < sum(map(len, chunks)):  # a signal, or nearly no room: write on, until the disk says what is wrong
            rest = memoryview(b"".join(chunks))[written:]
            while rest:
                rest = rest[self._file.write(rest) :]

    def complete(self) -> None:
        """Nothing more will come: those who follow reach the end."""
        self._complete = True
        self._grow()

    def _grow(self) -> None:
        """Wake those who wait for more."""
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    async def follow(self) -> AsyncIterator[bytes]:
        """Yield the body from its beginning while it is still growing on the disk, until `complete`. Raises OSError."""
        offset = 0
        while True:
            start, pieces = self._latest
            if offset == start and pieces:
                for piece in pieces:
                    offset += len(piece)
                    yield piece
            elif offset < self.written:
                piece = await self._read(offset, min(FLUSH_BYTES, self.written - offset))
                offset += len(piece)
                yield piece
            elif self._complete:
                return
            else:
                await self._grown.wait()

    def in_memory(self) -> bytes | None:
        """The whole body, or None where it is on disk."""
        if self._on_disk:
            return None
        if len(self._chunks) > 1:
            self._chunks = [b"".join(self._chunks)]
        return self._chunks[0] if self._chunks else b""

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body from its beginning. Raises OSError."""
        await self.flush()
        if self._file is None:
            yield self.in_memory() or b""
            return
        offset = 0
        while offset < self.size:
            chunk = await self._read(offset, FLUSH_BYTES)
            offset += len(chunk)
            yield chunk

    async def _read(self, offset: int, size: int) -> bytes:
        if self._file is None or self._file.closed:
            raise OSError("the spooled message is no longer there")
        chunk = await asyncio.to_thread(os.pread, self._file.fileno(), size, offset)
        if not chunk:
            raise OSError(f"the spooled message ends after {offset} of {self.size} bytes")
        return chunk

    async def on_disk(self) -> "SpooledBytes":
        """The body, which is not in memory, for somebody who reads it in a thread. Raises OSError."""
        await self.flush()
        if self._file is None or self._file.closed:
            raise OSError("the spooled message is no longer there")
        return SpooledBytes(os.dup(self._file.fileno()), self.size)

    @property
    def json_size(self) -> int:
        """How many bytes the body takes in JSON, without quotation marks; of a body on disk, all of it written."""
        return self.size + self._escapes if self.is_text else (self.size + 2) // 3 * 4

    def close(self) -> None:
        """Forget the body."""
        self._release()
        self._chunks = []
        self._latest = (0, [])
        if self._writing is not None and not self._writing.done():
            self._writing.add_done_callback(self._close_file)  # a cancelled flush: its thread still has the file
        else:
            self._close_file()

    def _close_file(self, written: "asyncio.Future[None] | None" = None) -> None:
        if written is not None and not written.cancelled():
            written.exception()  # nobody waits for it any more
        if self._file is not None:
            self._file.close()

    def _release(self) -> None:
        self._budget.release(self._reserved)
        self._reserved = 0
