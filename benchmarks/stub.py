"""A backend that costs next to nothing: reads a request, answers the same bytes each time.

`python -m benchmarks.stub [--delay SECONDS]` prints its port on the first line of standard output.
"""

import argparse
import asyncio
from functools import partial
from typing import cast

import uvloop

_EMPTY = b"{}"
_ADD = b'{"changes":[{"op":"add_header","name":"X-Bench","value":"1"}]}'
_CHECK = (
    b'{"action":"no action","score":0,"required_score":15,"is_skipped":false,'
    b'"milter":{"add_headers":{"X-Bench":{"value":"1","order":1}}}}'
)


def _response(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


_ANSWERS = {b"end_of_message": _response(_ADD), b"checkv2": _response(_CHECK)}
_CONTINUE = _response(_EMPTY)


class Stub(asyncio.Protocol):
    """One connection. `delay` in seconds before each answer."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._buffer = bytearray()
        self._left = 0
        self._chunked = False
        self._tail = b""
        self._answer = _CONTINUE
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        if self._left:
            self._skip(data)
        elif self._chunked:
            self._skip_chunks(data)
        else:
            self._buffer += data
            self._head()

    def _head(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head, rest = bytes(self._buffer[:end]).lower(), bytes(self._buffer[end + 4 :])
        self._buffer.clear()
        self._answer = self._answer_to(head)
        at = head.find(b"content-length:")
        if at >= 0:
            self._left = int(head[at + 15 :].split(b"\r\n", 1)[0])
            self._skip(rest)
        else:
            self._chunked, self._tail = b"chunked" in head, b""
            if self._chunked:
                self._skip_chunks(rest)
            else:
                self._finish()

    @staticmethod
    def _answer_to(head: bytes) -> bytes:
        at = head.find(b"milter-event:")
        event = head[at + 13 :].split(b"\r\n", 1)[0].strip() if at >= 0 else b""
        if not event and b"checkv2" in head:
            event = b"checkv2"
        return _ANSWERS.get(event, _CONTINUE)

    def _skip(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left <= 0:
            self._left = 0
            self._finish()

    def _skip_chunks(self, data: bytes) -> None:
        """Only the end is looked for: what is sent here contains no last chunk of its own."""
        self._tail = (self._tail + data)[-7:]
        if self._tail.endswith(b"\r\n0\r\n\r\n") or self._tail == b"0\r\n\r\n":
            self._chunked = False
            self._finish()

    def _finish(self) -> None:
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._send, self._answer)
        else:
            self._send(self._answer)

    def _send(self, answer: bytes) -> None:
        if self._transport is not None:
            self._transport.write(answer)


async def _serve(delay: float) -> None:
    server = await asyncio.get_running_loop().create_server(partial(Stub, delay), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float, default=0.0)
    uvloop.run(_serve(parser.parse_args().delay))


if __name__ == "__main__":
    main()
