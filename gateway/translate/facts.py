"""What is known of an SMTP session and of its mail transaction. A new one is a new object; nothing is cleared."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from msgspec import UNSET, Raw, Struct, field

from gateway.contract import request as r
from gateway.mail.address import Address
from gateway.mail.draft import Draft
from gateway.mail.fields import Field
from gateway.milter import messages as m
from gateway.translate.parts import envelope_json, field_json, prepared
from gateway.translate.text import both, exact, macro_texts, readable

_FAMILIES: Mapping[bytes, str] = {b"4": "inet", b"6": "inet6", b"L": "unix", b"U": "unknown"}


class StoredBytes(Protocol):
    """Bytes on disk that can be read anywhere, also by a thread; they stay until `close`."""

    size: int

    def read(self, start: int, end: int) -> bytes:
        """The bytes from `start` to `end`. Raises OSError."""

    def close(self) -> None:
        """Let go of them."""


class MailBody(Protocol):
    """The body that arrived, in memory or on disk."""

    size: int
    """Bytes that are kept."""

    @property
    def is_text(self) -> bool:
        """Valid UTF-8 without NUL, of what is kept."""

    @property
    def json_size(self) -> int:
        """How many bytes it takes in JSON, without quotation marks, where it is on disk and complete."""

    def in_memory(self) -> bytes | None:
        """The whole body, or None where it is on disk."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body from its beginning; each call starts anew."""

    async def on_disk(self) -> StoredBytes:
        """A body that is not in memory, whole. Raises OSError."""


class ParsedMessage(Struct, frozen=True, eq=False):
    """`message.parsed` as JSON, and what it was made of."""

    header: bytes
    body: bytes | MailBody | None
    json: Raw


class SessionFacts(Struct, eq=False):
    """One SMTP session. `macros` is what is in scope at the present event."""

    id: str
    milter_version: int | None = None
    connect: m.Connect | None = None
    helo: bytes | None = None
    tls: r.Tls | None = None
    auth: r.Auth | None = None
    transactions: int = 0
    macros: Mapping[bytes, bytes] = field(default_factory=dict)
    _macro_texts: dict[str, str] | None = None
    _shown_macros: dict[str, str] | None = None
    _client: r.Client | None = None
    _shown_client: r.Client | None = None

    def see_macros(self, macros: Mapping[bytes, bytes], *, at_mail: bool) -> None:
        """Take over the macros that are in scope; AUTH is known from MAIL on and stays."""
        if macros is not self.macros:
            self.macros = macros
            self._macro_texts = self._shown_macros = None
            self.tls = tls_of(macros)
        if at_mail:
            self.auth = auth_of(macros)

    def see_connect(self, connect: m.Connect) -> None:
        """The client has connected."""
        self.connect = connect
        self._client = self._shown_client = None

    def see_helo(self, name: bytes) -> None:
        """The client has given its name; it may do so again."""
        self.helo = name
        self._client = self._shown_client = None

    @property
    def macro_texts(self) -> dict[str, str]:
        """The macros as JSON shows them; made when first asked for, and kept until they change."""
        if self._macro_texts is None:
            self._macro_texts = macro_texts(self.macros)
        return self._macro_texts

    @property
    def shown_macros(self) -> dict[str, str]:
        """The same, prepared for a request."""
        if self._shown_macros is None:
            self._shown_macros = prepared(self.macro_texts)
        return self._shown_macros

    @property
    def client(self) -> r.Client:
        """The SMTP client as JSON shows it; kept likewise."""
        if self._client is None:
            self._client = _client_of(self)
        return self._client

    @property
    def shown_client(self) -> r.Client:
        """The same, prepared for a request."""
        if self._shown_client is None:
            self._shown_client = prepared(self.client)
        return self._shown_client

    @property
    def client_family(self) -> str:
        """One of inet, inet6, unix, unknown."""
        return _FAMILIES[self.connect.family] if self.connect else "unknown"

    @property
    def client_port(self) -> int | None:
        """The client's TCP port; 0 on the wire means not known."""
        return (self.connect.port or None) if self.connect else None

    @property
    def emulated(self) -> bool:
        """Whether Postfix plays an SMTP client for mail from its sendmail(1) (`cleanup_milter_client_init`)."""
        connect = self.connect
        return (
            connect is not None
            and connect.hostname == b"localhost"
            and connect.family in (b"4", b"6")
            and connect.port == 0
        )


