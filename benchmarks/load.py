"""Plays Postfix against a milter, many connections at once, and checks every answer."""

import asyncio
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from benchmarks.mail import OFFER, OPENING, Mail, Terms, Turn, packet, turns

_PATIENCE_SECONDS = 60.0
_ADD_OR_INSERT = (b"h", b"i")


class WrongAnswerError(Exception):
    """The milter said something that does not belong there."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is played: `messages` in all, over `connections`, each message with so many added header fields."""

    mail: Mail
    connections: int
    messages: int
    added: int | None = None
    """Header fields that the milter adds at the end; None: not looked at."""


@dataclass(slots=True)
class Result:
    """What came of it. Latencies in seconds, of whole messages."""

    seconds: float = 0.0
    messages: int = 0
    errors: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        """The latency that this share of the messages did not exceed."""
        ordered = sorted(self.latencies)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


class MtaConnection(asyncio.Protocol):
    """One milter connection from the MTA's side: `ask` sends a turn and waits for its answer."""

    def __init__(self) -> None:
        self._buffer = b""
        self._waiter: asyncio.Future[None] | None = None
        self._command = b""
        self._edits = 0
        self._answer = b""
        self._fault = ""
        """What was wrong while nobody asked: the next question fails of it."""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio.Protocol."""
        self._fail(f"the milter hung up at {self._command!r}")

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol: cut packets."""
        buffer = self._buffer + data if self._buffer else data
        start = 0
        while len(buffer) - start >= 5:
            (length,) = struct.unpack_from(">I", buffer, start)
            end = start + 4 + length
            if len(buffer) < end:
                break
            self._take(buffer[start + 4 : start + 5], buffer[start + 5 : end])
            start = end
        self._buffer = buffer[start:]

    def _take(self, code: bytes, payload: bytes) -> None:
        if self._waiter is None or self._waiter.done():
            self._fail(f"{code!r} although no answer is owed")
        elif self._command == b"O":
            self._end(payload) if code == b"O" else self._fail(f"{code!r} to the offer")
        elif self._command != b"E":
            self._end(b"") if code == b"c" else self._fail(f"{code!r} at {self._command!r}")
        elif code in _ADD_OR_INSERT:
            self._edits += 1
        elif code in b"ac":
            self._end(b"")
        elif code != b"p":
            self._fail(f"{code!r} at the end of the message: {payload[:80]!r}")

    def _end(self, answer: bytes) -> None:
        self._answer = answer
        if self._waiter is not None:
            self._waiter.set_result(None)

    def _fail(self, text: str) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(WrongAnswerError(text))
        else:
            self._fault = self._fault or text

    async def ask(self, turn: Turn) -> bytes:
        """Send a turn, wait for its answer. Raises WrongAnswerError."""
        assert self.transport is not None
        self.check()
        self._command, self._edits = turn.command, 0
        self._waiter = asyncio.get_running_loop().create_future()
        self.transport.write(turn.data)
        await self._waiter
        return self._answer

    async def negotiate(self) -> Terms:
        """Make the offer. Raises WrongAnswerError."""
        return Terms.of(await self.ask(Turn(packet(b"O" + struct.pack(">III", *OFFER)), b"O")))

    async def play(self, script: list[Turn], added: int | None) -> None:
        """Play one message. Raises WrongAnswerError."""
        for turn in script:
            await self.ask(turn)
        if added is not None and self._edits != added:
            raise WrongAnswerError(f"{self._edits} header fields were added, {added} were expected")

    def check(self) -> None:
        """Raise WrongAnswerError where the milter said something that nobody waited for."""
        if self._fault:
            raise WrongAnswerError(self._fault)

    def close(self) -> None:
        """Say QUIT and go."""
        if self.transport is not None and not self.transport.is_closing():
            self._waiter = None
            self.transport.write(packet(b"Q"))
            self.transport.close()


async def connect(address: str) -> MtaConnection:
    """Connect to `unix:PATH` or `inet:PORT`. Raises OSError."""
    loop = asyncio.get_running_loop()
    kind, _, where = address.partition(":")
    if kind == "unix":
        _, connection = await loop.create_unix_connection(MtaConnection, where)
    else:
        _, connection = await loop.create_connection(MtaConnection, "127.0.0.1", int(where))
    return connection


async def play(address: str, load: Load) -> Result:
    """Play the whole load; errors are part of the result."""
    result = Result()
    left = load.messages

    def claim() -> bool:
        nonlocal left
        left -= 1
        return left >= 0

    began = time.perf_counter()
    await asyncio.gather(*(_one_connection(address, load, claim, result) for _ in range(load.connections)))
    result.seconds = time.perf_counter() - began
    return result


async def _one_connection(address: str, load: Load, claim: Callable[[], bool], result: Result) -> None:
    connection: MtaConnection | None = None
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            connection = await connect(address)
            terms = await connection.negotiate()
            opening, pending = turns(iter(OPENING), terms)
            for turn in opening:
                await connection.ask(turn)
        first, _ = turns(load.mail.commands(), terms, pending)
        again, _ = turns(load.mail.commands(), terms)
        script = first
        while claim():
            began = time.perf_counter()
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await connection.play(script, load.added)
            result.latencies.append(time.perf_counter() - began)
            result.messages += 1
            script = again
        connection.check()
    except (OSError, WrongAnswerError) as error:  # TimeoutError is an OSError
        result.errors.append(f"{type(error).__name__}: {error}")
    finally:
        if connection is not None:
            connection.close()
