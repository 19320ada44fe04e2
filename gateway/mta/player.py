"""Plays a mail through a milter, event by event, as Postfix would."""

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.mail.fields import Field
from gateway.milter import messages as m
from gateway.milter.codec import Frame, FrameBuffer
from gateway.milter.constants import CHUNK_SIZE, MAX_VERSION, Actions, Command, MacroStage, Steps
from gateway.milter.errors import EncodingError, ProtocolError
from gateway.milter.macros import POSTFIX_DEFAULTS
from gateway.milter.mta_codec import decode_reply, encode_command, encode_macros
from gateway.mta.mail import Mail, braced, made_up_macros, octets, spelled, split_as_queued
from gateway.mta.outcome import Result, Verdict, ends_session, once, verdict_of

_REPLY_LIMIT = 1024 * 1024
QUEUE_ID = "SIMULATED"


class PlayError(Exception):
    """The milter broke the protocol, fell silent or went away."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait for a reply, in seconds; at the end of the message each packet restarts it (Postfix)."""

    command: float = 30.0
    content: float = 300.0


@dataclass(frozen=True, slots=True)
class Exchanged:
    """One command and what came back; `reply` None: none was expected, `sent` False: it was negotiated away."""

    command: m.Message | m.Negotiate
    reply: m.Reply | m.Agreement | None
    edits: tuple[m.Edit, ...] = ()
    sent: bool = True


@dataclass(slots=True)
class Played:
    """What became of a mail."""

    verdict: Verdict
    reply: m.Reply | None
    result: Result
    agreement: m.Agreement
    refused: list[tuple[bytes, m.Reply]] = field(default_factory=list)
    """The recipients that the milter refused, and how."""


_STAGES: Mapping[type, tuple[bytes, MacroStage]] = {
    m.Connect: (Command.CONNECT, MacroStage.CONNECT),
    m.Helo: (Command.HELO, MacroStage.HELO),
    m.Mail: (Command.MAIL, MacroStage.MAIL),
    m.Rcpt: (Command.RCPT, MacroStage.RCPT),
    m.Data: (Command.DATA, MacroStage.DATA),
    m.EndOfHeaders: (Command.END_OF_HEADERS, MacroStage.END_OF_HEADERS),
    m.EndOfMessage: (Command.END_OF_MESSAGE, MacroStage.END_OF_MESSAGE),
}
_FLAGS: Mapping[type, tuple[Steps, Steps]] = {
    m.Connect: (Steps.NO_CONNECT, Steps.NR_CONNECT),
    m.Helo: (Steps.NO_HELO, Steps.NR_HELO),
    m.Mail: (Steps.NO_MAIL, Steps.NR_MAIL),
    m.Rcpt: (Steps.NO_RCPT, Steps.NR_RCPT),
    m.Data: (Steps.NO_DATA, Steps.NR_DATA),
    m.Header: (Steps.NO_HEADERS, Steps.NR_HEADER),
    m.EndOfHeaders: (Steps.NO_END_OF_HEADERS, Steps.NR_END_OF_HEADERS),
    m.Body: (Steps.NO_BODY, Steps.NR_BODY),
    m.EndOfMessage: (Steps(0), Steps(0)),
}
_GO_ON = (m.Continue, m.Skip)
_SMTP_REPLY = re.compile(rb"[45]\d\d[ -]")


