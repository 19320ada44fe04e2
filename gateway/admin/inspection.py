"""The routes that show what happened: sessions, transactions, exchanges, live events, the health of webhooks."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from itertools import dropwhile, islice
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import PlainTextResponse, Response, StreamingResponse
from pydantic import BaseModel

from gateway.admin import shapes
from gateway.admin.guard import is_loopback
from gateway.admin.served import Served
from gateway.admin.shapes import described
from gateway.recording import Archive, Exchange, Transaction, Webhook
from gateway.recording.feed import TooManyWatchersError
from gateway.recording.records import body_of, in_full, message_json, row, session_json, summary
from gateway.recording.replay import Replayed, send_again
from gateway.recording.request_text import NothingToSendError, curl
from gateway.version import VERSION
from gateway.webhook import Circuit, Endpoint, WebhookClient
from gateway.webhook.endpoint import absolute_url

_KEEP_ALIVE_SECONDS = 15.0
_REPLAY_SECONDS = 120.0
Limit = Annotated[int, Query(ge=1, le=10_000)]


class _Chosen(BaseModel):
    """Which exchanges are asked for."""

    session: str | None = None
    transaction: str | None = None
    webhook: str | None = None
    event: str | None = None
    before: str | None = None
    limit: Limit = 200


class _Inspector:
    """The routes: each shows what is kept."""

    def __init__(self, served: Served, archive: Archive) -> None:
        self._served = served
        self.archive = archive

    def exchange(self, number: str) -> Exchange:
        found = self.archive.exchange(number)
        if found is None:
            raise HTTPException(404, "no such exchange is kept")
        return found

    def transaction(self, number: str) -> Transaction:
        found = self.archive.transaction(number)
        if found is None:
            raise HTTPException(404, "no such transaction is kept")
        return found

    async def send_again(self, exchange: Exchange, url: str | None) -> Replayed:
        """Send again: to the webhook as it is configured, or to another of its URLs, or on this machine.

        The client is one of its own: mail does not notice what becomes of the call.
        """
        target, endpoint = self._endpoint(exchange, url)
        try:
            client = WebhookClient(endpoint, version=VERSION, circuit=Circuit(None))
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        try:
            return await send_again(exchange, client, target, _REPLAY_SECONDS)
        finally:
            await client.aclose()

    def _endpoint(self, exchange: Exchange, url: str | None) -> tuple[str, Endpoint]:
        """Where to. Raises HTTPException where the URL is nobody's, and not of this machine."""
        wanted = _plainly(url, exchange.event) if url else None
        for configured in self._configured(exchange, only=wanted is None):
            found = {_plainly(each, exchange.event): each for each in configured.urls}
            target = wanted or (exchange.url if exchange.url in found else next(iter(found)))
            if target in found:
                return target, replace(configured, urls=(found[target],))
        if wanted is None:
            raise HTTPException(404, f"no webhook is called {exchange.webhook!r} any more: say which url")
        if not is_loopback(urlsplit(wanted).netloc):
            raise HTTPException(403, "only to a configured URL, or to one of this machine (127.0.0.1, localhost)")
        return wanted, Endpoint(name="replay", urls=(wanted,), retries=0)

    def _configured(self, exchange: Exchange, *, only: bool) -> list[Endpoint]:
        """The webhooks, first the one that was asked then; with `only` no other."""
        with self._served.borrow() as generation:
            clients = [item.client for item in generation.setup.webhooks]
        found = [client.endpoint for client in clients if isinstance(client, WebhookClient)]
        same = [item for item in found if item.name == exchange.webhook]
        return same if only else [*same, *(item for item in found if item not in same)]

    async def list_sessions(self, limit: Limit = 200) -> dict[str, Any]:
        """The newest first."""
        found = [session_json(each, rows) for each, rows in islice(self.archive.sessions(), limit)]
        return {"recording": self.archive.recording, "sessions": found}

    async def show_transaction(self, number: str) -> dict[str, Any]:
        """With its exchanges, and with the message as it came and as it was handed back, where they are kept."""
        found = self.transaction(number)
        return row(found) | {
            "exchanges": [summary(item) for item in self.archive.exchanges_of(number)],
            "before": message_json(found.received, whole=found.whole),
            "after": message_json(found.changed, whole=found.whole),
        }

    async def download(
        self, number: str, version: Annotated[Literal["received", "changed"], Query(alias="as")] = "received"
    ) -> Response:
        """The message as the MTA sent it, or with the changes that were made."""
        found = self.transaction(number)
        raw = found.received if version == "received" else found.changed
        if raw is None or not found.whole:
            reason = "the message was not recorded ([admin] record), was too large, or no webhook asked for its body"
            raise HTTPException(404, reason)
        fields = {"content-disposition": f'attachment; filename="{version}.eml"', "x-content-type-options": "nosniff"}
        return Response(raw, media_type="message/rfc822", headers=fields)

    async def list_exchanges(self, chosen: Annotated[_Chosen, Query()]) -> dict[str, Any]:
        """The newest first; `before`: those that are older than this one."""
        wanted = {"session_id": chosen.session, "transaction_id": chosen.transaction}
        wanted |= {"webhook": chosen.webhook, "event": chosen.event}
        asked = {key: value for key, value in wanted.items() if value is not None}
        items = self.archive.exchanges()
        if chosen.before is not None:
            items = islice(dropwhile(lambda item: item.id != chosen.before, items), 1, None)
        found = (item for item in items if all(getattr(item, key) == value for key, value in asked.items()))
        return {
            "recording": self.archive.recording,
            "exchanges": [summary(item) for item in islice(found, chosen.limit)],
        }

    async def show_exchange(self, number: str) -> dict[str, Any]:
        """With its request, answer and attempts; secrets are named, never shown."""
        found = self.exchange(number)
        return in_full(found, self.archive.webhook(found.webhook))

    async def show_command(self, number: str, url: str | None = None) -> PlainTextResponse:
        """The call as a command for a shell; secrets are variables."""
        found = self.exchange(number)
        try:
            return PlainTextResponse(curl(found, self.archive.webhook(found.webhook), url))
        except NothingToSendError as error:
            raise HTTPException(409, str(error)) from error

    async def replay(self, number: str, url: str | None = None) -> dict[str, Any]:
        """To the same URL, another configured one, or one of this machine."""
        try:
            done = await self.send_again(self.exchange(number), url)
        except NothingToSendError as error:
            raise HTTPException(409, str(error)) from error
        shown = {name: getattr(done, name) for name in ("id", "event", "url", "status", "action", "failure", "same")}
        differing = {"differences": list(done.differences), "elapsed_ms": round(done.elapsed_ms, 2)}
        return shown | differing | body_of("response", done.response, done.answer_type)

    async def stream(self) -> StreamingResponse:
        """Server-sent events: `session`, `transaction` and `exchange`; a watcher that does not keep up is let go."""
        fields = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(_lines(self.archive), media_type="text/event-stream", headers=fields)

    async def list_webhooks(self) -> dict[str, Any]:
        """As configured, and how their calls went."""
        found = [_webhook_json(item) | self.archive.health(item.name) for item in self.archive.webhooks]
        return {"recording": self.archive.recording, "webhooks": found}


