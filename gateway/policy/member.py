"""One webhook within one SMTP session: its agreed terms, its context, how much more it wants."""

from msgspec import Raw

from gateway.contract.words import SESSION_GATES, Action, Event
from gateway.policy.member_terms import NO_WISHES, unsettled_terms
from gateway.policy.rules import Webhook
from gateway.translate.answer import Judgement
from gateway.translate.render import NULL

_ORDER = {event: number for number, event in enumerate(Event)}
_OF_A_TRANSACTION = frozenset(
    (
        Event.MAIL,
        Event.RCPT,
        Event.DATA,
        Event.HEADER,
        Event.END_OF_HEADERS,
        Event.BODY,
        Event.END_OF_MESSAGE,
        Event.ABORT,
    )
)
_REPEATED = frozenset((Event.HELO, Event.RCPT, Event.HEADER, Event.BODY))


class Member:
    """A webhook and what this session knows of it."""

    __slots__ = (
        "_left_session",
        "_left_transaction",
        "_next",
        "_skipped",
        "annotations",
        "session_context",
        "terms",
        "transaction_context",
        "webhook",
        "wishes",
    )

    def __init__(self, webhook: Webhook) -> None:
        self.webhook = webhook
        self.terms = unsettled_terms(webhook)
        self.wishes = NO_WISHES
        self.begin_session()

    def begin_transaction(self) -> None:
        """A new transaction begins, or the last one has ended: nothing of it is kept."""
        self.transaction_context: Raw = NULL
        self.annotations: dict[str, str | bool | int | float] = {}
        self._left_transaction = False
        self._next: frozenset[Event] | None = None
        self._skipped: frozenset[Event] = frozenset()

    def begin_session(self) -> None:
        """Begin an SMTP session; on one connection there may be several on the same agreed terms (QUIT_NC)."""
        self.session_context = NULL
        self._left_session = False
        self.begin_transaction()

    def wants(self, event: Event) -> bool:
        """Whether it is to be asked at this event, conditions aside."""
        if event not in self.terms.events or self._left_session:
            return False
        if event not in _OF_A_TRANSACTION:
            return True
        return not self._left_transaction and (self._next is None or event in self._next) and event not in self._skipped

    def wants_more(self, after: Event) -> bool:
        """Whether it may be asked again: in this transaction, or at connect and helo in this session."""
        again = (after,) if after in _REPEATED else ()
        if after in SESSION_GATES:
            return any(self.wants(event) for event in Event if _ORDER[event] > _ORDER[after] or event in again)
        later = (event for event in _OF_A_TRANSACTION if _ORDER[event] > _ORDER[after])
        return any(self.wants(event) for event in (*later, *again))

    def needs_body(self) -> bool:
        """Whether it still needs chunks of the body, or the whole of it at the end."""
        return (self.webhook.needs_body and self.wants(Event.END_OF_MESSAGE)) or self.wants(Event.BODY)

    def take(self, event: Event, judgement: Judgement) -> None:
        """Remember what an answer says beyond its verdict and its changes."""
        if isinstance(judgement.session_context, Raw):
            self.session_context = judgement.session_context
        if isinstance(judgement.transaction_context, Raw):
            self.transaction_context = judgement.transaction_context
        self.annotations.update(judgement.annotations)
        if judgement.next is not None and event in _OF_A_TRANSACTION:
            self._next = judgement.next if self._next is None else self._next & judgement.next
        if judgement.action is Action.SKIP:
            self._skipped |= {event}
        if judgement.action is Action.ACCEPT:
            if event in SESSION_GATES:
                self._left_session = True
            else:
                self._left_transaction = True
