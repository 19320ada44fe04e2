"""The admin API on a real socket, with an HTTP client for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from gateway_harness import Gateway

from gateway.admin.app import admin_app
from gateway.admin.server import HttpServer


@asynccontextmanager
async def admin_of(
    gateway: Gateway, *, token: str | None = None, loopback: bool = True
) -> AsyncIterator[httpx.AsyncClient]:
    """The API of this gateway."""
    app = admin_app(gateway.served, token=token, loopback=loopback)
    server = HttpServer(app, "127.0.0.1", 0, "admin address")
    await server.start()
    try:
        async with httpx.AsyncClient(base_url=server.address, trust_env=False) as client:
            yield client
    finally:
        await server.stop()
