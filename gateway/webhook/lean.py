"""The default transport: HTTP/1.1 with kept-alive connections over TCP, TLS or a unix socket.

Written for the hot path: what can be computed once for a URL is, and a call creates little more than its bytes.
It owns the head of a request; `connection` owns the exchange, `pool` the connections.
"""

import ssl
from urllib.parse import urlsplit

from gateway.webhook.bodies import size_of
from gateway.webhook.connection import StaleConnection
from gateway.webhook.pool import Origin, Pool, PoolLimits
from gateway.webhook.transport import Body, HeaderFields, HttpAnswer, HttpRequest, MemoryBudget

_PORTS = {"http": 80, "https": 443}


def host_field(url: str) -> str:
    """The value of Host for a URL (RFC 9112 section 3.2): without the scheme's own port."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    return host if parts.port in (None, _PORTS.get(parts.scheme)) else f"{host}:{parts.port}"


class LeanTransport:
    """A `Transport` for plain http and https endpoints.

    Args:
        tls: context for https URLs; may be None if there are none.
        uds: connect to this unix socket whatever the URL's host.
        limits: of the pools (each origin has one) and of an answer.
        budget: charged by answers beyond 64 KiB.

    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        uds: str | None = None,
        limits: PoolLimits | None = None,
        budget: MemoryBudget | None = None,
    ) -> None:
        self._tls = tls
        self._uds = uds
        self._limits = limits or PoolLimits()
        self._budget = budget
        self._pools: dict[Origin, Pool] = {}
        self._routes: dict[HttpRequest, tuple[str, Pool]] = {}

    @property
    def pools(self) -> tuple[Pool, ...]:
        """One for each origin that was called."""
        return tuple(self._pools.values())

    async def post(self, request: HttpRequest, headers: HeaderFields, body: Body, deadline: float) -> HttpAnswer:
        """See `Transport.post`."""
        route = self._routes.get(request)
        static, pool = route if route is not None else self._route(request)
        fields = "".join([f"{name}: {value}\r\n" for name, value in headers])
        size = size_of(body)
        framing = "transfer-encoding: chunked" if size is None else f"content-length: {size}"
        head = f"{static}{fields}{framing}\r\n\r\n".encode("latin-1")
        connection = pool.take() or await pool.acquire(deadline)
        while True:
            try:
                answer = await connection.exchange(head, body, deadline)
            except StaleConnection:
                # the backend had closed it while we wrote: it has not seen the request (RFC 9112 9.3.1)
                connection = await pool.acquire(deadline)
            else:
                pool.put(connection)
                return answer

    def _route(self, request: HttpRequest) -> tuple[str, Pool]:
        """Compute what all calls of a request share: the beginning of the head, and the pool."""
        parts = urlsplit(request.url)
        tls = self._tls if parts.scheme == "https" else None
        origin = Origin(parts.hostname or "", parts.port or _PORTS[parts.scheme], tls, self._uds)
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = Pool(origin, self._limits, self._budget)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [f"POST {target} HTTP/1.1"]
        if not any(name.lower() == "host" for name, _ in request.headers):
            lines.append(f"host: {host_field(request.url)}")
        lines += [f"{name}: {value}" for name, value in request.headers]
        route = self._routes[request] = ("\r\n".join([*lines, ""]), pool)
        return route

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        for pool in self._pools.values():
            await pool.aclose()
