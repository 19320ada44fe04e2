"""Who may call the admin API (contract section 9)."""

import hmac
import ipaddress
from urllib.parse import urlsplit

from fastapi import HTTPException, Request

OPEN_PATHS = frozenset(("/healthz", "/readyz"))
"""What needs no token."""


class Guard:
    """Holders of the token; without one, programs and pages of this machine."""

    def __init__(self, token: str | None, *, loopback: bool) -> None:
        self._token = token
        self._loopback = loopback

    async def __call__(self, request: Request) -> None:
        """Let the request pass, or raise HTTPException."""
        if self._token is not None:
            self._check_token(request, self._token)
        elif self._loopback:
            _check_neighbour(request)
        elif request.url.path not in OPEN_PATHS:
            raise HTTPException(403, "beyond loopback a token is needed")

    def _check_token(self, request: Request, token: str) -> None:
        if request.url.path in OPEN_PATHS:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
            raise HTTPException(401, "a bearer token is needed", {"www-authenticate": "Bearer"})


def _check_neighbour(request: Request) -> None:
    """Refuse pages of elsewhere: those that post here, and those whose name was made to point here (DNS rebinding)."""
    host = request.headers.get("host", "")
    if not is_loopback(host):
        raise HTTPException(403, "without a token only loopback names are answered")
    origin = request.headers.get("origin")
    if request.method not in ("GET", "HEAD") and origin is not None and origin.lower() != f"http://{host.lower()}":
        raise HTTPException(403, "without a token only pages of this address may post")


def is_loopback(host: str) -> bool:
    """Whether the host of a URL, or a Host field, is this machine."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
