"""Whatever the backend sends, cut wherever: the client's verdict is that of a plain httptools parser on the whole."""

import asyncio
from dataclasses import dataclass, field
from itertools import pairwise

import httptools
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from webhook_backends import answer

from gateway.webhook.lean import LeanTransport
from gateway.webhook.transport import HttpRequest, WebhookError

FINAL = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnext"
"""What the backend says on the next connection: a client that mixes answers up would show it."""


@dataclass
class Oracle:
    """Reads an answer in one go, and knows nothing but the parser."""

    status: int = 0
    body: bytes = b""
    framed: bool = False
    complete: bool = False
    _fields: list[bytes] = field(default_factory=list)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append(name.lower())

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200 and not self.status:
            self.status = status
            self.framed = bool({b"content-length", b"transfer-encoding"} & set(self._fields))
        self._fields = []

    def on_body(self, chunk: bytes) -> None:
        if not self.complete:
            self.body += chunk

    def on_message_complete(self) -> None:
        self.complete = self.complete or bool(self.status)

    def verdict(self, data: bytes) -> tuple[int, bytes] | None:
        """Status and body; None where this is no whole answer (the backend closes behind it)."""
        self._parser = httptools.HttpResponseParser(self)
        broken = False
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            broken = True
        if self.complete or (self.status and not self.framed and not broken):
            return self.status, self.body
        return None


def fields() -> st.SearchStrategy[bytes]:
    length = st.integers(0, 30).map(lambda size: b"Content-Length: %d" % size)
    odd = st.sampled_from(
        [
            b"Transfer-Encoding: chunked",
            b"transfer-encoding: gzip, chunked",
            b"Transfer-Encoding: identity",
            b"Connection: close",
            b"Connection: keep-alive",
            b"Content-Length: +5",
            b"Content-Length: 5, 5",
            b"Content-Length:",
            b"Content-Type: application/json",
            b"Retry-After: soon",
            b"X: a\r\n folded",
            b"No colon",
            b"X\x00: y",
            b": no name",
        ]
    )
    return st.one_of(length, length, odd)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """An answer that is nearly right."""
    version = draw(st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2", b"http/1.1"]))
    status = draw(
        st.sampled_from([b"200 OK", b"204 No Content", b"200", b"304 -", b"500 E", b"101 Up", b"100 C", b"99 x"])
    )
    lines = [version + b" " + status, *draw(st.lists(fields(), max_size=4))]
    body = draw(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(
                [b"5\r\nhello\r\n0\r\n\r\n", b"5;x=y\r\nhello\r\n0\r\nT: z\r\n\r\n", b"5\r\nhel", b"Z\r\n", b"-1\r\n"]
            ),
        )
    )
    return b"\r\n".join([*lines, b"", b""]) + body + draw(st.sampled_from([b"", b"", b"\r\n", answer(b"extra")]))


@settings(max_examples=400, suppress_health_check=list(HealthCheck))
@given(data=answers(), places=st.lists(st.integers(0, 400), max_size=6))
def test_the_verdict_does_not_depend_on_the_cuts(data, places):
    asyncio.run(_compare(data, places))


async def _compare(data: bytes, places: list[int]) -> None:
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    first = True

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal first
        pieces = [data[a:b] for a, b in pairwise(marks)] if first else [FINAL]
        first = False
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        writer.close()

    expected = Oracle().verdict(data)
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    transport = LeanTransport()
    request = HttpRequest(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    try:
        assert await _verdict(transport, request) == expected
        async with asyncio.timeout(5):
            while transport.pools[0].connections:  # until it knows that the backend has closed
                await asyncio.sleep(0)
        assert await _verdict(transport, request) == (200, b"next")
    finally:
        await transport.aclose()
        server.close()


async def _verdict(transport: LeanTransport, request: HttpRequest) -> tuple[int, bytes] | None:
    try:
        got = await transport.post(request, [], b"", asyncio.get_running_loop().time() + 5)
    except WebhookError as error:
        assert str(error)
        return None
    return got.status, got.body
