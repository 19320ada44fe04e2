"""Events and changes by their JSON names, and the protocol's commands and flags behind them."""

from collections.abc import Iterable, Mapping

from gateway.contract.words import Event, Op
from gateway.milter import messages as m
from gateway.milter.constants import Actions
from gateway.translate.facts import Disconnected

EVENT_OF: Mapping[type, Event] = {
    m.Negotiate: Event.NEGOTIATE,
    m.Connect: Event.CONNECT,
    m.Helo: Event.HELO,
    m.Mail: Event.MAIL,
    m.Rcpt: Event.RCPT,
    m.Data: Event.DATA,
    m.Header: Event.HEADER,
    m.EndOfHeaders: Event.END_OF_HEADERS,
    m.Body: Event.BODY,
    m.EndOfMessage: Event.END_OF_MESSAGE,
    m.Abort: Event.ABORT,
    m.Unknown: Event.UNKNOWN,
    Disconnected: Event.DISCONNECT,
}

NEEDED_ACTIONS: Mapping[Op, Actions] = {
    Op.ADD_HEADER: Actions.ADD_HEADERS,
    Op.SET_HEADER: Actions.ADD_HEADERS | Actions.CHANGE_HEADERS,
    Op.CHANGE_HEADER: Actions.CHANGE_HEADERS,
    Op.DELETE_HEADER: Actions.CHANGE_HEADERS,
    Op.REPLACE_BODY: Actions.CHANGE_BODY,
    Op.REPLACE_MESSAGE: Actions.ADD_HEADERS | Actions.CHANGE_HEADERS | Actions.CHANGE_BODY,
    Op.ADD_RCPT: Actions.ADD_RECIPIENTS,
    Op.DELETE_RCPT: Actions.DELETE_RECIPIENTS,
    Op.CHANGE_FROM: Actions.CHANGE_FROM,
    Op.QUARANTINE: Actions.QUARANTINE,
}
"""What must be agreed before a change can be sent; add_rcpt with parameters needs the flag for those."""

_SINCE_VERSION: Mapping[Event, int] = {Event.UNKNOWN: 3, Event.DATA: 4}

WIRE_EVENTS = tuple(event for event in Event if event is not Event.NEGOTIATE)
"""The events of an SMTP session; `negotiate` comes before it."""


def offered_events(version: int) -> list[Event]:
    """The events that an MTA of this protocol version can send."""
    return [event for event in WIRE_EVENTS if version >= _SINCE_VERSION.get(event, 0)]


def offered_ops(actions: Actions) -> list[Op]:
    """The changes that these actions allow."""
    return [op for op, needed in NEEDED_ACTIONS.items() if actions & needed == needed or _only_with_params(op, actions)]


def _only_with_params(op: Op, actions: Actions) -> bool:
    return op is Op.ADD_RCPT and bool(actions & Actions.ADD_RECIPIENTS_WITH_PARAMS)


def actions_for(ops: Iterable[Op]) -> Actions:
    """The actions to ask for."""
    wanted = Actions(0)
    for op in ops:
        wanted |= NEEDED_ACTIONS[op]
        if op is Op.ADD_RCPT:
            wanted |= Actions.ADD_RECIPIENTS_WITH_PARAMS
    return wanted
