"""The retry rule and the header fields, on both transports."""

import asyncio
import email.utils
import re
import time

import pytest
from webhook_backends import Spool, answer, once, says

from gateway.webhook import Cause, ConnectFailed, DeadlineExceeded, Endpoint, StatusFailed, WebhookClient

BUSY = answer(b"", "503 Service Unavailable")


async def test_the_fields_of_a_call(serve, connect, ask):
    backend = await serve(says(answer()))
    await connect(backend, headers=(("Authorization", "Bearer s3cret"),)).call(ask(seconds=5))
    fields = backend.requests[0].headers
    port = backend.url.split(":")[2].split("/")[0]
    assert abs(int(fields.pop("webhook-timestamp")) - time.time()) < 5
    assert 4000 < int(fields.pop("milter-deadline-ms")) <= 5000
    assert re.fullmatch(r"00-(?!0{32})[0-9a-f]{32}-[0-9a-f]{16}-01", fields.pop("traceparent"))
    assert fields == {
        "host": f"127.0.0.1:{port}",
        "user-agent": "milter-gateway/1.2",
        "accept": "application/json",
        "accept-encoding": "identity",
        "authorization": "Bearer s3cret",
        "content-type": "application/json",
        "webhook-id": "019b0c1e-7f00",
        "milter-event": "rcpt",
        "milter-session": "019b-session",
        "milter-attempt": "1",
        "content-length": "13",
    }


async def test_event_in_the_url(serve, connect, ask):
    backend = await serve(says(answer()))
    client = connect(backend.url + "/{event}?e={event}&q=ä b")
    await client.call(ask(event="rcpt"))
    await client.call(ask(event="end_of_message"))
    assert [each.target for each in backend.requests] == [
        "/hook/rcpt?e=rcpt&q=%C3%A4%20b",
        "/hook/end_of_message?e=end_of_message&q=%C3%A4%20b",
    ]


async def test_what_attempts_share_and_what_not(serve, connect, ask):
    backend = await serve(says(BUSY, BUSY, answer(b"ok")))
    got = await connect(backend, secrets=(b"k" * 24,)).call(ask(Spool([b"stored", b"mail"])))
    assert (got.body, got.attempts) == (b"ok", 3)
    one, two, three = backend.requests
    assert one.body == two.body == three.body == b"storedmail"
    for same in ("webhook-id", "webhook-timestamp", "webhook-signature", "milter-session", "content-type"):
        assert one.headers[same] == two.headers[same] == three.headers[same]
    assert [each.headers["milter-attempt"] for each in backend.requests] == ["1", "2", "3"]
    traces = [each.headers["traceparent"].split("-") for each in backend.requests]
    assert len({trace for _, trace, _, _ in traces}) == 1
    assert len({span for _, _, span, _ in traces}) == 3
    left = [int(each.headers["milter-deadline-ms"]) for each in backend.requests]
    assert left[0] - 70 > left[1] > left[2] + 150  # about 100, then 200 ms of pause
    assert got.elapsed_ms > 230


async def test_two_calls_have_two_traces(serve, connect, ask):
    backend = await serve(says(answer()))
    client = connect(backend)
    await client.call(ask())
    await client.call(ask())
    assert len({each.headers["traceparent"].split("-")[1] for each in backend.requests}) == 2


@pytest.mark.parametrize(
    ("status", "cause", "requests"),
    [
        ("301 Moved Permanently", Cause.REDIRECT, 1),
        ("304 Not Modified", Cause.REDIRECT, 1),
        ("307 Temporary Redirect", Cause.REDIRECT, 1),
        ("401 Unauthorized", Cause.CLIENT_ERROR, 1),
        ("404 Not Found", Cause.CLIENT_ERROR, 1),
        ("408 Request Timeout", Cause.CLIENT_ERROR, 1),
        ("429 Too Many Requests", Cause.RATE_LIMITED, 2),
        ("500 Internal Server Error", Cause.SERVER_ERROR, 2),
        ("599 Own", Cause.SERVER_ERROR, 2),
        ("799 Odd", Cause.BROKEN_ANSWER, 1),
    ],
)
async def test_what_a_status_means(serve, connect, ask, status, cause, requests):
    backend = await serve(says(answer(b"", status, "Location: /elsewhere", "Retry-After: 0")))
    with pytest.raises(StatusFailed, match=status[:3]) as caught:
        await connect(backend, retries=1).call(ask())
    assert (caught.value.cause, caught.value.attempts, len(backend.requests)) == (cause, requests, requests)
    assert {each.target for each in backend.requests} == {"/hook"}


async def test_no_retries_when_none_are_wanted(serve, connect, ask):
    backend = await serve(says(BUSY))
    with pytest.raises(StatusFailed):
        await connect(backend, retries=0).call(ask())
    assert len(backend.requests) == 1


