"""One HTTP/1.1 client connection: an asyncio Protocol around httptools, one exchange after the other.

It owns the bytes of an exchange and the judgement whether the connection may be used again. It must not know
where connections come from (`pool`) or what a request means.

Theory of operation. `exchange` writes a request and waits for one future, `_waiter`. Everything that can end an
exchange ends that future exactly once: the parser at the end of the answer, a fault, the deadline's timer, or the
loss of the connection. Whatever arrives while no exchange waits makes the connection unusable. After a fault the
connection is aborted, never reused; cancellation counts as a fault.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import cast

import httptools

from gateway.webhook.bodies import AnswerBuffer, KnownAnswers, size_of, slices
from gateway.webhook.faults import answer_timeout, head_too_large, loss, not_http
from gateway.webhook.transport import FREE_ANSWER_BYTES, MAX_HEAD_BYTES, Body, ConnectFailed, HttpAnswer, WebhookError

SMALL_BODY_BYTES = 64 * 1024
"""Up to here head and body are joined and go out in one write (and one segment, if they fit)."""

_SWITCHING_PROTOCOLS = 101


class StaleConnection(Exception):  # noqa: N818 - a signal to the transport, no failure
    """A kept-alive connection turned out to be closed before any byte of the answer: try a fresh one."""


class Connection(asyncio.Protocol):
    """A connection and the exchange that it carries.

    Args:
        loop: the running loop.
        answer: gathers the body of each answer.
        on_closed: told once, as soon as this connection can carry no further exchange.
        known: the answers that came before, on any connection to the same backend.

    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        answer: AnswerBuffer,
        on_closed: Callable[["Connection"], None],
        known: KnownAnswers | None = None,
    ) -> None:
        self.idle_since = 0.0
        self.used = False
        self.open = False
        self.lost: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._answer = answer
        self._known = KnownAnswers() if known is None else known
        self._on_closed = on_closed
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[HttpAnswer] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._paused = False
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._reset()

    def _reset(self) -> None:
        """Begin to wait for an answer."""
        self._started = False
        self._status = 0  # of the final answer, 0 until its head is complete
        self._keep_alive = False
        self._head_bytes = 0  # of all heads and trailers of this answer
        self._unparsed_bytes = 0  # since the parser last reported something
        self._forget_fields()

    def _forget_fields(self) -> None:
        self._framed = False  # by Content-Length or chunks; if not, the answer ends with the connection
        self._declared = 0
        self._content_type = ""
        self._retry_after: str | None = None

    # The exchange

    async def exchange(self, head: bytes, body: Body, deadline: float) -> HttpAnswer:
        """Send a request, read its answer. The connection is reusable afterwards if `open` still holds.

        Raises:
            StaleConnection: this connection was used before and died before any byte of the answer.
            ConnectFailed: nothing was sent.
            WebhookError: every other failure.

        """
        if not self.open:
            raise ConnectFailed("the backend closed the new connection at once, before the request was sent")
        self._reset()
        waiter: asyncio.Future[HttpAnswer] = self._loop.create_future()
        self._waiter = waiter
        self._expect(deadline)
        try:
            if isinstance(body, bytes) and len(body) <= SMALL_BODY_BYTES:
                cast("asyncio.Transport", self._transport).write(head + body)
            else:
                await self._send(head, body, deadline, waiter)
            return await waiter
        except BaseException:
            self.abort()
            self._discard(waiter)
            raise
        finally:
            self._waiter = None
            if self._answer.size:
                self._answer.drop()
            self.used = True

    def _expect(self, deadline: float) -> None:
        """Watch the deadline. The timer looks when it fires, and is set anew only then: not for each exchange."""
        self._deadline = deadline
        if self._timer is None or self._timer.when() > deadline:
            self._set_timer(deadline)

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._look_at_deadline)

    def _look_at_deadline(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        if self._loop.time() >= self._deadline:
            self._on_deadline()
        else:
            self._set_timer(self._deadline)

    async def _send(self, head: bytes, body: Body, deadline: float, waiter: asyncio.Future[HttpAnswer]) -> None:
        """Write a long body under back-pressure; stop as soon as the exchange is decided (RFC 9112 section 9.5)."""
        transport = cast("asyncio.Transport", self._transport)
        transport.write(head)
        chunked = size_of(body) is None
        limit = asyncio.timeout_at(deadline)
        try:
            async with limit, aclosing(slices(body)) as pieces:
                async for piece in pieces:
                    # Let the loop read before each write: writing on a connection that the backend has reset
                    # would lose an early answer that already waits in the socket.
                    await asyncio.sleep(0)
                    if self._paused:
                        self._writable = self._loop.create_future()
                        await self._writable
                    if waiter.done():
                        self.abort()
                        return
                    if chunked:
                        transport.write(b"%x\r\n" % len(piece))
                        transport.write(piece)
                        transport.write(b"\r\n")
                    else:
                        transport.write(piece)
                if chunked and not waiter.done():
                    transport.write(b"0\r\n\r\n")
        except TimeoutError:
            if not limit.expired():
                raise
            self._on_deadline()

    def _discard(self, waiter: asyncio.Future[HttpAnswer]) -> None:
        """An exchange ends otherwise than its future says: nobody will read that."""
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            self._answer.release(waiter.result().reserved)

    def _on_deadline(self) -> None:
        self._fail(answer_timeout(self._started, self._status, self._answer.size))

    def _complete(self, reusable: bool) -> None:
        """The answer is whole (or all of it that is wanted)."""
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        body, reserved = self._answer.take()
        self._settle(waiter, HttpAnswer(self._status, self._content_type, self._retry_after, body, reserved), reusable)

    def _settle(self, waiter: asyncio.Future[HttpAnswer], answer: HttpAnswer, reusable: bool) -> None:
        waiter.set_result(answer)
        self._wake_writer()
        # Bytes of the request that are still unsent belong to an answered request: nothing may follow them.
        if not reusable or self._paused or cast("asyncio.Transport", self._transport).get_write_buffer_size():
            self.abort()

    def _fail(self, error: Exception) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        self._wake_writer()
        self.abort()

    def _wake_writer(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def _retire(self) -> None:
        if self.open:
            self.open = False
            self._on_closed(self)

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def abort(self) -> None:
        """Close at once; what is unsent is dropped."""
        self._retire()
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close an idle connection in order (TLS says goodbye)."""
        self._retire()
        if self._transport is not None:
            self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)
        self.open = True

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol: feed the parser; a fault ends the exchange."""
        waiter = self._waiter
        if waiter is None:
            self.abort()  # nobody asked: an answer to nothing, such as 408 before the backend closes
            return
        first, self._started = not self._started, True
        if first and not waiter.done() and (known := self._known.find(data)) is not None:
            self._settle(waiter, known, reusable=True)
            return
        self._parse(data)
        if first and self.open and waiter.done() and not waiter.cancelled() and not waiter.result().reserved:
            self._known.keep(data, waiter.result())

    def _parse(self, data: bytes) -> None:
        self._unparsed_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(not_http(error))
        if self._unparsed_bytes > MAX_HEAD_BYTES:
            self._fail(head_too_large())

    def eof_received(self) -> None:
        """Part of asyncio.Protocol: the backend closed; asyncio closes our side too."""
        self._retire()

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio.Protocol: the end; what it means depends on what was read before."""
        self._retire()
        self._forget_timer()
        if self._waiter is not None and not self._waiter.done():
            if exc is None and self._status and not self._framed:
                self._complete(reusable=False)  # RFC 9112 section 6.3, rule 8: read until close
            elif self.used and not self._started:
                self._fail(StaleConnection())
            else:
                tls = cast("asyncio.Transport", self._transport).get_extra_info("sslcontext") is not None
                self._fail(loss(exc, self._started, tls))
        if not self.lost.done():
            self.lost.set_result(None)

    def pause_writing(self) -> None:
        """Part of asyncio.Protocol: the socket is full."""
        self._paused = True

    def resume_writing(self) -> None:
        """Part of asyncio.Protocol: the socket takes bytes again."""
        self._paused = False
        self._wake_writer()

    # httptools callbacks; what they raise would be wrapped, so they report through _fail

    def on_message_begin(self) -> None:
        """Called by httptools: a status line begins; after a complete answer it is one too many."""
        if self._waiter is None or self._waiter.done():
            self.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools for each field, of trailers too."""
        self._unparsed_bytes = 0
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > MAX_HEAD_BYTES:
            self._fail(head_too_large())
        elif not self._status:
            self._keep_field(name.lower(), value)

    def _keep_field(self, name: bytes, value: bytes) -> None:
        if name == b"content-type":
            self._content_type = value.decode("latin-1")
        elif name in (b"content-length", b"transfer-encoding"):
            self._framed = True
            if name == b"content-length":
                self._declared = int(value)  # the parser has made sure that these are digits
        elif name == b"retry-after":
            self._retry_after = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Called by httptools at the end of a head, interim ones (1xx) included."""
        self._unparsed_bytes = 0
        self._head_bytes += 16
        status = self._parser.get_status_code()
        if status < 200 and status != _SWITCHING_PROTOCOLS:
            self._forget_fields()
            if self._head_bytes > MAX_HEAD_BYTES:
                self._fail(head_too_large())
            return
        self._status = status
        self._keep_alive = self._parser.should_keep_alive()
        if self._declared > FREE_ANSWER_BYTES or self._declared > self._answer.limit:
            self._check_declared()

    def _check_declared(self) -> None:
        try:
            if not self._answer.fits(self._declared, self._status):
                self._complete(reusable=False)
        except WebhookError as error:
            self._fail(error)

    def on_chunk_header(self) -> None:
        """Called by httptools after the size of a chunk."""
        self._unparsed_bytes = 0

    def on_body(self, chunk: bytes) -> None:
        """Called by httptools with a piece of the body, freed of its framing."""
        self._unparsed_bytes = 0
        if self._waiter is None or self._waiter.done():
            return
        try:
            if not self._answer.add(chunk, self._status):
                self._complete(reusable=False)
        except WebhookError as error:
            self._fail(error)

    def on_message_complete(self) -> None:
        """Called by httptools at the end of an answer, interim ones included."""
        if self._status and self._status != _SWITCHING_PROTOCOLS:
            self._complete(self._keep_alive)
