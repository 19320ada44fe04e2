"""Counts what happens and hands it on to the log."""

from gateway.contract.words import Action, Event
from gateway.metrics.counters import Counters, Histogram, add
from gateway.milter.messages import ReplyCode
from gateway.observe import LogObserver
from gateway.policy.rules import Exchange
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
        add(counters.calls, (webhook, exchange.event, exchange.cause or "ok"))
        add(counters.attempts, (webhook,), exchange.attempts)
        histogram = counters.latencies.get(webhook)
        if histogram is None:
            histogram = counters.latencies[webhook] = Histogram()
        histogram.add(exchange.elapsed_ms / 1000)

    def fell_back(
        self,
        session: SessionFacts,
        transaction: TransactionFacts | None,
        *,
        webhook: str,
        event: Event,
        cause: str,
        reason: str,
        applied: str,
    ) -> None:
        """Count what was applied in place of an answer."""
        add(self.counters.fallbacks, (webhook, event, applied))
        super().fell_back(
            session, transaction, webhook=webhook, event=event, cause=cause, reason=reason, applied=applied
        )

    def decided(
        self,
        session: SessionFacts,
        transaction: TransactionFacts | None,
        *,
        event: Event,
        action: Action,
        reply: ReplyCode | None,
        webhook: str | None,
        changes: int,
        held: bool,
    ) -> None:
        """Count a final answer."""
        counters = self.counters
        add(counters.decisions, (event, action))
        counters.changes += changes
        counters.quarantined += held
        super().decided(
            session,
            transaction,
            event=event,
            action=action,
            reply=reply,
            webhook=webhook,
            changes=changes,
            held=held,
        )