class TransactionFacts(Struct, eq=False):
    """One mail transaction, from MAIL to the final answer. Sizes in bytes."""

    id: str
    sender: Address | None = None
    recipients: list[Address] = field(default_factory=list)
    rcpt_events: int = 0
    too_many_recipients: bool = False
    queue_id: bytes | None = None
    fields: list[Field] = field(default_factory=list)
    field_count: int = 0
    header_size: int = 0
    headers_seen: bool = False
    """The MTA has sent the header (it was not negotiated away)."""
    headers_complete: bool = False
    body: MailBody | None = None
    body_size: int = 0
    body_seen: bool = False
    """The body was sent, or would have been if it were not empty."""
    body_cut: bool = False
    """The MTA was told to skip the rest of the body."""
    body_lost: str = ""
    """Why the body could not be kept; empty where it was."""
    too_large: bool = False
    last_event: str = "mail"
    draft: Draft | None = None
    parsed: ParsedMessage | None = None
    """Of the message as it was shown last to somebody who wants it parsed."""
    _shown: list[r.Field] = field(default_factory=list)
    _envelope: r.Envelope | None = None
    _shown_envelope: r.Envelope | None = None
    _envelope_of: tuple[int, int] = (0, 0)

    def shown_fields(self) -> list[r.Field]:
        """The fields that arrived, as JSON shows them; each is made once, so the list is not the caller's to change."""
        shown = self._shown
        shown += map(field_json, self.fields[len(shown) :])
        return shown

    def envelope(self) -> r.Envelope:
        """Sender and recipients as JSON shows them; made anew only after a RCPT."""
        state = (self.rcpt_events, len(self.recipients))
        if self._envelope is None or state != self._envelope_of:
            self._envelope_of, self._envelope = state, envelope_json(self.sender, self.recipients)
            self._shown_envelope = None
        return self._envelope

    def shown_envelope(self) -> r.Envelope:
        """The same, prepared for a request."""
        envelope = self.envelope()
        if self._shown_envelope is None:
            self._shown_envelope = prepared(envelope)
        return self._shown_envelope

    @property
    def size(self) -> int:
        """Bytes of the whole message as it arrived, with CRLF and the blank line."""
        return self.header_size + 2 + self.body_size

    @property
    def known_size(self) -> int | None:
        """The same, or None where the MTA was asked to leave a part of the message out."""
        return self.size if self.headers_seen and self.body_seen and not self.body_cut else None


def tls_of(macros: Mapping[bytes, bytes]) -> r.Tls | None:
    """The TLS facts among the macros, None where the client uses none."""
    version = macros.get(b"tls_version")
    if not version:
        return None
    bits = macros.get(b"cipher_bits", b"")
    subject, issuer = macros.get(b"cert_subject"), macros.get(b"cert_issuer")
    return r.Tls(
        version=readable(version),
        cipher=optional(macros.get(b"cipher")),
        bits=int(bits) if bits.isdigit() else None,
        cert_subject=optional(subject),
        cert_issuer=optional(issuer),
        cert_subject_base64=exact(subject or b""),
        cert_issuer_base64=exact(issuer or b""),
    )


def auth_of(macros: Mapping[bytes, bytes]) -> r.Auth | None:
    """The AUTH facts among the macros, None where the client did not authenticate."""
    user, mechanism, author = (macros.get(name) for name in (b"auth_authen", b"auth_type", b"auth_author"))
    if not user and not mechanism:
        return None
    return r.Auth(
        mechanism=optional(mechanism),
        user=optional(user),
        author=optional(author),
        user_base64=exact(user or b""),
        author_base64=exact(author or b""),
    )


def optional(raw: bytes | None) -> str | None:
    """Text, or None where the fact is missing or empty."""
    return readable(raw) if raw else None


def _client_of(session: SessionFacts) -> r.Client:
    """The SMTP client as JSON."""
    connect = session.connect
    name, name_base64 = both(connect.hostname) if connect else (None, UNSET)
    address, address_base64 = both(connect.address) if connect and connect.address is not None else (None, UNSET)
    helo, helo_base64 = both(session.helo) if session.helo is not None else (None, UNSET)
    return r.Client(
        name=name,
        address=address,
        port=session.client_port,
        family=session.client_family,
        helo=helo,
        name_base64=name_base64,
        address_base64=address_base64,
        helo_base64=helo_base64,
    )


class Disconnected(Struct, frozen=True):
    """The end of an SMTP session; `cause` is quit, eof, error or shutdown."""

    cause: str
    duration_ms: int
