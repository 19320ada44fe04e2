"""The sockets of the proxy: for each connection of an MTA one to the milter, and two pumps in between.

A pump reads, lets somebody listen, and writes; it reads no more before that is written, so a side that does not read
slows down the other one as it would without us. There is no deadline of ours between the two ends: each has its own,
and notices with them what it would notice without us. What one end says last, the end of its stream, is passed on as
such, and the other direction goes on.
"""

import asyncio
import contextlib
import itertools
import os
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from gateway.config import ListenSpec, UnixSpec
from gateway.snoop.decode import agreed_leading_space
from gateway.snoop.frames import LARGEST, PREVIEW, Framer, Packet
from gateway.snoop.lines import Heard, Item, Notice
from gateway.snoop.words import BODIES, Side

CONNECTIONS = 1000
"""At once; one more is closed."""

_CHUNK = 65536
_HALF_OPEN_SECONDS = 600.0
"""How long one direction may go on after the other has ended; libmilter's own patience is two hours."""
_BROKEN_SECONDS = 5.0
"""The same after a direction broke: what the other end said before may still arrive."""
_PAUSE_SECONDS = 1.0
_KNOCK_SECONDS = 0.02

Tell = Callable[[Item], None]


class Conversation:
    """One connection as it is heard: both directions cut into packets."""

    def __init__(self, number: int, tell: Tell, *, started: float, full: bool) -> None:
        self.number = number
        self._tell = tell
        self._started = started
        self._framers = {side: Framer(BODIES[side], LARGEST if full else PREVIEW) for side in Side}
        self._asked = time.monotonic()
        self._leading_space = False
        self.bytes = dict.fromkeys(Side, 0)

    def heard(self, side: Side, data: bytes) -> None:
        """One side said this. Never raises: a fault of ours costs lines, not mail."""
        try:
            self._hear(side, data)
        except Exception as error:  # noqa: BLE001 - see above
            self.notice("fault", f"{len(data)} bytes of the {_WHO[side]} cannot be shown: {error!r}")

    def _hear(self, side: Side, data: bytes) -> None:
        now = time.monotonic()
        self.bytes[side] += len(data)
        waited = now - self._asked if side is Side.MILTER else None
        for piece in self._framers[side].feed(data):
            if side is Side.MILTER and isinstance(piece, Packet) and piece.code == b"O":
                self._leading_space = agreed_leading_space(piece)
            self._tell(Heard(now - self._started, self.number, side, piece, waited, self._leading_space))
        if side is Side.MTA:
            self._asked = now

    def notice(self, event: str, text: str, **data: object) -> None:
        """Something happened to the connection."""
        self._tell(Notice(time.monotonic() - self._started, self.number, event, text, data))

    def closed(self, endings: Sequence[str]) -> None:
        """The connection is over."""
        unfinished = {side: self._framers[side].pending for side in Side if self._framers[side].pending}
        words = [
            f"closed: {'; '.join(endings)}",
            f"{self.bytes[Side.MTA]} bytes from the MTA, {self.bytes[Side.MILTER]} from the milter",
            *(f"the last packet of the {_WHO[side]} is unfinished: {size} bytes" for side, size in unfinished.items()),
        ]
        counts = {f"{side}_bytes": self.bytes[side] for side in Side}
        pending = {f"{side}_unfinished": size for side, size in unfinished.items()}
        self.notice("closed", "; ".join(words), **counts, **pending)


_WHO = {Side.MTA: "MTA", Side.MILTER: "milter"}


