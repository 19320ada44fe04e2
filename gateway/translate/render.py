"""Facts and an event to the request of one webhook."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway.contract import VERSION
from gateway.contract import request as r
from gateway.contract.words import Event
from gateway.mail.address import Address, split_params
from gateway.mail.fields import Field, header_size
from gateway.milter import messages as m
from gateway.translate.facts import Disconnected, MailBody, SessionFacts, TransactionFacts, client_of, optional
from gateway.translate.terms import EVENT_OF, offered_events, offered_ops
from gateway.translate.text import both, exact, is_text, readable, to_base64

NULL = Raw(b"null")

_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Audience:
    """What one webhook is shown: its name, what was agreed for it, and what it includes."""

    webhook: str
    events: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    headers: bool = True
    body: bool = True
    multipart: bool = False
    too_large_shows_body: bool = False


@dataclass(frozen=True, slots=True)
class Occasion:
    """What is different at every call: its id, the time (RFC 3339), earlier answers and what the webhook kept."""

    id: str
    time: str
    dry_run: bool = False
    previous: tuple[r.Previous, ...] = ()
    session_context: Raw = field(default_factory=lambda: NULL)
    transaction_context: Raw = field(default_factory=lambda: NULL)


@dataclass(frozen=True, slots=True)
class Shown:
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
    message = _Message.of(name, transaction, audience) if transaction else _Message()
    request = r.Request(
        version=VERSION,
        id=occasion.id,
        event=name,
        time=occasion.time,
        webhook=audience.webhook,
        dry_run=occasion.dry_run,
        session_id=session.id,
        transaction_id=transaction.id if transaction else None,
        queue_id=optional(transaction.queue_id) if transaction else None,
        mta=_mta(session, audience),
        client=client_of(session),
        tls=session.tls,
        auth=session.auth,
        envelope=_envelope(name, transaction),
        data=_DATA[type(event)](event, session, transaction, message),
        message=message.json(multipart=audience.multipart and name is Event.END_OF_MESSAGE),
        macros=session.macro_texts,
        previous=list(occasion.previous),
        context=r.Context(occasion.session_context, occasion.transaction_context),
        queue_id_base64=exact(transaction.queue_id or b"") if transaction else UNSET,
    )
    return Shown(request, message.fields, message.body, message.truncated)


def encode(request: r.Request) -> bytes:
    """The request's bytes."""
    return _encoder.encode(request)


def _mta(session: SessionFacts, audience: Audience) -> r.Mta:
    macros = session.macros
    address = macros.get(b"daemon_addr") or macros.get(b"if_addr")
    port = macros.get(b"daemon_port", b"")
    return r.Mta(
        name=optional(macros.get(b"j")),
        software=optional(macros.get(b"v")),
        daemon=optional(macros.get(b"daemon_name")),
        address=readable(address).strip("[]").removeprefix("IPv6:") if address else None,
        port=(int(port) or None) if port.isdigit() else None,
        milter_version=session.milter_version,
        events=list(audience.events),
        changes=list(audience.changes),
    )


def _params(params: Sequence[bytes]) -> r.Params:
    shown: r.Params = {}
    for key, value in split_params(params):
        text = readable(key)
        if value is None:
            shown[text] = True
            continue
        shown[text], sibling = both(value)
        if isinstance(sibling, str):
            shown[text + "_base64"] = sibling
    return shown


@lru_cache(maxsize=1024)
def _address(address: Address) -> r.Address:
    text, sibling = both(address.bare)
    return r.Address(text, _params(address.params), sibling)


def _envelope(event: Event, transaction: TransactionFacts | None) -> r.Envelope:
    if transaction is None:
        return r.Envelope(None, [])
    sender, recipients = transaction.sender, transaction.recipients
    if event is Event.END_OF_MESSAGE and transaction.draft is not None:
        sender, recipients = transaction.draft.sender, transaction.draft.recipients
    return r.Envelope(_address(sender) if sender else None, [_address(item) for item in recipients])


