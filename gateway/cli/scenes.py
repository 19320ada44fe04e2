"""A sample SMTP session, told up to any event: what `sample` prints and what `check` asks about."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.contract.words import Event, Op
from gateway.milter import messages as m
from gateway.milter.constants import MAX_VERSION, Actions, Steps
from gateway.policy.gathering import Gathering
from gateway.policy.rules import Bounds
from gateway.policy.stamp import new_id, utc_now
from gateway.spool import MemoryBudget, Spool
from gateway.translate.facts import Disconnected, SessionFacts, TransactionFacts
from gateway.translate.render import Audience, Occasion, encode, render
from gateway.translate.terms import EVENT_OF, WIRE_EVENTS

OFFER = m.Negotiate(MAX_VERSION, Actions(0x1FF), Steps(0x1FFFFF))
"""What today's MTAs offer: everything."""

SENDER = "ann@client.example"
RECIPIENT = "bob@site.example"
_FIELDS = (
    (b"From", b" Ann <ann@client.example>"),
    (b"To", b" Bob <bob@site.example>"),
    (b"Subject", b" Lunch on Friday?"),
    (b"Date", b" Fri, 20 Nov 2026 09:20:03 +0000"),
    (b"Message-ID", b" <1@client.example>"),
)
_BODY = b"Hello Bob,\r\n\r\nshall we have lunch on Friday?\r\n\r\nAnn\r\n"

SAMPLE_MESSAGE = b"".join(name + b":" + value + b"\r\n" for name, value in _FIELDS) + b"\r\n" + _BODY
"""A message for whoever has none at hand."""

_CONNECT = m.Connect(b"out.client.example", b"4", 40112, b"192.0.2.25")
_SCRIPT: tuple[m.Message, ...] = (
    _CONNECT,
    m.Helo(b"out.client.example"),
    m.Mail(b"<ann@client.example>", (b"SIZE=%d" % len(SAMPLE_MESSAGE), b"BODY=8BITMIME")),
    m.Rcpt(b"<bob@site.example>"),
    m.Data(),
    *(m.Header(*item) for item in _FIELDS),
    m.EndOfHeaders(),
    m.Body(_BODY),
    m.EndOfMessage(),
)
_MACROS: Mapping[type, dict[bytes, bytes]] = {
    m.Connect: {
        b"j": b"mx1.site.example",
        b"v": b"Postfix 3.9.1",
        b"daemon_name": b"smtpd",
        b"daemon_addr": b"198.51.100.5",
        b"daemon_port": b"25",
        b"client_addr": b"192.0.2.25",
        b"client_name": b"out.client.example",
        b"client_port": b"40112",
    },
    m.Helo: {b"tls_version": b"TLSv1.3", b"cipher": b"TLS_AES_256_GCM_SHA384", b"cipher_bits": b"256"},
    m.Mail: {b"auth_type": b"PLAIN", b"auth_authen": b"ann", b"mail_addr": SENDER.encode()},
    m.Rcpt: {b"rcpt_addr": RECIPIENT.encode(), b"rcpt_mailer": b"local"},
    m.Data: {b"i": b"4c2XyZ1abc"},
}
_DIVERSIONS: Mapping[Event, tuple[Event, object]] = {
    Event.ABORT: (Event.RCPT, m.Abort()),
    Event.UNKNOWN: (Event.HELO, m.Unknown(b"FROBNICATE now")),
    Event.DISCONNECT: (Event.END_OF_MESSAGE, Disconnected("quit", 812)),
}
"""Events beside the straight way of a mail: after which event, and what happens then."""


@dataclass(frozen=True, slots=True)
class Scene:
    """An event and everything known when it happens."""

    event: object
    session: SessionFacts
    transaction: TransactionFacts | None


def scene(event: Event) -> Scene:
    """Tell the sample session up to `event`."""
    budget = MemoryBudget(len(_BODY))
    facts = Gathering(Bounds(), lambda: Spool(budget, len(_BODY)))
    facts.agreed(Steps.LEADING_SPACE)
    facts.session.milter_version = MAX_VERSION
    if event is Event.NEGOTIATE:
        return Scene(OFFER, facts.session, None)
    macros: dict[bytes, bytes] = {}
    happened: object = None
    for happened in _happenings(event):
        macros = macros | _MACROS.get(type(happened), {})
        if isinstance(happened, Disconnected):
            facts.end_transaction()
        facts.note(happened, macros)
    return Scene(happened, facts.session, facts.transaction)


def _happenings(event: Event) -> Iterator[object]:
    last, diversion = _DIVERSIONS.get(event, (event, None))
    for command in _SCRIPT:
        yield command
        is_last_header = not isinstance(command, m.Header) or command.name == b"Subject"
        if EVENT_OF[type(command)] is last and is_last_header:
            break
    if diversion is not None:
        yield diversion


def sample_request(event: Event) -> bytes:
    """The JSON of an event as a webhook would get it."""
    told = scene(event)
    audience = Audience("webhook", events=WIRE_EVENTS, changes=tuple(Op))
    occasion = Occasion(new_id(), utc_now(), dry_run=True)
    return encode(render(told.event, told.session, told.transaction, audience, occasion).request)
