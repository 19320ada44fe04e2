"""`run` behind the page, and a bare MTA that says whatever it likes."""

import json
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from browser.visitor import served, wait_for

VERDICTS = b"actrdy"
"""What ends an event: accept, continue, tempfail, reject, discard, a reply (`Y` is given in lower case here)."""


@dataclass(frozen=True)
class Running:
    """A gateway: where its milter and its page are."""

    milter: str
    page: str

    @property
    def admin(self) -> str:
        """Host and port, for another one in its place."""
        return self.page.removeprefix("http://").rstrip("/")


@contextmanager
def gateway_of(
    directory: Path,
    url: str,
    *,
    record: bool = True,
    admin: str = "127.0.0.1:0",
    events: Iterable[str] | None = None,
    token: str | None = None,
) -> Iterator[Running]:
    """`run` with a configuration file."""
    wanted = "" if events is None else f"events = {json.dumps(list(events))}\n"
    secret = "" if token is None else f'token_file = "{_secret(directory, token)}"\n'
    file = directory / "gateway.toml"
    file.write_text(
        f'listen = ["inet:0@127.0.0.1"]\n[admin]\nlisten = "{admin}"\nrecord = {str(record).lower()}\n{secret}'
        f'[[webhook]]\nname = "policy"\nurl = "{url}"\nretries = 0\n{wanted}'
    )
    with served("run", "-c", str(file), "--log-format", "json") as text:
        line = wait_for(lambda: _listening(text()), "the line that says where it listens")
        yield Running(line["milter"][0], f"{line['admin']}/")


def _secret(directory: Path, token: str) -> Path:
    file = directory / "token"
    file.touch(mode=0o600)
    file.write_text(f"{token}\n")
    return file


def _listening(text: str) -> dict[str, list[str]]:
    lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return next((line for line in lines if line["event"] == "listening"), {})


class Mta:
    """Packets on a socket: no library would send what strangers do."""

    def __init__(self, spec: str) -> None:
        port, _, host = spec.removeprefix("inet:").partition("@")
        self._socket = socket.create_connection((host, int(port)), timeout=20)

    def __enter__(self) -> Self:
        self.ask(b"O" + struct.pack(">III", 6, 0x1FF, 0))
        return self

    def __exit__(self, *_: object) -> None:
        self._say(b"Q")
        self._socket.close()

    def _say(self, packet: bytes) -> None:
        self._socket.sendall(struct.pack(">I", len(packet)) + packet)

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self._socket.recv(count - len(data))
            assert piece, "the gateway closed the connection"
            data += piece
        return data

    def ask(self, packet: bytes) -> bytes:
        """Say it, and read to the verdict."""
        self._say(packet)
        while True:
            (size,) = struct.unpack(">I", self._read(4))
            answer = self._read(size)
            if answer[:1].lower() in VERDICTS or answer[:1] == b"O":
                return answer

    def greet(self, name: bytes = b"mx.test", helo: bytes = b"mx.test") -> bytes:
        """A client connects and says its name."""
        answer = self.ask(b"C" + name + b"\x00" + b"4" + struct.pack(">H", 25) + b"192.0.2.9\x00")
        return self.ask(b"H" + helo + b"\x00") if answer == b"c" else answer

    def mail(
        self, sender: bytes, recipients: Iterable[bytes], fields: Iterable[tuple[bytes, bytes]], body: bytes
    ) -> bytes:
        """A whole mail; the last answer."""
        packets = [b"M<" + sender + b">\x00", *(b"R<" + item + b">\x00" for item in recipients), b"T"]
        packets += [b"L" + name + b"\x00" + value + b"\x00" for name, value in fields]
        for packet in (*packets, b"N", b"B" + body):
            answer = self.ask(packet)
            if answer[:1] not in (b"c", b"y"):
                return answer
        return self.ask(b"E")