@dataclass(slots=True)
class _Message:
    """The message as this request shows it."""

    size: int | None = None
    known: bool = False
    fields: Sequence[Field] | None = None
    show_fields: bool = False
    body: bytes | MailBody | None = None
    show_body: bool = False
    truncated: bool = False
    _cached: list[r.Field] = field(default_factory=list)

    @classmethod
    def of(cls, event: Event, transaction: TransactionFacts, audience: Audience) -> "_Message":
        if not transaction.headers_complete:
            return cls()
        draft = transaction.draft
        shown = cls(
            known=True,
            fields=draft.shown() if draft else transaction.fields,
            show_fields=audience.headers or event is Event.END_OF_HEADERS,
        )
        if event is Event.END_OF_MESSAGE:
            shown._add_body(transaction, audience)
        return shown

    def _add_body(self, transaction: TransactionFacts, audience: Audience) -> None:
        replaced = transaction.draft.body if transaction.draft else None
        self.truncated = transaction.too_large
        self.size = transaction.known_size
        if replaced is not None and transaction.headers_seen:
            self.size = header_size(self.fields or ()) + len(replaced)
        elif self.size is not None and transaction.draft is not None and not self.truncated:
            self.size = header_size(self.fields or ()) + transaction.body_size
        included = audience.body or audience.multipart
        self.show_body = included and (not self.truncated or audience.too_large_shows_body)
        if self.show_body:
            kept: bytes | MailBody = transaction.body if transaction.body is not None else b""
            self.body = replaced if replaced is not None else kept

    def json(self, *, multipart: bool) -> r.Message | None:
        if not self.known:
            return None
        headers = [field_json(item) for item in self.fields or ()] if self.show_fields else UNSET
        show_body = self.show_body and not multipart
        return r.Message(self.size, headers, body_json(self.body) if show_body and self.body is not None else UNSET)


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


def field_json(item: Field) -> r.Field:
    """One field with what is needed to rebuild it byte for byte."""
    if item.raw[:1] == b" ":
        try:
            return r.Field(item.name.decode(), item.raw[1:].decode())
        except UnicodeDecodeError:
            pass
    name, name_base64 = both(item.name)
    value, value_base64 = both(item.value)
    return r.Field(name, value, name_base64, value_base64, _whole_field(item))


def _whole_field(item: Field) -> str | UnsetType:
    """`name:value` in base64 where the byte after the colon is not a space, since `value` cannot tell then."""
    return UNSET if item.raw[:1] == b" " else to_base64(item.name + b":" + item.raw)


_Builder = Callable[[Any, SessionFacts, Any, _Message], Any]


def _negotiate(event: m.Negotiate, *_: object) -> r.NegotiateData:
    version = min(event.version, 6)
    return r.NegotiateData(
        event.version, [str(item) for item in offered_events(version)], [str(op) for op in offered_ops(event.actions)]
    )


def _connect(event: m.Connect, session: SessionFacts, *_: object) -> r.ConnectData:
    client = client_of(session)
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
    address = _address(Address(event.sender, event.params))
    return r.MailData(address.address, address.params, address.address_base64)


def _rcpt(event: m.Rcpt, session: SessionFacts, transaction: TransactionFacts, *_: object) -> r.RcptData:
    address = _address(Address(event.recipient, event.params))
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
    shown = field_json(transaction.fields[-1])
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


_DATA: Mapping[type, _Builder] = {
    m.Negotiate: _negotiate,
    m.Connect: _connect,
    m.Helo: _helo,
    m.Mail: _mail,
    m.Rcpt: _rcpt,
    m.Data: lambda *_: r.DataData(),
    m.Header: _header,
    m.EndOfHeaders: _end_of_headers,
    m.Body: _body,
    m.EndOfMessage: _end_of_message,
    m.Abort: _abort,
    m.Unknown: _unknown,
    Disconnected: _disconnect,
}