class _Route(NamedTuple):
    """A route, and what it answers: the shape of its JSON, or another type of content."""

    method: str
    path: str
    summary: str
    answers: type[BaseModel] | str
    handler: Callable[..., Any]


_ROUTES = (
    _Route("GET", "/sessions", "SMTP sessions with their transactions", shapes.SessionList, _Inspector.list_sessions),
    _Route("GET", "/transactions/{number}", "One transaction", shapes.TransactionWhole, _Inspector.show_transaction),
    _Route("GET", "/transactions/{number}/message", "Its message as a file", "message/rfc822", _Inspector.download),
    _Route("GET", "/exchanges", "Calls and answers", shapes.ExchangeList, _Inspector.list_exchanges),
    _Route("GET", "/exchanges/{number}", "One call and its answer", shapes.ExchangeWhole, _Inspector.show_exchange),
    _Route("GET", "/exchanges/{number}/curl", "The call as a command", "text/plain", _Inspector.show_command),
    _Route("POST", "/exchanges/{number}/replay", "Send it again, and compare", shapes.Replayed, _Inspector.replay),
    _Route("GET", "/events", "What happens, live", "text/event-stream", _Inspector.stream),
    _Route("GET", "/webhooks", "The webhooks and their health", shapes.WebhookList, _Inspector.list_webhooks),
)


def inspection(served: Served, archive: Archive) -> APIRouter:
    """Build the routes over what `archive` keeps."""
    router = APIRouter(prefix="/v1", tags=["inspector"])
    inspector = _Inspector(served, archive)
    for route in _ROUTES:
        router.add_api_route(
            route.path,
            route.handler.__get__(inspector),
            methods=[route.method],
            summary=route.summary,
            response_model=None,  # the shapes are for readers: answers are not checked a second time
            responses={200: described(route.answers)},
        )
    return router


def _plainly(url: str, event: str) -> str:
    """The URL of a call as exchanges tell it; what is none stays as it is."""
    try:
        return absolute_url(url, event)
    except ValueError:
        return url


def _webhook_json(webhook: Webhook) -> dict[str, Any]:
    shown = {"name": webhook.name, "urls": list(webhook.urls), "events": list(webhook.events)}
    return shown | {"format": webhook.format, "signed": webhook.signed}


async def _lines(archive: Archive) -> AsyncIterator[bytes]:
    """The stream (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    yield b": live\n\n"
    try:
        async for name, line in archive.feed.watch(_KEEP_ALIVE_SECONDS):
            yield b"event: %s\ndata: %s\n\n" % (name.encode(), line) if name else b": still here\n\n"
    except TooManyWatchersError:
        yield b"event: full\ndata: {}\n\n"
