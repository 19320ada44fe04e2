"""Bytes to frames, frames to commands, replies and edits to bytes.

A frame is `u32 length, u8 code, length-1 bytes`; the length counts the code byte. Only the framing, the integers and
the code bytes are trusted; every text stays bytes.
"""

import ipaddress
import struct
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from gateway.milter import messages as m
from gateway.milter.constants import MAX_PAYLOAD, MIN_VERSION, Actions, Command, Response, Steps
from gateway.milter.errors import EncodingError, ProtocolError

_LENGTH = struct.Struct(">I")
_U16 = struct.Struct(">H")
_OFFER = struct.Struct(">III")
_read_length = _LENGTH.unpack_from

Frame = tuple[bytes, bytes]
"""The code byte and the payload."""


class FrameBuffer:
    """Cuts a stream of bytes into frames.

    It never holds more than one unfinished frame and what was fed with it; a length beyond the limit is refused
    before its bytes arrive, so that a peer cannot make it grow.
    """

    __slots__ = ("_behind", "_behind_offset", "_buffer", "_limit", "_offset")

    def __init__(self, limit: int = MAX_PAYLOAD + 1) -> None:
        self._buffer = b""
        self._offset = 0
        self._behind = b""
        """What comes when the buffer is used up: a long read stays as it is, but for the end of a frame begun."""
        self._behind_offset = 0
        self._limit = limit

    def feed(self, data: bytes) -> None:
        """Take what arrived."""
        begun = self._buffer[self._offset :]
        if self._behind:
            begun += self._behind[self._behind_offset :]
            self._behind = b""
        missing = _missing(begun)
        if 0 < missing < len(data):
            self._buffer, self._behind, self._behind_offset = begun + data[:missing], data, missing
        else:
            self._buffer = begun + data if begun else data
        self._offset = 0

    def _go_on(self) -> None:
        self._buffer, self._offset, self._behind = self._behind, self._behind_offset, b""

    def next_frame(self) -> Frame | None:
        """The next whole frame, or None where its bytes have not all arrived.

        Raises ProtocolError for a length of 0 or beyond the limit.
        """
        buffer, start = self._buffer, self._offset
        if self._behind and start == len(buffer):
            self._go_on()
            buffer, start = self._buffer, self._offset
        code_at = start + 4
        if len(buffer) < code_at:
            return None
        (length,) = _read_length(buffer, start)
        if not 0 < length <= self._limit:
            raise ProtocolError(f"frame length {length} is not between 1 and {self._limit}")
        end = code_at + length
        if len(buffer) < end:
            return None
        self._offset = end
        return buffer[code_at : code_at + 1], buffer[code_at + 1 : end]

    def next_run(self, code: bytes, repeated: bytes) -> list[bytes]:
        """The payloads of the whole frames of this code that come next, each directly behind the bytes `repeated`.

        A message has many header fields, and Postfix says the same macros before each of them: looking at such a run
        packet by packet costs five times as much. Whatever is different ends the run.
        """
        buffer, start, size, skip = self._buffer, self._offset, len(self._buffer), len(repeated)
        payloads: list[bytes] = []
        while not skip or buffer.startswith(repeated, start):
            code_at = start + skip + 4
            if not buffer.startswith(code, code_at):
                break
            (length,) = _read_length(buffer, code_at - 4)
            end = code_at + length
            if end > size or not 0 < length <= self._limit:
                break
            payloads.append(buffer[code_at + 1 : end])
            start = end
        self._offset = start
        return payloads

    def peek_code(self) -> bytes:
        """The code byte of the next frame, or b"" where it has not arrived."""
        if self._behind and self._offset == len(self._buffer):
            self._go_on()
        return self._buffer[self._offset + 4 : self._offset + 5]

    @property
    def pending(self) -> int:
        """Bytes that belong to no frame handed out so far."""
        behind = len(self._behind) - self._behind_offset if self._behind else 0
        return len(self._buffer) - self._offset + behind


def _missing(begun: bytes) -> int:
    """How many bytes complete the frame that begins here; 0 where its length has not arrived, or it is complete."""
    if len(begun) < 4:
        return 0
    length: int = _read_length(begun)[0]
    return max(4 + length - len(begun), 0)


def _strings(payload: bytes, what: str) -> list[bytes]:
    """The NUL-terminated strings of a payload; the last byte must be a NUL."""
    if not payload:
        raise ProtocolError(f"{what} without payload")
    if payload[-1] != 0:
        raise ProtocolError(f"{what} does not end in NUL")
    return payload[:-1].split(b"\0")


