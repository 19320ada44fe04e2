"""What only the lean transport promises: its pool, early answers, one write; and arbitrary bytes from the backend."""

import asyncio
import itertools
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from webhook_backends import Spool, Visit, answer, chunked, hang, once, says

from gateway.webhook.bodies import AnswerBuffer, KnownAnswers
from gateway.webhook.connection import Connection
from gateway.webhook.lean import LeanTransport
from gateway.webhook.pool import PoolLimits
from gateway.webhook.transport import (
    BrokenAnswer,
    ConnectFailed,
    DeadlineExceeded,
    HttpAnswer,
    HttpRequest,
    WebhookError,
)


class Lean:
    """Posts to a backend."""

    def __init__(self, url: str, **limits) -> None:
        self.transport = LeanTransport(limits=PoolLimits(**limits))
        self.request = HttpRequest(url)

    async def post(self, body=b"{}", seconds=5.0) -> HttpAnswer:
        deadline = asyncio.get_running_loop().time() + seconds
        return await self.transport.post(self.request, [("x", "y")], body, deadline)

    @property
    def pool(self):
        return self.transport.pools[0]


@pytest.fixture
async def lean():
    made = []

    def make(backend, **limits) -> Lean:
        made.append(Lean(backend.url, **limits))
        return made[-1]

    yield make
    for each in made:
        await each.transport.aclose()


async def settle(condition, turns=2000):
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("did not come to pass")


# The pool


async def test_an_idle_connection_that_the_backend_closes_leaves_the_pool_at_once(serve, lean):
    backend = await serve(once(answer()))
    client = lean(backend)
    await client.post()
    await settle(lambda: client.pool.connections == 0)
    assert client.pool.idle == 0


async def test_the_idle_pool_is_bounded(serve, lean):
    backend = await serve(says(answer()))
    client = lean(backend, idle_connections=3)
    await asyncio.gather(*[client.post() for _ in range(10)])
    assert client.pool.idle == 3
    await settle(lambda: backend.open == 3 and client.pool.connections == 3)


async def test_last_in_first_out(serve, lean):
    ports = []

    async def handler(visit: Visit) -> None:
        while True:
            await visit.request()
            ports.append(visit.writer.get_extra_info("peername")[1])
            await visit.send(answer())

    client = lean(await serve(handler))
    await asyncio.gather(client.post(), client.post(), client.post())
    del ports[:]
    for _ in range(5):
        await client.post()
    assert len(set(ports)) == 1


async def test_aged_connections_are_closed(serve, lean):
    backend = await serve(says(answer()))
    client = lean(backend, idle_seconds=0.02)
    await asyncio.gather(client.post(), client.post())
    assert client.pool.idle == 2
    for _ in range(100):
        if client.pool.connections == 0:
            break
        await asyncio.sleep(0.01)
    assert client.pool.connections == 0
    await settle(lambda: backend.open == 0)


@pytest.mark.parametrize("idle", [True, False])
async def test_bytes_after_the_answer_make_the_connection_unusable(serve, lean, idle):
    extra = answer(b"smuggled")

    async def handler(visit: Visit) -> None:
        await visit.request()
        if idle:
            await visit.send(answer(b"one"))
            await visit.send(extra)
        else:
            await visit.send(answer(b"one") + extra)
        await visit.gone()

    client = lean(await serve(handler))
    assert (await client.post()).body == b"one"
    await settle(lambda: client.pool.connections == 0)
    assert (await client.post()).body == b"one"


async def test_a_backend_that_speaks_first_is_not_trusted(serve, lean):
    async def handler(visit: Visit) -> None:
        await visit.send(b"220 mail.example ESMTP\r\n")
        await visit.gone()

    with pytest.raises(WebhookError):
        await lean(await serve(handler)).post()


