"""Log lines: one method for each fact, so that lines cannot drift apart.

A line says session, queue id, webhook, event and cause; it never holds what the mail says.
"""

from collections.abc import Mapping
from typing import Any

import structlog

from gateway.milter.messages import ReplyCode
from gateway.policy.rules import Exchange, Fallback, Settled
from gateway.translate.facts import SessionFacts, TransactionFacts
from gateway.translate.text import readable
from gateway.webhook import WebhookError


class LogObserver:
    """Writes what happened to the log."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("gateway").bind()

    def began(self, session: SessionFacts) -> None:
        """Say nothing: most sessions are not worth a line."""

    def exchanged(self, session: SessionFacts, transaction: TransactionFacts | None, exchange: Exchange) -> None:
        """Keep no exchange: the log tells decisions and failures."""

    def fell_back(self, session: SessionFacts, transaction: TransactionFacts | None, fallback: Fallback) -> None:
        """Log that a webhook gave no usable answer and what was done instead."""
        self._log.warning(
            "webhook failed",
            **_where(session, transaction),
            webhook=fallback.webhook,
            event_name=fallback.event.value,
            cause=fallback.cause,
            reason=fallback.reason,
            applied=str(fallback.applied),
        )

    def warned(self, session: SessionFacts, transaction: TransactionFacts | None, webhook: str, text: str) -> None:
        """Log a warning: the backend's own, or ours about it."""
        self._log.warning("webhook warning", **_where(session, transaction), webhook=webhook, text=text)

    def noted(
        self,
        session: SessionFacts,
        transaction: TransactionFacts | None,
        webhook: str,
        annotations: Mapping[str, object],
    ) -> None:
        """Log what a webhook annotated."""
        self._log.info("annotations", **_where(session, transaction), webhook=webhook, annotations=dict(annotations))

    def decided(self, session: SessionFacts, transaction: TransactionFacts | None, settled: Settled) -> None:
        """Log a final answer."""
        self._log.info(
            "decided",
            **_where(session, transaction),
            event_name=settled.event.value,
            action=settled.action.value,
            reply=_as_told(settled.reply) if settled.reply else None,
            webhook=settled.webhook,
            changes=settled.changes,
            quarantined=settled.held,
            size=transaction.known_size if transaction else None,
            recipients=len(transaction.recipients) if transaction else None,
        )

    def aborted(self, session: SessionFacts, transaction: TransactionFacts) -> None:
        """Say nothing: clients break off every day."""

    def ended(self, session: SessionFacts, cause: str) -> None:
        """Say nothing."""


def log_alternative(webhook: str, url: str, failure: WebhookError | None) -> None:
    """Log that one of several URLs of a webhook is left aside, or works again."""
    log = structlog.get_logger("gateway")
    if failure is None:
        log.info("webhook url works again", webhook=webhook, url=url)
    else:
        log.warning("webhook url left aside", webhook=webhook, url=url, cause=str(failure.cause), reason=str(failure))


def log_circuit(webhook: str, failure: WebhookError | None) -> None:
    """Log that the circuit of a webhook opens or closes."""
    log = structlog.get_logger("gateway")
    if failure is None:
        log.info("webhook works again: its circuit is closed", webhook=webhook)
    else:
        log.warning(
            "webhook fails: its circuit opens, on_failure decides without a call",
            webhook=webhook,
            cause=str(failure.cause),
            reason=str(failure),
        )


def _as_told(reply: ReplyCode) -> str:
    """The reply as the SMTP client gets it: the doubling of `%` is the wire's own."""
    return readable(reply.text.replace(b"%%", b"%"))


def _where(session: SessionFacts, transaction: TransactionFacts | None) -> dict[str, Any]:
    queue_id = transaction.queue_id if transaction else None
    return {"session": session.id, "queue_id": readable(queue_id) if queue_id else None}
