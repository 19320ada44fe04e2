"""The real gateway between a real HTTP backend and a raw MTA, in one event loop; for tests of everything below the CLI.

    async with Backend({"rcpt": {"action": "reject"}}) as backend, gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.send(MAI, RCP)
        await mta.expect(OK + P(b"y550 5.7.1 Command rejected\\0"))
        assert backend.data("rcpt") == [{"address": "b@y.test", "params": {}, "index": 0}]

Nothing is replaced or patched: settings go through `gateway.config.parse`, parts come from `gateway.assembly`, bytes
travel through sockets. Every wait has a deadline.
"""

import asyncio
import functools
import inspect
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn, Self

import structlog
from published import MAX_BYTES, check_answer, check_request

from gateway import config
from gateway.admin.served import SingleProcess
from gateway.assembly import generation, shown_webhooks
from gateway.metrics import Counters, CountingObserver
from gateway.policy.rules import Exchange, Observer
from gateway.recording import Archive, Recorder
from gateway.server.service import Generation, Service
from gateway.translate.facts import SessionFacts, TransactionFacts

PATIENCE_SECONDS = 10.0
"""How long anything may take that is expected at once."""


# ── packets: milter-protocol.md, section 10 ────────────────────────────────────────────────────────────────────────


def P(content: bytes) -> bytes:  # noqa: N802  the reference's own notation
    """One packet: the length of `content`, then `content`, whose first byte is the code."""
    return struct.pack(">I", len(content)) + content


def offer(version: int = 6, actions: int = 0x1FF, steps: int = 0x1FFFFF, extra: bytes = b"") -> bytes:
    """An OPTNEG packet."""
    return P(b"O" + struct.pack(">III", version, actions, steps) + extra)


LEADING_SPACE = 0x100000
SKIP = 0x400
STEPS_WITHOUT_LEADING_SPACE = 0x1FFFFF & ~LEADING_SPACE

OPT = offer()
CON = P(b"Cmx.test\0" + b"4" + b"\x00\x19" + b"192.0.2.1\0")
HEL = P(b"Hc.test\0")
MAI = P(b"M<a@x.test>\0")
RCP = P(b"R<b@y.test>\0")
DAT = P(b"T")
HDR = P(b"LSubject\0hi\0")
EOH = P(b"N")
BOD = P(b"Bbody\r\n")
EOM = P(b"E")
ABO = P(b"A")
QUI = P(b"Q")
QNC = P(b"K")
OK = P(b"c")
ACCEPT = P(b"a")
PROGRESS = P(b"p")
START = (CON, HEL)
"""After OPT; the reference's START."""
ENVELOPE = (MAI, RCP)
CONTENT = (DAT, HDR, EOH, BOD)
TEMPFAILED = "y451 4.7.1 "
"""How the default of on_failure and on_invalid begins."""


# ── the backend ────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer in full; a plain mapping as answer stands for 200 with JSON, None for 204."""

    status: int = 200
    body: bytes = b"{}"
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class Hang:
    """As answer: none at all, until the caller hangs up."""


HANG = Hang()


@dataclass(slots=True)
class Received:
    """A request as it arrived. `gone` is set where the caller hung up before it was answered."""

    method: str
    path: str
    headers: dict[str, str]
    raw: bytes
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def json(self) -> dict[str, Any]:
        """The body as JSON, which must be valid UTF-8."""
        decoded: dict[str, Any] = json.loads(self.raw.decode("utf-8", "strict"))
        return decoded

    @property
    def event(self) -> str:
        """The event's name, from the header."""
        return self.headers.get("milter-event", "")


Told = Mapping[str, Any] | Answer | Hang | None
Teller = Callable[[Received], Told | Awaitable[Told]]
Answers = Mapping[str, Told | Teller | Sequence[Told]] | Teller


