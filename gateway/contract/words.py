"""Events, actions and changes by their JSON names, and what may be answered where."""

from collections.abc import Mapping
from enum import StrEnum


class Event(StrEnum):
    """What happens in an SMTP session, in the order of time."""

    NEGOTIATE = "negotiate"
    CONNECT = "connect"
    HELO = "helo"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    HEADER = "header"
    END_OF_HEADERS = "end_of_headers"
    BODY = "body"
    END_OF_MESSAGE = "end_of_message"
    ABORT = "abort"
    UNKNOWN = "unknown"
    DISCONNECT = "disconnect"


class Action(StrEnum):
    """What a webhook wants to happen."""

    CONTINUE = "continue"
    ACCEPT = "accept"
    REJECT = "reject"
    TEMPFAIL = "tempfail"
    DISCARD = "discard"
    SKIP = "skip"
    DISCONNECT = "disconnect"


class Op(StrEnum):
    """The changes."""

    ADD_HEADER = "add_header"
    SET_HEADER = "set_header"
    CHANGE_HEADER = "change_header"
    DELETE_HEADER = "delete_header"
    REPLACE_BODY = "replace_body"
    REPLACE_MESSAGE = "replace_message"
    ADD_RCPT = "add_rcpt"
    DELETE_RCPT = "delete_rcpt"
    CHANGE_FROM = "change_from"
    QUARANTINE = "quarantine"


_GATE = frozenset((Action.CONTINUE, Action.ACCEPT, Action.REJECT, Action.TEMPFAIL, Action.DISCONNECT))
_MAIL = _GATE | {Action.DISCARD}
_CONTENT = _MAIL | {Action.SKIP}
_NOTHING = frozenset((Action.CONTINUE,))

ACTIONS: Mapping[Event, frozenset[Action]] = {
    Event.NEGOTIATE: _NOTHING,
    Event.CONNECT: _GATE,
    Event.HELO: _GATE,
    Event.MAIL: _MAIL,
    Event.RCPT: _MAIL,
    Event.DATA: _MAIL,
    Event.HEADER: _CONTENT,
    Event.END_OF_HEADERS: _MAIL,
    Event.BODY: _CONTENT,
    Event.END_OF_MESSAGE: _MAIL,
    Event.ABORT: _NOTHING,
    Event.UNKNOWN: frozenset((Action.CONTINUE, Action.REJECT, Action.TEMPFAIL, Action.DISCONNECT)),
    Event.DISCONNECT: _NOTHING,
}
"""What may be answered at each event; "continue" is the same as no action and harmless everywhere."""

TRANSACTION_EVENTS = frozenset(
    (Event.MAIL, Event.RCPT, Event.DATA, Event.HEADER, Event.END_OF_HEADERS, Event.BODY, Event.END_OF_MESSAGE)
)
"""The events of a mail transaction that expect an answer: here changes may be answered."""

SESSION_GATES = frozenset((Event.CONNECT, Event.HELO))
"""Here "accept" is meant for the whole session."""

REPORTS = frozenset((Event.NEGOTIATE, Event.ABORT, Event.DISCONNECT))
"""Here nothing can be refused."""
