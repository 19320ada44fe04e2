"""What to agree on with the MTA, so that it sends what is needed and waits only where it must.

What nobody subscribes is negotiated away (NO_*); what is only gathered, since later requests show it, is taken without
replies (NR_*). A macro list replaces the MTA's own and the administrator's, hence the union of everybody's defaults.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain

from msgspec import Struct

from gateway.contract.response import Wants
from gateway.contract.words import Event, Op
from gateway.milter import messages as m
from gateway.milter.constants import MAX_VERSION, Actions, MacroStage, Steps
from gateway.milter.macros import POSTFIX_DEFAULTS, SENDMAIL_DEFAULTS
from gateway.policy.member_terms import NO_WISHES, Terms, terms_for
from gateway.policy.rules import OnFailure, Webhook
from gateway.translate.terms import actions_for

_CONTENT = frozenset((Event.HEADER, Event.END_OF_HEADERS, Event.BODY, Event.END_OF_MESSAGE))
_AFTER_RCPT = _CONTENT | {Event.DATA, Event.ABORT, Event.UNKNOWN}
_AFTER_MAIL = _AFTER_RCPT | {Event.RCPT, Event.DISCONNECT}
_AFTER_HELO = _AFTER_MAIL | {Event.MAIL}
_AFTER_CONNECT = _AFTER_HELO | {Event.HELO}
_HEADER_EDITS = frozenset((Op.SET_HEADER, Op.CHANGE_HEADER, Op.DELETE_HEADER, Op.REPLACE_MESSAGE))

MACRO_LIMIT = 50
"""Names that Sendmail takes for one stage."""

_CONTRACT_MACROS: Mapping[MacroStage, tuple[str, ...]] = {
    MacroStage.CONNECT: (
        "v",
        "{daemon_addr}",
        "{daemon_port}",
        "{client_addr}",
        "{client_name}",
        "{client_port}",
        "{client_ptr}",
    ),
    MacroStage.DATA: ("i",),
    MacroStage.END_OF_HEADERS: ("i",),
    MacroStage.END_OF_MESSAGE: ("i",),
}
_STAGES: Mapping[str, MacroStage] = {
    "connect": MacroStage.CONNECT,
    "helo": MacroStage.HELO,
    "mail": MacroStage.MAIL,
    "rcpt": MacroStage.RCPT,
    "data": MacroStage.DATA,
    "end_of_headers": MacroStage.END_OF_HEADERS,
    "end_of_message": MacroStage.END_OF_MESSAGE,
}

Party = tuple[Webhook, Terms]
"""A webhook with what it gets of the connection."""

_Gathered = Callable[[Sequence[Party], frozenset[Event]], bool]


def _gathered_for(events: frozenset[Event]) -> _Gathered:
    return lambda _, subscribed: bool(subscribed & events)


def _headers_gathered(parties: Sequence[Party], _: frozenset[Event]) -> bool:
    """Somebody is shown the header, or was allowed by name to edit it, which needs the numbers of the fields."""
    return any(_shown_headers(*party) or (party[1].explicit_ops & party[1].ops & _HEADER_EDITS) for party in parties)


def _shown_headers(webhook: Webhook, terms: Terms) -> bool:
    at_end = bool(terms.events & {Event.BODY, Event.END_OF_MESSAGE}) and webhook.needs_header
    return at_end or Event.END_OF_HEADERS in terms.events


def _body_gathered(parties: Sequence[Party], _: frozenset[Event]) -> bool:
    return any(webhook.needs_body and Event.END_OF_MESSAGE in terms.events for webhook, terms in parties)


def _never(*_: object) -> bool:
    return False


_STEPS: tuple[tuple[Event, _Gathered, Steps, Steps], ...] = (
    (Event.CONNECT, _gathered_for(_AFTER_CONNECT), Steps.NR_CONNECT, Steps.NO_CONNECT),
    (Event.HELO, _gathered_for(_AFTER_HELO), Steps.NR_HELO, Steps.NO_HELO),
    (Event.MAIL, _gathered_for(_AFTER_MAIL), Steps.NR_MAIL, Steps.NO_MAIL),
    (Event.RCPT, _gathered_for(_AFTER_RCPT), Steps.NR_RCPT, Steps.NO_RCPT),
    (Event.DATA, _never, Steps.NR_DATA, Steps.NO_DATA),
    (Event.HEADER, _headers_gathered, Steps.NR_HEADER, Steps.NO_HEADERS),
    (Event.END_OF_HEADERS, _never, Steps.NR_END_OF_HEADERS, Steps.NO_END_OF_HEADERS),
    (Event.BODY, _body_gathered, Steps.NR_BODY, Steps.NO_BODY),
    (Event.UNKNOWN, _never, Steps.NR_UNKNOWN, Steps.NO_UNKNOWN),
)
"""For each event: whether it is needed although nobody subscribes it, the flags for unanswered and for without."""


class Agreed(Struct, frozen=True, eq=False):
    """What an MTA was told, and what follows from it for every session."""

    agreement: m.Agreement
    terms: tuple[Terms, ...]
    """Of each webhook, in order."""
    subscribed: frozenset[Event]
    """The events at which anybody is asked at all."""
    quiet: frozenset[type] = frozenset()
    """The kinds of events that are only gathered, and whose macros nobody needs at that moment."""
    may_quarantine: bool = False
    may_skip: bool = False
    rcpt_unanswered: bool = False


UNAGREED = Agreed(m.Agreement(MAX_VERSION, Actions(0), Steps(0)), (), frozenset(Event))
"""Before the negotiation."""

_QUIET: Mapping[Event, type] = {
    Event.DATA: m.Data,
    Event.HEADER: m.Header,
    Event.END_OF_HEADERS: m.EndOfHeaders,
}
_KEPT_OFFERS = 16


class Agreements:
    """Answers the MTAs' offers. MTAs make the same one for every connection, so the answers are kept."""

    def __init__(self, webhooks: Sequence[Webhook], macros: Mapping[str, Sequence[str]]) -> None:
        self._webhooks = webhooks
        self._macros = macros
        self._kept: dict[m.Negotiate, Agreed] = {}

    def reach(self, offer: m.Negotiate, wishes: Sequence[Wants]) -> Agreed:
        """Agree on what all webhooks together need, never on more than was offered; `wishes` of each, in order."""
        if any(wants is not NO_WISHES for wants in wishes):
            return self._reach(offer, wishes)
        agreed = self._kept.get(offer)
        if agreed is None:
            agreed = self._reach(offer, wishes)
            if len(self._kept) < _KEPT_OFFERS:
                self._kept[offer] = agreed
        return agreed

    def _reach(self, offer: m.Negotiate, wishes: Sequence[Wants]) -> Agreed:
        pairs = zip(self._webhooks, wishes, strict=True)
        terms = tuple(terms_for(webhook, offer, wants) for webhook, wants in pairs)
        parties = tuple(zip(self._webhooks, terms, strict=True))
        agreement = _agreement(offer, parties, [self._macros, *(wants.macros or {} for wants in wishes)])
        subscribed = frozenset(chain.from_iterable(each.events for each in terms))
        return Agreed(
            agreement,
            terms,
            subscribed,
            quiet=frozenset(kind for event, kind in _QUIET.items() if event not in subscribed),
            may_quarantine=bool(agreement.actions & Actions.QUARANTINE),
            may_skip=bool(agreement.steps & Steps.SKIP),
            rcpt_unanswered=bool(agreement.steps & Steps.NR_RCPT),
        )