class Backend:
    """An HTTP/1.1 server with kept-alive connections.

    `answers`: for each event an answer, a function of the request (it may be async), or a list of answers, of which
    the last is repeated; or one function for all. An event that is not listed is answered 204. It may be changed while
    the server runs. `requests` holds what arrived, in order.
    """

    def __init__(self, answers: Answers | None = None) -> None:
        self.answers: Any = answers if answers is not None else {}
        self.requests: list[Received] = []
        self.port = 0
        self._told: dict[str, int] = {}
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._arrived = asyncio.Condition()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/milter"

    @property
    def events(self) -> list[str]:
        """The events in the order in which they were posted."""
        return [request.event for request in self.requests]

    @property
    def open_connections(self) -> int:
        """How many callers are connected."""
        return len(self._connections)

    def of(self, event: str) -> list[dict[str, Any]]:
        """The decoded requests of one event."""
        return [request.json for request in self.requests if request.event == event]

    def data(self, event: str) -> list[Any]:
        """The `data` of each request of one event."""
        return [request["data"] for request in self.of(event)]

    def only(self, event: str) -> dict[str, Any]:
        """The one request of this event."""
        found = self.of(event)
        assert len(found) == 1, f"{event} was posted {len(found)} times; posted: {self.events}"
        return found[0]

    async def wait_for(self, event: str, count: int = 1) -> Received:
        """Wait until the event was posted `count` times; return that request."""

        def matching() -> list[Received]:
            return [request for request in self.requests if request.event == event]

        async with asyncio.timeout(PATIENCE_SECONDS), self._arrived:
            await self._arrived.wait_for(lambda: len(matching()) >= count)
        return matching()[count - 1]

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, failed: object, *_: object) -> None:
        await self.stop()
        if failed is None:
            self._check_requests()

    def _check_requests(self) -> None:
        """What was sent is what is published; a test may have thrown a large body away."""
        for received in self.requests:
            is_json = received.headers.get("content-type") == "application/json"
            if received.event and is_json and 0 < len(received.raw) <= MAX_BYTES:
                check_request(received.json)

    async def start(self) -> Self:
        """Listen on a free port of the loopback, or again on the one of before."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Close the listening socket and every connection: the next call is refused."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._connections):
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with suppress(asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
                while await self._serve_one(reader, writer):
                    pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        pairs = (line.partition(":") for line in head[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        received = Received(method, path, headers, await _read_body(reader, headers))
        async with self._arrived:
            self.requests.append(received)
            self._arrived.notify_all()
        answer = await self._answer_or_hang_up(reader, received)
        if answer is None:
            return False
        writer.write(_encode(answer))
        await writer.drain()
        return True

    async def _answer_or_hang_up(self, reader: asyncio.StreamReader, received: Received) -> Answer | None:
        """The answer, or None where the caller has gone before it was ready."""
        telling = asyncio.ensure_future(self._tell(received))
        hanging_up = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait([telling, hanging_up], return_when=asyncio.FIRST_COMPLETED)
            if hanging_up.done():
                received.gone.set()
                return None
            return telling.result()
        finally:
            for task in (telling, hanging_up):
                task.cancel()
            await asyncio.wait([telling, hanging_up])

    async def _tell(self, received: Received) -> Answer:
        told = self.answers if callable(self.answers) else self.answers.get(received.event)
        if isinstance(told, list | tuple):
            number = self._told.get(received.event, 0)
            self._told[received.event] = number + 1
            told = told[min(number, len(told) - 1)]
        if callable(told):
            told = told(received)
        if inspect.isawaitable(told):
            told = await told
        if isinstance(told, Hang):
            await asyncio.Event().wait()
        if told is None:
            return Answer(204, b"")
        return told if isinstance(told, Answer) else Answer(body=json.dumps(told).encode())


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readline()
    return body


def _encode(answer: Answer) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} -", *(f"{name}: {value}" for name, value in answer.headers.items())]
    if answer.status != 204:
        lines += [f"content-type: {answer.content_type}", f"content-length: {len(answer.body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if answer.status == 204 else answer.body)


@functools.cache
def _held_port() -> socket.socket:
    """A socket that is bound and never listens: connections are refused, and nobody else gets the port."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    return held


def refused_url() -> str:
    """A URL on which nobody listens, for as long as the tests run."""
    return f"http://127.0.0.1:{_held_port().getsockname()[1]}/milter"


# ── the gateway ────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Gateway:
    """A running service. `log` holds every log line as a dictionary, whose text is under `event`."""

    service: Service
    served: SingleProcess
    """The service as the admin API sees it."""
    log: list[dict[str, Any]]
    make: Callable[..., Generation]
    """Makes a further generation from the same arguments and overrides of them, for `reload`."""

    @property
    def address(self) -> str:
        """The first listening address in Sendmail's spelling."""
        return self.service.addresses[0]

    def lines(self, *, level: str | None = None, containing: str = "") -> list[dict[str, Any]]:
        """The log lines of a level and with a text anywhere in them."""
        return [
            line
            for line in self.log
            if (level is None or line["log_level"] == level) and containing in " ".join(map(str, line.values()))
        ]

    def warnings(self) -> list[dict[str, Any]]:
        """The log lines that an operator would look at."""
        return [line for line in self.log if line["log_level"] in ("warning", "error", "critical")]

    async def connect(self) -> "MtaPeer":
        """A raw MTA, connected."""
        return await MtaPeer.to(self.address)

    @asynccontextmanager
    async def peer(self) -> AsyncIterator["MtaPeer"]:
        """The same for a with statement."""
        peer = await self.connect()
        try:
            yield peer
        finally:
            await peer.close()

    async def idle(self) -> None:
        """Wait until no connection is open any more, their reports included."""
        await until(lambda: self.service.connections == 0, "a connection stays open")


