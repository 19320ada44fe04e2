"""A mail as an MTA would hand it to a milter."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.mail.address import in_brackets, strip_brackets
from gateway.milter import messages as m
from gateway.version import VERSION

_FIELD = re.compile(rb"([\x21-\x39\x3b-\x7e]+)[ \t]*:(.*)", re.DOTALL)
CLIENT_PORT = 49152
"""The port of the imaginary client: the first of the dynamic range (RFC 6335 §6)."""


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail. `macros` replace or add to those that are made up from the rest.

    Text that came from a command line may hold bytes that are not UTF-8, as Python marks them (surrogates). Raises
    ValueError where `client` is no IP address, or where a text cannot be said in SMTP.
    """

    raw: bytes
    sender: str = ""
    recipients: tuple[str, ...] = ("postmaster",)
    helo: str = "localhost"
    client: str = "127.0.0.1"
    macros: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what the wire could not carry."""
        self.connect()
        given = {"the sender": self.sender, "the HELO name": self.helo}
        given |= {f"the recipient {item!r}": item for item in self.recipients}
        given |= {f"the macro {name}": value for name, value in self.macros.items()}
        for what, text in given.items():
            if any(mark in octets(text) for mark in b"\r\n\0"):
                raise ValueError(f"{what} contains CR, LF or NUL")

    def connect(self) -> m.Connect:
        """The client's connection."""
        try:
            address = ipaddress.ip_address(self.client.removeprefix("IPv6:").strip("[]"))
        except ValueError as error:
            raise ValueError(f"the client {self.client!r} is no IP address") from error
        name = "localhost" if address.is_loopback else f"[{address}]"
        family = b"4" if address.version == 4 else b"6"
        return m.Connect(name.encode(), family, CLIENT_PORT, str(address).encode())

    def spelled_envelope(self) -> tuple[bytes, list[bytes]]:
        """Sender and recipients as a client types them."""
        return spelled(self.sender), [spelled(item) for item in self.recipients]


def octets(text: str) -> bytes:
    """The bytes of a text. Raises ValueError where it has surrogates that stand for no byte."""
    return text.encode("utf-8", "surrogateescape")


def spelled(address: str) -> bytes:
    """The address as a client types it."""
    return in_brackets(strip_brackets(octets(address)))


def braced(name: str) -> str:
    """The name of a macro: one letter is bare, longer ones go in braces."""
    bare = name.strip("{}")
    return bare if len(bare) == 1 else "{" + bare + "}"


def made_up_macros(connect: m.Connect) -> dict[str, str]:
    """What an MTA would say of a client that neither uses TLS nor authenticates; names as in macro lists."""
    address = (connect.address or b"").decode()
    return {
        "j": "localhost",
        "_": f"{connect.hostname.decode()} [{address}]",
        "v": f"milter-gateway {VERSION}",
        "{daemon_name}": "simulation",
        "{client_addr}": address,
        "{client_name}": connect.hostname.decode(),
        "{client_port}": str(connect.port),
    }


def split(raw: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Take a message apart as MTAs do: the first line that is no field ends the header.

    Values keep their leading space and have folds as a lone LF; the body has CRLF line ends.
    """
    lines = raw.replace(b"\r\n", b"\n").split(b"\n")
    fields: list[tuple[bytes, list[bytes]]] = []
    rest: list[bytes] = []
    for number, line in enumerate(lines):
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1][1].append(line)
            continue
        match = _FIELD.fullmatch(line)
        if match is None:
            rest = lines[number + 1 :] if line == b"" else lines[number:]
            break
        fields.append((match[1], [match[2]]))
    return [(name, b"\n".join(folds)) for name, folds in fields], _body(rest)


def _body(lines: list[bytes]) -> bytes:
    """SMTP ends every line, also the last one."""
    if lines and lines[-1] == b"":
        lines = lines[:-1]
    return b"".join(line + b"\r\n" for line in lines)


DROPPED = frozenset((b"bcc", b"content-length", b"resent-bcc", b"return-path"))
"""Fields that Postfix takes out (message_drop_headers)."""
_MBOX = re.compile(rb">*From ")


def split_as_queued(raw: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The same for a message that a client sends, as Postfix has it in its queue before a milter sees it.

    A CR has no place in a line, a first line of mbox becomes a field, and some fields are taken out.
    """
    lines = [line.rstrip(b"\r").replace(b"\r", b" ") for line in raw.split(b"\n")]
    if _MBOX.match(lines[0]):
        lines[0] = b"X-Mailbox-Line: " + lines[0]
    fields, body = split(b"\n".join(lines))
    return [(name, value) for name, value in fields if name.lower() not in DROPPED], body
