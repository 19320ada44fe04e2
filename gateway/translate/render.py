"""Facts and an event to the request of one webhook."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from gateway.contract import VERSION
from gateway.contract import request as r
from gateway.contract.words import Event
from gateway.mail.address import Address
from gateway.mail.fields import Field, header_size
from gateway.milter import messages as m
from gateway.translate.facts import Disconnected, MailBody, SessionFacts, TransactionFacts, optional
from gateway.translate.parts import address_json, envelope_json, field_json, prepared
from gateway.translate.terms import EVENT_OF, offered_events, offered_ops
from gateway.translate.text import both, exact, is_text, readable, to_base64

NULL = Raw(b"null")

_encoder = msgspec.json.Encoder()


class Audience(Struct, frozen=True, eq=False):
    """What one webhook is shown: its name, what was agreed for it, and what it includes."""

    webhook: str
    events: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    headers: bool = True
    body: bool = True
    parsed: bool = False
    multipart: bool = False
    too_large_shows_body: bool = False


class Occasion(Struct, frozen=True):
    """What is different at every call: its id, the time (RFC 3339), earlier answers and what the webhook kept."""

    id: str
    time: str
    dry_run: bool = False
    previous: tuple[r.Previous, ...] = ()
    session_context: Raw = NULL
    transaction_context: Raw = NULL
    parsed: Raw | UnsetType = UNSET
    """`message.parsed`, for a webhook that includes it."""


class Shown(Struct, frozen=True):
    """What a request shows of the message: changes of its answer refer to this."""

    request: r.Request
    fields: Sequence[Field] | None = None
    """None: the original, which is not known yet."""
    body: bytes | MailBody | None = None
    """None: no body is shown."""
    truncated: bool = False


def render(
    event: object, session: SessionFacts, transaction: TransactionFacts | None, audience: Audience, occasion: Occasion
) -> Shown:
    """Make the request of `audience` for `event`."""
    name = EVENT_OF[type(event)]
    message = _NO_MESSAGE if transaction is None else _message(name, transaction, audience, occasion.parsed)
    queue_id = None if transaction is None else transaction.queue_id
    request = r.Request(
        version=VERSION,
        id=occasion.id,
        event=name,
        time=occasion.time,
        webhook=audience.webhook,
        dry_run=occasion.dry_run,
        session_id=session.id,
        transaction_id=transaction.id if transaction else None,
        queue_id=readable(queue_id) if queue_id else None,
        mta=_mta(session, audience),
        client=session.shown_client,
        tls=session.tls,
        auth=session.auth,
        envelope=_NO_ENVELOPE if transaction is None else _envelope(name, transaction),
        data=_DATA[type(event)](event, session, transaction, message),
        message=message.json,
        macros=session.shown_macros,
        previous=occasion.previous,
        context=r.Context(occasion.session_context, occasion.transaction_context),
        queue_id_base64=exact(queue_id) if queue_id else UNSET,
    )
    return Shown(request, message.fields, message.body, message.truncated)


def encode(request: r.Request) -> bytes:
    """The request's bytes."""
    return _encoder.encode(request)


def _mta(session: SessionFacts, audience: Audience) -> r.Mta:
    known = session.macros.get
    address = known(b"daemon_addr") or known(b"if_addr")
    return _mta_json(
        audience,
        session.milter_version,
        known(b"j"),
        known(b"v"),
        known(b"daemon_name"),
        address,
        known(b"daemon_port"),
    )


@lru_cache(maxsize=256)
def _mta_json(
    audience: Audience,
    milter_version: int | None,
    name: bytes | None,
    software: bytes | None,
    daemon: bytes | None,
    address: bytes | None,
    port: bytes | None,
) -> r.Mta:
    """The same for all sessions of one MTA, so made once."""
    mta = r.Mta(
        name=optional(name),
        software=optional(software),
        daemon=optional(daemon),
        address=readable(address).strip("[]").removeprefix("IPv6:") if address else None,
        port=(int(port) or None) if port and port.isdigit() else None,
        milter_version=milter_version,
        events=audience.events,
        changes=audience.changes,
    )
    return prepared(mta)


_NO_ENVELOPE = prepared(r.Envelope(None, []))


def _envelope(event: Event, transaction: TransactionFacts) -> r.Envelope:
    draft = transaction.draft
    if event is Event.END_OF_MESSAGE and draft is not None:
        return envelope_json(draft.sender, draft.recipients)
    return transaction.shown_envelope()


class _Message(Struct, frozen=True):
    """The message as this request shows it."""

    json: r.Message | None = None
    fields: Sequence[Field] | None = None
    body: bytes | MailBody | None = None
    size: int | None = None
    truncated: bool = False


_NO_MESSAGE = _Message()


def _message(event: Event, transaction: TransactionFacts, audience: Audience, parsed: Raw | UnsetType) -> _Message:
    if not transaction.headers_complete:
        return _NO_MESSAGE
    draft, show_fields = transaction.draft, audience.headers or event is Event.END_OF_HEADERS
    fields: Sequence[Field]
    headers: list[r.Field] | UnsetType = UNSET
    if draft is None:
        fields = transaction.fields
        headers = transaction.shown_fields() if show_fields else UNSET
    else:
        fields = draft.shown()
        headers = [field_json(item) for item in fields] if show_fields else UNSET
    if event is not Event.END_OF_MESSAGE:
        return _Message(r.Message(None, headers), fields)
    size, body = _size(transaction, fields), _body_shown(transaction, audience)
    shown = UNSET if body is None or audience.multipart else body_json(body)
    return _Message(r.Message(size, headers, shown, parsed), fields, body, size, transaction.too_large)


