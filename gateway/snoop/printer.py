"""Writes what a proxy heard, in a thread of its own.

The proxy puts items and never waits: a terminal that is stopped, a reader that is slow, a disk that is full cost
lines, not mail. What does not fit into the bounded queue is counted, and the count is printed in its place.
"""

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import cast

from gateway.snoop.lines import Heard, Item, Notice, Render

BOUND = 8 * 1024 * 1024
"""Bytes that wait to be written, as they came from the wire, and what they cost beside that."""

_COST = 400
"""What an item takes beside its payload, roughly."""
_BATCH = 64
_PAUSE_SECONDS = 0.2


class Printer:
    """The thread, and the queue in front of it.

    Args:
        descriptor: where to.
        render: an item as bytes.
        complain: told once when writing fails and once when it works again.
        bound: bytes that may wait.

    """

    def __init__(self, descriptor: int, render: Render, complain: Callable[[str], None], *, bound: int = BOUND) -> None:
        self._descriptor = descriptor
        self._render = render
        self._complain = complain
        self._bound = bound
        self._queue: deque[Item] = deque()
        self._waiting = 0
        self._left_out = 0
        self._closing = False
        self._failed = False
        self._over = False
        self._torn = False
        self._seconds = 0.0
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="printer", daemon=True)
        self._thread.start()

    def put(self, item: Item) -> None:
        """Have it printed, or counted where too much waits already. Never blocks."""
        size = _size(item)
        with self._changed:
            if self._over or self._waiting + size > self._bound:
                self._left_out += 1
                return
            self._say_left_out(item.seconds)
            self._waiting += size
            self._queue.append(item)
            self._changed.notify()

    def close(self, seconds: float = 2.0) -> None:
        """Write what waits, for so long at most; what a stopped terminal holds up is given up."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(seconds)

    def _say_left_out(self, seconds: float) -> None:
        """Put the count into the queue in the place of what it counts."""
        if self._left_out:
            self._queue.append(_left_out(seconds, self._left_out))
            self._waiting += _size(self._queue[-1])
            self._left_out = 0

    def _work(self) -> None:
        while not self._over and (batch := self._next_batch()):
            self._print(batch)
            with self._changed:
                self._waiting -= sum(map(_size, batch))
                self._seconds = batch[-1].seconds

    def _next_batch(self) -> list[Item]:
        """What is to be printed next, in order; nothing at the end."""
        with self._changed:
            while not self._queue and not self._left_out and not self._closing:
                self._changed.wait()
            if not self._queue:
                self._say_left_out(self._seconds)
            return [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]

    def _print(self, batch: list[Item]) -> None:
        try:
            self._write(b"".join(map(self._rendered, batch)))
        except OSError as error:
            self._fail(batch, error)
        else:
            if self._failed:
                self._failed = False
                self._complain("lines can be written again")

    def _fail(self, batch: list[Item], error: OSError) -> None:
        if not self._failed:
            self._complain(f"lines cannot be written: {error.strerror or error}; mail passes all the same")
        self._failed = True
        with self._changed:
            self._over = self._closing or isinstance(error, BrokenPipeError)
            self._left_out += sum(_lines(item) for item in batch)
            if self._over:
                self._queue.clear()
                self._waiting = sum(map(_size, batch))
        if not self._over:
            time.sleep(_PAUSE_SECONDS)  # a full disk is not asked all the time

    def _rendered(self, item: Item) -> bytes:
        try:
            return self._render(item)
        except Exception as error:  # noqa: BLE001 - a fault of ours costs this line alone
            return self._render(Notice(item.seconds, item.connection, "fault", f"this cannot be shown: {error!r}"))

    def _write(self, data: bytes) -> None:
        if self._torn:  # what failed may have left half a line
            data = b"\n" + data
        rest = memoryview(data)
        while rest:
            try:
                written = os.write(self._descriptor, rest)
            except BlockingIOError:  # somebody made the terminal non-blocking
                select.select([], [self._descriptor], [], 1.0)
                continue
            rest = rest[written:]
            self._torn = bool(rest)


def _size(item: Item) -> int:
    return _COST + (len(item.piece.payload) if isinstance(item, Heard) else len(item.text))


def _left_out(seconds: float, count: int) -> Notice:
    text = f"{count} lines left out here: the output takes them too slowly, or not at all"
    return Notice(seconds, 0, "left_out", text, {"count": count})


def _lines(item: Item) -> int:
    """How many lines are lost with it."""
    return cast("int", item.data["count"]) if isinstance(item, Notice) and item.event == "left_out" else 1
