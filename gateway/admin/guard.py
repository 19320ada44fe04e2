"""Who may call the admin API (contract section 9): asked before anything else, whatever the path."""

import base64
import binascii
import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN_PATHS = frozenset(("/healthz", "/readyz"))
"""What needs no token."""
_CHALLENGES = ("Bearer", 'Basic realm="milter-gateway", charset="UTF-8"')
"""A browser asks its user at the second one: any name, and the token for a password (RFC 7617)."""


class Guard:
    """ASGI middleware that lets in holders of the token; without one, programs and pages of this machine.

    Args:
        app: what is guarded.
        token: as `Authorization: Bearer`, or as the password of `Basic`, which browsers can do.
        loopback: the API listens on loopback only.

    """

    def __init__(self, app: ASGIApp, *, token: str | None, loopback: bool) -> None:
        self._app = app
        self._token = token
        self._loopback = loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, _kept_apart(send))

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        if self._token is not None:
            return None if scope["path"] in OPEN_PATHS else _check_token(scope["method"], headers, self._token)
        if self._loopback:
            return _check_neighbour(scope["method"], headers)
        return None if scope["path"] in OPEN_PATHS else _refuse(403, "beyond loopback a token is needed")


def _kept_apart(send: Send) -> Send:
    """Let no page of elsewhere frame an answer, the documentation with its buttons included, nor guess what it is."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.setdefault("x-frame-options", "DENY")
            headers.setdefault("x-content-type-options", "nosniff")
        await send(message)

    return sent


def _refuse(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"detail": reason}, status)


def _check_token(method: str, headers: Headers, token: str) -> JSONResponse | None:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    by_browser = scheme.lower() == "basic"
    offered = _password(given) if by_browser else given.strip().encode()
    if scheme.lower() not in ("basic", "bearer") or not hmac.compare_digest(offered, token.encode()):
        refusal = _refuse(401, "a bearer token is needed")
        for challenge in _CHALLENGES:
            MutableHeaders(raw=refusal.raw_headers).append("www-authenticate", challenge)
        return refusal
    # a browser sends its password along with whatever a page of elsewhere makes it post; a program's token is its own
    return _check_origin(method, headers) if by_browser else None


def _password(given: str) -> bytes:
    try:
        return base64.b64decode(given, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""


def _check_neighbour(method: str, headers: Headers) -> JSONResponse | None:
    """Refuse pages of elsewhere: those that post here, and those whose name was made to point here (DNS rebinding)."""
    if not is_loopback(headers.get("host", "")):
        return _refuse(403, "without a token only loopback names are answered")
    return _check_origin(method, headers, schemes=("http",))


def _check_origin(method: str, headers: Headers, schemes: tuple[str, ...] = ("http", "https")) -> JSONResponse | None:
    """Let only pages of this very address post."""
    origin, host = headers.get("origin"), headers.get("host", "").lower()
    if method in ("GET", "HEAD") or origin is None or origin.lower() in [f"{scheme}://{host}" for scheme in schemes]:
        return None
    return _refuse(403, "only pages of this address may post")


def is_loopback(host: str) -> bool:
    """Whether the host of a URL, or a Host field, is this machine."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
