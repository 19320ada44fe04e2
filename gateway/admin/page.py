"""The inspector's page: static files beside this module, served as they are. What it shows, it asks of the API."""

import hashlib
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, HTTPException
from fastapi.responses import Response

_FILES = Path(__file__).parent / "inspector"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self' data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
)
"""Nothing but these files runs, nothing leaves this address, and no text can become markup (Trusted Types)."""
_FIELDS = {
    "cache-control": "no-cache",
    "content-security-policy": "; ".join(_POLICY),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

Known = Annotated[str | None, Header(alias="if-none-match")]


class _File:
    """One file, read once."""

    def __init__(self, path: Path) -> None:
        self._content = path.read_bytes()
        self._type = _TYPES[path.suffix]
        self._tag = f'"{hashlib.sha256(self._content).hexdigest()[:32]}"'

    def answer(self, known: str | None) -> Response:
        """The file, or that the browser has it already."""
        fields = {**_FIELDS, "etag": self._tag}
        if known is not None and self._tag in known:
            return Response(status_code=304, headers=fields)
        return Response(self._content, media_type=self._type, headers=fields)


def page() -> APIRouter:
    """Build the routes: `/`, and the files that it names."""
    files = {path.name: _File(path) for path in sorted(_FILES.iterdir()) if path.suffix in _TYPES}
    router = APIRouter()

    @router.get("/", summary="The inspector, for browsers", response_class=Response, tags=["inspector"])
    async def index(known: Known = None) -> Response:
        return files["index.html"].answer(known)

    @router.get("/inspector/{name}", include_in_schema=False)
    async def part(name: str, known: Known = None) -> Response:
        found = files.get(name)
        if found is None:
            raise HTTPException(404, "the page has no such part")
        return found.answer(known)

    return router
