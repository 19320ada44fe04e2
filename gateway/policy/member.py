"""One webhook within one SMTP session: its agreed terms, its context, how much more it wants."""

from collections.abc import Iterable
from typing import TypeVar

from msgspec import Raw

from gateway.contract.response import Wants
from gateway.contract.words import SESSION_GATES, Action, Event, Op
from gateway.milter import messages as m
from gateway.milter.constants import Actions
from gateway.policy.rules import OnTooLarge, Webhook
from gateway.translate.answer import Judgement
from gateway.translate.render import NULL, Audience
from gateway.translate.terms import offered_events, offered_ops

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

    def __init__(self, webhook: Webhook) -> None:
        self.webhook = webhook
        self.events = webhook.events - {Event.NEGOTIATE}
        self.ops: frozenset[Op] = frozenset()
        self.rcpt_plain = self.rcpt_params = False
        self.missing: tuple[str, ...] = ()
        """Events and changes that this webhook requires and the MTA does not offer: every call fails unsent."""
        self.explicit_ops: frozenset[str] = webhook.allow or frozenset()
        """Changes that were asked for by name."""
        self.session_context = NULL
        self.audience = Audience(webhook.name)
        self.wishes = Wants()
        self._left_session = False
        self.begin_transaction()

    def begin_transaction(self) -> None:
        """A new transaction begins, or the last one has ended: nothing of it is kept."""
        self.transaction_context: Raw = NULL
        self.annotations: dict[str, str | bool | int | float] = {}
        self._left_transaction = False
        self._next: frozenset[Event] | None = None
        self._skipped: set[Event] = set()

    def begin_session(self) -> None:
        """Begin a new SMTP session on the same agreed terms (QUIT_NC)."""
        self.session_context = NULL
        self._left_session = False
        self.begin_transaction()

    def agree(self, offer: m.Negotiate, wants: Wants | None) -> None:
        """Settle what this webhook gets: its subscription, what the MTA offers, and what it wants of both."""
        wants = wants or Wants()
        offered = frozenset(offered_events(min(offer.version, 6))) & self.webhook.events
        allow = self.webhook.allow
        ops = frozenset(op for op in offered_ops(offer.actions) if allow is None or op in allow)
        self.missing = (
            *(name for name in wants.events or () if name not in offered),
            *(name for name in wants.changes or () if name not in ops),
        )
        self.events = offered if self.missing else _narrow(offered, wants.events, wants.optional_events)
        self.ops = _narrow(ops, wants.changes, wants.optional_changes)
        self.explicit_ops |= {*(wants.changes or ()), *(wants.optional_changes or ())}
        self.rcpt_plain = bool(offer.actions & Actions.ADD_RECIPIENTS)
        self.rcpt_params = bool(offer.actions & Actions.ADD_RECIPIENTS_WITH_PARAMS)
        self.audience = Audience(
            webhook=self.webhook.name,
            events=tuple(event for event in Event if event in self.events),
            changes=tuple(op for op in Op if op in self.ops),
            headers=self.webhook.headers,
            body=self.webhook.body,
            multipart=self.webhook.multipart,
            too_large_shows_body=self.webhook.on_too_large is OnTooLarge.TRUNCATE,
        )

    def wants(self, event: Event) -> bool:
        """Whether it is to be asked at this event, conditions aside."""
        if event not in self.events or self._left_session:
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

    @property
    def shows_body(self) -> bool:
        """Whether its request at the end of the message carries the body."""
        return self.webhook.body or self.webhook.multipart

    def needs_body(self) -> bool:
        """Whether it still needs chunks of the body, or the whole of it at the end."""
        return (self.shows_body and self.wants(Event.END_OF_MESSAGE)) or self.wants(Event.BODY)

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
            self._skipped.add(event)
        if judgement.action is Action.ACCEPT:
            if event in SESSION_GATES:
                self._left_session = True
            else:
                self._left_transaction = True


_Word = TypeVar("_Word", bound=str)


def _narrow(
    available: frozenset[_Word], required: Iterable[str] | None, optional: Iterable[str] | None
) -> frozenset[_Word]:
    if required is None and optional is None:
        return available
    wanted = {*(required or ()), *(optional or ())}
    return frozenset(item for item in available if item in wanted)