class Player:
    """One milter connection. `tell` is told every exchange as it happens."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        tell: Callable[[Exchanged], None] = lambda _: None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._tell = tell
        self._timeouts = timeouts or Timeouts()
        self._frames = FrameBuffer(_REPLY_LIMIT)
        self._agreement = m.Agreement(MAX_VERSION, Actions(0), Steps(0))
        self._made_up: dict[str, str] = {}
        self._given: dict[str, str] = {}
        self._in_transaction = False

    async def play(self, mail: Mail) -> Played:
        """Play one mail from connect to its end. Raises PlayError."""
        self._agreement = await self._negotiate()
        fields, body = split_as_queued(mail.raw)
        space = bool(self._agreement.steps & Steps.LEADING_SPACE)
        result = Result(
            spelled(mail.sender),
            once([spelled(item) for item in mail.recipients]),
            [Field.of_mta(*item) for item in fields],
            body,
            leading_space=space,
        )
        self._made_up = made_up_macros(mail.connect())
        self._given = {braced(name): value for name, value in mail.macros.items()}
        played = Played(Verdict.ACCEPTED, None, result, self._agreement)
        for phase in (self._session_phase, self._envelope_phase, self._content_phase):
            final = await phase(mail, played)
            if final is not None:
                played.reply, played.verdict = final, verdict_of(final)
                break
        if played.verdict is Verdict.ACCEPTED and result.quarantine is not None:
            played.verdict = Verdict.QUARANTINED
        await self._quit()
        return played

    async def _session_phase(self, mail: Mail, _: Played) -> m.Reply | None:
        for command in (mail.connect(), m.Helo(octets(mail.helo))):
            reply = await self._ask(command)
            if not isinstance(reply, _GO_ON):
                return reply
        return None

    async def _envelope_phase(self, mail: Mail, played: Played) -> m.Reply | None:
        self._made_up["{mail_addr}"] = mail.sender
        self._in_transaction = True
        reply = await self._ask(m.Mail(spelled(mail.sender), (f"SIZE={len(mail.raw)}".encode(),)))
        if not isinstance(reply, _GO_ON):
            return reply
        final = await self._recipients(mail, played)
        if final is not None:
            return final
        self._made_up["i"] = QUEUE_ID
        reply = await self._ask(m.Data())
        return None if isinstance(reply, _GO_ON) else reply

    async def _recipients(self, mail: Mail, played: Played) -> m.Reply | None:
        """Offer each recipient; a final reply where none is left, or where one answer settles the mail."""
        taken: list[bytes] = []
        for number, recipient in enumerate(mail.recipients):
            self._made_up["{rcpt_addr}"] = recipient
            reply = await self._ask(m.Rcpt(spelled(recipient)))
            if isinstance(reply, m.Accept | m.Discard):
                played.result.recipients = once(taken + [spelled(item) for item in mail.recipients[number:]])
                return reply
            if isinstance(reply, _GO_ON):
                taken.append(spelled(recipient))
                continue
            played.refused.append((spelled(recipient), reply))
            if ends_session(reply):
                return reply
        played.result.recipients = once(taken)
        return None if taken else played.refused[-1][1]

    async def _content_phase(self, _: Mail, played: Played) -> m.Reply:
        result = played.result
        skipped: set[type] = set()
        commands: list[m.Message] = [m.Header(item.name, self._value(item)) for item in result.fields]
        commands.append(m.EndOfHeaders())
        body = result.body
        commands += [m.Body(body[at : at + CHUNK_SIZE]) for at in range(0, len(body), CHUNK_SIZE)]
        for command in commands:
            if type(command) in skipped:
                continue
            reply = await self._ask(command)
            if isinstance(reply, m.Skip):
                skipped.add(type(command))
            elif not isinstance(reply, m.Continue):
                return reply
        return await self._end_of_message(result)

    async def _end_of_message(self, result: Result) -> m.Reply:
        self._send(m.EndOfMessage())
        edits: list[m.Edit] = []
        while True:
            answer = await self._receive(self._timeouts.content)
            if isinstance(answer, m.Progress):
                continue
            if isinstance(answer, m.Agreement):
                raise PlayError("the milter negotiated at the end of the message")
            if isinstance(answer, m.Reply):
                break
            edits.append(answer)
        self._in_transaction = False
        self._tell(Exchanged(m.EndOfMessage(), answer, tuple(edits)))
        if isinstance(answer, m.Accept | m.Continue):
            result.apply(edits)
        return answer

    def _value(self, item: Field) -> bytes:
        """What goes on the wire, where NUL ends a string."""
        value = item.raw if self._agreement.steps & Steps.LEADING_SPACE else item.value
        return value.partition(b"\0")[0]

    async def _ask(self, command: m.Message) -> m.Reply:
        """Send a command where the milter wants it, and wait where it answers it."""
        left_out, unanswered = _FLAGS[type(command)]
        sent = not self._agreement.steps & left_out
        if sent:
            self._send(command)
        if not sent or self._agreement.steps & unanswered:
            await self._drain()
            self._tell(Exchanged(command, None, sent=sent))
            return m.Continue()
        content = isinstance(command, m.Header | m.EndOfHeaders | m.Body)
        answer = await self._receive(self._timeouts.content if content else self._timeouts.command)
        while isinstance(answer, m.Progress):
            answer = await self._receive(self._timeouts.command)
        if not isinstance(answer, m.Reply):
            raise PlayError(f"the milter answered {type(command).__name__} with {type(answer).__name__}")
        self._tell(Exchanged(command, answer))
        return answer

    async def _negotiate(self) -> m.Agreement:
        offer = m.Negotiate(MAX_VERSION, Actions(0x1FF), Steps(0x1FFFFF))
        self._writer.write(encode_command(offer))
        answer = await self._receive(self._timeouts.command)
        if not isinstance(answer, m.Agreement):
            raise PlayError(f"the milter answered the negotiation with {type(answer).__name__}")
        self._tell(Exchanged(offer, answer))
        return answer

    def _send(self, command: m.Message) -> None:
        code, stage = _STAGES.get(type(command), (b"", None))
        if stage is not None:
            self._send_macros(code, stage)
        try:
            self._writer.write(encode_command(command))
        except EncodingError as error:
            raise PlayError(f"the mail cannot be handed to a milter: {error}") from error

    def _send_macros(self, code: bytes, stage: MacroStage) -> None:
        names = dict(self._agreement.macro_lists).get(stage)
        asked = None if names is None else [braced(name.decode("utf-8", "replace")) for name in names]
        known = self._made_up | self._given
        wanted = POSTFIX_DEFAULTS.get(stage, ()) if asked is None else asked
        values = {octets(name.strip("{}")): octets(known[name]) for name in wanted if name in known}
        if values:
            self._writer.write(encode_macros(code, values))

    async def _receive(self, seconds: float) -> m.Agreement | m.Reply | m.Edit | m.Progress:
        try:
            async with asyncio.timeout(seconds):
                await self._writer.drain()
                while (frame := self._frames.next_frame()) is None:
                    data = await self._reader.read(65536)
                    if not data:
                        raise PlayError("the milter closed the connection without an answer")
                    self._frames.feed(data)
            return _decoded(frame)
        except TimeoutError as error:
            raise PlayError(f"the milter did not answer within {seconds:g} s") from error
        except ProtocolError as error:
            raise PlayError(f"the milter broke the protocol: {error}") from error
        except OSError as error:
            raise PlayError(f"the connection to the milter broke: {error}") from error

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(self._timeouts.content):
                await self._writer.drain()
        except OSError as error:
            raise PlayError(f"the milter does not read: {error}") from error

    async def _quit(self) -> None:
        """Say goodbye; the verdict stands, whether the milter listens or not."""
        if self._in_transaction:
            self._writer.write(encode_command(m.Abort()))
        self._writer.write(encode_command(m.Quit()))
        with contextlib.suppress(PlayError):
            await self._drain()


def _decoded(frame: Frame) -> m.Agreement | m.Reply | m.Edit | m.Progress:
    """What a packet says. Raises ProtocolError, also for a reply that is none in SMTP."""
    answer = decode_reply(frame)
    if isinstance(answer, m.ReplyCode) and not _SMTP_REPLY.match(answer.text):
        raise ProtocolError(f"{answer.text[:60]!r} is no SMTP refusal")
    return answer
