"""A simulated mail as JSON: the real conversation on one end of a socket pair, a playing MTA on the other."""

import asyncio
import socket
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import structlog

from gateway.mta.mail import Mail
from gateway.mta.player import Played, Player, PlayError, Timeouts
from gateway.mta.report import report
from gateway.observe import LogObserver
from gateway.policy.conversation import Conversation
from gateway.policy.rules import Bounds, Exchange, Observer, Settled
from gateway.policy.setup import Setup
from gateway.recording import Archive, Recorder
from gateway.server.connection import Connection, Timing
from gateway.translate.facts import SessionFacts, TransactionFacts

_GRACE_SECONDS = 10.0


class UnknownWebhookError(LookupError):
    """The query names a webhook that is not configured."""


@dataclass(frozen=True, slots=True)
class SimulatedMail:
    """What is to be tried, on all webhooks or on one of them."""

    raw: bytes
    sender: str
    recipients: tuple[str, ...]
    helo: str
    client: str
    webhook: str | None = None


@dataclass
class ExchangeRecorder(LogObserver):
    """Keeps the exchanges of one simulation beside the log."""

    exchanges: list[dict[str, Any]] = field(default_factory=list)
    session_id: str | None = None
    transaction_id: str | None = None

    def __post_init__(self) -> None:
        """Set up the log."""
        super().__init__()

    def exchanged(self, session: SessionFacts, transaction: TransactionFacts | None, exchange: Exchange) -> None:
        """Keep it."""
        super().exchanged(session, transaction, exchange)
        self._belongs(session, transaction)
        self.exchanges.append(
            {
                "id": exchange.call_id,
                "webhook": exchange.webhook,
                "event": exchange.event,
                "request": _json(exchange.request),
                "status": exchange.status,
                "response": _json(exchange.response),
                "action": exchange.action or None,
                "failure": exchange.failure,
                "attempts": exchange.attempts,
                "elapsed_ms": round(exchange.elapsed_ms, 1),
            }
        )

    def decided(self, session: SessionFacts, transaction: TransactionFacts | None, settled: Settled) -> None:
        """See `Observer`: where nobody was asked, this says which transaction it was."""
        super().decided(session, transaction, settled)
        self._belongs(session, transaction)

    def _belongs(self, session: SessionFacts, transaction: TransactionFacts | None) -> None:
        self.session_id = session.id
        self.transaction_id = transaction.id if transaction else self.transaction_id


async def simulate_mail(setup: Setup, mail: SimulatedMail, archive: Archive | None = None) -> dict[str, Any]:
    """Play the mail; `archive` keeps what happened, marked as simulated.

    Raises UnknownWebhookError, and ValueError where it is no mail that SMTP could carry.
    """
    webhooks = tuple(item for item in setup.webhooks if mail.webhook in (None, item.name))
    if not webhooks:
        raise UnknownWebhookError(f"no webhook is called {mail.webhook!r}")
    recorder = ExchangeRecorder()
    observer: Observer = recorder
    if archive is not None:
        observer = Recorder(
            recorder, archive, record_bytes=archive.record_bytes, attempts=archive.attempts, simulated=True
        )
    dry = replace(setup, webhooks=webhooks, dry_run=True)
    played_mail = Mail(mail.raw, mail.sender, mail.recipients, mail.helo, mail.client)
    with structlog.contextvars.bound_contextvars(simulation=True):  # so that nobody takes its log lines for mail
        played = await play_in_process(dry, observer, played_mail)
    numbers = {"session_id": recorder.session_id, "transaction_id": recorder.transaction_id}
    return {**report(played), **numbers, "exchanges": recorder.exchanges}


async def play_in_process(setup: Setup, observer: Observer, mail: Mail) -> Played | PlayError:
    """Play a mail through a conversation of its own, over a socket pair."""
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def connection() -> Connection:
        return Connection(lambda: Conversation(setup, observer), setup.bounds, Timing(), lambda _: ended.set())

    transport, _ = await loop.connect_accepted_socket(connection, ours)
    reader, writer = await asyncio.open_connection(sock=theirs)
    try:
        return await Player(reader, writer, timeouts=_timeouts(setup.bounds)).play(mail)
    except PlayError as error:
        return error
    finally:
        writer.close()
        await ended.wait()
        transport.close()


def _timeouts(bounds: Bounds) -> Timeouts:
    """Longer than the conversation's own deadlines, so that those decide."""
    return Timeouts(bounds.command_seconds + _GRACE_SECONDS, bounds.end_of_message_seconds + _GRACE_SECONDS)


def _json(raw: bytes | None) -> Any:
    """JSON as a value, anything else as text."""
    if not raw:
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return raw.decode("utf-8", "replace")
