"""Counts what happens and hands it on to the log."""

from gateway.metrics.counters import Counters, Histogram, add
from gateway.observe import LogObserver
from gateway.policy.rules import Exchange, Fallback, Settled
from gateway.translate.facts import SessionFacts, TransactionFacts


class CountingObserver(LogObserver):
    """A `LogObserver` that keeps count."""

    def __init__(self, counters: Counters) -> None:
        super().__init__()
        self.counters = counters

    def began(self, session: SessionFacts) -> None:
        """Count an SMTP session."""
        self.counters.sessions += 1

    def exchanged(self, session: SessionFacts, transaction: TransactionFacts | None, exchange: Exchange) -> None:
        """Count a call."""
        counters, webhook = self.counters, exchange.webhook
        call, attempts = (webhook, exchange.event, exchange.cause or "ok"), (webhook,)
        counters.calls[call] = counters.calls.get(call, 0) + 1
        counters.attempts[attempts] = counters.attempts.get(attempts, 0) + exchange.attempts
        histogram = counters.latencies.get(webhook)
        if histogram is None:
            histogram = counters.latencies[webhook] = Histogram()
        histogram.add(exchange.elapsed_ms / 1000)

    def fell_back(self, session: SessionFacts, transaction: TransactionFacts | None, fallback: Fallback) -> None:
        """Count what was applied in place of an answer."""
        add(self.counters.fallbacks, (fallback.webhook, fallback.event, fallback.applied))
        super().fell_back(session, transaction, fallback)

    def decided(self, session: SessionFacts, transaction: TransactionFacts | None, settled: Settled) -> None:
        """Count a final answer."""
        counters = self.counters
        add(counters.decisions, (settled.event, settled.action))
        counters.changes += settled.changes
        counters.quarantined += settled.held
        super().decided(session, transaction, settled)