class _Watching(CountingObserver):
    """Keeps the answers that the gateway has taken, for a look at them at the end."""

    def __init__(self, counters: Counters) -> None:
        super().__init__(counters)
        self._taken: set[tuple[str, bytes]] = set()

    def exchanged(self, session: SessionFacts, transaction: TransactionFacts | None, exchange: Exchange) -> None:
        super().exchanged(session, transaction, exchange)
        small = len(exchange.response) <= MAX_BYTES
        if exchange.failure is None and small and exchange.answer_type == "application/json":
            self._taken.add((exchange.event, exchange.response))

    def check_answers(self) -> None:
        """What was taken is what is published."""
        for event, answer in self._taken:
            check_answer(event, answer)


@contextmanager
def _captured_log() -> Any:
    before = structlog.get_config()
    capture = structlog.testing.LogCapture()
    structlog.configure(processors=[capture], wrapper_class=structlog.make_filtering_bound_logger(0))
    try:
        yield capture.entries
    finally:
        structlog.configure(**before)


def settings_of(
    backends: Sequence[Backend | str],
    *,
    webhook: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
    unix: Path | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """The configuration as TOML would give it: one [[webhook]] for each backend, named webhook, webhook2, …"""
    urls = [item if isinstance(item, str) else item.url for item in backends]
    return {
        "listen": ["inet:0@127.0.0.1" if unix is None else f"unix:{unix}"],
        "webhook": [
            {"name": f"webhook{number}" if number > 1 else "webhook", "url": url, **(webhook or {})}
            for number, url in enumerate(urls, 1)
        ],
        "limits": {"drain_timeout": "0s", **(limits or {})},
        **settings,
    }


@asynccontextmanager
async def gateway(
    *backends: Backend | str,
    webhook: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
    unix: Path | None = None,
    timing: Mapping[str, float] | None = None,
    adjust: Callable[[Generation], object] | None = None,
    faults_expected: bool = False,
    archive: Archive | None = None,
    **settings: Any,
) -> AsyncIterator[Gateway]:
    """Run the service on a free port of the loopback (or on the unix socket `unix`) in front of the backends.

    Args:
        backends: servers or URLs; each is a [[webhook]].
        webhook: keys of every [[webhook]].
        limits: keys of [limits]; `drain_timeout` is 0 where it is not given.
        unix: the path of a unix socket to listen on instead.
        timing: fields of `gateway.server.connection.Timing` that are not configuration.
        adjust: changes a generation in what is not configuration.
        archive: keeps what happened, as for the inspector.
        faults_expected: without it an internal error in the log fails the test.
        settings: further top-level keys; `webhooks=` replaces all [[webhook]] tables by these.

    """
    with _captured_log() as log:  # from the beginning: an observer keeps its logger
        counters = Counters()
        watching = _Watching(counters)
        observer: Observer = watching
        recorder: Recorder | None = None
        if archive is not None:
            attempts = archive.attempts
            observer = recorder = Recorder(observer, archive, record_bytes=archive.record_bytes, attempts=attempts)

        def make(**changed: Any) -> Generation:
            chosen = {"webhook": webhook, "limits": limits, "unix": unix, **settings, **changed}
            whole = chosen.pop("webhooks", None)
            values = settings_of(chosen.pop("backends", backends), **chosen)
            if whole is not None:
                values["webhook"] = whole
            parsed = config.parse(values)
            made = generation(parsed, recorder.attempted if recorder else None)
            if archive is not None:
                archive.configured(shown_webhooks(parsed))
            if timing:
                made.timing = replace(made.timing, **timing)
            if adjust is not None:
                adjust(made)
            return made

        service = Service(make(), observer)
        await service.start()
        running = Gateway(service, SingleProcess(service, counters, archive), log, make)
        try:
            yield running
        finally:
            await asyncio.wait_for(service.stop(), PATIENCE_SECONDS)
        internal = [line for line in log if line["log_level"] in ("error", "critical")]
        assert faults_expected or not internal, internal
        watching.check_answers()


async def until(condition: Callable[[], object], otherwise: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until the condition holds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        if loop.time() > deadline:
            raise AssertionError(f"after {seconds} s still: {otherwise}")
        await asyncio.sleep(0.002)


# ── the MTA ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Agreed:
    """The answer to OPTNEG, taken apart. `lists`: names of macros by the number of their stage."""

    version: int
    actions: int
    steps: int
    lists: Mapping[int, list[bytes]]
    packet: bytes


class MtaPeer:
    """A milter client that says bytes and expects bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, address: str) -> Self:
        """Connect to an address in Sendmail's spelling."""
        kind, _, rest = address.partition(":")
        if kind == "unix":
            return cls(*await asyncio.open_unix_connection(rest))
        port, _, host = rest.partition("@")
        return cls(*await asyncio.open_connection(host.strip("[]"), int(port)))

    async def send(self, *packets: bytes) -> None:
        """Write packets, or parts of them, at once."""
        self.writer.write(b"".join(packets))
        await self.writer.drain()

    async def send_slowly(self, data: bytes) -> None:
        """Write byte by byte, each with a system call of its own."""
        for at in range(len(data)):
            await self.send(data[at : at + 1])
            await asyncio.sleep(0)

    async def expect(self, wanted: bytes, *, seconds: float = PATIENCE_SECONDS) -> None:
        """Read exactly these bytes. Later bytes show in the next expectation."""
        got = b""
        try:
            async with asyncio.timeout(seconds):
                while len(got) < len(wanted) and wanted.startswith(got):
                    data = await self.reader.read(len(wanted) - len(got))
                    if not data:
                        self._fail(f"closed after {got!r}; wanted {wanted!r}")
                    got += data
        except TimeoutError:
            self._fail(f"{seconds} s after {got!r} nothing came; wanted {wanted!r}")
        except ConnectionError as error:
            self._fail(f"{error} after {got!r}; wanted {wanted!r}")
        if got != wanted:
            self._fail(f"got {got!r}; wanted {wanted!r}")

    async def packet(self, *, seconds: float = PATIENCE_SECONDS) -> bytes:
        """Read one packet of any content, without its length."""
        try:
            async with asyncio.timeout(seconds):
                (length,) = struct.unpack(">I", await self.reader.readexactly(4))
                return await self.reader.readexactly(length)
        except TimeoutError:
            self._fail(f"no packet within {seconds} s")
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            self._fail(f"no packet: {error!r}")

    async def packets_until_reply(self, *, seconds: float = PATIENCE_SECONDS) -> list[bytes]:
        """Read edits and progress up to and with the final reply."""
        packets = [await self.packet(seconds=seconds)]
        while packets[-1][:1] in b"himb+2-eqp":
            packets.append(await self.packet(seconds=seconds))
        return packets

    async def expect_close(self, *, seconds: float = PATIENCE_SECONDS) -> None:
        """The server closes and sends nothing before."""
        try:
            async with asyncio.timeout(seconds):
                data = await self.reader.read(4096)
        except TimeoutError:
            self._fail(f"still open after {seconds} s")
        except ConnectionError:
            return
        if data:
            self._fail(f"got {data!r}; wanted the connection to be closed")

    async def expect_nothing(self, *, seconds: float = 0.05) -> None:
        """Neither bytes nor an end come. It costs its time: where an exchange follows, that one shows surplus bytes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                self._fail(f"got {await self.reader.read(4096)!r}; wanted nothing")

    async def exchange(self, *packets: bytes) -> None:
        """Send packets one after the other; each is answered with CONTINUE."""
        for packet in packets:
            await self.send(packet)
            await self.expect(OK)

    async def negotiate(self, version: int = 6, actions: int = 0x1FF, steps: int = 0x1FFFFF) -> Agreed:
        """Offer, and take the answer apart."""
        await self.send(offer(version, actions, steps))
        content = await self.packet()
        assert content[:1] == b"O", content
        agreed = struct.unpack_from(">III", content, 1)
        lists: dict[int, list[bytes]] = {}
        rest = content[13:]
        while rest:
            (stage,) = struct.unpack_from(">I", rest)
            names, _, rest = rest[4:].partition(b"\0")
            lists[stage] = names.split(b" ")
        return Agreed(*agreed, lists, P(content))

    async def start(self, version: int = 6, actions: int = 0x1FF, steps: int = 0x1FFFFF) -> Agreed:
        """Negotiate; CONNECT and HELO, each answered."""
        agreed = await self.negotiate(version, actions, steps)
        await self.exchange(*START)
        return agreed

    async def quit(self) -> None:
        """Send QUIT: the server closes, and nothing is left to read."""
        await self.send(QUI)
        await self.expect_close()

    async def hang_up(self) -> None:
        """Close without QUIT."""
        await self.close()

    async def close(self) -> None:
        """Close the socket, whatever the state."""
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    def _fail(self, what: str) -> NoReturn:
        raise AssertionError(f"from the gateway: {what}")
