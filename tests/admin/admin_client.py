"""The admin API on a real socket, with an HTTP client that holds every answer against the API's own description."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import jsonschema
from fastapi import FastAPI
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
    hooks = {"response": [Described(app).check]}
    try:
        async with httpx.AsyncClient(base_url=server.address, trust_env=False, event_hooks=hooks) as client:
            yield client
    finally:
        await server.stop()


class Described:
    """What `/openapi.json` promises."""

    def __init__(self, app: FastAPI) -> None:
        self._document = app.openapi()
        self._paths = [
            (re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), methods)
            for path, methods in self._document["paths"].items()
        ]

    async def check(self, response: httpx.Response) -> None:
        """A JSON answer that is not as described fails the test."""
        if response.status_code != 200 or response.headers.get("content-type") != "application/json":
            return
        schema = self._schema(response.request.method.lower(), response.request.url.path)
        if schema is not None:
            await response.aread()
            whole = {**schema, "components": self._document["components"]}
            jsonschema.Draft202012Validator(whole).validate(response.json())

    def _schema(self, method: str, path: str) -> dict[str, Any] | None:
        for pattern, methods in self._paths:
            if pattern.fullmatch(path) and method in methods:
                content = methods[method]["responses"]["200"]["content"]
                found: dict[str, Any] = content["application/json"]["schema"]
                return found
        return None
