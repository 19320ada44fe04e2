"""The admin API (contract section 9)."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, FastAPI, HTTPException, Query, Request
from fastapi.responses import JSONResponse, Response
from fastapi_offline import FastAPIOffline

from gateway.admin.guard import Guard
from gateway.admin.inspection import inspection
from gateway.admin.page import page
from gateway.admin.served import Served
from gateway.admin.shapes import Simulated, described
from gateway.admin.simulation import SimulatedMail, UnknownWebhookError, simulate_mail
from gateway.admin.upload import raw_message
from gateway.metrics import exposition
from gateway.metrics.exposition import CONTENT_TYPE
from gateway.version import VERSION

_MESSAGE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "message/rfc822": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["message"],
                    "properties": {"message": {"type": "string", "format": "binary"}},
                }
            },
        },
    }
}


def admin_app(served: Served, *, token: str | None, loopback: bool) -> FastAPI:
    """Build the API. `token` guards all but health and readiness; without one only loopback names are answered."""
    app = FastAPIOffline(
        docs_url="/docs",
        redoc_url=None,
        title="milter-gateway",
        version=VERSION,
        static_url="/docs/assets",
    )
    app.add_middleware(Guard, token=token, loopback=loopback)
    app.add_exception_handler(Exception, _internal_error)
    app.include_router(_state(served))
    app.include_router(_simulation(served))
    if served.archive is not None:
        app.include_router(page())
        app.include_router(inspection(served, served.archive))
    return app


def _state(served: Served) -> APIRouter:
    """Routes for those who watch over the service."""
    router = APIRouter()
    router.add_api_route("/healthz", _healthz, methods=["GET"], summary="The process is alive")

    @router.get("/readyz", summary="The gateway takes connections")
    async def readyz() -> JSONResponse:
        status = await served.status()
        return JSONResponse(msgspec.to_builtins(status), status_code=200 if status.ready else 503)

    @router.get("/metrics", summary="Prometheus metrics", response_class=Response)
    async def metrics() -> Response:
        text = exposition(await served.counters(), served.workers)
        return Response(text, media_type=CONTENT_TYPE)

    return router


def _simulation(served: Served) -> APIRouter:
    """The route that tries a message out."""
    router = APIRouter()

    @router.post(
        "/v1/simulate",
        summary="Try a message out on the webhooks",
        response_model=None,
        responses={200: described(Simulated)},
        openapi_extra=_MESSAGE_BODY,
    )
    async def simulate(
        request: Request,
        sender: Annotated[str, Query(alias="from")] = "",
        rcpt: Annotated[list[str] | None, Query()] = None,
        helo: str = "localhost",
        client: str = "127.0.0.1",
        webhook: str | None = None,
    ) -> dict[str, Any]:
        """Take a raw message, or multipart with a part `message`; the calls carry `dry_run: true`."""
        try:
            with served.borrow() as generation:
                raw = await raw_message(request, generation.setup.bounds.message_bytes)
                mail = SimulatedMail(raw, sender, tuple(rcpt or ["postmaster"]), helo, client, webhook)
                return await simulate_mail(generation.setup, mail, served.archive)
        except UnknownWebhookError as error:
            raise HTTPException(404, str(error)) from error
        except ValueError as error:
            raise HTTPException(422, str(error)) from error

    return router


async def _healthz() -> dict[str, str]:
    return {"status": "ok", "version": VERSION}


async def _internal_error(_: Request, __: Exception) -> JSONResponse:
    return JSONResponse({"detail": "internal error; the log says more"}, status_code=500)
