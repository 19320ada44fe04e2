"""Who watches: each gets what happens from now on, and falls out where it does not keep up."""

import asyncio
from collections.abc import AsyncIterator

import msgspec

_WAITING = 1000
"""Events that may wait for one watcher; then it is let go, and has to come again."""
_WAITING_BYTES = 8 << 20
"""Likewise what they may take."""
_WATCHERS = 64


class TooManyWatchersError(Exception):
    """Nobody more can watch now."""


class _Queue(asyncio.Queue[tuple[str, bytes] | None]):
    """What waits for one watcher."""

    size = 0

    def fits(self, line: bytes) -> bool:
        return self.empty() or (self.qsize() < _WAITING and self.size + len(line) <= _WAITING_BYTES)


class Feed:
    """Events for any number of watchers, each `(name, one line of JSON)`."""

    def __init__(self) -> None:
        self._queues: set[_Queue] = set()

    @property
    def watched(self) -> bool:
        """Whether anybody watches: if not, nothing need be said."""
        return bool(self._queues)

    def say(self, name: str, value: object) -> None:
        """Tell everybody."""
        line = msgspec.json.encode(value)
        for queue in list(self._queues):
            if queue.fits(line):
                queue.size += len(line)
                queue.put_nowait((name, line))
            else:
                self._let_go(queue)

    def _let_go(self, queue: _Queue) -> None:
        self._queues.discard(queue)
        queue.put_nowait(None)

    def close(self) -> None:
        """Let everybody go."""
        for queue in list(self._queues):
            self._let_go(queue)

    async def watch(self, every: float) -> AsyncIterator[tuple[str, bytes]]:
        """What happens from the first step on; ("", b"") where nothing did for so many seconds.

        Raises TooManyWatchersError.
        """
        if len(self._queues) >= _WATCHERS:
            raise TooManyWatchersError
        queue = _Queue()
        self._queues.add(queue)
        try:
            while True:
                try:
                    async with asyncio.timeout(every):
                        event = await queue.get()
                except TimeoutError:
                    yield "", b""
                    continue
                if event is None:
                    return
                queue.size -= len(event[1])
                yield event
        finally:
            self._queues.discard(queue)
