"""The settings of one webhook as the policy needs them, and the seams to its neighbours."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from gateway.contract.words import Action, Event
from gateway.milter.messages import ReplyCode
from gateway.policy.when import ALWAYS, When
from gateway.translate.facts import MailBody, SessionFacts, TransactionFacts
from gateway.webhook import Answer, Call, Secrecy


class OnFailure(StrEnum):
    """What applies where a webhook gives no usable answer."""

    TEMPFAIL = "tempfail"
    CONTINUE = "continue"
    REJECT = "reject"
    QUARANTINE = "quarantine"


class OnTooLarge(StrEnum):
    """What applies where a message is over `message_bytes`."""

    TEMPFAIL = "tempfail"
    CONTINUE = "continue"
    TRUNCATE = "truncate"
    HEADERS = "headers"


class Asker(Protocol):
    """The webhook client. Raises WebhookError and nothing else."""

    async def call(self, call: Call) -> Answer:
        """Ask the backend."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook. Times in seconds, sizes in bytes; `allow` None allows everything."""

    name: str
    client: Asker
    events: frozenset[Event] = frozenset(Event)
    headers: bool = True
    body: bool = True
    parsed: bool = False
    multipart: bool = False
    streams: bool = False
    """Whether a multipart call may begin before the message is complete: it may not where calls are signed."""
    rejected_recipients: bool = False
    when: When = ALWAYS
    timeout_seconds: float = 8.0
    timeout_end_of_message_seconds: float = 120.0
    on_failure: Mapping[Event, OnFailure] = field(default_factory=dict)
    on_invalid: Mapping[Event, OnFailure] = field(default_factory=dict)
    on_too_large: OnTooLarge = OnTooLarge.TEMPFAIL
    allow: frozenset[str] | None = None
    secrecy: Secrecy = field(default_factory=Secrecy)
    """Hides what it must not say again from all who are told what happened."""

    @property
    def shows_body(self) -> bool:
        """Whether its request at the end of the message carries the body."""
        return self.body or self.multipart

    @property
    def needs_body(self) -> bool:
        """Whether the body must be there for that request, shown or not."""
        return self.shows_body or self.parsed

    @property
    def needs_header(self) -> bool:
        """Likewise the header."""
        return self.headers or self.multipart or self.parsed


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits on what one session may hold."""

    message_bytes: int = 50 * 1024 * 1024
    recipients: int = 10_000
    headers: int = 10_000
    context_bytes: int = 64 * 1024
    command_seconds: float = 9.0
    end_of_message_seconds: float = 240.0


class StoredBody(MailBody, Protocol):
    """A body that is still arriving."""

    def append(self, chunk: bytes) -> None:
        """Take a chunk."""

    @property
    def wants_flush(self) -> bool:
        """Whether `flush` should run before the next chunk is taken."""

    @property
    def written(self) -> int:
        """Bytes that are on the disk."""

    @property
    def unwritten(self) -> bool:
        """Whether anything waits for the disk."""

    async def flush(self) -> None:
        """Write to disk what waits for it. Raises OSError."""

    def follow(self) -> AsyncIterator[bytes]:
        """The body from its beginning while it still grows on the disk, until `complete`."""

    def complete(self) -> None:
        """Nothing more will come."""

    def close(self) -> None:
        """Forget the body."""


class Exchange(Struct, frozen=True):
    """One event put to one webhook: what was asked and what came of it."""

    webhook: str
    event: Event
    call_id: str
    request: bytes | None
    """None where the body was streamed."""
    status: int | None
    response: bytes
    action: str
    failure: str | None
    attempts: int
    elapsed_ms: float
    cause: str = ""
    """The kind of the failure, empty where there was none."""
    content_type: str = ""
    """Of the request."""
    answer_type: str = ""
    """The content type of the answer."""
    dry_run: bool = False


class Fallback(Struct, frozen=True):
    """What was applied where a webhook gave no usable answer."""

    webhook: str
    event: Event
    cause: str
    reason: str
    applied: str


class Settled(Struct, frozen=True):
    """A final answer: what the MTA was told, and by whose will (None: all let it pass)."""

    event: Event
    action: Action
    reply: ReplyCode | None
    webhook: str | None
    changes: int = 0
    held: bool = False


class Observer(Protocol):
    """Who is told what happened; one method for each fact."""

    def began(self, session: SessionFacts) -> None:
        """An SMTP session began: the terms with the MTA are settled."""

    def exchanged(self, session: SessionFacts, transaction: TransactionFacts | None, exchange: Exchange) -> None:
        """A webhook was asked and has answered, or has failed."""

    def fell_back(self, session: SessionFacts, transaction: TransactionFacts | None, fallback: Fallback) -> None:
        """A webhook gave no usable answer, and a policy took its place."""

    def warned(self, session: SessionFacts, transaction: TransactionFacts | None, webhook: str, text: str) -> None:
        """Something that an operator should know."""

    def noted(
        self,
        session: SessionFacts,
        transaction: TransactionFacts | None,
        webhook: str,
        annotations: Mapping[str, object],
    ) -> None:
        """A webhook annotated the transaction, or the session before it."""

    def decided(self, session: SessionFacts, transaction: TransactionFacts | None, settled: Settled) -> None:
        """The transaction, or an earlier event, got its final answer."""

    def aborted(self, session: SessionFacts, transaction: TransactionFacts) -> None:
        """The transaction ended without a final answer."""

    def ended(self, session: SessionFacts, cause: str) -> None:
        """The SMTP session is over: quit, eof, error or shutdown."""
