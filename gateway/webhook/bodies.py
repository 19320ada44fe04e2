"""Bodies in both directions: the checked reading of a streamed request, the bounded gathering of an answer.

Shared by both transports, so that limits mean the same in both. It knows no sockets.
"""

from collections.abc import AsyncGenerator, AsyncIterator

from gateway.webhook.transport import (
    FREE_ANSWER_BYTES,
    AnswerTooLarge,
    Body,
    BodyFailed,
    HttpAnswer,
    MemoryBudget,
    NoRoom,
)

SLICE_BYTES = 256 * 1024
"""A body in memory that is longer goes out in slices of this size, so that the socket's buffer stays small."""

_KNOWN_COUNT = 64
_KNOWN_BYTES = 1024

_CHUNKS_IN_BLOCK = 1024  # joined from time to time: tiny chunks would cost many times their size as objects


def size_of(body: Body) -> int | None:
    """The length of a body in bytes; None where it is not known yet."""
    return len(body) if isinstance(body, bytes) else body.size


async def slices(body: Body) -> AsyncGenerator[bytes | memoryview, None]:
    """The body piece by piece; close it (`contextlib.aclosing`) when leaving early.

    Raises:
        BodyFailed: the source raised, or did not yield exactly `size` bytes.

    """
    if isinstance(body, bytes):
        view = memoryview(body)
        for start in range(0, len(body), SLICE_BYTES):
            yield view[start : start + SLICE_BYTES]
        return
    size, left = body.size, body.size or 0
    source = body.chunks()
    try:
        while (chunk := await _next(source)) is not None:
            left -= len(chunk)
            if size is not None and left < 0:
                break
            if chunk:
                yield chunk
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()
    if size is not None and left:
        raise BodyFailed(f"the stored body is not as long as it said: {body.size} bytes, off by {-left}")


async def _next(source: AsyncIterator[bytes]) -> bytes | None:
    try:
        return await anext(source, None)
    except Exception as error:
        # Whatever storage raises becomes the one kind of error that callers of this layer handle.
        raise BodyFailed(f"the stored body could not be read: {error!r}") from error


class AnswerBuffer:
    """Gathers the body of one answer after the other, within a limit and the memory budget.

    Args:
        limit: bytes that a successful answer may have.
        budget: asked for what is beyond `FREE_ANSWER_BYTES`; None: no accounting.

    """

    __slots__ = ("_blocks", "_budget", "_chunks", "_reserved", "limit", "size")

    def __init__(self, limit: int, budget: MemoryBudget | None) -> None:
        self.limit = limit
        self._budget = budget
        self._chunks: list[bytes] = []
        self._blocks: list[bytes] = []
        self.size = 0
        """Bytes gathered of this answer."""
        self._reserved = 0

    def fits(self, size: int, status: int) -> bool:
        """Whether a body of `size` bytes is read to its end; False: stop reading, what came is the answer.

        The body of a failure is never worth much memory: its status already says what happened.

        Raises:
            AnswerTooLarge: a success that is longer than the limit.

        """
        if 200 <= status < 300:
            if size > self.limit:
                raise AnswerTooLarge(f"the answer has more than {self.limit} bytes (limits.response_bytes)")
            return True
        return size <= FREE_ANSWER_BYTES

    def add(self, chunk: bytes, status: int) -> bool:
        """Keep a chunk; False when it was dropped because the body does not fit (see `fits`).

        Raises:
            AnswerTooLarge: beyond the limit.
            NoRoom: the budget refused.

        """
        size = self.size + len(chunk)
        if (size > FREE_ANSWER_BYTES or size > self.limit) and not self._grow(size, status):
            return False
        self.size = size
        self._chunks.append(chunk)
        if len(self._chunks) == _CHUNKS_IN_BLOCK:
            self._blocks.append(b"".join(self._chunks))
            self._chunks.clear()
        return True

    def _grow(self, size: int, status: int) -> bool:
        if not self.fits(size, status):
            return False
        need = size - FREE_ANSWER_BYTES - self._reserved
        if self._budget is not None and need > 0:
            if not self._budget.reserve(need):
                raise NoRoom(f"no memory for an answer of {size} bytes or more (limits.memory_bytes)")
            self._reserved += need
        return True

    def take(self) -> tuple[bytes, int]:
        """The whole body and the reserved bytes, which now belong to the caller; the buffer is empty again."""
        body, reserved = b"".join([*self._blocks, *self._chunks]), self._reserved
        self._forget()
        return body, reserved

    def drop(self) -> None:
        """Forget what was gathered and give the reserved bytes back."""
        self.release(self._reserved)
        self._forget()

    def release(self, reserved: int) -> None:
        """Give back what `take` handed out, when the answer reaches nobody."""
        if reserved and self._budget is not None:
            self._budget.release(reserved)

    def _forget(self) -> None:
        self._chunks.clear()
        self._blocks.clear()
        self.size = self._reserved = 0


class KnownAnswers:
    """Small answers by the bytes in which they came: most backends say the same few things, and need no parser then.

    Bounded: `_KNOWN_COUNT` of at most `_KNOWN_BYTES` each; then it begins anew.
    """

    __slots__ = ("_answers", "find")

    def __init__(self) -> None:
        self._answers: dict[bytes, HttpAnswer] = {}
        self.find = self._answers.get
        """The answer that these bytes are, whole and without anything behind it; None where they were not seen."""

    def keep(self, raw: bytes, answer: HttpAnswer) -> None:
        """Remember what a parser made of these bytes."""
        if len(raw) > _KNOWN_BYTES:
            return
        if len(self._answers) >= _KNOWN_COUNT:
            self._answers.clear()
        self._answers[raw] = answer
