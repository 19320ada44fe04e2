"""The values that are kept, and the shapes in which the API shows them. Times are seconds since 1970."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from gateway.mail.fields import Field, header_size
from gateway.mta.mail import split
from gateway.translate.parts import field_json
from gateway.translate.text import is_text, to_base64
from gateway.translate.text import shown as shown_body
from gateway.webhook import variable


class Webhook(Struct, frozen=True):
    """What is said of a configured webhook: never the value of a secret."""

    name: str
    urls: tuple[str, ...]
    events: tuple[str, ...]
    format: str = "json"
    headers: tuple[str, ...] = ()
    """Names of the configured header fields; their values may be secrets."""
    signed: bool = False
    uds: str | None = None


class Try(Struct, frozen=True):
    """One attempt of a call."""

    number: int
    url: str
    elapsed_ms: float
    status: int | None
    error: str | None


class Exchange(Struct, frozen=True, tag=True):
    """A call and its answer. `request` and `response` are None where they are not kept."""

    id: str
    time: float
    session_id: str
    transaction_id: str | None
    webhook: str
    event: str
    status: int | None
    action: str
    failure: str | None
    cause: str
    attempts: int
    elapsed_ms: float
    dry_run: bool
    simulated: bool
    content_type: str
    answer_type: str
    request_bytes: int | None
    response_bytes: int
    request: bytes | None = None
    response: bytes | None = None
    tries: tuple[Try, ...] = ()
    redacted: bool = False
    """Read from a file with pseudonyms."""

    @property
    def url(self) -> str | None:
        """Of the last attempt."""
        return self.tries[-1].url if self.tries else None

    @property
    def size(self) -> int:
        """Bytes that its bodies take."""
        return len(self.request or b"") + len(self.response or b"")


class Client(Struct, frozen=True):
    """An SMTP client, in short."""

    name: str | None
    address: str | None
    helo: str | None


class Reply(Struct, frozen=True):
    """What the MTA was told."""

    code: int
    enhanced: str | None
    text: str


class Transaction(Struct, tag=True):
    """A mail transaction as a row of the list.

    `received` and `changed` are the message, where it is kept; its header alone, where it is not `whole`.
    """

    transaction_id: str
    session_id: str
    began: float
    client: Client
    simulated: bool = False
    queue_id: str | None = None
    ended: float | None = None
    sender: str | None = None
    recipients: list[str] = field(default_factory=list)
    subject: str | None = None
    size: int | None = None
    verdict: str | None = None
    reply: Reply | None = None
    decided_by: str | None = None
    reason: str | None = None
    latency_ms: float = 0.0
    changes: int = 0
    webhooks: list[str] = field(default_factory=list)
    failures: int = 0
    annotations: dict[str, dict[str, Any]] = field(default_factory=dict)
    received: bytes | None = None
    changed: bytes | None = None
    whole: bool = False

    @property
    def kept_bytes(self) -> int:
        """Bytes that the message takes; one that was not changed is kept once."""
        changed = 0 if self.changed is self.received else len(self.changed or b"")
        return len(self.received or b"") + changed


class Session(Struct, tag=True):
    """An SMTP session."""

    session_id: str
    began: float
    client: dict[str, Any] | None
    mta: dict[str, Any]
    simulated: bool = False
    ended: float | None = None
    cause: str | None = None
    refused: Reply | None = None
    """What it was told where it was refused before any mail."""


Kept = Exchange | Transaction | Session


def without_bodies(what: Kept) -> Kept:
    """The same, less what may be large."""
    if isinstance(what, Exchange):
        return replace(what, request=None, response=None)
    return replace(what, received=None, changed=None) if isinstance(what, Transaction) else what


class Keeper(Protocol):
    """Who takes what is to be kept: the archive, a file, the way from a worker to its parent."""

    def keep(self, what: Kept) -> None:
        """Take it, or a newer state of it. Must neither wait nor raise."""


def moment(seconds: float | None) -> str | None:
    """A time in RFC 3339, to the millisecond."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def summary(exchange: Exchange) -> dict[str, Any]:
    """An exchange without its bodies."""
    shown: dict[str, Any] = {
        "id": exchange.id,
        "time": moment(exchange.time),
        "url": exchange.url,
        "action": exchange.action or None,
        "elapsed_ms": round(exchange.elapsed_ms, 2),
        "recorded": exchange.request is not None,
    }
    same = ("session_id", "transaction_id", "webhook", "event", "status", "failure", "cause", "attempts", "dry_run")
    return shown | {
        name: getattr(exchange, name)
        for name in (*same, "simulated", "content_type", "request_bytes", "response_bytes")
    }


def in_full(exchange: Exchange, webhook: Webhook | None) -> dict[str, Any]:
    """An exchange with its bodies; JSON as values, other bodies as text or base64."""
    return summary(exchange) | {
        "request_headers": request_fields(exchange, webhook),
        **body_of("request", exchange.request, exchange.content_type),
        **body_of("response", exchange.response, exchange.answer_type),
        "answer_type": exchange.answer_type,
        "tries": msgspec.to_builtins(exchange.tries),
    }


def request_fields(exchange: Exchange, webhook: Webhook | None) -> dict[str, str]:
    """The header fields of a call; a secret is named, never shown."""
    fields = {
        "content-type": exchange.content_type,
        "webhook-id": exchange.id,
        "webhook-timestamp": str(int(exchange.time)),
        "milter-event": exchange.event,
        "milter-session": exchange.session_id,
    }
    if webhook is not None:
        fields |= {name.lower(): variable(name) for name in webhook.headers}
        fields |= {"webhook-signature": variable("webhook-signature")} if webhook.signed else {}
    return fields


def body_of(name: str, raw: bytes | None, content_type: str) -> dict[str, Any]:
    """A body as the API and the file show it."""
    if not raw:
        return {name: None}
    if content_type.partition(";")[0].strip().lower() == "application/json":
        try:
            return {name: msgspec.json.decode(raw)}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
    return {name: raw.decode()} if is_text(raw) else {name: None, f"{name}_base64": to_base64(raw)}


def row(transaction: Transaction) -> dict[str, Any]:
    """A transaction as a row of the list."""
    shown: dict[str, Any] = msgspec.to_builtins(without_bodies(transaction))
    for name in ("type", "received", "changed", "whole"):
        shown.pop(name, None)
    shown["from"], shown["to"] = shown.pop("sender"), shown.pop("recipients")
    shown["latency_ms"] = round(transaction.latency_ms, 2)
    return shown | {"began": moment(transaction.began), "ended": moment(transaction.ended)}


def session_row(session: Session) -> dict[str, Any]:
    """A session alone."""
    shown: dict[str, Any] = msgspec.to_builtins(session)
    shown.pop("type")
    return shown | {"began": moment(session.began), "ended": moment(session.ended)}


def session_json(session: Session, transactions: list[Transaction]) -> dict[str, Any]:
    """A session with its transactions."""
    return session_row(session) | {"transactions": [row(item) for item in transactions]}


def message_json(raw: bytes | None, *, whole: bool) -> Mapping[str, Any] | None:
    """A kept message in the shape of the contract's section 4; of one that is not whole, the header."""
    if raw is None:
        return None
    pairs, body = split(raw)
    fields = [Field(name, value) for name, value in pairs]
    headers = msgspec.to_builtins([field_json(item) for item in fields])
    if not whole:
        return {"size": None, "headers": headers}
    return {"size": header_size(fields) + len(body), "headers": headers, "body": shown_body(body)}
