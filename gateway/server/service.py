"""Start, reload, drain and stop: the listening sockets and the connections behind them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Protocol

import structlog

from gateway.policy.conversation import Conversation
from gateway.policy.rules import Observer
from gateway.policy.setup import Setup
from gateway.server.connection import Connection, Timing
from gateway.server.listener import Address, Listener, open_address


class Closable(Protocol):
    """What a generation owns beside its setup: the webhook clients."""

    async def aclose(self) -> None:
        """Close it."""


Open = Callable[[Address, Callable[[], asyncio.Protocol]], Awaitable[Listener]]
"""Begins to listen on an address. Raises ListenError."""


@dataclass(slots=True, eq=False)
class Generation:
    """One configuration at work; sessions keep the one with which they began."""

    setup: Setup
    addresses: tuple[Address, ...]
    timing: Timing = field(default_factory=Timing)
    connections: int = 1000
    peers: tuple[IPv4Network | IPv6Network, ...] | None = None
    drain_seconds: float = 30.0
    clients: tuple[Closable, ...] = ()
    buffered: Callable[[], int] = lambda: 0
    """Bytes of the memory budget in use."""
    users: int = 0
    retired: bool = False


class Service:
    """Listens, and holds every connection until it ends."""

    def __init__(self, generation: Generation, observer: Observer, open_address: Open = open_address) -> None:
        self.generation = generation
        self._open = open_address
        self.draining = False
        self._observer = observer
        self._log = structlog.get_logger("gateway")
        self._listeners: dict[Address, Listener] = {}
        self._connections: dict[Connection, Generation] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self._closing: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen on every address. Raises ListenError."""
        await self._listen(self.generation.addresses)

    @property
    def addresses(self) -> list[str]:
        """Where it listens, with the ports that were taken."""
        return [name for listener in self._listeners.values() for name in listener.names]

    @property
    def connections(self) -> int:
        """How many MTA connections are open."""
        return len(self._connections)

    async def reload(self, generation: Generation) -> None:
        """Let new sessions use another configuration. Raises ListenError; then the old one stays."""
        added = [address for address in generation.addresses if address not in self._listeners]
        await self._listen(added)
        for address in set(self._listeners) - set(generation.addresses):
            self._listeners.pop(address).close()
        old, self.generation = self.generation, generation
        self._retire(old)

    async def stop(self) -> None:
        """Stop accepting, let open transactions end, and after the drain time answer what is owed by policy."""
        self.draining = True
        for listener in self._listeners.values():
            listener.close()
        self._listeners = {}
        for connection in list(self._connections):
            connection.drain()
        try:
            async with asyncio.timeout(self.generation.drain_seconds):
                await self._empty.wait()
        except TimeoutError:
            await self._give_up()
        self._retire(self.generation)
        if self._closing:
            await asyncio.wait(self._closing)

    async def _give_up(self) -> None:
        self._log.warning("drain_timeout is over: connections are closed", connections=len(self._connections))
        for connection in list(self._connections):
            connection.give_up()
        farewell = self.generation.setup.bounds.command_seconds * 2
        try:
            async with asyncio.timeout(farewell):
                await self._empty.wait()
        except TimeoutError:
            self._log.warning("reports of ended sessions were cut short", connections=len(self._connections))

    async def _listen(self, addresses: Iterable[Address]) -> None:
        opened: dict[Address, Listener] = {}
        try:
            for address in addresses:
                opened[address] = await self._open(address, self._accept)
        except OSError:
            for listener in opened.values():
                listener.close()
            raise
        self._listeners |= opened

    @contextmanager
    def borrow(self) -> Iterator[Generation]:
        """Use the present configuration for something that is no MTA connection; its clients stay open meanwhile."""
        generation = self.generation
        generation.users += 1
        try:
            yield generation
        finally:
            generation.users -= 1
            self._dispose(generation)

    def _accept(self) -> Connection:
        generation = self.generation
        begin = _beginner(generation.setup, self._observer)
        connection = Connection(begin, generation.setup.bounds, generation.timing, self._ended, self._refusal)
        self._connections[connection] = generation
        generation.users += 1
        self._empty.clear()
        return connection

    def _refusal(self, transport: asyncio.BaseTransport) -> str | None:
        """Why a connection is not taken, or None."""
        generation = self.generation
        if len(self._connections) > generation.connections:
            return f"more than {generation.connections} connections (limits.connections)"
        peer = transport.get_extra_info("peername")
        if generation.peers is None or not isinstance(peer, tuple):
            return None
        address = ip_address(peer[0].partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None) or address
        if any(mapped in network for network in generation.peers):
            return None
        return "the peer is not in limits.peers"

    def _ended(self, connection: Connection) -> None:
        generation = self._connections.pop(connection)
        generation.users -= 1
        self._dispose(generation)
        if not self._connections:
            self._empty.set()

    def _retire(self, generation: Generation) -> None:
        generation.retired = True
        self._dispose(generation)

    def _dispose(self, generation: Generation) -> None:
        """Close the clients of a configuration that nobody uses any more."""
        if generation.retired and generation.users == 0:
            for client in generation.clients:
                task = asyncio.get_running_loop().create_task(client.aclose())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)


def _beginner(setup: Setup, observer: Observer) -> Callable[[], Conversation]:
    return lambda: Conversation(setup, observer)
