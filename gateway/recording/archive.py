"""What is kept in memory: the latest sessions, transactions and exchanges, within number, bytes and age."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from statistics import quantiles

from msgspec import Struct

from gateway.recording.attempts import Attempts
from gateway.recording.feed import Feed
from gateway.recording.records import Exchange, Kept, Session, Transaction, Webhook, moment, row, session_row, summary

_LATENCIES = 500
"""Calls from which a webhook's percentiles are made."""


class Bounds(Struct, frozen=True):
    """How much is kept: exchanges (and as many transactions and sessions), bytes of bodies, seconds."""

    count: int = 1000
    bytes: int = 64 * 1024 * 1024
    seconds: float = 86400.0


class Health:
    """How the calls of one webhook went."""

    def __init__(self) -> None:
        self.calls = 0
        self.failures = 0
        self.last_failure: tuple[float, str] | None = None
        self.last_ok: float | None = None
        self._latencies: deque[float] = deque(maxlen=_LATENCIES)

    def count(self, exchange: Exchange) -> None:
        """Take a call in."""
        self.calls += 1
        self._latencies.append(exchange.elapsed_ms)
        if exchange.failure is None:
            self.last_ok = exchange.time
        else:
            self.failures += 1
            self.last_failure = (exchange.time, exchange.failure)

    def json(self) -> dict[str, object]:
        """For the API."""
        found = sorted(self._latencies)
        cuts = quantiles(found, n=20) if len(found) > 1 else (found or [0.0]) * 19
        failure = None
        if self.last_failure is not None:
            failure = {"time": moment(self.last_failure[0]), "reason": self.last_failure[1]}
        return {
            "calls": self.calls,
            "failures": self.failures,
            "last_failure": failure,
            "last_ok": moment(self.last_ok),
            "p50_ms": round(cuts[9], 2) if found else None,
            "p95_ms": round(cuts[18], 2) if found else None,
        }