def _agreement(
    offer: m.Negotiate, parties: Sequence[Party], macros: Iterable[Mapping[str, Sequence[str] | None]]
) -> m.Agreement:
    """`macros`: names to ask for beside our own, by stage."""
    version = min(MAX_VERSION, offer.version)
    actions = (_actions(parties) | Actions.SET_MACRO_LISTS) & offer.actions
    lists = macro_lists(macros) if actions & Actions.SET_MACRO_LISTS else ()
    return m.Agreement(version, actions, _steps(parties) & offer.steps, lists)


def _actions(parties: Sequence[Party]) -> Actions:
    wanted = actions_for(chain.from_iterable(terms.ops for _, terms in parties))
    policies = chain.from_iterable(
        (*webhook.on_failure.values(), *webhook.on_invalid.values()) for webhook, _ in parties
    )
    return wanted | Actions.QUARANTINE if OnFailure.QUARANTINE in policies else wanted


def _steps(parties: Sequence[Party]) -> Steps:
    subscribed = frozenset(chain.from_iterable(terms.events for _, terms in parties))
    answered = subscribed | {Event.MAIL} if Event.ABORT in subscribed else subscribed
    steps = Steps.LEADING_SPACE
    for event, gathered, unanswered, left_out in _STEPS:
        if event not in answered:
            steps |= unanswered if gathered(parties, subscribed) else left_out
    if Event.BODY in subscribed:
        steps |= Steps.SKIP
    if any(webhook.rejected_recipients and Event.RCPT in terms.events for webhook, terms in parties):
        steps |= Steps.REJECTED_RECIPIENTS
    return steps


def macro_lists(
    macros: Iterable[Mapping[str, Sequence[str] | None]],
) -> tuple[tuple[MacroStage, tuple[bytes, ...]], ...]:
    """One list for each stage, at most MACRO_LIMIT names each."""
    names: dict[MacroStage, dict[str, None]] = {stage: {} for stage in MacroStage}
    for defaults in (SENDMAIL_DEFAULTS, POSTFIX_DEFAULTS, _CONTRACT_MACROS):
        for stage, listed in defaults.items():
            names[stage].update(dict.fromkeys(listed))
    for wanted in macros:
        for word, further in wanted.items():
            names[_STAGES[word]].update(dict.fromkeys(_spelled(name) for name in further or ()))
    return tuple((stage, tuple(name.encode() for name in [*known][:MACRO_LIMIT])) for stage, known in names.items())


def _spelled(name: str) -> str:
    """Names of one letter travel bare, longer ones in braces; one without is unknown to Sendmail."""
    bare = name.strip("{}")
    return bare if len(bare) == 1 else "{" + bare + "}"
