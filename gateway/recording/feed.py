"""Who watches: each gets what happens from now on, and falls out where it does not keep up."""

import asyncio
from collections.abc import AsyncIterator

import msgspec

_WAITING = 1000
"""Events that may wait for one watcher; then it is let go, and has to come again."""
_WATCHERS = 64


class TooManyWatchersError(Exception):
    """Nobody more can watch now."""


class Feed:
    """Events for any number of watchers, each `(name, one line of JSON)`."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[tuple[str, bytes] | None]] = set()

    @property
    def watched(self) -> bool:
        """Whether anybody watches: if not, nothing need be said."""
        return bool(self._queues)

    def say(self, name: str, value: object) -> None:
        """Tell everybody."""
        line = msgspec.json.encode(value)
        for queue in list(self._queues):
            if queue.qsize() < _WAITING:
                queue.put_nowait((name, line))
            else:
                self._let_go(queue)

    def _let_go(self, queue: asyncio.Queue[tuple[str, bytes] | None]) -> None:
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
        queue: asyncio.Queue[tuple[str, bytes] | None] = asyncio.Queue()
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
                yield event
        finally:
            self._queues.discard(queue)
