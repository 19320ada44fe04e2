"""What only the httpx transport does: proxies and HTTP/2; and its requests and errors as respx sees them."""

import asyncio
import ssl

import h2.config
import h2.connection
import h2.events
import httpx
import pytest
import respx
from webhook_backends import Spool, Visit, answer, says

from gateway.webhook import (
    BrokenAnswer,
    Cause,
    ConnectFailed,
    DeadlineExceeded,
    Endpoint,
    StatusFailed,
    WebhookClient,
    WebhookError,
)
from gateway.webhook.httpx_transport import HttpxTransport


@pytest.fixture
async def client():
    endpoint = Endpoint("policy", ("http://backend.example/hook",), retries=0)
    client = WebhookClient(endpoint, version="1", transport=HttpxTransport())
    yield client
    await client.aclose()


@respx.mock
async def test_the_request_as_httpx_sends_it(client, ask):
    route = respx.post("http://backend.example/hook").mock(return_value=httpx.Response(200, json={}))
    got = await client.call(ask(Spool([b"ab", b"cd"])))
    assert (got.status, got.body) == (200, b"{}")
    request = route.calls.last.request
    assert request.headers["content-length"] == "4"
    assert "transfer-encoding" not in request.headers
    assert "cookie" not in request.headers
    assert request.headers["milter-attempt"] == "1"


@respx.mock
async def test_no_redirect_is_followed_and_no_cookie_kept(client, ask):
    elsewhere = respx.post("http://elsewhere.example/").respond(200)
    route = respx.post("http://backend.example/hook")
    route.respond(302, headers={"location": "http://elsewhere.example/", "set-cookie": "a=b"})
    for _ in range(2):
        with pytest.raises(StatusFailed, match="redirects are not followed"):
            await client.call(ask())
    assert not elsewhere.called
    assert "cookie" not in route.calls.last.request.headers


@pytest.mark.parametrize(
    ("raised", "kind", "cause"),
    [
        (httpx.ConnectError("refused"), ConnectFailed, Cause.CONNECT),
        (httpx.ProxyError("407 Proxy Authentication Required"), ConnectFailed, Cause.CONNECT),
        (httpx.ConnectTimeout("slow"), DeadlineExceeded, Cause.TIMEOUT),
        (httpx.PoolTimeout("slow"), DeadlineExceeded, Cause.TIMEOUT),
        (httpx.ReadTimeout("slow"), DeadlineExceeded, Cause.TIMEOUT),
        (httpx.ReadError("reset"), BrokenAnswer, Cause.BROKEN_ANSWER),
        (httpx.WriteError("reset"), BrokenAnswer, Cause.BROKEN_ANSWER),
        (httpx.RemoteProtocolError("illegal status line"), BrokenAnswer, Cause.BROKEN_ANSWER),
        (httpx.LocalProtocolError("odd"), BrokenAnswer, Cause.BROKEN_ANSWER),
        (httpx.UnsupportedProtocol("odd"), ConnectFailed, Cause.CONNECT),
        (RuntimeError("a fault of the library"), BrokenAnswer, Cause.BROKEN_ANSWER),
    ],
)
@respx.mock
async def test_each_error_of_httpx_becomes_one_of_ours(client, ask, raised, kind, cause):
    route = respx.post("http://backend.example/hook").mock(side_effect=raised)
    with pytest.raises(kind) as caught:
        await client.call(ask())
    assert (caught.value.cause, route.call_count) == (cause, 1)
    assert str(caught.value)


async def test_through_a_proxy(serve, ask):
    proxy = await serve(says(answer(b"via proxy")))
    endpoint = Endpoint("policy", ("http://backend.example/hook",), proxy=proxy.url.removesuffix("/hook"))
    client = WebhookClient(endpoint, version="1")
    assert (await client.call(ask())).body == b"via proxy"
    assert proxy.requests[0].target == "http://backend.example/hook"
    await client.aclose()


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "502 Bad Gateway"])
async def test_a_proxy_that_refuses_the_tunnel(serve, ask, status):
    async def handler(visit: Visit) -> None:
        await visit.head()
        await visit.send(answer(b"", status))
        await visit.gone()

    proxy = await serve(handler)
    endpoint = Endpoint("policy", ("https://backend.example/",), proxy=proxy.url.removesuffix("/hook"), retries=1)
    client = WebhookClient(endpoint, version="1")
    with pytest.raises(ConnectFailed, match=status[:3]) as caught:
        await client.call(ask())
    assert caught.value.attempts == 2
    await client.aclose()


async def http2_backend(visit: Visit) -> None:
    """Answers each request with its own body, over HTTP/2."""
    peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="ascii"))
    peer.initiate_connection()
    await visit.send(peer.data_to_send())
    bodies: dict[int, bytes] = {}
    while data := await visit.reader.read(65536):
        for event in peer.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
                peer.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                body = bodies.pop(event.stream_id, b"")
                peer.send_headers(event.stream_id, [(":status", "200"), ("content-type", "text/plain")])
                if body == b"reset":
                    peer.reset_stream(event.stream_id)
                else:
                    peer.send_data(event.stream_id, body, end_stream=True)
        await visit.send(peer.data_to_send())


@pytest.fixture
async def http2_client(serve, authority, tmp_path):
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["h2"])
    authority.issue_cert("127.0.0.1").configure_cert(context)
    backend = await serve(http2_backend, context)
    client = WebhookClient(Endpoint("policy", (backend.url,), http2=True, ca_file=str(ca)), version="1")
    yield client, backend
    await client.aclose()


async def test_http2(http2_client, ask):
    client, backend = http2_client
    await client.call(ask(b"first"))
    got = await asyncio.gather(*[client.call(ask(b"n%d" % n)) for n in range(10)])
    assert [each.body for each in got] == [b"n%d" % n for n in range(10)]
    assert (await client.call(ask(Spool([b"ab", b"cd"])))).body == b"abcd"
    assert backend.connections == 1


async def test_http2_stream_reset(http2_client, ask):
    client, _ = http2_client
    with pytest.raises(WebhookError) as caught:
        await client.call(ask(b"reset"))
    assert (caught.value.cause, caught.value.attempts) == (Cause.BROKEN_ANSWER, 1)
