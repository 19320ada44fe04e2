"""Backends for the tests: real sockets whose misbehaviour each test writes out."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field


@dataclass
class Received:
    """A request as the backend saw it."""

    target: str
    fields: list[tuple[str, str]]
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.fields)


class Visit:
    """One connection at the backend."""

    def __init__(self, backend: "Backend", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.backend = backend
        self.reader = reader
        self.writer = writer

    async def head(self) -> Received:
        text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = text.removesuffix("\r\n\r\n").split("\r\n")
        pairs = [line.split(": ", 1) for line in lines]
        return Received(first.split(" ")[1], [(name.lower(), value) for name, value in pairs], b"")

    async def request(self) -> Received:
        got = await self.head()
        if got.headers.get("transfer-encoding") == "chunked":
            got.body = await self._chunks()
        else:
            got.body = await self.reader.readexactly(int(got.headers["content-length"]))
        self.backend.requests.append(got)
        return got

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += await self.reader.readexactly(size)
            assert await self.reader.readexactly(2) == b"\r\n"
        assert await self.reader.readexactly(2) == b"\r\n"
        return body

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self) -> None:
        """Wait until the other side closes; whatever it still sends is thrown away."""
        while await self.reader.read(65536):
            pass


Handler = Callable[[Visit], Coroutine[None, None, None]]


@dataclass
class Backend:
    """A listening socket, and all that came in."""

    handler: Handler
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    url: str = ""
    open: int = 0
    most: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self, tls: ssl.SSLContext | None = None, uds: str | None = None) -> "Backend":
        if uds is None:
            self._server = await asyncio.start_server(self._visit, "127.0.0.1", 0, ssl=tls)
            port = self._server.sockets[0].getsockname()[1]
            self.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/hook"
        else:
            self._server = await asyncio.start_unix_server(self._visit, uds, ssl=tls)
            self.url = f"{'https' if tls else 'http'}://backend.example/hook"
        return self

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            await self.handler(Visit(self, reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            writer.transport.abort()
            self._tasks.discard(task)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        while self._tasks:
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # the transports' connection_lost


def answer(body: bytes = b"{}", status: str = "200 OK", *extra: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *extra]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(*chunks: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in (*chunks, b""))


def says(*answers: bytes) -> Handler:
    """Kept-alive connections; the n-th request of all gets the n-th answer, the last one repeats."""

    async def handler(visit: Visit) -> None:
        while True:
            await visit.request()
            await visit.send(answers[min(len(visit.backend.requests), len(answers)) - 1])

    return handler


def once(*pieces: bytes, then: Callable[[Visit], Awaitable[None]] | None = None) -> Handler:
    """One request for each connection, answered with these writes, then closed (or `then`)."""

    async def handler(visit: Visit) -> None:
        await visit.request()
        for piece in pieces:
            await visit.send(piece)
            await asyncio.sleep(0)
        if then is not None:
            await then(visit)
        else:
            visit.writer.close()
            await visit.writer.wait_closed()

    return handler


async def hang(visit: Visit) -> None:
    await visit.gone()


@dataclass
class Spool:
    """A streamed body; `known` False: its size is not known before its end."""

    parts: list[bytes | Exception]
    reads: int = 0
    known: bool = True

    @property
    def size(self) -> int | None:
        return sum(len(part) for part in self.parts if isinstance(part, bytes)) if self.known else None

    async def chunks(self):  # type: ignore[no-untyped-def]
        self.reads += 1
        for part in self.parts:
            await asyncio.sleep(0)
            if isinstance(part, Exception):
                raise part
            yield part


class Budget:
    """A memory budget that counts."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.taken = 0
        self.most = 0

    def reserve(self, size: int) -> bool:
        if self.taken + size > self.room:
            return False
        self.taken += size
        self.most = max(self.most, self.taken)
        return True

    def release(self, size: int) -> None:
        assert 0 < size <= self.taken
        self.taken -= size