async def test_429_that_may_come_back_at_once(serve, connect, ask):
    backend = await serve(says(answer(b"", "429 Too Many Requests", "Retry-After: 0"), answer(b"ok")))
    got = await connect(backend).call(ask())
    assert (got.attempts, got.body) == (2, b"ok")
    assert got.elapsed_ms < 80  # no backoff of ours


@pytest.mark.parametrize("wait", ["60", "date", "9" * 400])
async def test_retry_after_beyond_the_deadline_fails_at_once(serve, connect, ask, wait):
    wait = email.utils.formatdate(time.time() + 60, usegmt=True) if wait == "date" else wait
    backend = await serve(says(answer(b"", "429 Too Many Requests", f"Retry-After: {wait}")))
    started = time.monotonic()
    with pytest.raises(StatusFailed, match="retry-after") as caught:
        await connect(backend).call(ask(seconds=5))
    assert caught.value.retry_after > 50
    assert len(backend.requests) == 1
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("wait", ["soon", "-1", "Sun, 06 Nov 1994 08:49:37 GMT", "", "1e3"])
async def test_odd_retry_after(serve, connect, ask, wait):
    backend = await serve(says(answer(b"", "503 Busy", f"Retry-After: {wait}"), answer()))
    assert (await connect(backend).call(ask())).attempts == 2


async def test_a_pause_that_does_not_fit_keeps_the_failure(serve, connect, ask):
    backend = await serve(says(BUSY))
    with pytest.raises(StatusFailed):
        await connect(backend).call(ask(seconds=0.2))
    assert len(backend.requests) == 2


async def test_observer_sees_each_attempt(serve, connect, ask):
    seen = []
    backend = await serve(says(BUSY, answer()))
    await connect(backend, on_attempt=seen.append).call(ask())
    first, second = seen
    assert (first.webhook, first.number, first.status) == ("policy", 1, None)
    assert first.error.cause is Cause.SERVER_ERROR
    assert (second.number, second.status, second.error) == (2, 200, None)
    assert 0 < second.elapsed_ms < 90  # of the attempt alone
    assert first.call is second.call


async def test_a_backend_that_comes_back_during_the_pause(connect, ask):
    """Refused at first; the observer of the first failure starts the backend."""
    server = None

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b'{"version":1}')
        writer.write(answer(b"back"))
        await writer.drain()
        await reader.read()
        writer.close()

    started = []

    def on_attempt(attempt) -> None:
        if isinstance(attempt.error, ConnectFailed):
            started.append(asyncio.ensure_future(asyncio.start_server(visit, "127.0.0.1", port)))

    probe = await asyncio.start_server(visit, "127.0.0.1", 0)
    port = probe.sockets[0].getsockname()[1]
    probe.close()
    await probe.wait_closed()
    client = connect(f"http://127.0.0.1:{port}", on_attempt=on_attempt)
    got = await client.call(ask())
    assert (got.body, got.attempts) == (b"back", 2)
    await client.aclose()
    server = await started[0]
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0)


async def test_deadline_passes_while_a_long_body_is_signed(connect, ask):
    class Slow(Spool):
        async def chunks(self):
            yield b"x"
            await asyncio.Event().wait()

    with pytest.raises(DeadlineExceeded, match="signed"):
        await connect("http://127.0.0.1:9/", secrets=(b"k" * 24,)).call(ask(Slow([b"xyz"]), seconds=0.05))


async def test_the_transport_follows_from_the_endpoint():
    kinds = {}
    for name, settings in {
        "plain": {},
        "uds": {"uds": "/run/x.sock"},
        "http2": {"http2": True},
        "proxy": {"proxy": "http://proxy.example:3128"},
        "tls proxy": {"proxy": "https://proxy.example:3128"},
    }.items():
        client = WebhookClient(Endpoint("policy", ("https://x.example/",), **settings), version="1")
        kinds[name] = type(client._transport).__name__
        await client.aclose()
    assert kinds == {
        "plain": "LeanTransport",
        "uds": "LeanTransport",
        "http2": "HttpxTransport",
        "proxy": "HttpxTransport",
        "tls proxy": "HttpxTransport",
    }


async def test_closing_ends_calls_under_way(serve, connect, ask):
    arrived = asyncio.Event()

    async def then(visit) -> None:
        arrived.set()
        await visit.gone()

    backend = await serve(once(then=then))
    client = WebhookClient(Endpoint("policy", (backend.url,)), version="1")
    task = asyncio.create_task(client.call(ask()))
    await arrived.wait()
    await client.aclose()
    with pytest.raises(Exception, match="closed"):
        await task
