"""The second transport, on httpx: for proxies and HTTP/2, which the lean one does not speak.

Same seam, same limits, same errors; several times slower, so only used where it is needed. Nothing comes from the
environment, no redirect is followed, no cookie kept.
"""

import asyncio
import ssl
from collections.abc import AsyncIterable, Generator
from contextlib import aclosing, contextmanager
from http.cookiejar import DefaultCookiePolicy
from typing import cast

import httpx

from gateway.webhook.bodies import AnswerBuffer, size_of, slices
from gateway.webhook.faults import (
    answer_timeout,
    connect_fault,
    connect_timeout,
    head_too_large,
    loss,
    not_http,
)
from gateway.webhook.pool import PoolLimits
from gateway.webhook.transport import (
    MAX_HEAD_BYTES,
    Body,
    BrokenAnswer,
    HeaderFields,
    HttpAnswer,
    HttpRequest,
    MemoryBudget,
    WebhookError,
)

_CONNECT_MARGIN_SECONDS = 0.05
"""Connecting ends so much before the deadline (a fifth of short ones): httpcore closes the socket after a timeout of
its own, but loses it when it is cancelled in the middle of a TLS handshake, as our deadline would do."""

_STALE_TRIES = 3
"""The pool of httpx may hand out several connections that die as we write; a fresh one cannot be asked for."""


