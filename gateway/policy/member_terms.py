"""What one webhook gets of a milter connection: its subscription, what the MTA offers, and what it wants of both."""

from collections.abc import Iterable
from typing import TypeVar

from msgspec import Struct

from gateway.contract.response import Wants
from gateway.contract.words import Event, Op
from gateway.milter import messages as m
from gateway.milter.constants import MAX_VERSION, Actions
from gateway.policy.rules import OnTooLarge, Webhook
from gateway.translate.render import Audience
from gateway.translate.terms import offered_events, offered_ops

NO_WISHES = Wants()
"""Of a webhook that was not asked about the MTA's offer, or did not say."""


class Terms(Struct, frozen=True, eq=False):
    """The agreed terms of one webhook; the same for all connections with the same offer and wishes."""

    events: frozenset[Event]
    audience: Audience
    ops: frozenset[Op] = frozenset()
    explicit_ops: frozenset[str] = frozenset()
    """Changes that were asked for by name."""
    missing: tuple[str, ...] = ()
    """Events and changes that this webhook requires and the MTA does not offer: every call fails unsent."""
    rcpt_plain: bool = False
    rcpt_params: bool = False


def unsettled_terms(webhook: Webhook) -> Terms:
    """What holds until the MTA has made its offer."""
    return Terms(webhook.events - {Event.NEGOTIATE}, Audience(webhook.name))


def terms_for(webhook: Webhook, offer: m.Negotiate, wants: Wants) -> Terms:
    """Settle what this webhook gets."""
    offered = frozenset(offered_events(min(offer.version, MAX_VERSION))) & webhook.events
    ops = frozenset(op for op in offered_ops(offer.actions) if webhook.allow is None or op in webhook.allow)
    missing = (
        *(name for name in wants.events or () if name not in offered),
        *(name for name in wants.changes or () if name not in ops),
    )
    events = offered if missing else _narrow(offered, wants.events, wants.optional_events)
    agreed_ops = _narrow(ops, wants.changes, wants.optional_changes)
    return Terms(
        events=events,
        audience=_audience(webhook, events, agreed_ops),
        ops=agreed_ops,
        explicit_ops=frozenset((*(webhook.allow or ()), *(wants.changes or ()), *(wants.optional_changes or ()))),
        missing=missing,
        rcpt_plain=bool(offer.actions & Actions.ADD_RECIPIENTS),
        rcpt_params=bool(offer.actions & Actions.ADD_RECIPIENTS_WITH_PARAMS),
    )


def _audience(webhook: Webhook, events: frozenset[Event], ops: frozenset[Op]) -> Audience:
    return Audience(
        webhook=webhook.name,
        events=tuple(event for event in Event if event in events),
        changes=tuple(op for op in Op if op in ops),
        headers=webhook.headers,
        body=webhook.body,
        parsed=webhook.parsed,
        multipart=webhook.multipart,
        too_large_shows_body=webhook.on_too_large is OnTooLarge.TRUNCATE,
    )


_Word = TypeVar("_Word", bound=str)


def _narrow(
    available: frozenset[_Word], required: Iterable[str] | None, optional: Iterable[str] | None
) -> frozenset[_Word]:
    if required is None and optional is None:
        return available
    wanted = {*(required or ()), *(optional or ())}
    return frozenset(item for item in available if item in wanted)
