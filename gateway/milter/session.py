"""The state machine of one milter connection.

Theory of operation. The MTA speaks first and in a fixed order; we answer each command that expects an answer exactly
once. `NEXT` is that order as data: what may follow what, and the state it leads to. Three refinements:

- What was negotiated away (Steps.NO_*) or does not exist in the agreed version may be missing: `order_for` closes the
  table over those commands, once for each set of flags. Header block and body may be empty, and HELO is optional.
- ABORT, QUIT and QUIT_NC apply in every state after the negotiation and therefore stand before the table. MAIL and
  HELO inside an open transaction end it first (QUIT and QUIT_NC end it with the session): Sendmail, asked not to wait
  at MAIL, sends no ABORT.
- A reply other than "continue" moves the state too (`replied`): a message that was refused at a header is over, and the
  next command is the next MAIL; a refused RCPT leaves the transaction open; after a refused DATA it may be tried again.

UNKNOWN changes nothing. A command against the order raises ProtocolError: a surplus or missing reply would shift every
later answer by one, silently, so the caller logs and closes.
"""

from collections.abc import Callable, Mapping
from enum import Enum, auto
from functools import cache
from typing import cast

from msgspec import Struct

from gateway.milter import messages as m
from gateway.milter.codec import Frame, FrameBuffer, decode_command, decode_header, frame
from gateway.milter.constants import Command, Steps
from gateway.milter.errors import ProtocolError
from gateway.milter.macros import MacroScope


class State(Enum):
    """Where the conversation stands: named after the last command that moved it."""

    START = auto()
    READY = auto()
    CONNECTED = auto()
    MAIL = auto()
    RCPT = auto()
    DATA = auto()
    HEADERS = auto()
    END_OF_HEADERS = auto()
    BODY = auto()


Order = Mapping[State, Mapping[type, State]]

NEXT: Order = {
    State.START: {m.Negotiate: State.READY},
    State.READY: {m.Connect: State.CONNECTED},
    State.CONNECTED: {m.Helo: State.CONNECTED, m.Mail: State.MAIL, m.Unknown: State.CONNECTED},
    State.MAIL: {
        m.Rcpt: State.RCPT,
        m.Mail: State.MAIL,
        m.Helo: State.CONNECTED,
        m.Unknown: State.MAIL,
    },
    State.RCPT: {
        m.Rcpt: State.RCPT,
        m.Data: State.DATA,
        m.Header: State.HEADERS,
        m.EndOfHeaders: State.END_OF_HEADERS,
        m.Body: State.BODY,
        m.EndOfMessage: State.CONNECTED,
        m.Mail: State.MAIL,
        m.Helo: State.CONNECTED,
        m.Unknown: State.RCPT,
    },
    State.DATA: {
        m.Rcpt: State.RCPT,  # another filter, or the MTA, refused DATA: the client may go on as if it had not come
        m.Data: State.DATA,
        m.Header: State.HEADERS,
        m.EndOfHeaders: State.END_OF_HEADERS,
        m.Mail: State.MAIL,
        m.Helo: State.CONNECTED,
        m.Unknown: State.DATA,
    },
    State.HEADERS: {
        m.Header: State.HEADERS,
        m.EndOfHeaders: State.END_OF_HEADERS,
        m.Mail: State.MAIL,
        m.Helo: State.CONNECTED,
        m.Unknown: State.HEADERS,
    },
    State.END_OF_HEADERS: {
        m.Body: State.BODY,
        m.EndOfMessage: State.CONNECTED,
        m.Mail: State.MAIL,
        m.Helo: State.CONNECTED,
        m.Unknown: State.END_OF_HEADERS,
    },
    State.BODY: {
        m.Body: State.BODY,
        m.EndOfMessage: State.CONNECTED,
        m.Mail: State.MAIL,
        m.Helo: State.CONNECTED,
        m.Unknown: State.BODY,
    },
}

OPEN = frozenset((State.MAIL, State.RCPT, State.DATA, State.HEADERS, State.END_OF_HEADERS, State.BODY))
"""The states in which a mail transaction is open."""

