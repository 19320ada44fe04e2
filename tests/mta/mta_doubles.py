"""Milters for tests of the MTA's side: packets by command byte, and the gateway with a player in front of it."""

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Self

from gateway_harness import PATIENCE_SECONDS, Gateway, P

from gateway.mta.mail import Mail
from gateway.mta.player import Exchanged, Played, Player, Timeouts

CONTINUE = P(b"c")
HANG = b""
"""As answer: none at all."""


def agreement(actions: int = 0x1FF, steps: int = 0, lists: bytes = b"") -> bytes:
    """The answer to OPTNEG."""
    return P(b"O" + struct.pack(">III", 6, actions, steps) + lists)


class ScriptedMilter:
    """Answers each command byte as told, others with CONTINUE; a list gives one answer after the other.

    `got` holds every packet that arrived, of all connections. An answer of None hangs up.
    """

    def __init__(self, answers: Mapping[bytes, bytes | list[bytes] | None] | None = None) -> None:
        self.answers = {b"O": agreement(), **(answers or {})}
        self.got: list[bytes] = []
        self.port = 0
        self.closed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def spec(self) -> str:
        """Where it listens."""
        return f"inet:{self.port}@127.0.0.1"

    @property
    def commands(self) -> bytes:
        """The command bytes that arrived, macros aside."""
        return b"".join(packet[:1] for packet in self.got if packet[:1] != b"D")

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self.closed.set()
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        (length,) = struct.unpack(">I", await reader.readexactly(4))
        packet = await reader.readexactly(length)
        self.got.append(packet)
        code = packet[:1]
        if code in (b"D", b"A"):
            return True
        answer = self.answers.get(code, CONTINUE)
        if isinstance(answer, list):
            answer = answer.pop(0)
        if answer is None or code == b"Q":
            return False
        writer.write(answer)
        await writer.drain()
        return True


@asynccontextmanager
async def player_to(
    host_port: tuple[str, int], timeouts: Timeouts | None = None, told: list[Exchanged] | None = None
) -> AsyncIterator[Player]:
    """A player with a connection of its own."""
    reader, writer = await asyncio.open_connection(*host_port)
    tell = (lambda _: None) if told is None else told.append
    try:
        yield Player(reader, writer, tell=tell, timeouts=timeouts)
    finally:
        writer.close()


async def played_by(milter: ScriptedMilter, mail: Mail, seconds: float = 10.0) -> Played:
    """Play a mail through a scripted milter, until it has read the last packet."""
    async with player_to(("127.0.0.1", milter.port), Timeouts(seconds, seconds)) as player:
        played = await player.play(mail)
    await asyncio.wait_for(milter.closed.wait(), PATIENCE_SECONDS)
    return played


async def played_through(gateway: Gateway, mail: Mail) -> Played:
    """Play a mail through the gateway."""
    port = int(gateway.address.partition(":")[2].partition("@")[0])
    async with player_to(("127.0.0.1", port), Timeouts(10, 10)) as player:
        return await player.play(mail)
