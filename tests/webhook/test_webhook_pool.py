"""The bound of a pool: who waits, in which order, and what happens when connections die or callers leave."""

import asyncio

import pytest
from gateway_harness import refused_url
from webhook_backends import Spool, answer, once, says

from gateway.webhook import BodyFailed, Cause, ConnectFailed, DeadlineExceeded


async def spread(client, ask, *events):
    """Calls that begin in this order."""
    calls = []
    for event in events:
        calls.append(asyncio.create_task(client.call(ask(event=event))))
        await asyncio.sleep(0)
    return calls


def answers_after(release):
    """A backend that answers nothing before `release`."""

    async def handler(visit):
        while True:
            await visit.request()
            await release.wait()
            await visit.send(answer())

    return handler


async def test_no_more_connections_than_allowed_and_all_calls_are_answered(serve, connect, ask):
    backend = await serve(says(*[answer()] * 20))
    client = connect(backend, connections=2)
    got = await asyncio.gather(*(client.call(ask()) for _ in range(20)))
    assert [each.status for each in got] == [200] * 20
    assert backend.most <= 2


async def test_first_come_first_served(serve, connect, ask):
    release = asyncio.Event()
    backend = await serve(answers_after(release))
    calls = await spread(connect(backend, connections=1), ask, "mail", "rcpt", "data", "body")
    await asyncio.sleep(0)
    release.set()
    await asyncio.gather(*calls)
    assert [each.headers["milter-event"] for each in backend.requests] == ["mail", "rcpt", "data", "body"]


async def test_who_waits_too_long_is_told_why(serve, connect, ask, kind):
    never = asyncio.Event()

    async def hold(visit):
        await visit.request()
        await never.wait()

    client = connect(await serve(hold), connections=1, retries=0)
    busy = asyncio.create_task(client.call(ask(seconds=20)))
    await asyncio.sleep(0)
    with pytest.raises(DeadlineExceeded) as failure:
        await client.call(ask(seconds=0.2))
    assert failure.value.cause is Cause.TIMEOUT
    if kind == "lean":
        assert "all 1 connections" in str(failure.value)
    busy.cancel()
    await asyncio.wait([busy])


async def test_who_leaves_loses_nothing_for_the_others(serve, connect, ask):
    release = asyncio.Event()
    client = connect(await serve(answers_after(release)), connections=1)
    first, second, third = await spread(client, ask, "mail", "rcpt", "data")
    second.cancel()
    await asyncio.wait([second])
    release.set()
    assert (await first).status == (await third).status == 200


async def test_a_connection_that_dies_makes_room(serve, connect, ask):
    backend = await serve(once(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"))
    client = connect(backend, connections=1)
    got = await asyncio.gather(*(client.call(ask()) for _ in range(5)))
    assert [each.status for each in got] == [200] * 5


async def test_a_failed_connect_makes_room(connect, ask):
    client = connect(refused_url(), connections=1, retries=0)
    got = await asyncio.gather(*(client.call(ask()) for _ in range(5)), return_exceptions=True)
    assert [type(each) for each in got] == [ConnectFailed] * 5


async def test_a_body_of_unknown_size_goes_out_in_chunks_and_again_at_a_retry(serve, connect, ask):
    backend = await serve(says(answer(b"", "503 Service Unavailable"), answer(b"ok")))
    got = await connect(backend).call(ask(Spool([b"stored", b"", b"m" * 300_000], known=False)))
    assert (got.body, got.attempts) == (b"ok", 2)
    for request in backend.requests:
        assert request.headers["transfer-encoding"] == "chunked"
        assert "content-length" not in request.headers
        assert request.body == b"stored" + b"m" * 300_000


async def test_a_body_of_unknown_size_that_fails_is_our_fault(serve, connect, ask):
    backend = await serve(says(answer()))
    with pytest.raises(BodyFailed):
        await connect(backend).call(ask(Spool([b"stored", OSError("gone")], known=False)))