def _decode_negotiate(payload: bytes) -> m.Negotiate:
    if len(payload) < _OFFER.size:
        raise ProtocolError(f"OPTNEG with {len(payload)} bytes, 12 are needed")
    version, actions, steps = _OFFER.unpack_from(payload)
    if version < MIN_VERSION:
        raise ProtocolError(f"OPTNEG offers version {version}, {MIN_VERSION} is the lowest")
    return m.Negotiate(version, Actions(actions & 0x1FF), Steps(steps & 0x1FFFFF))


def _decode_macros(payload: bytes) -> m.Macros:
    if not payload:
        raise ProtocolError("MACRO without a stage")
    return m.Macros(payload[:1], payload[1:])


def _decode_connect(payload: bytes) -> m.Connect:
    hostname, found, rest = payload.partition(b"\0")
    if not found or not rest:
        raise ProtocolError("CONNECT without an address family")
    family = rest[:1]
    if family == b"U":
        return m.Connect(hostname, family, 0, None)
    if family == b"L" and rest[1:2] == b"/":  # a client that leaves the port out
        return m.Connect(hostname, family, 0, _strings(rest[1:], "CONNECT path")[0])
    if family not in (b"L", b"4", b"6"):
        raise ProtocolError(f"CONNECT with the unknown family {family!r}")
    if len(rest) < 4:
        raise ProtocolError("CONNECT without a port and an address")
    (port,) = _U16.unpack_from(rest, 1)
    address = _strings(rest[3:], "CONNECT address")[0]
    if family != b"L":
        address = _plain_address(family, address)
    return m.Connect(hostname, family, port, address)


def _plain_address(family: bytes, address: bytes) -> bytes:
    """Sendmail writes `IPv6:0:0:…:1`, sometimes in brackets; return the shortest spelling."""
    text = address.decode("ascii", "replace").strip("[]")
    if text[:5].lower() == "ipv6:":
        text = text[5:]
    try:
        parsed = ipaddress.IPv4Address(text) if family == b"4" else ipaddress.IPv6Address(text)
    except ValueError as error:
        raise ProtocolError(f"CONNECT with the address {address!r}: {error}") from error
    return str(parsed).encode()


def _decode_helo(payload: bytes) -> m.Helo:
    return m.Helo(_strings(payload, "HELO")[0])


def _decode_mail(payload: bytes) -> m.Mail:
    sender, *params = _strings(payload, "MAIL")
    return m.Mail(sender, tuple(params))


def _decode_rcpt(payload: bytes) -> m.Rcpt:
    recipient, *params = _strings(payload, "RCPT")
    return m.Rcpt(recipient, tuple(params))


def decode_header(payload: bytes) -> m.Header:
    """The field in a HEADER packet. Raises ProtocolError."""
    strings = payload.split(b"\0")
    if len(strings) < 3 or strings[-1]:
        _strings(payload, "HEADER")
        raise ProtocolError("HEADER without a value")
    return m.Header(strings[0], strings[1])  # strings after the value are ignored, as libmilter does


def _decode_unknown(payload: bytes) -> m.Unknown:
    return m.Unknown(_strings(payload, "UNKNOWN")[0])


_DATA = m.Data()
_END_OF_HEADERS = m.EndOfHeaders()

_DECODERS: Mapping[bytes, Callable[[bytes], m.AnyCommand]] = {
    Command.NEGOTIATE: _decode_negotiate,
    Command.MACRO: _decode_macros,
    Command.CONNECT: _decode_connect,
    Command.HELO: _decode_helo,
    Command.MAIL: _decode_mail,
    Command.RCPT: _decode_rcpt,
    Command.DATA: lambda _: _DATA,  # a payload where none belongs is ignored, as libmilter does
    Command.HEADER: decode_header,
    Command.END_OF_HEADERS: lambda _: _END_OF_HEADERS,
    Command.BODY: m.Body,
    Command.END_OF_MESSAGE: m.EndOfMessage,
    Command.UNKNOWN: _decode_unknown,
    Command.ABORT: lambda _: m.Abort(),
    Command.QUIT: lambda _: m.Quit(),
    Command.QUIT_NEW_CONNECTION: lambda _: m.QuitNewConnection(),
}


