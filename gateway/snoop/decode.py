"""What a packet says: facts for JSON, in the spelling of the contract, and words for people.

Nothing is refused here. What is not of its command's form is shown as the bytes that it is, with the reason.
"""

import re
import struct
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from gateway.contract.words import Action, Op
from gateway.mail.address import Address, strip_brackets
from gateway.mail.fields import Field
from gateway.milter import messages as m
from gateway.milter.codec import decode_command, decode_macros
from gateway.milter.constants import Command, Response
from gateway.milter.errors import ProtocolError
from gateway.milter.mta_codec import decode_reply
from gateway.milter.smtp_reply import read_reply
from gateway.snoop.frames import PREVIEW, Packet
from gateway.snoop.words import ACTIONS as ACTION_FLAGS
from gateway.snoop.words import BODIES, COMMANDS, EMPTY, NAMES, STAGES, STEPS, Side, flags
from gateway.translate.parts import address_json, field_json
from gateway.translate.text import macro_texts, named, readable_bytes, shown, to_base64

LEADING_SPACE = 0x100000
"""SMFIP_HDR_LEADSPC: values of header fields bring their leading space along."""

_OFFER = struct.Struct(">III")
_SMTP_REPLY = re.compile(rb"[45]\d\d(?:[ -]|\Z)")
_FAMILIES = {b"4": "inet", b"6": "inet6", b"L": "unix", b"U": "unknown"}


class Told(Struct, frozen=True):
    """A packet in words.

    `command` is libmilter's name and `name` ours. `text` may have several lines; line ends of mail are escapes in it.
    `fault` says what is wrong with the packet. `body` is there where it holds a part of one.
    """

    command: str
    name: str
    text: str = ""
    data: Mapping[str, Any] = {}
    fault: str | None = None
    body: bytes | None = None


Words = tuple[str, dict[str, Any]]


def agreed_leading_space(packet: Packet) -> bool:
    """Whether an OPTNEG of the milter asks for the leading space."""
    if len(packet.payload) < _OFFER.size:
        return False
    steps: int = _OFFER.unpack_from(packet.payload)[2]
    return bool(steps & LEADING_SPACE)


def tell(side: Side, packet: Packet, *, leading_space: bool = False) -> Told:
    """Say what a packet means; `leading_space` as it was agreed."""
    command, name = NAMES[side].get(packet.code, ("?", "unknown to us"))
    if not packet.code:
        return Told(command, "nothing", fault="a packet of length 0: not even a command byte is in it")
    if command == "?":
        code = readable_bytes(packet.code)
        return _shown(command, name, packet, f"{code!r} is no command that the {_WHO[side]} can send")
    if packet.code in BODIES[side]:
        return _body(command, name, packet)
    if packet.code in EMPTY[side]:
        fault = f"{packet.size} bytes behind it do not belong there" if packet.size else None
        return Told(command, name, fault=fault)
    if not packet.whole:
        return _shown(command, name, packet, f"larger than a packet of this kind can be: {packet.size} bytes")
    try:
        text, data = _READERS[side, packet.code](packet.payload, leading_space)
    except ProtocolError as error:
        return _shown(command, name, packet, str(error))
    return Told(command, _name(packet, name, data), text, data)


_WHO = {Side.MTA: "MTA", Side.MILTER: "milter"}


def _shown(command: str, name: str, packet: Packet, fault: str) -> Told:
    """A packet that cannot be read, as the bytes it begins with."""
    begins = packet.payload[:PREVIEW]
    cut = len(begins) < packet.size
    text = readable_bytes(begins) + ("…" if cut else "")
    return Told(command, name, text, {**shown(begins), "truncated": cut}, fault)


def _body(command: str, name: str, packet: Packet) -> Told:
    """A part of a body; BODYEOB is often empty."""
    if packet.code == Command.END_OF_MESSAGE and not packet.size:
        return Told(command, name)
    data = {"size": packet.size, **shown(packet.payload), "truncated": not packet.whole}
    return Told(command, name, f"{packet.size} bytes", data, body=packet.payload)


def _name(packet: Packet, name: str, data: Mapping[str, Any]) -> str:
    """Our name, where it depends on what the packet says."""
    if packet.code == Response.REPLY_CODE:
        return _VERDICTS.get(data["code"], Action.REJECT if data["code"] >= 500 else Action.TEMPFAIL)
    if packet.code == Response.CHANGE_HEADER and not data["value"]:
        return Op.DELETE_HEADER
    return name


_VERDICTS = {421: Action.DISCONNECT}


def _terms(payload: bytes) -> tuple[list[str], dict[str, Any]]:
    if len(payload) < _OFFER.size:
        raise ProtocolError(f"OPTNEG with {len(payload)} bytes, 12 are needed")
    version, actions, steps = _OFFER.unpack_from(payload)
    data = {"version": version, "actions": flags(actions, ACTION_FLAGS), "steps": flags(steps, STEPS)}
    words = [f"version {version}", f"actions {_listed(data['actions'])}", f"steps {_listed(data['steps'])}"]
    return words, data


def _listed(names: list[str]) -> str:
    return " ".join(names) or "none"


def _offer(payload: bytes, _: bool) -> Words:
    words, data = _terms(payload)
    return "\n".join(words), data