class Archive:
    """A `Keeper` in memory. What is oldest goes first."""

    def __init__(self, bounds: Bounds, *, recording: bool, clock: Callable[[], float] = time.time) -> None:
        self.recording = recording
        """Whether bodies are kept."""
        self.feed = Feed()
        self.attempts = Attempts()
        self._bounds = bounds
        self._clock = clock
        self._webhooks: tuple[Webhook, ...] = ()
        self._health: dict[str, Health] = {}
        self._exchanges: dict[str, Exchange] = {}
        self._transactions: dict[str, Transaction] = {}
        self._sessions: dict[str, Session] = {}
        self._of_transaction: dict[str, list[str]] = {}
        self._of_session: dict[str, list[str]] = {}
        self._bytes = 0

    # what comes in

    def configured(self, webhooks: Sequence[Webhook]) -> None:
        """These webhooks are asked from now on."""
        self._webhooks = tuple(webhooks)

    def keep(self, what: Kept) -> None:
        """See `Keeper`."""
        if isinstance(what, Exchange):
            self._keep_exchange(what)
        elif isinstance(what, Transaction):
            self._keep_transaction(what)
        else:
            self._sessions.pop(what.session_id, None) if what.ended is None else None
            self._sessions[what.session_id] = what
            if self.feed.watched:
                self.feed.say("session", session_row(what))
        self._forget_the_oldest()

    def _keep_exchange(self, exchange: Exchange) -> None:
        self._exchanges[exchange.id] = exchange
        self._bytes += exchange.size
        if exchange.transaction_id is not None:
            self._of_transaction.setdefault(exchange.transaction_id, []).append(exchange.id)
        self._health.setdefault(exchange.webhook, Health()).count(exchange)
        if self.feed.watched:
            self.feed.say("exchange", summary(exchange))

    def _keep_transaction(self, transaction: Transaction) -> None:
        known = self._transactions.get(transaction.transaction_id)
        if known is None:
            self._of_session.setdefault(transaction.session_id, []).append(transaction.transaction_id)
        if transaction.ended is not None:
            self._bytes += transaction.kept_bytes
        self._transactions[transaction.transaction_id] = transaction
        if self.feed.watched:
            self.feed.say("transaction", row(transaction))

    # what goes

    def _forget_the_oldest(self) -> None:
        bounds, oldest = self._bounds, self._clock() - self._bounds.seconds
        while self._exchanges:
            first = next(iter(self._exchanges.values()))
            if len(self._exchanges) <= bounds.count and first.time >= oldest:
                break
            self._forget_exchange(first)
        while self._transactions:
            row = next(iter(self._transactions.values()))
            if len(self._transactions) <= bounds.count and row.began >= oldest:
                break
            self._forget_transaction(row)
        while self._bytes > bounds.bytes and (self._exchanges or self._transactions):
            self._forget_the_older()
        while self._sessions:
            session = next(iter(self._sessions.values()))
            if len(self._sessions) <= bounds.count and session.began >= oldest:
                break
            del self._sessions[session.session_id]
            self._of_session.pop(session.session_id, None)

    def _forget_the_older(self) -> None:
        """Of the oldest exchange and the oldest transaction, whichever came first."""
        exchange, row = next(iter(self._exchanges.values()), None), next(iter(self._transactions.values()), None)
        if exchange is not None and (row is None or exchange.time <= row.began):
            self._forget_exchange(exchange)
        elif row is not None:
            self._forget_transaction(row)

    def _forget_exchange(self, exchange: Exchange) -> None:
        del self._exchanges[exchange.id]
        self._bytes -= exchange.size
        if exchange.transaction_id is not None:
            left = self._of_transaction.get(exchange.transaction_id, [])
            if exchange.id in left:
                left.remove(exchange.id)
            if not left:
                self._of_transaction.pop(exchange.transaction_id, None)

    def _forget_transaction(self, transaction: Transaction) -> None:
        del self._transactions[transaction.transaction_id]
        if transaction.ended is not None:
            self._bytes -= transaction.kept_bytes
        siblings = self._of_session.get(transaction.session_id, [])
        if transaction.transaction_id in siblings:
            siblings.remove(transaction.transaction_id)

    # what is asked for

    @property
    def record_bytes(self) -> int:
        """What all bodies may take; 0 where none are kept."""
        return self._bounds.bytes if self.recording else 0

    @property
    def kept_bytes(self) -> int:
        """Bytes of bodies that are kept now."""
        return self._bytes

    @property
    def webhooks(self) -> tuple[Webhook, ...]:
        """Those that are configured."""
        return self._webhooks

    def webhook(self, name: str) -> Webhook | None:
        """One of them."""
        return next((item for item in self._webhooks if item.name == name), None)

    def health(self, name: str) -> dict[str, object]:
        """How the calls of a webhook went."""
        return self._health.get(name, Health()).json()

    def exchange(self, number: str) -> Exchange | None:
        """One exchange by its id."""
        self._forget_the_oldest()
        return self._exchanges.get(number)

    def exchanges(self) -> Iterator[Exchange]:
        """All, the newest first."""
        self._forget_the_oldest()
        return iter(list(reversed(self._exchanges.values())))

    def transaction(self, number: str) -> Transaction | None:
        """One transaction by its id."""
        self._forget_the_oldest()
        return self._transactions.get(number)

    def exchanges_of(self, transaction: str) -> list[Exchange]:
        """The exchanges of a transaction, the oldest first."""
        return [self._exchanges[item] for item in self._of_transaction.get(transaction, ()) if item in self._exchanges]

    def sessions(self) -> Iterator[tuple[Session, list[Transaction]]]:
        """All, the newest first, with their transactions."""
        self._forget_the_oldest()
        for session in list(reversed(self._sessions.values())):
            numbers = self._of_session.get(session.session_id, ())
            yield session, [self._transactions[item] for item in numbers if item in self._transactions]
