"""The observer that turns the facts of the policy into records, and hands them on to the log beside.

What costs time is done only where bodies are recorded; otherwise a call costs one small value.
"""

import time
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Concatenate, ParamSpec

import msgspec
import structlog

from gateway.contract.words import Action, Event
from gateway.mail.fields import Field, header_bytes
from gateway.milter.messages import ReplyCode
from gateway.milter.smtp_reply import read_reply
from gateway.policy import rules
from gateway.recording.attempts import Attempts, remember
from gateway.recording.records import Client, Exchange, Keeper, Reply, Session, Transaction
from gateway.translate.facts import SessionFacts, TransactionFacts
from gateway.translate.mime import words
from gateway.translate.text import readable

Facts = ParamSpec("Facts")

_BODY_SHARE = 8
"""One message or body takes at most this part of what all may take."""

_VERDICTS: Mapping[Action, str] = {
    Action.ACCEPT: "accepted",
    Action.REJECT: "rejected",
    Action.TEMPFAIL: "tempfailed",
    Action.DISCONNECT: "tempfailed",
    Action.DISCARD: "discarded",
}
_OF_THE_SESSION = (Event.CONNECT, Event.HELO)
_GOES_ON = (Event.RCPT, Event.DATA, Event.UNKNOWN)
"""A refusal at these does not end the transaction."""


def _told(record: Callable[Concatenate["Recorder", Facts], None]) -> Callable[Concatenate["Recorder", Facts], None]:
    """Tell the inner observer first, then record. Never raises by itself: a fault of ours costs a record, not mail."""

    @wraps(record)
    def told(recorder: "Recorder", /, *args: Facts.args, **kwargs: Facts.kwargs) -> None:
        getattr(recorder.inner, record.__name__)(*args, **kwargs)
        try:
            record(recorder, *args, **kwargs)
        except Exception:  # noqa: BLE001 - see above
            recorder.complain()

    return told


