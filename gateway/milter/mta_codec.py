"""The MTA's side of the wire: commands to bytes, bytes to replies and edits.

Used by `send`, by the simulator and by the tests; the service itself needs only `codec`.
"""

import struct
from collections.abc import Callable, Mapping

from gateway.milter import messages as m
from gateway.milter.codec import Frame, frame
from gateway.milter.constants import Actions, Command, MacroStage, Response, Steps
from gateway.milter.errors import ProtocolError

_U32 = struct.Struct(">I")
_OFFER = struct.Struct(">III")


def _strings(code: bytes, *parts: bytes) -> bytes:
    return frame(code, b"".join(part + b"\0" for part in parts))


def _encode_connect(value: m.Connect) -> bytes:
    tail = b"" if value.address is None else struct.pack(">H", value.port) + value.address + b"\0"
    return frame(Command.CONNECT, value.hostname + b"\0" + value.family + tail)


_ENCODERS: Mapping[type, Callable[..., bytes]] = {
    m.Negotiate: lambda v: frame(Command.NEGOTIATE, _OFFER.pack(v.version, v.actions, v.steps)),
    m.Macros: lambda v: frame(Command.MACRO, v.stage + v.payload),
    m.Connect: _encode_connect,
    m.Helo: lambda v: _strings(Command.HELO, v.name),
    m.Mail: lambda v: _strings(Command.MAIL, v.sender, *v.params),
    m.Rcpt: lambda v: _strings(Command.RCPT, v.recipient, *v.params),
    m.Data: lambda _: frame(Command.DATA),
    m.Header: lambda v: _strings(Command.HEADER, v.name, v.value),
    m.EndOfHeaders: lambda _: frame(Command.END_OF_HEADERS),
    m.Body: lambda v: frame(Command.BODY, v.chunk),
    m.EndOfMessage: lambda v: frame(Command.END_OF_MESSAGE, v.chunk),
    m.Unknown: lambda v: _strings(Command.UNKNOWN, v.command),
    m.Abort: lambda _: frame(Command.ABORT),
    m.Quit: lambda _: frame(Command.QUIT),
    m.QuitNewConnection: lambda _: frame(Command.QUIT_NEW_CONNECTION),
}


def encode_command(value: m.AnyCommand) -> bytes:
    """One packet for a filter."""
    return _ENCODERS[type(value)](value)


def encode_macros(code: bytes, values: Mapping[bytes, bytes]) -> bytes:
    """The MACRO packet in front of the command `code`; long names go in braces."""
    pairs = b"".join(
        (name if len(name) == 1 else b"{" + name + b"}") + b"\0" + value + b"\0" for name, value in values.items()
    )
    return frame(Command.MACRO, code + pairs)


def _text(payload: bytes, what: str) -> list[bytes]:
    if payload[-1:] != b"\0":
        raise ProtocolError(f"{what} does not end in NUL")
    return payload[:-1].split(b"\0")


def _decode_agreement(payload: bytes) -> m.Agreement:
    if len(payload) < _OFFER.size:
        raise ProtocolError(f"OPTNEG answer with {len(payload)} bytes")
    version, actions, steps = _OFFER.unpack_from(payload)
    lists, rest = [], payload[_OFFER.size :]
    while len(rest) > _U32.size:
        (stage,) = _U32.unpack_from(rest)
        names, _, rest = rest[_U32.size :].partition(b"\0")
        if stage in list(MacroStage):
            lists.append((MacroStage(stage), tuple(names.replace(b",", b" ").split())))
    return m.Agreement(version, Actions(actions & 0x1FF), Steps(steps & 0x1FFFFF), tuple(lists))


def _decode_indexed(payload: bytes, what: str) -> tuple[int, bytes, bytes]:
    if len(payload) < _U32.size:
        raise ProtocolError(f"{what} without an index")
    (index,) = _U32.unpack_from(payload)
    name, value = _pair(payload[_U32.size :], what)
    return index, name, value


def _pair(payload: bytes, what: str) -> tuple[bytes, bytes]:
    strings = _text(payload, what)
    if len(strings) != 2:
        raise ProtocolError(f"{what} with {len(strings)} strings")
    return strings[0], strings[1]


def _with_params(payload: bytes, what: str) -> tuple[bytes, bytes | None]:
    strings = _text(payload, what)
    return strings[0], strings[1] if len(strings) > 1 else None


_DECODERS: Mapping[bytes, Callable[[bytes], m.Agreement | m.Reply | m.Edit | m.Progress]] = {
    Response.NEGOTIATE: _decode_agreement,
    Response.CONTINUE: lambda _: m.Continue(),
    Response.ACCEPT: lambda _: m.Accept(),
    Response.REJECT: lambda _: m.Reject(),
    Response.TEMPFAIL: lambda _: m.TempFail(),
    Response.DISCARD: lambda _: m.Discard(),
    Response.SKIP: lambda _: m.Skip(),
    Response.SHUTDOWN: lambda _: m.Shutdown(),
    Response.CONNECTION_FAIL: lambda _: m.Shutdown(),
    Response.PROGRESS: lambda _: m.Progress(),
    Response.REPLY_CODE: lambda p: m.ReplyCode(_text(p, "REPLYCODE")[0]),
    Response.ADD_HEADER: lambda p: m.AddHeader(*_pair(p, "ADDHEADER")),
    Response.INSERT_HEADER: lambda p: m.InsertHeader(*_decode_indexed(p, "INSHEADER")),
    Response.CHANGE_HEADER: lambda p: m.ChangeHeader(*_decode_indexed(p, "CHGHEADER")),
    Response.REPLACE_BODY: m.ReplaceBody,
    Response.ADD_RECIPIENT: lambda p: m.AddRecipient(_text(p, "ADDRCPT")[0]),
    Response.ADD_RECIPIENT_WITH_PARAMS: lambda p: m.AddRecipient(*_with_params(p, "ADDRCPT_PAR")),
    Response.DELETE_RECIPIENT: lambda p: m.DeleteRecipient(_text(p, "DELRCPT")[0]),
    Response.CHANGE_FROM: lambda p: m.ChangeFrom(*_with_params(p, "CHGFROM")),
    Response.QUARANTINE: lambda p: m.Quarantine(_text(p, "QUARANTINE")[0]),
}


def decode_reply(value: Frame) -> m.Agreement | m.Reply | m.Edit | m.Progress:
    """What a filter answered. Raises ProtocolError where no MTA could make sense of it."""
    code, payload = value
    decoder = _DECODERS.get(code)
    if decoder is None:
        raise ProtocolError(f"unknown response byte {code!r}")
    return decoder(payload)
