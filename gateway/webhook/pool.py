"""The keep-alive pool of one origin: opens a bounded number of connections, lends them out, keeps idle ones.

Last in, first out: under light load few connections stay warm, and the others age and are closed. Where all are lent
out, callers wait first come, first served: a connection that comes back, or the place of one that died, goes to the
first of them. It must not know requests or answers.
"""

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass

from gateway.webhook.bodies import AnswerBuffer, KnownAnswers
from gateway.webhook.connection import Connection
from gateway.webhook.faults import connect_fault, connect_timeout
from gateway.webhook.transport import ConnectFailed, DeadlineExceeded, MemoryBudget

_TLS_GOODBYE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How much a pool keeps.

    Args:
        connections: of one origin, busy or idle; beyond, callers wait.
        idle_connections: of one origin; one more is closed instead.
        idle_seconds: after so long without a call a connection is closed.
        response_bytes: of one answer.

    """

    connections: int = 1000
    idle_connections: int = 256
    idle_seconds: float = 60.0
    response_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request goes.

    Args:
        host: name or address, without brackets.
        port: TCP port.
        tls: the context for https, None for http.
        uds: a unix socket's path that replaces host and port.

    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    uds: str | None = None

    def __str__(self) -> str:
        return self.uds or (f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}")


class Pool:
    """Connections to one origin.

    Args:
        origin: the peer.
        limits: how much is kept.
        budget: charged by the answers.

    """

    def __init__(self, origin: Origin, limits: PoolLimits, budget: MemoryBudget | None) -> None:
        self.origin = origin
        self._limits = limits
        self._budget = budget
        self._known = KnownAnswers()
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._opening = 0
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        """Callers in order; each gets a connection, or None: the right to open one."""
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def idle(self) -> int:
        """Connections that wait for a call."""
        return len(self._idle)

    @property
    def connections(self) -> int:
        """Connections that are open, idle or not."""
        return len(self._all)

    def take(self) -> Connection | None:
        """The idle connection that was used last, None when there is none."""
        return self._idle.pop() if self._idle else None

    def put(self, connection: Connection) -> None:
        """Take a connection back, if it can still be used."""
        if not connection.open:
            return
        if self._waiting and not self._closed and self._grant(connection):
            return
        if self._closed or len(self._idle) >= self._limits.idle_connections:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(self._limits.idle_seconds, self._sweep)

    def _sweep(self) -> None:
        """Close what is too old; the oldest stands first, and with nothing idle there is no timer."""
        self._sweeper = None
        loop = asyncio.get_running_loop()
        oldest_allowed = loop.time() - self._limits.idle_seconds
        while self._idle and self._idle[0].idle_since <= oldest_allowed:
            self._idle[0].close()  # leaves the list through _forget
        if self._idle:
            due = self._idle[0].idle_since + self._limits.idle_seconds
            self._sweeper = loop.call_at(due, self._sweep)

    def _forget(self, connection: Connection) -> None:
        known = connection in self._all
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if known:
            self._free_place()

    def _grant(self, what: Connection | None) -> bool:
        """Give the first who waits a connection, or the right to open one; False where nobody waits."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                self._opening += what is None
                turn.set_result(what)
                return True
        return False

    def _free_place(self) -> None:
        if self._waiting and len(self._all) + self._opening < self._limits.connections:
            self._grant(None)

    async def acquire(self, deadline: float) -> Connection:
        """A connection where `take` had none: a fresh one, or one that comes back.

        Raises:
            ConnectFailed, TlsFailed, DeadlineExceeded

        """
        if self._closed:
            raise ConnectFailed(f"the client of {self.origin} is closed")
        if len(self._all) + self._opening < self._limits.connections:
            self._opening += 1
        else:
            handed_over = await self._wait(deadline)
            if handed_over is not None:
                return handed_over
        try:
            return await self._connect(deadline)
        finally:
            self._opening -= 1
            self._free_place()

    async def _wait(self, deadline: float) -> Connection | None:
        """Wait for a turn. Raises DeadlineExceeded."""
        turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        limit = asyncio.timeout_at(deadline)
        try:
            async with limit:
                return await turn
        except BaseException as error:
            self._pass_on(turn)
            if isinstance(error, TimeoutError) and limit.expired():
                text = f"timeout: all {self._limits.connections} connections to {self.origin} stayed busy"
                raise DeadlineExceeded(text) from error
            raise

    def _pass_on(self, turn: "asyncio.Future[Connection | None]") -> None:
        """Somebody stops waiting: what was granted just now goes to the next."""
        if turn.cancelled() or not turn.done():
            return
        granted = turn.result()
        if granted is not None:
            self.put(granted)
        else:
            self._opening -= 1
            self._free_place()

    async def _connect(self, deadline: float) -> Connection:
        if self._closed:
            raise ConnectFailed(f"the client of {self.origin} is closed")
        loop = asyncio.get_running_loop()
        answer = AnswerBuffer(self._limits.response_bytes, self._budget)
        connection = Connection(loop, answer, self._forget, self._known)
        limit = asyncio.timeout_at(deadline)
        try:
            async with limit:
                await self._open(loop, connection)
        except OSError as error:  # TimeoutError, socket.gaierror and ssl.SSLError are OSErrors
            connection.abort()
            if limit.expired():
                raise connect_timeout(str(self.origin)) from error
            raise connect_fault(error, str(self.origin), self.origin.tls is not None) from error
        except UnicodeError as error:  # a name that IDNA cannot encode
            raise connect_fault(error, str(self.origin), self.origin.tls is not None) from error
        except BaseException:
            connection.abort()
            raise
        if connection.open:
            self._all.add(connection)
        return connection

    async def _open(self, loop: asyncio.AbstractEventLoop, connection: Connection) -> None:
        origin = self.origin
        name = origin.host if origin.tls else None
        goodbye = _TLS_GOODBYE_SECONDS if origin.tls else None
        if origin.uds is not None:
            await loop.create_unix_connection(
                lambda: connection,
                origin.uds,
                ssl=origin.tls,
                server_hostname=name,
                ssl_shutdown_timeout=goodbye,
            )
        else:
            await loop.create_connection(
                lambda: connection,
                origin.host,
                origin.port,
                ssl=origin.tls,
                server_hostname=name,
                ssl_shutdown_timeout=goodbye,
            )

    async def aclose(self) -> None:
        """Close all connections: idle ones in order, busy ones at once, and wait until they are gone."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        leaving = list(self._all)
        while self._waiting:
            self._grant(None)  # each of them finds the pool closed
        for connection in list(self._idle):
            connection.close()
        for connection in list(self._all):
            connection.abort()
        if leaving:
            await asyncio.wait([connection.lost for connection in leaving], timeout=_TLS_GOODBYE_SECONDS)
