"""One of several processes that serve: it listens on sockets that its parent has bound, and does what it is told."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable

import structlog
import uvloop

from gateway import assembly
from gateway.admin.served import counters_of, status_of
from gateway.metrics import Counters, CountingObserver
from gateway.policy.rules import Observer
from gateway.recording import Recorder
from gateway.server.listener import Address, Listener, ListenError, listen
from gateway.server.service import Service
from gateway.workers.channel import Configure, Refused, Relay, Stop, Tell, Told, receive, send, unpacked


def work(descriptor: int) -> None:
    """Serve until the parent says so, or is gone. `descriptor`: this worker's end of the channel."""
    channel = socket.socket(fileno=descriptor)
    uvloop.run(_Worker(channel).run())


class _Sockets:
    """The bound sockets at hand, by their address."""

    def __init__(self) -> None:
        self._at_hand: dict[Address, tuple[socket.socket, ...]] = {}

    def take_over(self, configure: Configure, addresses: tuple[Address, ...], given: tuple[socket.socket, ...]) -> None:
        """Sort the sockets that came with a configuration."""
        left = list(given)
        for address, count in zip(addresses, configure.sockets, strict=True):
            sockets, left = left[:count], left[count:]
            if sockets:
                self._at_hand[address] = tuple(sockets)

    async def open(self, address: Address, factory: Callable[[], asyncio.Protocol]) -> Listener:
        """Listen on those of an address. Raises ListenError."""
        sockets = self._at_hand.pop(address, None)
        if sockets is None:
            raise ListenError(f"no socket came for {address}")
        return await listen(sockets, factory)


class _Worker:
    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._counters = Counters()
        self._sockets = _Sockets()
        self._service: Service | None = None
        self._recorder: Recorder | None = None
        self._stopped = asyncio.Event()
        self._configures: asyncio.Queue[tuple[Configure, tuple[socket.socket, ...]]] = asyncio.Queue()
        self._log = structlog.get_logger("gateway")

    async def run(self) -> None:
        """Serve until told to stop."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stopped.set)
        loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C goes to all of the group: the parent decides
        loop.add_signal_handler(signal.SIGHUP, lambda: None)
        self._channel.setblocking(False)
        loop.add_reader(self._channel.fileno(), self._hear)
        configuring = loop.create_task(self._configure())
        await self._stopped.wait()
        configuring.cancel()
        if self._service is not None:
            await self._service.stop()

    def _hear(self) -> None:
        try:
            message, sockets = receive(self._channel)
        except BlockingIOError:
            return
        if message is None:
            self._gone()
        elif isinstance(message, Configure):
            self._configures.put_nowait((message, sockets))
        elif isinstance(message, Tell):
            self._tell(message)
        elif isinstance(message, Stop):
            self._stopped.set()

    def _gone(self) -> None:
        """The parent died: nobody would replace or stop this process."""
        asyncio.get_running_loop().remove_reader(self._channel.fileno())
        expected = self._stopped.is_set()
        self._stopped.set()  # before the log, since standard error may be gone as well
        if not expected:
            self._log.error("the parent process is gone: the worker stops", pid=os.getpid())

    def _tell(self, message: Tell) -> None:
        if self._service is None:
            return
        told = Told(message.number, status_of(self._service), counters_of(self._service, self._counters))
        try:
            send(self._channel, told)
        except OSError as error:
            self._log.warning("the parent process does not listen", reason=str(error))

    async def _configure(self) -> None:
        """Take one configuration after the other; the first one starts the service."""
        while True:
            message, sockets = await self._configures.get()
            try:
                await self._serve_with(message, sockets)
            except (ValueError, OSError) as error:
                self._log.error("the configuration cannot be served", reason=str(error))
                send(self._channel, Refused(str(error)))

    async def _serve_with(self, message: Configure, sockets: tuple[socket.socket, ...]) -> None:
        settings = unpacked(message.settings)
        self._sockets.take_over(message, assembly.addresses(settings), sockets)
        observer: Observer = CountingObserver(self._counters)
        if self._service is None and message.keeps is not None:
            observer = self._recorder = Recorder(observer, Relay(self._channel), record_bytes=message.keeps)
        generation = assembly.generation(settings, self._recorder.attempted if self._recorder else None)
        if self._service is not None:
            await self._service.reload(generation)
            return
        service = Service(generation, observer, self._sockets.open)
        await service.start()
        self._service = service
