"""Recordings in files: JSON Lines, one exchange a line (docs/recording.md).

A thread writes, so that neither a slow nor a full disk holds up mail: what cannot be written is left out, and that is
said once.
"""

import contextlib
import gzip
import os
import queue
import stat
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import msgspec
import structlog

from gateway.recording.records import Exchange, Kept, Try, body_of, moment, without_bodies
from gateway.translate.text import from_base64

FORMAT = 1
FILE_BYTES = 1 << 30
"""Beyond this size a file is renamed to `NAME.1`, and a new one is begun."""
_WAITING_BYTES = 32 << 20
"""What may wait for the disk."""
_COST = 1024
"""What an exchange takes beside its bodies, roughly."""


class RecordingError(ValueError):
    """The file is no recording; the message says where and why."""


def as_line(exchange: Exchange) -> dict[str, Any]:
    """An exchange as it stands in the file."""
    shown = msgspec.to_builtins(without_bodies(exchange))
    for name in ("type", "request", "response"):
        shown.pop(name)
    shown["time"] = moment(exchange.time)
    bodies = body_of("request", exchange.request, exchange.content_type)
    bodies |= body_of("response", exchange.response, exchange.answer_type)
    return {"format": FORMAT, **shown, **bodies}


class Journal:
    """A `Keeper` that writes to a file, readable by its owner alone.

    Args:
        path: appended to.
        change: applied to each line before it is written (`redaction`).

    Raises:
        OSError: the file cannot be opened.

    """

    def __init__(
        self, path: Path, change: Callable[[dict[str, Any]], dict[str, Any]] = lambda line: line, size: int = FILE_BYTES
    ) -> None:
        self._path = path
        self._change = change
        self._limit = size
        self._file = _open(path)
        self._waiting: queue.SimpleQueue[Exchange | None] = queue.SimpleQueue()
        self._bytes = 0
        self._counting = threading.Lock()
        self._lost = 0
        self._log = structlog.get_logger("gateway")
        self._thread = threading.Thread(target=self._write, name="journal", daemon=True)
        self._thread.start()

    def keep(self, what: Kept) -> None:
        """See `Keeper`: exchanges alone are written."""
        if not isinstance(what, Exchange):
            return
        if not self._has_room(what):
            self._lose("the disk does not keep up")
            return
        self._waiting.put(what)

    def _has_room(self, exchange: Exchange) -> bool:
        with self._counting:
            if self._bytes > _WAITING_BYTES:
                return False
            self._bytes += exchange.size + _COST
            return True

    def close(self, seconds: float = 10.0) -> None:
        """Write what waits, for so long at most; then a disk that hangs is given up."""
        self._waiting.put(None)
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._lose(f"the disk did not take what waited within {seconds:g} s")
        else:
            os.close(self._file)

    def _write(self) -> None:
        while (exchange := self._waiting.get()) is not None:
            with self._counting:
                self._bytes -= exchange.size + _COST
            try:
                line = msgspec.json.encode(self._change(as_line(exchange))) + b"\n"
                _write_whole(self._file, line)
                if os.fstat(self._file).st_size > self._limit:
                    self._begin_another()
            except Exception as error:  # noqa: BLE001 - a line that cannot be made must not end all the others
                self._lose(repr(error) if not isinstance(error, OSError) else str(error))

    def _begin_another(self) -> None:
        """Go on in a new file; where there is none to be had, in the old one under its new name."""
        with contextlib.suppress(FileNotFoundError):  # the last try came so far
            self._path.rename(self._path.with_name(self._path.name + ".1"))
        fresh = _open(self._path)
        os.close(self._file)
        self._file = fresh

    def _lose(self, reason: str) -> None:
        self._lost += 1
        if self._lost == 1:
            self._log.warning("the recording has gaps", file=str(self._path), reason=reason)


def _open(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        _cut_unfinished(descriptor)
    return descriptor


def _write_whole(descriptor: int, line: bytes) -> None:
    """Write all of a line or nothing: half a line would spoil the next one. Raises OSError."""
    size = os.fstat(descriptor).st_size
    rest = memoryview(line)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError:
        if len(rest) < len(line):
            os.ftruncate(descriptor, size)
        raise


def _cut_unfinished(descriptor: int) -> None:
    """Cut off the half line that a killed program left at the end of a recording."""
    size = os.fstat(descriptor).st_size
    if not size or os.pread(descriptor, 10, 0) != b'{"format":' or os.pread(descriptor, 1, size - 1) == b"\n":
        return
    end = size
    while end:
        start = max(end - 65536, 0)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            os.ftruncate(descriptor, start + found + 1)
            return
        end = start
    os.ftruncate(descriptor, 0)


def read(path: Path) -> Iterator[Exchange]:
    """The exchanges of a recording, one after the other.

    Raises:
        RecordingError: a line is no exchange.
        OSError: the file cannot be read.

    """
    with _opened(path) as lines:
        for number, line in enumerate(_whole_lines(path, lines), 1):
            if line.strip():
                try:
                    yield _exchange(msgspec.json.decode(line))
                except (msgspec.DecodeError, TypeError, ValueError, KeyError, RecursionError) as error:
                    if number > 1 and not line.endswith(b"\n"):
                        return  # it is being written
                    raise RecordingError(f"{path}:{number}: this is no recorded exchange: {error}") from error


def _opened(path: Path) -> IO[bytes]:
    """The file, also where it was compressed with gzip."""
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return cast("IO[bytes]", gzip.open(path, "rb")) if compressed else path.open("rb")


def _whole_lines(path: Path, lines: IO[bytes]) -> Iterator[bytes]:
    try:
        yield from lines
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise RecordingError(f"{path}: this cannot be decompressed: {error}") from error


def _exchange(line: dict[str, Any]) -> Exchange:
    if not isinstance(line, dict) or line.get("format") != FORMAT:
        raise ValueError(f"`format` is not {FORMAT}")
    known = {name: line[name] for name in _PLAIN}
    for name in _SENT:
        if not (isinstance(known[name], str) and known[name].isascii() and known[name].isprintable()):
            raise ValueError(f"`{name}` is no line of ASCII")
    tries = msgspec.convert(line.get("tries", ()), tuple[Try, ...])
    bodies = {name: _body(line, name) for name in ("request", "response")}
    record: Exchange = msgspec.convert({**known, "type": "Exchange", "time": 0.0}, Exchange)
    return msgspec.structs.replace(record, **bodies, tries=tries, redacted=line.get("redacted") is True)


_NOT_PLAIN = ("time", "request", "response", "tries", "redacted")
_PLAIN = tuple(name for name in Exchange.__struct_fields__ if name not in _NOT_PLAIN)
_SENT = ("id", "session_id", "event", "content_type")
"""What goes into the header of a call."""


def _body(line: dict[str, Any], name: str) -> bytes | None:
    """A body as bytes: JSON is written anew, which changes at most its blanks."""
    if isinstance(line.get(f"{name}_base64"), str):
        return from_base64(line[f"{name}_base64"])
    value = line.get(name)
    if value is None:
        return None
    kind = line["content_type" if name == "request" else "answer_type"].partition(";")[0].strip().lower()
    if isinstance(value, str) and kind != "application/json":
        return value.encode()
    return msgspec.json.encode(value)
