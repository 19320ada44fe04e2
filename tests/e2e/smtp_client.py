"""A small SMTP client that remembers every reply with all its lines, and never waits for ever."""

import base64
import re
import socket
import ssl
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from .support import HOST


@dataclass(frozen=True)
class Reply:
    """What the server said to one command: the code, and each line's text after ``250-`` or ``250 ``."""

    command: str
    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """All lines, one below the other."""
        return "\n".join(self.lines)

    @property
    def ok(self) -> bool:
        """Whether the server said yes, or go on."""
        return self.code < 400

    def __str__(self) -> str:
        return f"{self.command} -> {self.code} {' | '.join(self.lines)}"


class ConnectionGoneError(Exception):
    """The server closed the connection where a reply was due."""


class SmtpClient:
    """One SMTP session, with a port or over a socket that is connected already.

    Every command returns its reply and adds it to ``replies``. ``within`` is the deadline of each, in seconds.
    """

    def __init__(self, server: int | socket.socket, *, within: float = 30.0, source: str | None = None) -> None:
        self.replies: list[Reply] = []
        self.within = within
        address = (source, 0) if source else None
        self._socket = (
            server if isinstance(server, socket.socket) else socket.create_connection((HOST, server), within, address)
        )
        self._received = bytearray()
        try:
            self.banner = self.read_reply("(banner)")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def command(self, line: str | bytes, *, within: float | None = None) -> Reply:
        """Send one line and read its reply. Text goes out as UTF-8; bytes as they are."""
        raw = line if isinstance(line, bytes) else line.encode()
        self.send_raw(raw + b"\r\n")
        return self.read_reply(raw.decode("utf-8", "backslashreplace"), within=within)

    def pipeline(self, *lines: str) -> list[Reply]:
        """Send all lines in one write, then read a reply for each."""
        self.send_raw("".join(f"{line}\r\n" for line in lines).encode())
        return [self.read_reply(line) for line in lines]

    def ehlo(self, name: str = "client.example") -> Reply:
        """EHLO."""
        return self.command(f"EHLO {name}")

    def helo(self, name: str = "client.example") -> Reply:
        """HELO."""
        return self.command(f"HELO {name}")

    def xclient(self, **attributes: str) -> Reply:
        """Postfix's XCLIENT: be somebody else (``NAME``, ``ADDR``, ``PORT``). The reply is a new banner."""
        return self.command("XCLIENT " + " ".join(f"{key.upper()}={value}" for key, value in attributes.items()))

    def starttls(self) -> Reply:
        """STARTTLS and, if the server agrees, the handshake; the certificate is not checked. EHLO comes next."""
        reply = self.command("STARTTLS")
        if reply.ok:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self._socket.settimeout(self.within)
            self._socket = context.wrap_socket(self._socket)
        return reply

    def auth_plain(self, user: str, password: str, author: str = "") -> Reply:
        """AUTH PLAIN with an initial response; ``author`` is the identity to act as."""
        secret = base64.b64encode(f"{author}\0{user}\0{password}".encode()).decode()
        return self.command(f"AUTH PLAIN {secret}")

    def mail(self, address: str | bytes, *params: str) -> Reply:
        """MAIL FROM, the address without angle brackets."""
        return self._path("MAIL FROM", address, params)

    def rcpt(self, address: str | bytes, *params: str) -> Reply:
        """RCPT TO, the address without angle brackets."""
        return self._path("RCPT TO", address, params)

    def data(self, message: bytes, *, within: float | None = None) -> Reply:
        """DATA and the message. Its reply is the one to the final dot, or the refusal of DATA itself."""
        reply = self.command("DATA")
        if reply.code != 354:
            return reply
        self.send_raw(stuffed(message) + b".\r\n")
        return self.read_reply("(message)", within=within or 2 * self.within)

    def unfinished_data(self, message: bytes) -> Reply:
        """DATA and a message without its final dot: for a client that vanishes. The reply is DATA's own."""
        reply = self.command("DATA")
        self.send_raw(stuffed(message))
        return reply

    def rset(self) -> Reply:
        """RSET."""
        return self.command("RSET")

    def noop(self) -> Reply:
        """NOOP."""
        return self.command("NOOP")

    def quit(self) -> Reply:
        """QUIT, and close."""
        reply = self.command("QUIT")
        self.close()
        return reply

    def send(self, sender: str, recipients: Sequence[str], message: bytes) -> Reply:
        """A whole transaction. Its reply is the message's, or that of the first command but RCPT that failed.

        Refused recipients are in ``replies``; if all were refused, the last refusal is the reply.
        """
        if not (reply := self.mail(sender)).ok:
            return reply
        answers = [self.rcpt(recipient) for recipient in recipients]
        return self.data(message) if any(answer.ok for answer in answers) else answers[-1]

    def send_raw(self, data: bytes) -> None:
        """Bytes to the server, as they are; no reply is read."""
        self._socket.settimeout(self.within)
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ConnectionGoneError(f"while sending {data[:60]!r}; before: {self.transcript()}") from error

    def read_reply(self, command: str, *, within: float | None = None) -> Reply:
        """The next reply, recorded as the answer to ``command``."""
        end = time.monotonic() + (within or self.within)
        lines: list[str] = []
        while True:
            line = self._line(end, command)
            match = re.fullmatch(r"(\d{3})([ -]?)(.*)", line, re.DOTALL)
            if match is None:
                raise AssertionError(f"not a reply: {line!r}; before: {self.transcript()}")
            lines.append(match[3])
            if match[2] != "-":
                self.replies.append(Reply(command, int(match[1]), tuple(lines)))
                return self.replies[-1]

    def read_end(self, within: float = 10.0) -> None:
        """Read until the server closes; ``AssertionError`` if it says something more or does not close."""
        try:
            line = self._line(time.monotonic() + within, "(close)")
        except ConnectionGoneError:
            return
        raise AssertionError(f"the server should have closed, but said {line!r}")

    def close(self, *, abruptly: bool = False) -> None:
        """Close without QUIT; ``abruptly`` with a reset instead of an end of stream."""
        if abruptly:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def transcript(self) -> str:
        """All replies so far, one per line."""
        return "\n".join(map(str, self.replies))

    def _path(self, verb: str, address: str | bytes, params: Sequence[str]) -> Reply:
        raw = address if isinstance(address, bytes) else address.encode()
        tail = "".join(f" {param}" for param in params).encode()
        return self.command(b"%s:<%s>%s" % (verb.encode(), raw, tail))

    def _line(self, end: float, command: str) -> str:
        while b"\n" not in self._received:
            self._socket.settimeout(max(0.001, end - time.monotonic()))
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                raise AssertionError(f"no reply to {command!r} in time; before: {self.transcript()}") from None
            except ConnectionResetError:
                data = b""
            if not data:
                raise ConnectionGoneError(f"instead of a reply to {command!r}; before: {self.transcript()}")
            self._received += data
        line, _, rest = bytes(self._received).partition(b"\n")
        self._received[:] = rest
        return line.removesuffix(b"\r").decode("utf-8", "surrogateescape")


def stuffed(message: bytes) -> bytes:
    """The message as DATA wants it: dots doubled at line starts, a line end at the end."""
    doubled = re.sub(rb"(\A|\r\n)\.", rb"\1..", message)
    return doubled if not doubled or doubled.endswith(b"\r\n") else doubled + b"\r\n"
