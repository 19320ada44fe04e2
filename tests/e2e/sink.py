"""A mail server that takes everything and remembers it byte for byte."""

import asyncio
import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage

from .support import HOST

SIZE_LIMIT = 200 * 1024 * 1024
EXTENSIONS = ("sink.test", "PIPELINING", f"SIZE {SIZE_LIMIT}", "8BITMIME", "SMTPUTF8", "DSN")
Path = tuple[str, tuple[str, ...]]
"""An address, and the parameters after it."""
PATH = re.compile(rb"[^:]*:\s*(<(?:\"(?:[^\"\\]|\\.)*\"|[^>\"])*>|\S*)\s*(.*)")


@dataclass(frozen=True)
class Received:
    """One delivered message: its envelope and its exact bytes, dots unstuffed, CRLF kept."""

    sender: str
    recipients: tuple[str, ...]
    sender_params: tuple[str, ...]
    recipient_params: tuple[tuple[str, ...], ...]
    content: bytes

    @property
    def head(self) -> bytes:
        """The header block with the line end of its last field."""
        return self.content.partition(b"\r\n\r\n")[0] + b"\r\n"

    @property
    def body(self) -> bytes:
        """Everything after the blank line."""
        return self.content.partition(b"\r\n\r\n")[2]

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The header fields in order; the value less its leading space, folds as they came."""
        lines = re.split(rb"\r\n(?![ \t])", self.head.removesuffix(b"\r\n"))
        pairs = (line.decode("utf-8", "surrogateescape").partition(":") for line in lines)
        return [(name, value.removeprefix(" ")) for name, _, value in pairs]

    def values(self, name: str) -> list[str]:
        """All values of the fields with this name, in order."""
        return [value for field, value in self.fields if field.lower() == name.lower()]

    @property
    def parsed(self) -> EmailMessage:
        """The message as Python's parser sees it."""
        return message_from_bytes(self.content, policy=policy.default)


class Sink:
    """An SMTP sink on an ephemeral port, in threads of its own."""

    def __init__(self) -> None:
        self.messages: list[Received] = []
        self._arrived = threading.Condition()
        self._server = _Server((HOST, 0), _Session)
        self._server.keep = self._keep
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def wait(self, wanted: Callable[[Received], bool] = lambda _: True, within: float = 20.0) -> Received:
        """The first message that ``wanted`` says yes to; ``AssertionError`` if none comes in time."""
        end = time.monotonic() + within
        with self._arrived:
            while True:
                if found := next(filter(wanted, self.messages), None):
                    return found
                left = end - time.monotonic()
                if left <= 0:
                    subjects = [message.values("Subject") for message in self.messages]
                    raise AssertionError(f"no such message within {within:g} s; there were {subjects}")
                self._arrived.wait(left)

    def wait_for_subject(self, subject: str, within: float = 20.0) -> Received:
        """The first message with exactly this subject."""
        return self.wait(lambda message: message.values("Subject") == [subject], within)

    async def receive(self, wanted: Callable[[Received], bool] = lambda _: True, within: float = 20.0) -> Received:
        """``wait`` for coroutines."""
        return await asyncio.to_thread(self.wait, wanted, within)

    def clear(self) -> None:
        """Forget what has come so far."""
        with self._arrived:
            self.messages.clear()

    def stop(self) -> None:
        """Close the listener and whatever is still connected."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _keep(self, message: Received) -> None:
        with self._arrived:
            self.messages.append(message)
            self._arrived.notify_all()


class _Server(socketserver.ThreadingTCPServer):
    """Threads, a long backlog, and a close that does not wait for idle clients."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256
    keep: Callable[[Received], None]

    def __init__(self, address: tuple[str, int], handler: type["_Session"]) -> None:
        self.open: set[socket.socket] = set()
        super().__init__(address, handler)

    def server_close(self) -> None:
        for connection in list(self.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        super().server_close()


class _Session(socketserver.StreamRequestHandler):
    """One client: everything is 250, and DATA is kept."""

    server: _Server
    rbufsize = 1 << 20

    def handle(self) -> None:
        self.server.open.add(self.connection)
        self._reset()
        with suppress(ConnectionError, TimeoutError):
            self._say("220 sink.test ESMTP")
            while line := self.rfile.readline():
                if not self._answer(line.strip()):
                    break
        self.server.open.discard(self.connection)

    def _answer(self, line: bytes) -> bool:
        match line[:4].upper():
            case b"EHLO":
                self._say(*(f"250-{part}" for part in EXTENSIONS[:-1]), f"250 {EXTENSIONS[-1]}")
            case b"QUIT":
                self._say("221 2.0.0 Bye")
                return False
            case b"DATA":
                self._say("354 Go on")
                self.server.keep(self._message(self._content()))
                self._reset()
                self._say("250 2.0.0 Kept")
            case verb:
                if verb == b"MAIL":
                    self._reset(_path(line))
                elif verb == b"RCPT":
                    self._recipients.append(_path(line))
                elif verb == b"RSET":
                    self._reset()
                self._say("250 2.0.0 Ok")
        return True

    def _content(self) -> bytes:
        lines: list[bytes] = []
        fresh = True  # a dot counts only after CRLF
        while line := self.rfile.readline():
            if fresh and line == b".\r\n":
                return b"".join(lines)
            lines.append(line[1:] if fresh and line.startswith(b".") else line)
            fresh = line.endswith(b"\r\n")
        raise ConnectionError("the client went away inside DATA")

    def _message(self, content: bytes) -> Received:
        addresses, params = zip(*self._recipients, strict=True) if self._recipients else ((), ())
        return Received(self._sender[0], tuple(addresses), self._sender[1], tuple(params), content)

    def _reset(self, sender: Path = ("", ())) -> None:
        self._sender = sender
        self._recipients: list[Path] = []

    def _say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())


def _path(line: bytes) -> Path:
    """The address, without its angle brackets, and the parameters of a MAIL or RCPT command."""
    match = PATH.match(line)
    address, rest = match.groups() if match else (b"", b"")
    params = rest.decode("utf-8", "surrogateescape").split()
    return address.removeprefix(b"<").removesuffix(b">").decode("utf-8", "surrogateescape"), tuple(params)
