"""The mail that is played, as the packets that Postfix sends for it.

Postfix sends a MACRO packet before nearly every command, the queue id before each header field and body chunk too.
What the milter negotiated away is left out, and what it does not want to answer is not waited for.
"""

import base64
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass

CHUNK = 65535
OFFER = (6, 0x1FF, 0x1FFFFF)
"""Version, actions and steps that Postfix 3.7 offers."""

_MACROS = {
    b"j": b"mx1.site.example",
    b"v": b"Postfix 3.7.11",
    b"_": b"out.client.example [192.0.2.25]",
    b"i": b"4c2XyZ1abcz9Qq",
    b"{daemon_name}": b"smtpd",
    b"{daemon_addr}": b"198.51.100.5",
    b"{daemon_port}": b"25",
    b"{client_addr}": b"192.0.2.25",
    b"{client_name}": b"out.client.example",
    b"{client_port}": b"40112",
    b"{client_ptr}": b"out.client.example",
    b"{mail_addr}": b"ann@client.example",
    b"{mail_host}": b"client.example",
    b"{mail_mailer}": b"smtp",
    b"{rcpt_addr}": b"bob@site.example",
    b"{rcpt_host}": b"site.example",
    b"{rcpt_mailer}": b"local",
}
_ALWAYS_EMPTY = frozenset((b"{auth_type}", b"{auth_authen}", b"{auth_author}"))
_DEFAULT_LISTS = {
    0: b"j {daemon_name} {daemon_addr} v _",
    1: b"",
    2: b"i {mail_addr} {mail_host} {mail_mailer}",
    3: b"i {rcpt_addr} {rcpt_host} {rcpt_mailer}",
    4: b"i",
    5: b"i",
    6: b"i",
}
_STAGE = {b"C": 0, b"H": 1, b"M": 2, b"R": 3, b"T": 4, b"L": 6, b"N": 6, b"B": 5, b"E": 5}
"""The macro list that goes with a command, by its SMFIM_ number."""
_NOT_BEFORE_RCPT = (b"C", b"H", b"M")
_NO = {b"C": 0x1, b"H": 0x2, b"M": 0x4, b"R": 0x8, b"B": 0x10, b"L": 0x20, b"N": 0x40, b"T": 0x200}
_NO_REPLY = {
    b"L": 0x80,
    b"C": 0x1000,
    b"H": 0x2000,
    b"M": 0x4000,
    b"R": 0x8000,
    b"T": 0x10000,
    b"N": 0x40000,
    b"B": 0x80000,
}


def packet(content: bytes) -> bytes:
    """One packet of the milter protocol."""
    return struct.pack(">I", len(content)) + content


@dataclass(frozen=True, slots=True)
class Terms:
    """What the milter answered to the offer."""

    steps: int
    lists: dict[int, bytes]

    @classmethod
    def of(cls, payload: bytes) -> "Terms":
        """Read an OPTNEG answer, without its code."""
        _, _, steps = struct.unpack_from(">III", payload)
        lists, rest = dict(_DEFAULT_LISTS), payload[12:]
        while len(rest) > 4:
            (stage,) = struct.unpack_from(">I", rest)
            names, _, rest = rest[4:].partition(b"\0")
            lists[stage] = names
        return cls(steps, lists)

    def macros(self, command: bytes) -> bytes:
        """The MACRO packet in front of a command; none where no macro has a value."""
        names = self.lists.get(_STAGE[command], b"").split()
        known = [name for name in names if name in _MACROS and not (name == b"i" and command in _NOT_BEFORE_RCPT)]
        pairs = b"".join(name + b"\0" + _MACROS[name] + b"\0" for name in known)
        return packet(b"D" + command + pairs) if pairs else b""


@dataclass(frozen=True, slots=True)
class Turn:
    """Bytes for the milter, and the command whose answer is then awaited."""

    data: bytes
    command: bytes


@dataclass(frozen=True, slots=True)
class Mail:
    """A message: header fields and body."""

    headers: int
    body: bytes

    def commands(self) -> Iterator[bytes]:
        """The commands of its transaction."""
        yield b"M<ann@client.example>\0SIZE=%d\0" % len(self.body)
        yield b"R<bob@site.example>\0"
        yield b"T"
        for number in range(self.headers):
            yield b"LX-Header-%d\0 the value of field number %d, as long as most are in real mail\0" % (number, number)
        yield b"N"
        for start in range(0, len(self.body), CHUNK):
            yield b"B" + self.body[start : start + CHUNK]
        yield b"E"


OPENING = (b"Cout.client.example\x004\x9c\xb0192.0.2.25\0", b"Hout.client.example\0")


def turns(commands: Iterator[bytes], terms: Terms, pending: bytes = b"") -> tuple[list[Turn], bytes]:
    """Cut commands into turns, as few as the terms allow; also what is left to send before the next one."""
    made: list[Turn] = []
    parts = [pending]
    for command in commands:
        code = command[:1]
        if terms.steps & _NO.get(code, 0):
            continue
        parts += [terms.macros(code), packet(command)]
        if not terms.steps & _NO_REPLY.get(code, 0):
            made.append(Turn(b"".join(parts), code))
            parts = []
    return made, b"".join(parts)


def text_body(size: int) -> bytes:
    """An attachment in base64, as large mail has it: valid UTF-8, lines of 76."""
    raw = random.Random(1).randbytes(size * 3 // 4)
    encoded = base64.encodebytes(raw).replace(b"\n", b"\r\n")
    return encoded[:size]


def binary_body(size: int) -> bytes:
    """A body that is no text (BINARYMIME or 8-bit)."""
    return random.Random(2).randbytes(size)
