"""What an event loop in Python costs at the least: hand-cut packets, msgspec, and httptools on kept-alive connections.

Nothing is checked: no order of events, no deadline, no limit, no answer, no failure; nothing is logged or kept. So it
is no milter to run, but the bound below which no gateway in this language gets.

`python -m benchmarks.peers.bare_loop SOCKET URL events|message`
"""

import asyncio
import struct
import sys
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, cast
from urllib.parse import urlsplit

import httptools
import msgspec
import uvloop

SOCKET, URL, MODE = sys.argv[1:]
_AT = urlsplit(URL)
_NAMES = {
    b"C": "connect",
    b"H": "helo",
    b"M": "mail",
    b"R": "rcpt",
    b"T": "data",
    b"L": "header",
    b"N": "end_of_headers",
    b"B": "body",
    b"E": "end_of_message",
}
_ADDHDRS = 0x1
_UNANSWERED = 0x80 | 0x1000 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x40000 | 0x80000  # SMFIP_NR_HDR, NR_CONN …
_CONTINUE = struct.pack(">Ic", 1, b"c")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Backend(asyncio.Protocol):
    """A kept-alive connection; `ask` has one answer under way."""

    idle: ClassVar[deque["Backend"]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        self._parser.feed_data(data)

    def on_body(self, chunk: bytes) -> None:
        """Called by httptools."""
        self._body = chunk

    def on_message_complete(self) -> None:
        """Called by httptools."""
        Backend.idle.append(self)
        self._then(_decode(self._body))

    def ask(self, event: str, body: bytes, then: Callable[[Any], None]) -> None:
        """POST; `then` gets the answer."""
        self._then = then
        head = f"POST / HTTP/1.1\r\nhost: {_AT.netloc}\r\nmilter-event: {event}\r\ncontent-length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)


class Milter(asyncio.Protocol):
    """The MTA's connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)
        self._buffer = b""
        self._macros: dict[str, str] = {}
        self._facts: dict[str, str] = {}
        self._fields: list[tuple[str, str]] = []
        self._chunks: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        buffer, at = self._buffer + data, 0
        while len(buffer) - at >= 4:
            end = at + 4 + int.from_bytes(buffer[at : at + 4])
            if len(buffer) < end:
                break
            self._take(buffer[at + 4 : at + 5], buffer[at + 5 : end])
            at = end
        self._buffer = buffer[at:]

    def _take(self, code: bytes, payload: bytes) -> None:
        if code == b"O":
            steps = _UNANSWERED if MODE == "message" else 0
            self._transport.write(struct.pack(">IcIII", 13, b"O", 6, _ADDHDRS, steps))
        elif code == b"D":
            words = payload[1:-1].decode().split("\0")
            self._macros.update(zip(words[::2], words[1::2], strict=True))
        elif code in _NAMES:
            self._event(code, payload)

    def _event(self, code: bytes, payload: bytes) -> None:
        name, data = _NAMES[code], payload.decode("latin-1")
        if code == b"L":
            field, value, _ = data.split("\0")
            self._fields.append((field, value))
        elif code == b"B":
            self._chunks.append(payload)
        elif code != b"E":
            self._facts[name] = data
        if MODE == "events" or code == b"E":
            question = {"event": name, "facts": self._facts, "macros": self._macros, "data": data}
            if code == b"E":
                question |= {"headers": self._fields, "body": b"".join(self._chunks).decode()}
                self._fields, self._chunks = [], []
            then = self._end if code == b"E" else self._go_on
            if Backend.idle:
                Backend.idle.popleft().ask(name, _encode(question), then)
            else:
                self._connecting = asyncio.create_task(_ask_anew(name, _encode(question), then))

    def _go_on(self, _: object) -> None:
        self._transport.write(_CONTINUE)

    def _end(self, answer: dict[str, list[dict[str, str]]]) -> None:
        out = b""
        for change in answer["changes"]:
            payload = f"{change['name']}\0{change['value']}\0".encode()
            out += struct.pack(">Ic", len(payload) + 1, b"h") + payload
        self._transport.write(out + _CONTINUE)


async def _ask_anew(event: str, body: bytes, then: Callable[[Any], None]) -> None:
    _, backend = await asyncio.get_running_loop().create_connection(Backend, _AT.hostname, _AT.port)
    backend.ask(event, body, then)


async def main() -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_unix_server(Milter, SOCKET, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