_LEFT_OUT: Mapping[Steps, tuple[type, ...]] = {
    Steps.NO_CONNECT: (m.Connect,),
    Steps.NO_MAIL: (m.Mail,),
    Steps.NO_RCPT: (m.Rcpt,),
    Steps.NO_DATA: (m.Data,),
    Steps.NO_HEADERS: (m.EndOfHeaders,),  # Stalwart sends no end of headers then
    Steps.NO_END_OF_HEADERS: (m.EndOfHeaders,),
}

_UNANSWERED: Mapping[type, Steps] = {
    m.Connect: Steps.NR_CONNECT,
    m.Helo: Steps.NR_HELO,
    m.Mail: Steps.NR_MAIL,
    m.Rcpt: Steps.NR_RCPT,
    m.Data: Steps.NR_DATA,
    m.Header: Steps.NR_HEADER,
    m.EndOfHeaders: Steps.NR_END_OF_HEADERS,
    m.Body: Steps.NR_BODY,
    m.Unknown: Steps.NR_UNKNOWN,
    m.EndOfMessage: Steps(0),
}

_IMPLICIT_ABORT = (m.Mail, m.Helo)
_MACRO = Command.MACRO
_UNUSUAL = frozenset((*_IMPLICIT_ABORT, m.Negotiate, m.EndOfMessage))
"""The commands that may bring more than their own event, or that have no answer agreed yet."""
_REFUSALS = (m.Reject, m.TempFail, m.ReplyCode)
_ENDINGS = (m.Accept, m.Discard)
_ANY_REPLY = (*_REFUSALS, *_ENDINGS, m.Continue, m.Skip, m.Shutdown)
_ENDED_BY: Mapping[type, tuple[type, ...]] = {
    m.Mail: (*_REFUSALS, *_ENDINGS),
    m.Rcpt: _ENDINGS,
    m.Data: _ENDINGS,
    m.Header: (*_REFUSALS, *_ENDINGS),
    m.EndOfHeaders: (*_REFUSALS, *_ENDINGS),
    m.Body: (*_REFUSALS, *_ENDINGS),
    m.EndOfMessage: _ANY_REPLY,
}
"""Which reply to which command ends the transaction."""

Event = m.Negotiate | m.Message
"""What may be judged: a command, with Abort also where the MTA left it unsaid."""


class Step(Struct, frozen=True):
    """What one packet means: the events in order, and whether the MTA waits for an answer to the last."""

    events: tuple[Event, ...] = ()
    owed: bool = False


NOTHING = Step()
"""What a MACRO packet means by itself."""

_ABORT = m.Abort()


@cache
def order_for(version: int, steps: Steps) -> Order:
    """`NEXT`, closed over what will be missing under these terms."""
    missing = {command for step, commands in _LEFT_OUT.items() if steps & step for command in commands}
    if version < 4:
        missing.add(m.Data)  # SMFIC_DATA came with version 4
    return {state: _reachable(state, missing, frozenset()) for state in NEXT}


@cache
def _unanswered(steps: Steps) -> frozenset[type]:
    """The commands whose answers the MTA does not wait for."""
    return frozenset(kind for kind, step in _UNANSWERED.items() if steps & step)


def _reachable(state: State, missing: set[type], seen: frozenset[State]) -> dict[type, State]:
    reachable: dict[type, State] = {}
    for command, target in NEXT[state].items():
        if command in missing and target not in seen and target is not state:
            reachable |= _reachable(target, missing, seen | {state})
    return {**reachable, **NEXT[state]}


