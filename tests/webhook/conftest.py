import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

import pytest
import trustme
import uvloop
from webhook_backends import Backend, Budget, Handler

from gateway.webhook import Attempt, Call, Endpoint, StreamedBody, WebhookClient
from gateway.webhook.httpx_transport import HttpxTransport
from gateway.webhook.lean import LeanTransport
from gateway.webhook.pool import PoolLimits

Serve = Callable[..., Coroutine[None, None, Backend]]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every test runs on the standard loop and on the one of the service."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    backends: list[Backend] = []

    async def start(handler: Handler, tls: ssl.SSLContext | None = None, uds: str | None = None) -> Backend:
        backend = await Backend(handler).start(tls, uds)
        backends.append(backend)
        return backend

    yield start
    for backend in backends:
        await backend.stop()


@pytest.fixture(params=["lean", "httpx"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def transport_of(kind: str, endpoint: Endpoint, budget: Budget | None) -> LeanTransport | HttpxTransport:
    limits = PoolLimits(connections=endpoint.connections, response_bytes=endpoint.response_bytes)
    tls = endpoint.tls_context()
    if kind == "lean":
        return LeanTransport(tls=tls, uds=endpoint.uds, limits=limits, budget=budget)
    return HttpxTransport(
        tls=tls, uds=endpoint.uds, proxy=endpoint.proxy, http2=endpoint.http2, limits=limits, budget=budget
    )


@pytest.fixture
async def connect(kind: str) -> AsyncIterator[Callable[..., WebhookClient]]:
    """Makes clients on the transport under test."""
    clients: list[WebhookClient] = []

    def make(
        *backends: Backend | str,
        budget: Budget | None = None,
        on_attempt: Callable[[Attempt], None] | None = None,
        on_alternative: Callable[..., None] = lambda *_: None,
        **settings: object,
    ) -> WebhookClient:
        urls = tuple(each if isinstance(each, str) else each.url for each in backends)
        endpoint = Endpoint("policy", urls, **settings)  # type: ignore[arg-type]
        client = WebhookClient(
            endpoint,
            version="1.2",
            on_attempt=on_attempt,
            on_alternative=on_alternative,
            transport=transport_of(kind, endpoint, budget),
        )
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.aclose()


def question(body: bytes | StreamedBody = b'{"version":1}', seconds: float = 5.0, event: str = "rcpt") -> Call:
    deadline = asyncio.get_running_loop().time() + seconds
    return Call("019b0c1e-7f00", event, "019b-session", "application/json", body, deadline)


@pytest.fixture
def ask() -> Callable[..., Call]:
    return question


@pytest.fixture(scope="session")
def authority() -> Iterator[trustme.CA]:
    return trustme.CA()  # type: ignore[return-value]


@pytest.fixture(scope="session")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "backend.example").configure_cert(context)
    return context