async def test_deadline_and_cancel_close_the_connection(serve, lean):
    backend = await serve(once(then=hang))
    client = lean(backend)
    with pytest.raises(DeadlineExceeded):
        await client.post(seconds=0.05)
    task = asyncio.create_task(client.post())
    await settle(lambda: backend.connections == 2 and len(backend.requests) == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await settle(lambda: backend.open == 0)
    assert (client.pool.idle, client.pool.connections) == (0, 0)


async def test_cancelled_while_connecting(lean):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        transport = LeanTransport()
        request = HttpRequest(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        task = asyncio.create_task(transport.post(request, [], b"", asyncio.get_running_loop().time() + 5))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await transport.aclose()
        assert transport.pools[0].connections == 0


async def test_after_closing_nobody_connects(serve, lean):
    backend = await serve(says(answer()))
    client = lean(backend)
    await client.post()
    await client.transport.aclose()
    with pytest.raises(ConnectFailed, match="closed"):
        await client.post()
    await settle(lambda: backend.open == 0)


# Early answers


@pytest.mark.parametrize("body", [Spool([b"x" * 100_000] * 200), b"x" * 20_000_000], ids=["streamed", "in memory"])
async def test_an_early_answer_while_the_backend_does_not_read(serve, lean, body):
    """The backend keeps the connection open but never reads the body: only we can end this."""

    async def handler(visit: Visit) -> None:
        await visit.head()
        visit.writer.transport.pause_reading()
        await visit.send(answer(b"no", "413 Content Too Large"))
        await asyncio.Event().wait()

    client = lean(await serve(handler))
    got = await client.post(body)
    assert (got.status, got.body) == (413, b"no")
    assert client.pool.connections == 0


async def test_an_early_answer_with_a_reset(serve, lean):
    async def handler(visit: Visit) -> None:
        await visit.head()
        await visit.send(answer(b"no", "413 Content Too Large"))  # returning aborts, with unread data: a reset

    client = lean(await serve(handler))
    got = await client.post(Spool([b"x" * 1000] * 2000))
    assert got.status == 413


async def test_a_small_request_is_one_write(lean):
    loop = asyncio.get_running_loop()
    wire = Wire()
    connection = Connection(loop, AnswerBuffer(1000, None), lambda _: None)
    connection.connection_made(wire)
    task = asyncio.create_task(connection.exchange(b"HEAD", b"BODY", loop.time() + 5))
    await asyncio.sleep(0)
    assert wire.writes == [b"HEADBODY"]
    connection.data_received(answer(b"hi"))
    assert (await task).body == b"hi"


@pytest.mark.parametrize(
    ("raw", "reusable"),
    [
        (answer(b"hi"), True),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"hi"), True),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi", False),
        (answer(b"hi") + b"HTTP/1.1", False),
        (answer(b"hi") * 2, False),
    ],
)
async def test_an_answer_that_came_before_means_the_same_again(raw, reusable):
    known = KnownAnswers()
    first, second = [await _exchange_once(raw, known) for _ in range(2)]
    assert first == second == (b"hi", reusable)
    assert (known.find(raw) is not None) == reusable


async def test_a_known_answer_is_not_seen_in_the_middle_of_another():
    loop, known = asyncio.get_running_loop(), KnownAnswers()
    inner = answer(b"hi")
    assert await _exchange_once(inner, known) == (b"hi", True)
    connection = Connection(loop, AnswerBuffer(5000, None), lambda _: None, known)
    connection.connection_made(Wire())
    task = asyncio.create_task(connection.exchange(b"", b"", loop.time() + 5))
    await asyncio.sleep(0)
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(inner))
    connection.data_received(inner)
    assert (await task).body == inner


async def _exchange_once(raw: bytes, known: KnownAnswers) -> tuple[bytes, bool]:
    """The answer's body, and whether the connection may be used again."""
    loop = asyncio.get_running_loop()
    connection = Connection(loop, AnswerBuffer(5000, None), lambda _: None, known)
    connection.connection_made(Wire())
    task = asyncio.create_task(connection.exchange(b"", b"", loop.time() + 5))
    await asyncio.sleep(0)
    connection.data_received(raw)
    return (await task).body, connection.open


def test_what_is_known_of_answers_is_bounded():
    known = KnownAnswers()
    said = HttpAnswer(200, "", None, b"")
    for number in range(1000):
        known.keep(b"%d" % number, said)
    assert sum(known.find(b"%d" % number) is said for number in range(1000)) <= 64
    known.keep(b"x" * 1025, said)
    assert known.find(b"x" * 1025) is None