class Proxy:
    """Passes every connection on to a milter.

    Args:
        to: where the milter listens.
        tell: gets what is heard; it must not block.
        connect_seconds: how long the milter may take to answer a connection.
        full: keep all of each body packet rather than its beginning.

    """

    def __init__(self, to: ListenSpec, tell: Tell, *, connect_seconds: float, full: bool = False) -> None:
        self._to = to
        self._tell = tell
        self._connect_seconds = connect_seconds
        self._full = full
        self._numbers = itertools.count(1)
        self._open = 0
        self._started = time.monotonic()

    def notice(self, event: str, text: str, **data: object) -> None:
        """Say something that belongs to no connection."""
        self._tell(Notice(time.monotonic() - self._started, 0, event, text, data))

    async def serve(self, listening: Sequence[socket.socket]) -> None:
        """Serve on bound sockets until cancelled; connections that are open then are closed."""
        async with asyncio.TaskGroup() as tasks:
            for each in listening:
                each.setblocking(False)
                tasks.create_task(self._accept(each, tasks))

    async def _accept(self, listening: socket.socket, tasks: asyncio.TaskGroup) -> None:
        while True:
            try:
                near, address = await asyncio.get_running_loop().sock_accept(listening)
            except OSError as error:  # no file descriptors left, say
                self.notice("fault", f"a connection cannot be taken: {_reason(error)}")
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            tasks.create_task(self._connection(near, address))

    async def _connection(self, near: socket.socket, address: object) -> None:
        conversation = Conversation(next(self._numbers), self._tell, started=self._started, full=self._full)
        self._open += 1
        try:
            with near:
                conversation.notice("opened", f"opened: from {_named(address)} to {self._to}")
                if self._open > CONNECTIONS:
                    conversation.notice("refused", f"closed: {CONNECTIONS} connections are open already")
                    return
                far = await self._reach(conversation)
                if far is not None:
                    with far:
                        await relay(near, far, conversation)
        finally:
            self._open -= 1

    async def _reach(self, conversation: Conversation) -> socket.socket | None:
        """Connect to the milter."""
        try:
            async with asyncio.timeout(self._connect_seconds):
                return await _connected(self._to)
        except TimeoutError:
            reason = f"no answer within {self._connect_seconds:g} s"
        except (OSError, UnicodeError) as error:
            reason = _reason(error)
        text = f"the milter at {self._to} cannot be reached: {reason}; closed, so the MTA's default action applies"
        conversation.notice("unreachable", text)
        return None


async def _connected(to: ListenSpec) -> socket.socket:
    """A connection to the milter, whichever of its addresses answers first in turn. Raises OSError."""
    loop = asyncio.get_running_loop()
    if isinstance(to, UnixSpec):
        return await _dialled(socket.AF_UNIX, to.path)
    family = socket.AF_INET6 if to.family == "inet6" else socket.AF_INET
    found = await loop.getaddrinfo(to.host, to.port, family=family, type=socket.SOCK_STREAM)
    *others, (last_family, _, _, _, last) = found
    for other_family, _, _, _, address in others:
        with contextlib.suppress(OSError):
            return await _dialled(other_family, address)
    return await _dialled(last_family, last)


async def _dialled(family: int, address: tuple[Any, ...] | str) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if family == socket.AF_UNIX:
            await _knock(sock, address)
        else:
            await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def _knock(sock: socket.socket, address: tuple[Any, ...] | str) -> None:
    """Connect to a unix socket: where its backlog is full there is nothing to wait for but trying again (unix(7))."""
    while True:
        try:
            return sock.connect(address)
        except BlockingIOError:
            await asyncio.sleep(_KNOCK_SECONDS)


async def relay(near: socket.socket, far: socket.socket, conversation: Conversation) -> None:
    """Pass on everything, both ways, until both directions have ended."""
    for sock in (near, far):
        _tune(sock)
    pumps = {
        asyncio.create_task(_pump(source, sink, side, conversation))
        for source, sink, side in ((near, far, Side.MTA), (far, near, Side.MILTER))
    }
    endings: list[str] = []
    seconds: float | None = None
    running = pumps
    try:
        while running:
            done, running = await asyncio.wait(running, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                endings.append("nothing more came from the other one")
                break
            for each in done:
                clean, words = each.result()
                endings.append(words)
                seconds = _HALF_OPEN_SECONDS if clean else _BROKEN_SECONDS
    except asyncio.CancelledError:
        endings.append("the proxy ends")
        raise
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        conversation.closed(endings)


async def _pump(source: socket.socket, sink: socket.socket, side: Side, conversation: Conversation) -> tuple[bool, str]:
    """Pass one direction on until it ends: whether that was in good order, and in which words."""
    loop = asyncio.get_running_loop()
    who = _WHO[side]
    ending = True, f"the {who} closed"
    while True:
        try:
            data = await loop.sock_recv(source, _CHUNK)
        except OSError as error:
            ending = False, f"the {who} is gone ({_reason(error)})"
            data = b""
        if not data:
            break
        conversation.heard(side, data)
        try:
            await loop.sock_sendall(sink, data)
        except OSError as error:
            return False, f"what the {who} says cannot be passed on ({_reason(error)})"
    with contextlib.suppress(OSError):  # the other end may be gone as well
        sink.shutdown(socket.SHUT_WR)
    return ending


def _tune(sock: socket.socket) -> None:
    """Packets go out at once, and a host that vanished is noticed."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _named(address: object) -> str:
    return f"{address[0]} port {address[1]}" if isinstance(address, tuple) else "a unix socket"


def _reason(error: Exception) -> str:
    """In the system's words: asyncio's own tell the address once more."""
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