class Session:
    """What was agreed, where the conversation stands and which macros are in scope."""

    __slots__ = ("_followers", "_judged", "_order", "_unanswered", "macros", "state")

    def __init__(self) -> None:
        self.state = State.START
        self._followers = NEXT[State.START]
        """What may come next, and where it leads."""
        self.macros = MacroScope()
        self._unanswered: frozenset[type] | None = None
        """None until the negotiation is over."""
        self._order: Order = NEXT
        self._judged: type = m.Negotiate

    @property
    def transaction_open(self) -> bool:
        """Whether a mail transaction has begun and not ended."""
        return self.state in OPEN

    def receive(self, packet: Frame) -> Step:
        """Take one packet. Raises ProtocolError where it is malformed or against the order."""
        if packet[0] == _MACRO:
            return self._announce(packet[1])
        command = decode_command(packet)
        kind = type(command)
        target = self._followers.get(kind)
        if target is None:
            return self._leave_order(cast("Event", command))
        if kind in _UNUSUAL:
            return self._advance(packet[0], target, cast("Event", command))
        if target is not self.state:
            self._move(target)
        self._judged = kind
        self.macros.begin(packet[0])
        return Step((cast("Event", command),), self.owes(kind))

    def receive_fields(self, frames: FrameBuffer) -> list[m.Header]:
        """The header fields that stand next in the buffer; only right after one, and where none is answered.

        Raises ProtocolError where one is malformed.
        """
        macros = self.macros.passing
        repeated = b"" if macros is None else frame(Command.MACRO, Command.HEADER + macros)
        return list(map(decode_header, frames.next_run(Command.HEADER, repeated)))

    def _move(self, state: State) -> None:
        self.state = state
        self._followers = self._order[state]

    def _announce(self, payload: bytes) -> Step:
        """A MACRO packet, half of all there are: its bytes are kept, and decoded when somebody looks."""
        if self.state is State.START:
            raise ProtocolError("MACRO before OPTNEG")
        if not payload:
            raise ProtocolError("MACRO without a stage")
        self.macros.announce(payload[:1], payload[1:])
        return NOTHING

    def _leave_order(self, command: Event) -> Step:
        """Handle what may come at any time."""
        ending = _ENDING_COMMANDS.get(type(command))
        if ending is None:
            raise ProtocolError(f"{type(command).__name__} is out of order after {self.state.name}")
        return ending(self, command)

    def _advance(self, code: bytes, target: State, command: Event) -> Step:
        """Handle a command that may mean more than itself."""
        kind = type(command)
        before: tuple[Event, ...] = ()
        if kind in _IMPLICIT_ABORT and self.transaction_open:
            self.macros.end_transaction(aborted=True)
            before = (_ABORT,)
        self._move(target)
        self._judged = kind
        self.macros.begin(code)
        if isinstance(command, m.EndOfMessage) and command.chunk:
            before = (m.Body(command.chunk),)
        return Step((*before, command), kind is m.Negotiate or self.owes(kind))

    def owes(self, command: type) -> bool:
        """Whether the MTA waits for an answer to this kind of command."""
        if self._unanswered is None:
            raise ProtocolError(f"{command.__name__} before the negotiation is over")
        return command not in self._unanswered

    def macros_at(self, event: object) -> Mapping[bytes, bytes]:
        """The macros that belong to an event of the last packet: at an abort those of what it ended."""
        return self.macros.of_aborted if type(event) is m.Abort else self.macros.visible()

    def agree(self, agreement: m.Agreement) -> None:
        """The negotiation was answered with these terms."""
        self._order = order_for(agreement.version, agreement.steps)
        self._followers = self._order[self.state]
        self._unanswered = _unanswered(agreement.steps)

    def replied(self, reply: m.Reply) -> None:
        """The last command was answered, which may end the transaction."""
        judged = self._judged
        if judged is m.Data and isinstance(reply, _REFUSALS):
            self._move(State.RCPT)
        elif isinstance(reply, _ENDED_BY.get(judged, ())):
            self._close_transaction()

    def _close_transaction(self) -> None:
        self._move(State.CONNECTED)
        self.macros.end_transaction()

    def _abort(self, command: Event) -> Step:
        if self.state is State.START:
            raise ProtocolError("ABORT before OPTNEG")
        if not self.transaction_open:
            self.macros.end_transaction()
            return NOTHING
        self._move(State.CONNECTED)
        self.macros.end_transaction(aborted=True)
        return Step((command,))

    def _quit(self, command: Event) -> Step:
        return Step((command,))

    def _quit_new_connection(self, command: Event) -> Step:
        if self.state is State.START:
            raise ProtocolError("QUIT_NC before OPTNEG")
        self._move(State.READY)
        self.macros = MacroScope()
        return Step((command,))


_ENDING_COMMANDS: Mapping[type, Callable[[Session, Event], Step]] = {
    m.Abort: Session._abort,
    m.Quit: Session._quit,
    m.QuitNewConnection: Session._quit_new_connection,
}