# Arbitrary bytes, without a socket


class Wire(asyncio.Transport):
    """A transport that keeps what is written and is closed by abort()."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = []
        self.aborted = False

    def write(self, data) -> None:
        self.writes.append(bytes(data))

    def abort(self) -> None:
        self.aborted = True

    close = abort

    def get_write_buffer_size(self) -> int:
        return 0


async def feed(pieces, end: bool) -> tuple[HttpAnswer | None, Connection]:
    """Run one exchange whose answer arrives in these pieces; None: it does not end by itself."""
    loop = asyncio.get_running_loop()
    wire = Wire()
    connection = Connection(loop, AnswerBuffer(5000, None), lambda _: None)
    connection.connection_made(wire)
    task = asyncio.create_task(connection.exchange(b"", b"", loop.time() + 60))
    await asyncio.sleep(0)
    for piece in pieces:
        if wire.aborted:
            break
        connection.data_received(piece)
    if end or wire.aborted:
        connection.connection_lost(None)
    for _ in range(3):
        await asyncio.sleep(0)
    if not task.done():
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return None, connection
    return await task, connection


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(marks) if a < b]


def fuzz(examples: int):
    quick = settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))

    def wrap(test):
        return quick(test)

    return wrap


BODIES = st.binary(max_size=300)
PLACES = st.lists(st.integers(0, 10_000), max_size=12)


@fuzz(300)
@given(body=BODIES, places=PLACES, framing=st.sampled_from(["length", "chunks", "close"]), interim=st.booleans())
def test_a_valid_answer_cut_anywhere_is_the_answer(body, places, framing, interim):
    data = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" if interim else b""
    if framing == "length":
        data += answer(body)
    elif framing == "chunks":
        data += chunked(*[part for part in cut(body, places) if part])
    else:
        data += b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + body
    got, connection = asyncio.run(feed(cut(data, places), end=framing == "close"))
    assert got == HttpAnswer(200, "application/json", None, body)
    assert connection.open == (framing != "close")


@fuzz(300)
@given(data=st.binary(max_size=400), places=PLACES, head=st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 "]))
def test_garbage_is_an_answer_or_a_webhook_error(data, places, head):
    try:
        got, connection = asyncio.run(feed(cut(head + data, places), end=True))
    except WebhookError as error:
        assert str(error)
    else:
        assert got is not None
        assert not connection.open


@fuzz(300)
@given(data=st.data())
def test_a_damaged_answer_is_an_answer_or_a_webhook_error(data):
    whole = data.draw(st.sampled_from([answer(b"0123456789"), chunked(b"01234", b"56789"), answer(b"", "503 Busy")]))
    at = data.draw(st.integers(0, len(whole)))
    damaged = whole[:at] + data.draw(st.binary(max_size=4)) + whole[at + data.draw(st.integers(0, 4)) :]
    try:
        got, _ = asyncio.run(feed(cut(damaged, data.draw(PLACES)), end=True))
    except WebhookError as error:
        assert str(error)
    else:
        assert got is not None


@pytest.mark.parametrize("whole", [answer(b"01234"), chunked(b"012", b"34"), answer(b"", "204 No Content")])
async def test_every_truncation_is_a_broken_answer(whole):
    for end in range(len(whole)):
        with pytest.raises(BrokenAnswer):
            await feed([whole[:end]] if end else [], end=True)
    got, _ = await feed([whole], end=False)
    assert got is not None


@pytest.mark.parametrize(
    "flood",
    [
        b"HTTP/1.1 100 \r\n\r\n" * 5000,
        b"HTTP/1.1 200 " + b"O" * 70_000,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 12_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;" + b"x" * 70_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 12_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"y" * 70_000,
    ],
)
async def test_floods_are_bounded_wherever_they_are(flood):
    with pytest.raises(BrokenAnswer, match="65536"):
        await feed([flood[n : n + 4096] for n in range(0, len(flood), 4096)], end=False)


async def test_many_tiny_chunks_are_joined():
    data = chunked(*[b"ab"] * 2400)
    got, _ = await feed([data], end=False)
    assert got.body == b"ab" * 2400