def _agreement(payload: bytes, _: bool) -> Words:
    words, data = _terms(payload)
    lists: dict[str, list[str]] = {}
    rest = payload[_OFFER.size :]
    while len(rest) > 4:
        stage = int.from_bytes(rest[:4])
        names, _end, rest = rest[4:].partition(b"\0")
        lists[STAGES.get(stage, str(stage))] = [readable_bytes(name) for name in names.replace(b",", b" ").split()]
    words += [f"macros at {stage}: {_listed(names)}" for stage, names in lists.items()]
    return "\n".join(words), {**data, "macros": lists}


def _macros(payload: bytes, _: bool) -> Words:
    if not payload:
        raise ProtocolError("MACRO without a stage")
    stage, name = COMMANDS.get(payload[:1], (readable_bytes(payload[:1]), None))
    if payload[1:] and payload[-1:] != b"\0":
        raise ProtocolError(f"the macros for {stage} do not end in NUL, so nobody obeys them")
    macros = decode_macros(payload[1:])
    words = [f"{_macro_name(key)}={readable_bytes(value)}" for key, value in macros.items()]
    return f"for {stage}: {'  '.join(words) or 'none'}", {"for": name or stage, "macros": macro_texts(macros)}


def _macro_name(bare: bytes) -> str:
    name = readable_bytes(bare)
    return name if len(name) == 1 else "{" + name + "}"


def _connect(it: m.Connect, _: bool) -> Words:
    family = _FAMILIES[it.family]
    address = named("address", it.address) if it.address is not None else {"address": None}
    data = {**named("name", it.hostname), **address, "port": it.port or None, "family": family}
    words = f"{readable_bytes(it.hostname)} [{readable_bytes(it.address or b'')}]"
    return words + (f" port {it.port}" if it.port else "") + f", {family}", data


def _path(spelled: bytes, params: tuple[bytes, ...]) -> Words:
    """An envelope address with its ESMTP parameters."""
    data = msgspec.to_builtins(address_json(Address(spelled, params)))
    words = [b"<" + strip_brackets(spelled) + b">", *params]
    return readable_bytes(b" ".join(words)), data


def _edited_path(it: m.AddRecipient | m.ChangeFrom, _: bool) -> Words:
    return _path(it.address, () if it.params is None else (it.params,))


def _field(name: bytes, value: bytes, leading_space: bool) -> Words:
    item = Field(name, value if leading_space else b" " + value)
    return readable_bytes(item.name + b":" + item.raw), msgspec.to_builtins(field_json(item))


def _insert(it: m.InsertHeader, leading_space: bool) -> Words:
    text, data = _field(it.name, it.value, leading_space)
    return f"at {it.index}: {text}", {"index": it.index, **data}


def _change(it: m.ChangeHeader, leading_space: bool) -> Words:
    if not it.value:
        return f"{readable_bytes(it.name)}, number {it.occurrence}", {
            "nth": it.occurrence,
            **named("name", it.name),
            "value": "",
        }
    text, data = _field(it.name, it.value, leading_space)
    return f"number {it.occurrence}: {text}", {"nth": it.occurrence, **data}


def _reply(it: m.ReplyCode, _: bool) -> Words:
    if not _SMTP_REPLY.match(it.text):
        raise ProtocolError("this is no SMTP refusal")
    code, enhanced, lines = read_reply(it)
    words = f"{code} {enhanced} " if enhanced else f"{code} "
    text = words + " / ".join(readable_bytes(line.encode()) for line in lines)
    return text, {"code": code, "enhanced": enhanced, "text": lines, **_not_ascii(it.text)}


def _not_ascii(raw: bytes) -> dict[str, str]:
    return {} if raw.isascii() else {"reply_base64": to_base64(raw)}


def _single(name: str, value: bytes) -> Words:
    return readable_bytes(value), dict(named(name, value))


_OF_COMMAND: Mapping[bytes, Callable[..., Words]] = {
    Command.CONNECT: _connect,
    Command.HELO: lambda it, _: _single("name", it.name),
    Command.MAIL: lambda it, _: _path(it.sender, it.params),
    Command.RCPT: lambda it, _: _path(it.recipient, it.params),
    Command.HEADER: lambda it, space: _field(it.name, it.value, space),
    Command.UNKNOWN: lambda it, _: _single("command", it.command),
}
_OF_REPLY: Mapping[bytes, Callable[..., Words]] = {
    Response.REPLY_CODE: _reply,
    Response.ADD_HEADER: lambda it, space: _field(it.name, it.value, space),
    Response.INSERT_HEADER: _insert,
    Response.CHANGE_HEADER: _change,
    Response.ADD_RECIPIENT: _edited_path,
    Response.ADD_RECIPIENT_WITH_PARAMS: _edited_path,
    Response.DELETE_RECIPIENT: lambda it, _: _path(it.address, ()),
    Response.CHANGE_FROM: _edited_path,
    Response.QUARANTINE: lambda it, _: _single("reason", it.reason),
}


def _reader(decode: Callable[[tuple[bytes, bytes]], Any], code: bytes, words: Callable[..., Words]) -> "_Reader":
    return lambda payload, leading_space: words(decode((code, payload)), leading_space)


_Reader = Callable[[bytes, bool], Words]
_READERS: Mapping[tuple[Side, bytes], _Reader] = {
    (Side.MTA, Command.NEGOTIATE): _offer,
    (Side.MTA, Command.MACRO): _macros,
    (Side.MILTER, Response.NEGOTIATE): _agreement,
    **{(Side.MTA, code): _reader(decode_command, code, words) for code, words in _OF_COMMAND.items()},
    **{(Side.MILTER, code): _reader(decode_reply, code, words) for code, words in _OF_REPLY.items()},
}