def _size(transaction: TransactionFacts, fields: Sequence[Field]) -> int | None:
    """Bytes of the message with the changes so far, None where a part of it is not known."""
    draft, size = transaction.draft, transaction.known_size
    if draft is None:
        return size
    if draft.body is not None and transaction.headers_seen:
        return header_size(fields) + len(draft.body)
    if size is None or transaction.too_large:
        return size
    return header_size(fields) + transaction.body_size


def _body_shown(transaction: TransactionFacts, audience: Audience) -> bytes | MailBody | None:
    return body_of(transaction, audience) if audience.body or audience.multipart else None


def body_of(transaction: TransactionFacts, audience: Audience) -> bytes | MailBody | None:
    """The body with the changes so far, None where it is too large for this audience."""
    if transaction.too_large and not audience.too_large_shows_body:
        return None
    if transaction.draft is not None and transaction.draft.body is not None:
        return transaction.draft.body
    return transaction.body if transaction.body is not None else b""


STREAMED = Raw(b'{"\xf0\x9f\x93\xa8":0}')
"""Stands for a body on disk until `payload` puts the body there; no encoder of ours writes these bytes for text."""


def body_json(body: bytes | MailBody) -> r.Content | Raw:
    """The body as text where it is text, in base64 otherwise; STREAMED where it is not in memory."""
    raw = body if isinstance(body, bytes) else body.in_memory()
    if raw is None:
        return STREAMED
    if is_text(raw) if isinstance(body, bytes) else body.is_text:
        return r.Content(text=raw.decode())
    return r.Content(base64=to_base64(raw))


_Builder = Callable[[Any, SessionFacts, Any, _Message], Any]


def _negotiate(event: m.Negotiate, *_: object) -> r.NegotiateData:
    version = min(event.version, 6)
    return r.NegotiateData(
        event.version, [str(item) for item in offered_events(version)], [str(op) for op in offered_ops(event.actions)]
    )


def _connect(event: m.Connect, session: SessionFacts, *_: object) -> r.ConnectData:
    client = session.client
    return r.ConnectData(
        name=client.name or "",
        address=client.address,
        port=client.port,
        family=client.family,
        name_base64=client.name_base64,
        address_base64=client.address_base64,
    )


def _helo(event: m.Helo, *_: object) -> r.HeloData:
    return r.HeloData(*both(event.name))


def _mail(event: m.Mail, *_: object) -> r.MailData:
    address = address_json(Address(event.sender, event.params))
    return r.MailData(address.address, address.params, address.address_base64)


def _rcpt(event: m.Rcpt, session: SessionFacts, transaction: TransactionFacts, *_: object) -> r.RcptData:
    address = address_json(Address(event.recipient, event.params))
    return r.RcptData(
        address=address.address,
        params=address.params,
        index=transaction.rcpt_events - 1,
        rejected_by_mta=True if rejected_by_mta(session) else UNSET,
        address_base64=address.address_base64,
    )


def rejected_by_mta(session: SessionFacts) -> bool:
    """Whether the recipient in question is one that the MTA refused by itself (milter protocol, RCPT_REJ)."""
    return session.macros.get(b"rcpt_mailer") == b"error"


def _header(event: m.Header, _: SessionFacts, transaction: TransactionFacts, *__: object) -> r.HeaderData:
    shown = transaction.shown_fields()[-1]
    return r.HeaderData(
        index=transaction.field_count - 1,
        name=shown.name,
        value=shown.value,
        name_base64=shown.name_base64,
        value_base64=shown.value_base64,
        field_base64=shown.field_base64,
    )


def _end_of_headers(_: m.EndOfHeaders, __: SessionFacts, transaction: TransactionFacts, *___: object) -> Any:
    return r.EndOfHeadersData(transaction.field_count)


def _body(event: m.Body, _: SessionFacts, transaction: TransactionFacts, *__: object) -> r.BodyData:
    offset, size = transaction.body_size - len(event.chunk), len(event.chunk)
    if is_text(event.chunk):
        return r.BodyData(offset, size, text=event.chunk.decode())
    return r.BodyData(offset, size, base64=to_base64(event.chunk))


def _end_of_message(_: m.EndOfMessage, __: SessionFacts, ___: object, message: _Message) -> r.EndOfMessageData:
    return r.EndOfMessageData(message.size, message.truncated)


def _abort(_: m.Abort, __: SessionFacts, transaction: TransactionFacts, *___: object) -> r.AbortData:
    return r.AbortData(transaction.last_event)


def _unknown(event: m.Unknown, *_: object) -> r.UnknownData:
    return r.UnknownData(*both(event.command))


def _disconnect(event: Disconnected, session: SessionFacts, *_: object) -> r.DisconnectData:
    return r.DisconnectData(event.cause, session.transactions, event.duration_ms)


_DATA_DATA = r.DataData()

_DATA: Mapping[type, _Builder] = {
    m.Negotiate: _negotiate,
    m.Connect: _connect,
    m.Helo: _helo,
    m.Mail: _mail,
    m.Rcpt: _rcpt,
    m.Data: lambda *_: _DATA_DATA,
    m.Header: _header,
    m.EndOfHeaders: _end_of_headers,
    m.Body: _body,
    m.EndOfMessage: _end_of_message,
    m.Abort: _abort,
    m.Unknown: _unknown,
    Disconnected: _disconnect,
}
