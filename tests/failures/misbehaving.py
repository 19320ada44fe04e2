"""Backends that misbehave on a real socket, and a gateway before them."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from dialogue import Dialogue, Mta
from gateway_harness import Backend
from gateway_harness import gateway as run_gateway

from gateway.policy.setup import Setup

OK_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
EMPTY_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass(slots=True)
class Line:
    """One connection to a misbehaving backend: a request is read, then anything may be written."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    sent: int = 0

    async def request(self) -> dict[str, str]:
        """Read one request; its header fields."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[1:-2]
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        await self.reader.readexactly(int(fields["content-length"]))
        return fields

    async def write(self, data: bytes) -> None:
        """Write and wait until there is room for more."""
        self.writer.write(data)
        await self.writer.drain()
        self.sent += len(data)


Behaviour = Callable[[Line], Awaitable[None]]


@dataclass(slots=True)
class Misbehaving:
    """A server whose connections are handled by `behaviour` and closed after it."""

    behaviour: Behaviour
    tls: ssl.SSLContext | None = None
    port: int = 0
    lines: list[Line] = field(default_factory=list)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/milter"

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Misbehaving"]:
        """Listen on a free port of the loopback."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        line = Line(reader, writer, len(self.lines) + 1)
        self.lines.append(line)
        try:
            with suppress(asyncio.CancelledError, asyncio.IncompleteReadError, OSError):
                await self.behaviour(line)
        finally:
            self._tasks.discard(task)
            writer.close()


async def silent(line: Line) -> None:
    """Take the request and say nothing."""
    await line.request()
    await line.reader.read()


async def half_a_head(line: Line) -> None:
    """Close within the head."""
    await line.request()
    await line.write(b"HTTP/1.1 200 OK\r\ncontent-ty")


async def half_a_body(line: Line) -> None:
    """Close within the body, which by itself would be a whole answer."""
    await line.request()
    await line.write(OK_HEAD + b"content-length: 100\r\n\r\n" + b'{"action":"accept"}')


async def half_a_chunk(line: Line) -> None:
    """Close between two chunks."""
    await line.request()
    await line.write(OK_HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n")


async def half_and_silent(line: Line) -> None:
    """Begin an answer and never end it."""
    await line.request()
    await line.write(OK_HEAD + b"content-length: 100\r\n\r\n{")
    await line.reader.read()


async def dripping(line: Line) -> None:
    """Send a valid answer so slowly that it never ends in time, though never silent for long."""
    await line.request()
    for byte in OK_HEAD + b"content-length: 2\r\n\r\n{}":
        await line.write(bytes([byte]))
        await asyncio.sleep(0.02)


async def no_http(line: Line) -> None:
    """Speak another protocol."""
    await line.request()
    await line.write(b"220 mail.test ESMTP\r\n")
    await line.reader.read()


async def hangs_up(line: Line) -> None:
    """Close without a word."""
    await line.request()


async def hundred_megabytes(line: Line) -> None:
    """Announce and send a huge answer."""
    await line.request()
    await line.write(OK_HEAD + b"content-length: 104857600\r\n\r\n")
    for _ in range(1600):
        await line.write(b" " * 65536)


async def hundred_megabytes_in_chunks(line: Line) -> None:
    """Send a huge answer without announcing it."""
    await line.request()
    await line.write(OK_HEAD + b"transfer-encoding: chunked\r\n\r\n")
    for _ in range(1600):
        await line.write(b"10000\r\n" + b" " * 65536 + b"\r\n")


def answering(*answers: bytes) -> Behaviour:
    """Answer each request of a connection with the next of these bytes, then close."""

    async def behave(line: Line) -> None:
        for answer in answers:
            await line.request()
            await line.write(answer)

    return behave


def status(code: int, fields: Mapping[str, str] | None = None, body: bytes = b"{}") -> bytes:
    """An answer with this status; its body would be a valid one."""
    head = "".join(f"{name}: {value}\r\n" for name, value in (fields or {}).items())
    start = f"HTTP/1.1 {code} -\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{head}\r\n"
    return start.encode() + body


@asynccontextmanager
async def between(
    url: str,
    *further: Any,
    actions: int = 0x1FF,
    setup: Callable[[Setup], Setup] | None = None,
    limits: Mapping[str, Any] | None = None,
    timing: Mapping[str, float] | None = None,
    faults_expected: bool = False,
    **webhook: Any,
) -> AsyncIterator[Dialogue]:
    """A gateway between an MTA and a bad URL; `further` are the answers of good backends after it."""
    async with AsyncExitStack() as stack:
        backends = [await stack.enter_async_context(Backend(answers)) for answers in further]
        keys = {"name": "bad", "url": url, "retries": 0, "events": ["mail", "end_of_message"], **webhook}
        tables = [keys, *({"name": f"good{n}", "url": item.url} for n, item in enumerate(backends))]
        running = await stack.enter_async_context(
            run_gateway(webhooks=tables, limits=limits, timing=timing, faults_expected=faults_expected)
        )
        if setup is not None:
            running.service.generation.setup = setup(running.service.generation.setup)
        peer = await stack.enter_async_context(running.peer())
        yield Dialogue(backends, running, Mta(peer, await peer.negotiate(actions=actions)))