class HttpxTransport:
    """A `Transport` for endpoints with a proxy or HTTP/2.

    Args:
        tls: context for https URLs; None: there are none.
        uds: connect to this unix socket whatever the URL's host.
        proxy: http or https URL of a proxy.
        http2: offer HTTP/2 (by ALPN, so over TLS only).
        limits: of the pool and of an answer.
        budget: charged by answers beyond 64 KiB.

    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        uds: str | None = None,
        proxy: str | None = None,
        http2: bool = False,
        limits: PoolLimits | None = None,
        budget: MemoryBudget | None = None,
    ) -> None:
        self._limits = limits or PoolLimits()
        self._budget = budget
        # An empty context trusts nobody; it spares loading the system's certificates where https is not used.
        context = tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(
                verify=context,
                trust_env=False,
                http2=http2,
                uds=uds,
                proxy=_proxy(proxy, tls),
                limits=httpx.Limits(
                    max_connections=self._limits.connections,
                    max_keepalive_connections=self._limits.idle_connections,
                    keepalive_expiry=self._limits.idle_seconds,
                ),
            ),
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # noqa: S113 - the call's deadline stands over everything
        )
        self._client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    async def post(self, request: HttpRequest, headers: HeaderFields, body: Body, deadline: float) -> HttpAnswer:
        """See `Transport.post`."""
        answer = AnswerBuffer(self._limits.response_bytes, self._budget)
        watch = _Watch(request.url, deadline)
        limit = asyncio.timeout_at(deadline)
        try:
            async with limit:
                for _ in range(_STALE_TRIES - 1):
                    watch = _Watch(request.url, deadline)
                    try:
                        return await self._exchange(request, headers, body, answer, watch)
                    except _StaleConnection:
                        continue
                watch = _Watch(request.url, deadline, may_be_stale=False)
                return await self._exchange(request, headers, body, answer, watch)
        except TimeoutError as error:
            if watch.sending:
                raise answer_timeout(watch.status > 0, watch.status, answer.size) from error
            raise connect_timeout(httpx.URL(request.url).netloc.decode("ascii")) from error
        finally:
            answer.drop()

    async def _exchange(
        self, request: HttpRequest, headers: HeaderFields, body: Body, answer: AnswerBuffer, watch: "_Watch"
    ) -> HttpAnswer:
        left = max(0.0, watch.deadline - asyncio.get_running_loop().time())
        connect_seconds = left - min(_CONNECT_MARGIN_SECONDS, left / 5)
        size = size_of(body)
        framing = ("transfer-encoding", "chunked") if size is None else ("content-length", str(size))
        with _map_exceptions(watch, httpx.URL(request.url).netloc.decode("ascii")):
            async with aclosing(slices(body)) as pieces:
                response = await self._client.send(
                    httpx.Request(
                        "POST",
                        request.url,
                        headers=[*request.headers, *headers, framing],
                        content=body if isinstance(body, bytes) else cast("AsyncIterable[bytes]", pieces),
                        extensions={
                            "trace": watch.see,
                            "timeout": {"connect": connect_seconds},
                        },
                    ),
                    stream=True,
                )
                try:
                    return await _read(response, answer, watch)
                finally:
                    await response.aclose()

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        await self._client.aclose()


def _proxy(url: str | None, tls: ssl.SSLContext | None) -> httpx.Proxy | None:
    if url is None:
        return None
    return httpx.Proxy(url, ssl_context=tls if url.startswith("https:") else None)


async def _read(response: httpx.Response, answer: AnswerBuffer, watch: "_Watch") -> HttpAnswer:
    """Read the body as it came (`aiter_raw`: no decompression, so no bomb), no further than it fits."""
    status = watch.status = response.status_code
    if status < 200:
        raise BrokenAnswer("the backend switched protocols although nobody asked")
    if sum(len(name) + len(value) + 4 for name, value in response.headers.raw) > MAX_HEAD_BYTES:
        raise head_too_large()
    declared = response.headers.get("content-length", "")
    if not declared.isdecimal() or answer.fits(int(declared), status):
        async for chunk in response.aiter_raw():
            if not answer.add(chunk, status):
                break
    body, reserved = answer.take()
    fields = response.headers
    return HttpAnswer(status, fields.get("content-type", ""), fields.get("retry-after"), body, reserved)


class _StaleConnection(Exception):  # noqa: N818 - a signal, no failure
    """A kept-alive connection was closed by the backend before any byte of the answer."""


class _Watch:
    """What happened to one exchange so far, told by httpcore's trace extension."""

    __slots__ = ("connected", "deadline", "may_be_stale", "sending", "status", "tls")

    def __init__(self, url: str, deadline: float, *, may_be_stale: bool = True) -> None:
        self.tls = url.startswith("https:")
        self.deadline = deadline
        self.may_be_stale = may_be_stale
        self.connected = False  # a new connection was opened for it
        self.sending = False
        self.status = 0

    async def see(self, name: str, _info: object) -> None:
        """Called by httpcore for each step, such as `connection.connect_tcp.started`."""
        if name.startswith("connection.connect_"):
            self.connected = True
        elif name.endswith("send_request_headers.started"):
            self.sending = True

    def stale(self, error: httpx.TransportError) -> bool:
        """Whether `error` says no more than that a reused connection had been closed."""
        if self.connected or not self.sending or self.status or not self.may_be_stale:
            return False
        lost = isinstance(error, httpx.ReadError | httpx.WriteError)
        return lost or "Server disconnected" in str(error)


@contextmanager
def _map_exceptions(watch: _Watch, where: str) -> Generator[None]:
    """Translate what httpx raises into our tree."""
    try:
        yield
    except (WebhookError, TimeoutError):
        raise
    except (httpx.ConnectError, httpx.ProxyError, httpx.UnsupportedProtocol) as error:
        raise connect_fault(error, where, watch.tls) from error
    except httpx.TimeoutException as error:
        raise connect_timeout(where) from error
    except httpx.TransportError as error:
        if watch.stale(error):
            raise _StaleConnection from error
        if isinstance(error, httpx.ProtocolError) and "disconnected" not in str(error):
            raise _protocol_fault(error, watch) from error
        raise loss(error, watch.status > 0, watch.tls) from error
    except Exception as error:
        # Nothing else may leave this layer: what is left are faults of the libraries on strange input.
        raise BrokenAnswer(f"the HTTP client failed: {error!r}") from error


def _protocol_fault(error: httpx.TransportError, watch: _Watch) -> WebhookError:
    if "closed connection" in str(error):  # h11: "peer closed connection without sending complete ..."
        return loss(error, watch.status > 0, watch.tls)
    return not_http(error)