class Recorder:
    """An `Observer` in front of another one.

    Args:
        inner: told everything first.
        keeper: takes the records.
        record_bytes: how much all bodies may take; 0: no bodies, no subjects.
        attempts: what the webhook clients told, where others use the same clients.
        simulated: whether this is no real mail.
        clock: seconds since 1970.

    """

    def __init__(
        self,
        inner: rules.Observer,
        keeper: Keeper,
        *,
        record_bytes: int = 0,
        attempts: Attempts | None = None,
        simulated: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.inner = inner
        self._log = structlog.get_logger("gateway")
        self._complained = False
        self._keeper = keeper
        self._attempts = attempts or Attempts()
        self.attempted = self._attempts.attempted
        """Told by the webhook clients."""
        self._body_limit = record_bytes // _BODY_SHARE
        self._simulated = simulated
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._transactions: dict[str, Transaction] = {}

    def complain(self) -> None:
        """Log the exception of now, where it is the first one."""
        if not self._complained:
            self._log.exception("something could not be recorded: what is kept has gaps, mail is not touched by that")
        self._complained = True

    # Observer

    def began(self, session: SessionFacts) -> None:
        """See `Observer`."""
        self.inner.began(session)

    @_told
    def exchanged(self, session: SessionFacts, transaction: TransactionFacts | None, exchange: rules.Exchange) -> None:
        """See `Observer`: keep the exchange."""
        self._session(session)
        request, response = exchange.request, exchange.response
        kept = Exchange(
            id=exchange.call_id,
            time=self._clock() - exchange.elapsed_ms / 1000,
            session_id=session.id,
            transaction_id=transaction.id if transaction else None,
            webhook=exchange.webhook,
            event=exchange.event.value,
            status=exchange.status,
            action=exchange.action,
            failure=exchange.failure,
            cause=exchange.cause,
            attempts=exchange.attempts,
            elapsed_ms=exchange.elapsed_ms,
            dry_run=exchange.dry_run,
            simulated=self._simulated,
            content_type=exchange.content_type,
            answer_type=exchange.answer_type,
            request_bytes=None if request is None else len(request),
            response_bytes=len(response),
            request=self._if_recorded(request),
            response=self._if_recorded(response),
            tries=self._attempts.take(exchange.call_id),
        )
        self._keeper.keep(kept)
        if transaction is not None:
            row = self._transaction(session, transaction)
            row.latency_ms += exchange.elapsed_ms
            row.failures += exchange.failure is not None
            if exchange.webhook not in row.webhooks:
                row.webhooks.append(exchange.webhook)

    @_told
    def fell_back(self, session: SessionFacts, transaction: TransactionFacts | None, fallback: rules.Fallback) -> None:
        """See `Observer`: the policy that took the place of an answer is the reason."""
        if transaction is not None:
            row = self._transaction(session, transaction)
            row.reason = f"{fallback.webhook}: {fallback.reason}; {fallback.applied} was applied ({fallback.cause})"

    def warned(self, session: SessionFacts, transaction: TransactionFacts | None, webhook: str, text: str) -> None:
        """See `Observer`."""
        self.inner.warned(session, transaction, webhook, text)

    @_told
    def noted(
        self,
        session: SessionFacts,
        transaction: TransactionFacts | None,
        webhook: str,
        annotations: Mapping[str, object],
    ) -> None:
        """See `Observer`: annotations of one transaction, by webhook."""
        if transaction is not None:
            self._transaction(session, transaction).annotations.setdefault(webhook, {}).update(annotations)

    @_told
    def decided(self, session: SessionFacts, transaction: TransactionFacts | None, settled: rules.Settled) -> None:
        """See `Observer`: the verdict."""
        if transaction is None or settled.event in _OF_THE_SESSION:
            self._session(session).refused = _reply(settled.reply)
            self._keeper.keep(self._session(session))
            return
        row = self._transaction(session, transaction)
        row.reply, row.decided_by = _reply(settled.reply), settled.webhook
        row.changes = settled.changes
        if settled.event in _GOES_ON and settled.action is not Action.DISCARD:
            self._keeper.keep(row)
            return
        row.verdict = "quarantined" if settled.held else _VERDICTS[settled.action]
        if self._body_limit:
            self._take_message(row, transaction, accepted=settled.action is Action.ACCEPT)
        self._end(row)

    @_told
    def aborted(self, session: SessionFacts, transaction: TransactionFacts) -> None:
        """See `Observer`: the client, or the MTA, broke off; where all recipients were refused, that is the verdict."""
        row = self._transactions.get(transaction.id)
        if row is None:
            return
        row.verdict = "aborted"
        if row.reply is not None and not transaction.recipients:
            row.verdict = "rejected" if row.reply.code >= 500 else "tempfailed"
        self._end(row)

    @_told
    def ended(self, session: SessionFacts, cause: str) -> None:
        """See `Observer`."""
        known = self._sessions.pop(session.id, None)
        if known is not None:
            known.ended, known.cause = self._clock(), cause
            self._keeper.keep(known)

    # records under way

    def _session(self, session: SessionFacts) -> Session:
        known = self._sessions.get(session.id)
        if known is None:
            mta = {name: session.macro_texts.get(macro) for name, macro in _MTA.items()}
            known = Session(session.id, self._clock(), None, mta, self._simulated)
            remember(self._sessions, session.id, known)
            self._keeper.keep(known)
        if known.client is None and session.connect is not None:
            known.client = msgspec.to_builtins(session.client)
            self._keeper.keep(known)
        return known

    def _transaction(self, session: SessionFacts, transaction: TransactionFacts) -> Transaction:
        known = self._transactions.get(transaction.id)
        if known is None:
            self._session(session)
            client = Client(session.client.name, session.client.address, session.client.helo)
            known = Transaction(transaction.id, session.id, self._clock(), client, self._simulated)
            remember(self._transactions, transaction.id, known)
            _see(known, transaction)
            self._keeper.keep(known)
        _see(known, transaction)
        return known

    def _end(self, row: Transaction) -> None:
        row.ended = self._clock()
        self._transactions.pop(row.transaction_id, None)
        self._keeper.keep(row)

    # bodies

    def _if_recorded(self, body: bytes | None) -> bytes | None:
        return body if body is not None and len(body) <= self._body_limit else None

    def _take_message(self, row: Transaction, transaction: TransactionFacts, *, accepted: bool) -> None:
        """Keep the message as it arrived and as it was handed back; of one that nobody asked for whole, the header."""
        fields = transaction.fields
        subjects = (item.arrived for item in fields if item.arrived is not None and item.named(b"subject"))
        row.subject = _decoded(next(subjects, None))
        row.whole = transaction.known_size is not None and (transaction.body is not None or not transaction.body_size)
        body = transaction.body.in_memory() if row.whole and transaction.body is not None else b""
        if body is None or not transaction.headers_seen or transaction.too_large or transaction.size > self._body_limit:
            return
        arrived = [Field(item.name, item.arrived) for item in fields if item.arrived is not None]
        row.received = row.changed = header_bytes(arrived) + body
        draft = transaction.draft
        if accepted and draft is not None:
            row.changed = header_bytes(draft.shown()) + (body if draft.body is None else draft.body)


_MTA = {"name": "j", "software": "v", "daemon": "{daemon_name}"}


def _see(row: Transaction, transaction: TransactionFacts) -> None:
    """Take over what is known by now."""
    row.queue_id = readable(transaction.queue_id) if transaction.queue_id else row.queue_id
    row.size = transaction.known_size
    envelope = transaction.envelope()
    row.sender = envelope.sender.address if envelope.sender else None
    if envelope.to:
        row.recipients = [item.address for item in envelope.to]


def _decoded(value: bytes | None) -> str | None:
    """A field's value for people: one line, encoded words (RFC 2047) as text, broken ones as they stand."""
    return None if value is None else words(b" ".join(value.split()).decode("latin-1"), lambda _: None)


def _reply(reply: ReplyCode | None) -> Reply | None:
    if reply is None:
        return None
    code, enhanced, lines = read_reply(reply)
    return Reply(code, enhanced, "\n".join(lines))
