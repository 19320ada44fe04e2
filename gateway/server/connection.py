"""One milter connection: bytes in, the conversation asked, bytes out.

Events that nobody subscribes are answered at once, in the read callback, without a task. Where a webhook is to be asked
a task runs, and what the MTA sends meanwhile waits in the frame buffer; the socket is read on, so that a hang-up, an
ABORT or a QUIT cancels the call. All answers to one read go out in one write.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, cast

import structlog

from gateway.milter import messages as m
from gateway.milter.codec import FrameBuffer, encode_replies, encode_reply
from gateway.milter.constants import Command
from gateway.milter.errors import ProtocolError
from gateway.milter.session import NOTHING, Event, Session, State, Step
from gateway.policy.conversation import Conversation, Decision
from gateway.policy.rules import Bounds
from gateway.server.deadlines import Deadlines
from gateway.server.progress import PROGRESS_SECONDS, Progressing
from gateway.translate.facts import Disconnected

_ENDING_CODES = (Command.ABORT, Command.QUIT, Command.QUIT_NEW_CONNECTION)
_READ_AHEAD = 128 * 1024
"""Bytes that may wait behind a call before the MTA is told to wait."""

_QUICKACK = getattr(socket, "TCP_QUICKACK", None)
_ENABLE = struct.pack("i", 1)
_CONTINUE = encode_reply(m.Continue())


@dataclass(frozen=True, slots=True)
class Timing:
    """Deadlines in seconds: for a packet begun (and for the first one), and for silence between packets."""

    frame_seconds: float = 60.0
    idle_seconds: float = 7200.0
    progress_seconds: float = PROGRESS_SECONDS


class Connection(asyncio.Protocol):
    """The MTA's connection. `begin` makes the conversation of each SMTP session."""

    def __init__(
        self,
        begin: Callable[[], Conversation],
        bounds: Bounds,
        timing: Timing,
        on_close: Callable[["Connection"], None],
        refusal: Callable[[asyncio.BaseTransport], str | None] = lambda _: None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._log = structlog.get_logger("gateway")
        self._conversation = begin()
        self._bounds = bounds
        self._on_close = on_close
        self._refusal = refusal
        self._frames = FrameBuffer()
        self._session = Session()
        self._macros = self._session.macros
        self._transport: asyncio.Transport | None = None
        self._quickack: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None
        self._asking: object = None
        self._rest: tuple[Event, ...] = ()
        """What the same packet brought behind the event that is asked about."""
        self._out: list[bytes] = []
        self._deadlines = Deadlines(self._loop, timing.frame_seconds, timing.idle_seconds, self._timed_out)
        self._progressing = Progressing(self._loop, timing.progress_seconds)
        self._began = self._arrived = self._loop.time()
        self._spoke = False
        self._blocked = False
        self._draining = False
        self._cause = "eof"
        self._closing = False
        self.peer = ""

    # ── the transport's side ────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The MTA has connected; it speaks first."""
        self._transport = cast("asyncio.Transport", transport)
        self._progressing.made(self._transport)
        sock = transport.get_extra_info("socket")
        self.peer = str(transport.get_extra_info("peername") or "unix socket")
        reason = self._refusal(transport)
        if reason is not None:
            self._log.warning("connection refused: the MTA's own policy decides", peer=self.peer, reason=reason)
            self._abort()
            return
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._quickack = sock if _QUICKACK is not None else None
        self._deadlines.expect_frame()

    def data_received(self, data: bytes) -> None:
        """Take bytes: Sendmail waits for the ACK of one packet before it sends the next, so acknowledge at once."""
        if self._quickack is not None and _QUICKACK is not None:
            self._quickack.setsockopt(socket.IPPROTO_TCP, _QUICKACK, _ENABLE)
        self._arrived = self._loop.time()
        self._frames.feed(data)
        if self._task is None:
            self._pump()
        elif self._frames.peek_code() in _ENDING_CODES and self._is_cancellable():
            self._task.cancel()
        elif self._frames.pending > _READ_AHEAD and self._transport is not None:
            self._transport.pause_reading()

    def _is_cancellable(self) -> bool:
        """Whether the call under way is for an answer that nobody waits for any more; a report is let finish."""
        return not isinstance(self._asking, m.Abort | m.QuitNewConnection)

    def eof_received(self) -> bool:
        """The MTA sends no more: close."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone: cancel the call, report the end."""
        theirs, self._closing = not self._closing, True
        self._deadlines.cancel()
        self._progressing.cancel()
        if exc is not None:
            self._log.info("connection lost", session=self._conversation.session.id, peer=self.peer, reason=str(exc))
        task, self._task = self._task, None
        if self._frames.peek_code() == Command.QUIT:
            self._cause = "quit"
        elif theirs and self._frames.pending and task is None:
            self._log.warning("the MTA hung up inside a packet", session=self._conversation.session.id, peer=self.peer)
        if task is not None and self._is_cancellable():
            task.cancel()
        self._start(self._farewell(task))

    def pause_writing(self) -> None:
        """The MTA does not read: stop reading, and wait no longer than for a packet."""
        self._blocked = True
        self._deadlines.expect_room()
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The MTA reads again."""
        self._blocked = False
        self._expect_next()
        if self._transport is not None and not self._closing:
            self._transport.resume_reading()

    # ── the pump ────────────────────────────────────────────────────────────────────────────────────────────

    def _pump(self) -> None:
        """Take whole packets until one has to be asked about; then write all answers at once."""
        frames, receive = self._frames, self._session.receive
        try:
            while self._task is None and not self._closing and (frame := frames.next_frame()) is not None:
                self._spoke = True
                step = receive(frame)
                if step is not NOTHING:
                    self._take(step)
        except ProtocolError as error:
            self._violated(error)
        self._flush()
        self._expect_next()
        if self._draining and self._task is None and not self._session.transaction_open:
            self._close("shutdown")

    def _expect_next(self) -> None:
        """Set the deadline of what the MTA has to do now: read what was written, finish a packet, begin one."""
        if self._blocked or self._closing:
            self._deadlines.expect_room()
        elif self._task is not None:
            self._deadlines.expect_nothing()
        elif self._frames.pending or not self._spoke:
            self._deadlines.expect_frame()
        else:
            self._deadlines.expect_silence()

    def _take(self, step: Step) -> None:
        """Handle the events of one packet. Nobody waits for an answer to any but the last."""
        events = step.events
        if len(events) == 1:
            self._handle(events[0], step.owed, ())
            return
        for number, event in enumerate(events, 1):
            self._handle(event, step.owed and number == len(events), events[number:])
            if self._task is not None:
                break

    def _handle(self, event: Event, owed: bool, rest: tuple[Event, ...]) -> None:
        kind, conversation = type(event), self._conversation
        if kind in conversation.quiet:
            conversation.take(event)
            if owed:
                self._out.append(_CONTINUE)
            elif kind is m.Header:
                conversation.take_fields(self._session.receive_fields(self._frames))
        elif kind in _OF_THE_CONNECTION:
            _OF_THE_CONNECTION[kind](self, event)
        elif conversation.note(event, self._session.macros_at(event)) or conversation.wants_flush:
            self._start(self._ask(event, owed, rest))
        else:
            self._answer(conversation.settle(event), owed)

    def _quit(self, _: m.Quit) -> None:
        self._close("quit")

    def _quit_new_connection(self, _: m.QuitNewConnection) -> None:
        self._start(self._next_session())

    def _negotiate(self, offer: m.Negotiate) -> None:
        if self._conversation.asks_about_terms:
            self._start(self._ask_terms(offer))
        else:
            self._agree(self._conversation.agree(offer))

    def _agree(self, agreement: m.Agreement) -> None:
        self._session.agree(agreement)
        self._out.append(encode_reply(agreement))

    def _answer(self, decision: Decision, owed: bool) -> None:
        if not owed:
            return
        reply, edits = decision.reply, decision.edits
        self._session.replied(reply)
        self._out.append(encode_replies((*edits, reply)) if edits else encode_reply(reply))

    def _flush(self) -> None:
        if self._out and self._transport is not None:
            if not self._closing:
                self._transport.write(self._out[0] if len(self._out) == 1 else b"".join(self._out))
            self._out = []

    # ── calls ───────────────────────────────────────────────────────────────────────────────────────────────

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = self._loop.create_task(work)
        self._task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        """The call is over: go on with what has arrived meanwhile."""
        if self._task is not task:
            return
        self._task = self._asking = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error(
                "internal error: the connection is closed and the MTA's own policy decides",
                session=self._conversation.session.id,
                peer=self.peer,
                exc_info=error,
            )
            self._cause = "error"
            self._abort()
            return
        if self._closing:
            return
        if self._transport is not None and not self._transport.is_closing() and not self._blocked:
            self._transport.resume_reading()
        self._pump()

    def _deadline(self, event: object) -> float:
        """On the loop's clock: the MTA's own clock runs from the moment it sent the packet."""
        at_end = isinstance(event, m.EndOfMessage)
        seconds = self._bounds.end_of_message_seconds if at_end else self._bounds.command_seconds
        return self._arrived + seconds

    async def _ask_terms(self, offer: m.Negotiate) -> None:
        self._agree(await self._conversation.negotiate(offer, self._deadline(offer)))

    async def _ask(self, event: Event, owed: bool, rest: tuple[Event, ...]) -> None:
        """Judge one event, and then what the same packet brought beside it."""
        self._asking, self._rest = event, rest
        conversation = self._conversation
        if conversation.holds_unwritten:
            await self._store_body()
        if not conversation.asks:
            decision = conversation.settle(event)
        elif type(event) is m.EndOfMessage:
            with self._progressing:
                decision = await conversation.judge(event, self._deadline(event))
        else:
            decision = await conversation.judge(event, self._deadline(event))
        if rest and not isinstance(decision.reply, m.Continue | m.Skip):
            rest, owed = (), True  # the chunk inside END OF MESSAGE decided for the whole packet
        self._answer(decision, owed)
        for follower in () if self._closing else rest:
            conversation.note(follower, self._session.macros_at(follower))
            await self._ask(follower, self._session.owes(type(follower)), ())

    async def _store_body(self) -> None:
        """Write the body to disk as it grows; where that fails the webhooks that need it fail."""
        try:
            await self._conversation.flush()
        except OSError as error:
            self._conversation.lose_body(str(error))

    # ── endings ─────────────────────────────────────────────────────────────────────────────────────────────

    def _violated(self, error: ProtocolError) -> None:
        """Log what an operator needs, send nothing, close: the MTA's own policy decides."""
        log = self._log.warning if self._session.state is not State.START else self._log.debug
        log(
            "protocol violation: connection closed",
            session=self._conversation.session.id,
            peer=self.peer,
            state=self._session.state.name,
            reason=str(error),
        )
        self._close("error")

    def _timed_out(self, what: str) -> None:
        self._log.warning("connection closed", session=self._conversation.session.id, peer=self.peer, reason=what)
        self._cause = "error"
        self._abort()

    def _close(self, cause: str) -> None:
        """Close after what is still to be written."""
        self._flush()
        self._closing = True
        self._cause = cause
        self._deadlines.expect_room()
        if self._transport is not None:
            self._transport.close()

    def _abort(self) -> None:
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    async def _next_session(self) -> None:
        """QUIT_NC: report the end of this SMTP session; the next one begins on the same socket."""
        self._asking = m.QuitNewConnection()
        await self._report_end("quit")
        self._conversation = self._conversation.renew()
        self._macros = self._session.macros
        self._began = self._loop.time()

    async def _farewell(self, interrupted: "asyncio.Task[None] | None") -> None:
        if interrupted is not None:
            await asyncio.wait([interrupted])
        try:
            await self._report_end(self._cause)
        finally:
            self._on_close(self)

    async def _report_end(self, cause: str) -> None:
        conversation = self._conversation
        if self._session.state is State.START:
            return
        if conversation.transaction is not None:
            await conversation.report(
                m.Abort(), self._macros.visible(), self._loop.time() + self._bounds.command_seconds
            )
        conversation.end_transaction()
        self._macros.end_transaction()
        duration_ms = round((self._loop.time() - self._began) * 1000)
        over = Disconnected(cause, duration_ms)
        await conversation.report(over, self._macros.visible(), self._loop.time() + self._bounds.command_seconds)

    # ── shutdown ────────────────────────────────────────────────────────────────────────────────────────────

    def drain(self) -> None:
        """End as soon as no transaction is open and no answer is owed."""
        self._draining = True
        if self._task is None and not self._session.transaction_open:
            self._close("shutdown")

    def give_up(self) -> None:
        """End now: an owed reply is that of the webhooks' failure policy."""
        if self._closing:
            return  # the MTA has gone: what runs is the report of the end
        asking, task = self._asking, self._task
        self._cause = "shutdown"
        if task is not None and asking is not None and self._is_cancellable():
            self._task = None
            task.cancel()
            decision = self._conversation.give_up(asking)
            for follower in self._rest if isinstance(decision.reply, m.Continue | m.Skip) else ():
                self._conversation.note(follower, self._session.macros_at(follower))
                decision = self._conversation.give_up(follower)
            self._answer(decision, owed=True)
        self._close("shutdown")


_OF_THE_CONNECTION: Mapping[type, Callable[[Connection, Any], None]] = {
    m.Negotiate: Connection._negotiate,
    m.Quit: Connection._quit,
    m.QuitNewConnection: Connection._quit_new_connection,
}
"""What concerns the connection and no conversation."""