def decode_command(frame: Frame) -> m.AnyCommand:
    """What the MTA said.

    Raises ProtocolError for an unknown code and for a payload that is not of the code's form.
    """
    code, payload = frame
    decoder = _DECODERS.get(code)
    if decoder is None:
        raise ProtocolError(f"unknown command byte {code!r}")
    return decoder(payload)


@lru_cache(maxsize=64)
def decode_macros(payload: bytes) -> Mapping[bytes, bytes]:
    """The pairs of a MACRO packet; names without their braces.

    A list that does not end in NUL is dropped whole and an odd last string is ignored, as in libmilter. The last few
    packets are remembered, since Postfix repeats the queue id with most commands.
    """
    if not payload or payload[-1] != 0:
        return {}
    strings = payload[:-1].split(b"\0")
    return {_bare(name): value for name, value in zip(strings[::2], strings[1::2], strict=False)}


def _bare(name: bytes) -> bytes:
    return name[1:-1] if name[:1] == b"{" and name[-1:] == b"}" else name


def frame(code: bytes, payload: bytes = b"") -> bytes:
    """One packet. Raises EncodingError where the payload is over MAX_PAYLOAD."""
    if len(payload) > MAX_PAYLOAD:
        raise EncodingError(f"{len(payload)} bytes do not fit into one packet")
    return _LENGTH.pack(len(payload) + 1) + code + payload


def _encode_agreement(value: m.Agreement) -> bytes:
    lists = b"".join(_LENGTH.pack(stage) + b" ".join(names) + b"\0" for stage, names in value.macro_lists if names)
    return frame(Response.NEGOTIATE, _OFFER.pack(value.version, value.actions, value.steps) + lists)


def _encode_field(code: bytes, *parts: bytes) -> bytes:
    return frame(code, b"".join(part + b"\0" for part in parts))


def _encode_insert(value: m.InsertHeader) -> bytes:
    payload = _LENGTH.pack(value.index) + value.name + b"\0" + value.value + b"\0"
    return frame(Response.INSERT_HEADER, payload)


def _encode_change(value: m.ChangeHeader) -> bytes:
    payload = _LENGTH.pack(value.occurrence) + value.name + b"\0" + value.value + b"\0"
    return frame(Response.CHANGE_HEADER, payload)


def _encode_add_recipient(value: m.AddRecipient) -> bytes:
    if value.params is None:
        return _encode_field(Response.ADD_RECIPIENT, value.address)
    return _encode_field(Response.ADD_RECIPIENT_WITH_PARAMS, value.address, value.params)


def _encode_change_from(value: m.ChangeFrom) -> bytes:
    params = () if value.params is None else (value.params,)
    return _encode_field(Response.CHANGE_FROM, value.address, *params)


_BARE: Mapping[type, bytes] = {
    m.Continue: frame(Response.CONTINUE),
    m.Accept: frame(Response.ACCEPT),
    m.Reject: frame(Response.REJECT),
    m.TempFail: frame(Response.TEMPFAIL),
    m.Discard: frame(Response.DISCARD),
    m.Skip: frame(Response.SKIP),
    m.Shutdown: frame(Response.SHUTDOWN),
    m.Progress: frame(Response.PROGRESS),
}

_ENCODERS: Mapping[type, Callable[..., bytes]] = {
    m.Agreement: _encode_agreement,
    m.ReplyCode: lambda value: _encode_field(Response.REPLY_CODE, value.text),
    m.AddHeader: lambda value: _encode_field(Response.ADD_HEADER, value.name, value.value),
    m.InsertHeader: _encode_insert,
    m.ChangeHeader: _encode_change,
    m.ReplaceBody: lambda value: frame(Response.REPLACE_BODY, value.chunk),
    m.AddRecipient: _encode_add_recipient,
    m.DeleteRecipient: lambda value: _encode_field(Response.DELETE_RECIPIENT, value.address),
    m.ChangeFrom: _encode_change_from,
    m.Quarantine: lambda value: _encode_field(Response.QUARANTINE, value.reason),
}


def encode_reply(value: m.Agreement | m.Reply | m.Edit | m.Progress) -> bytes:
    """One packet for the MTA."""
    bare = _BARE.get(type(value))
    return bare if bare is not None else _ENCODERS[type(value)](value)


def encode_replies(values: Iterable[m.Reply | m.Edit]) -> bytes:
    """Several packets for one write."""
    return b"".join(map(encode_reply, values))
