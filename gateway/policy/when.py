"""The conditions under which a webhook is asked at all (contract section 2, `when`).

All keys must hold. A list holds if a positive entry matches and no `!` entry does; a list of only `!` entries means
"all the rest". A fact that is not yet known is not met.
"""

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

from gateway.contract.words import Event
from gateway.translate.facts import SessionFacts, TransactionFacts

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class ClientRule:
    """One entry of `client`."""

    network: Network
    negated: bool = False


@dataclass(frozen=True, slots=True)
class When:
    """None: the key is not configured. Texts are compared without regard to case."""

    client: tuple[ClientRule, ...] | None = None
    authenticated: bool | None = None
    auth_user: tuple[str, ...] | None = None
    from_domain: tuple[str, ...] | None = None
    rcpt_domain: tuple[str, ...] | None = None
    helo: tuple[str, ...] | None = None
    daemon: tuple[str, ...] | None = None
    tls: bool | None = None

    def holds(self, event: Event, session: SessionFacts, transaction: TransactionFacts | None) -> bool:
        """Whether every configured key is met at this event."""
        if self is ALWAYS:
            return True
        keys = ((item.name, getattr(self, item.name)) for item in fields(self))
        return all(_CHECKS[name](wanted, event, session, transaction) for name, wanted in keys if wanted is not None)


ALWAYS = When()

_Check = Callable[..., bool]


def _listed(entries: Sequence[str], matches: Callable[[str], bool]) -> bool:
    """Apply the rule of lists to one fact."""
    positive = [entry for entry in entries if not entry.startswith("!")]
    negative = [entry[1:] for entry in entries if entry.startswith("!")]
    if any(matches(entry) for entry in negative):
        return False
    return any(matches(entry) for entry in positive) if positive else True


def _text(entries: Sequence[str], fact: str | None) -> bool:
    """`fact` None: it is known that there is none, so that only a list of `!` entries holds."""
    return _listed(entries, lambda entry: fact is not None and entry.lower() == fact.lower())


def _client(rules: Sequence[ClientRule], _: Event, session: SessionFacts, __: object) -> bool:
    connect = session.connect
    if connect is None:
        return False
    positive = [rule for rule in rules if not rule.negated]
    if connect.family not in (b"4", b"6") or connect.address is None:
        return not positive  # a client without an IP address is in no network
    address = ipaddress.ip_address(connect.address.decode("ascii"))
    if any(address in rule.network for rule in rules if rule.negated):
        return False
    return not positive or any(address in rule.network for rule in positive)


def _authenticated(wanted: bool, _: Event, session: SessionFacts, transaction: TransactionFacts | None) -> bool:
    known = session.transactions > 0
    return known and (session.auth is not None) is wanted


def _auth_user(entries: Sequence[str], _: Event, session: SessionFacts, __: object) -> bool:
    known = session.transactions > 0
    return known and _text(entries, session.auth.user if session.auth else None)


def _from_domain(entries: Sequence[str], _: Event, __: object, transaction: TransactionFacts | None) -> bool:
    sender = transaction.sender if transaction else None
    if sender is None:
        return False
    return _text(entries, (sender.domain or b"").decode("utf-8", "replace"))


def _rcpt_domain(entries: Sequence[str], event: Event, _: object, transaction: TransactionFacts | None) -> bool:
    recipients = transaction.recipients if transaction else []
    if event is Event.RCPT:
        recipients = recipients[-1:]
    domains: Iterable[str] = ((item.domain or b"").decode("utf-8", "replace") for item in recipients)
    return any(_text(entries, domain) for domain in domains)


def _helo(entries: Sequence[str], _: Event, session: SessionFacts, __: object) -> bool:
    return session.helo is not None and _text(entries, session.helo.decode("utf-8", "replace"))


def _daemon(entries: Sequence[str], _: Event, session: SessionFacts, __: object) -> bool:
    name = session.macros.get(b"daemon_name")
    return name is not None and _text(entries, name.decode("utf-8", "replace"))


def _tls(wanted: bool, event: Event, session: SessionFacts, __: object) -> bool:
    known = session.helo is not None or session.transactions > 0
    return known and (session.tls is not None) is wanted


_CHECKS: Mapping[str, _Check] = {
    "client": _client,
    "authenticated": _authenticated,
    "auth_user": _auth_user,
    "from_domain": _from_domain,
    "rcpt_domain": _rcpt_domain,
    "helo": _helo,
    "daemon": _daemon,
    "tls": _tls,
}
