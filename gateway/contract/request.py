"""What a webhook is sent (contract section 3 and 4).

Text of the wire is decoded as UTF-8. Where that fails the field holds U+FFFD and a sibling `…_base64` the exact bytes;
such siblings are absent otherwise. A fact that is not known is null.
"""

from typing import Any

from msgspec import UNSET, Raw, Struct, UnsetType

Base64 = str | UnsetType
"""The exact bytes of a sibling that is not UTF-8; absent otherwise."""


class Mta(Struct, frozen=True):
    """The MTA and what was agreed with it for this webhook."""

    name: str | None
    software: str | None
    daemon: str | None
    address: str | None
    port: int | None
    milter_version: int | None
    events: tuple[str, ...]
    changes: tuple[str, ...]


class Client(Struct, frozen=True):
    """The SMTP client."""

    name: str | None
    address: str | None
    port: int | None
    family: str
    helo: str | None
    name_base64: Base64 = UNSET
    address_base64: Base64 = UNSET
    helo_base64: Base64 = UNSET


class Tls(Struct, frozen=True):
    """The SMTP client's TLS, null where it uses none."""

    version: str
    cipher: str | None
    bits: int | None
    cert_subject: str | None
    cert_issuer: str | None
    cert_subject_base64: Base64 = UNSET
    cert_issuer_base64: Base64 = UNSET


class Auth(Struct, frozen=True):
    """The SMTP client's authentication, null where there was none."""

    mechanism: str | None
    user: str | None
    author: str | None
    user_base64: Base64 = UNSET
    author_base64: Base64 = UNSET


Params = dict[str, str | bool]
"""ESMTP parameters: keys in capitals, `true` for one without a value."""


class Address(Struct, frozen=True):
    """An envelope address without its angle brackets; the null sender is empty."""

    address: str
    params: Params
    address_base64: Base64 = UNSET


class Envelope(Struct, frozen=True, rename={"sender": "from"}):
    """The sender (`from`) and the recipients that nobody refused."""

    sender: Address | None
    to: list[Address]


class Field(Struct, frozen=True):
    """A header field: `value` is what follows the colon less one leading space, folds are LF and blank."""

    name: str
    value: str
    name_base64: Base64 = UNSET
    value_base64: Base64 = UNSET
    field_base64: Base64 = UNSET


class Content(Struct, frozen=True):
    """The body: `text` where it is UTF-8 without NUL, `base64` otherwise; exactly one of them."""

    text: str | UnsetType = UNSET
    base64: str | UnsetType = UNSET


class Mailbox(Struct, frozen=True):
    """An address of a header field."""

    name: str | None
    email: str


class Attachment(Struct, frozen=True):
    """A part of the message that is not shown as its text; size and hash are those of the decoded content."""

    part_id: str
    name: str | None
    type: str
    size: int
    disposition: str | None
    cid: str | None
    sha256: str
    base64: str | UnsetType = UNSET


class Parsed(Struct, frozen=True, rename={"sender": "from"}):
    """The message taken apart, with the names of RFC 8621 Email; `defects` says what was amiss in it."""

    subject: str | None
    sender: list[Mailbox]
    to: list[Mailbox]
    cc: list[Mailbox]
    reply_to: list[Mailbox]
    sent_at: str | None
    message_id: str | None
    in_reply_to: str | None
    references: str | None
    text: str | None
    html: str | None
    attachments: list[Attachment]
    defects: list[str]


class Message(Struct, frozen=True):
    """The message; parts that are not in `include` are absent. `size` in bytes with CRLF, null where not known."""

    size: int | None
    headers: list[Field] | UnsetType = UNSET
    body: Content | Raw | UnsetType = UNSET
    parsed: Parsed | Raw | UnsetType = UNSET


class Previous(Struct, frozen=True):
    """What an earlier webhook answered to this event, with its annotations of this transaction."""

    webhook: str
    action: str
    annotations: dict[str, Any]


class Context(Struct, frozen=True):
    """What this webhook asked to keep."""

    session: Raw | Any
    transaction: Raw | Any


class Request(Struct, frozen=True):
    """One event."""

    version: int
    id: str
    event: str
    time: str
    webhook: str
    dry_run: bool
    session_id: str
    transaction_id: str | None
    queue_id: str | None
    mta: Mta
    client: Client
    tls: Tls | None
    auth: Auth | None
    envelope: Envelope
    data: Any
    message: Message | None
    macros: dict[str, str]
    previous: tuple[Previous, ...]
    context: Context
    queue_id_base64: Base64 = UNSET


class NegotiateData(Struct, frozen=True):
    """The MTA's offer."""

    milter_version: int
    events: list[str]
    changes: list[str]


class ConnectData(Struct, frozen=True):
    """The SMTP client; family is inet, inet6, unix or unknown."""

    name: str
    address: str | None
    port: int | None
    family: str
    name_base64: Base64 = UNSET
    address_base64: Base64 = UNSET


class HeloData(Struct, frozen=True):
    """The argument of HELO or EHLO."""

    name: str
    name_base64: Base64 = UNSET


class MailData(Struct, frozen=True):
    """The sender."""

    address: str
    params: Params
    address_base64: Base64 = UNSET


class RcptData(Struct, frozen=True):
    """The recipient in question; `index` counts the RCPT events of the transaction from 0."""

    address: str
    params: Params
    index: int
    rejected_by_mta: bool | UnsetType = UNSET
    address_base64: Base64 = UNSET


class DataData(Struct, frozen=True):
    """DATA has no facts of its own."""


class HeaderData(Struct, frozen=True):
    """One field; `index` counts from 0."""

    index: int
    name: str
    value: str
    name_base64: Base64 = UNSET
    value_base64: Base64 = UNSET
    field_base64: Base64 = UNSET


class EndOfHeadersData(Struct, frozen=True):
    """How many fields there are."""

    count: int


class BodyData(Struct, frozen=True):
    """A chunk of the body."""

    offset: int
    size: int
    text: str | UnsetType = UNSET
    base64: str | UnsetType = UNSET


class EndOfMessageData(Struct, frozen=True):
    """`size` as in message; `truncated`: the request does not show all of it."""

    size: int | None
    truncated: bool


class AbortData(Struct, frozen=True):
    """The last event before."""

    after: str


class UnknownData(Struct, frozen=True):
    """The SMTP command."""

    command: str
    command_base64: Base64 = UNSET


class DisconnectData(Struct, frozen=True):
    """How the session ended: quit, eof, error or shutdown."""

    cause: str
    transactions: int
    duration_ms: int
