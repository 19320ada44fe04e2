"""The bytes of a request, also where its message is too large for memory.

A body on disk is put into the JSON piece by piece: as text it is escaped, otherwise base64 in pieces of three bytes.
The length is counted while the body arrives, since backends in plain shell or Python's http.server need Content-Length.
"""

import codecs
from collections.abc import AsyncIterator

import msgspec
import pybase64

from gateway.contract.request import Request
from gateway.mail.fields import header_bytes
from gateway.translate.facts import MailBody
from gateway.translate.render import STREAMED, Shown, encode

Body = bytes | MailBody


class JsonStream:
    """A JSON request with the body in its middle."""

    def __init__(self, head: bytes, body: MailBody, tail: bytes) -> None:
        around = len(head) + len(tail) + len(b'{"text":""}' if body.is_text else b'{"base64":""}')
        self.size = around + body.json_size
        self._head = head
        self._body = body
        self._tail = tail

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the request from its beginning."""
        yield self._head
        pieces = self._text() if self._body.is_text else self._base64()
        async for piece in pieces:
            yield piece
        yield self._tail

    async def _text(self) -> AsyncIterator[bytes]:
        decoder = codecs.getincrementaldecoder("utf-8")()
        yield b'{"text":"'
        async for chunk in self._body.chunks():
            yield msgspec.json.encode(decoder.decode(chunk))[1:-1]
        yield b'"}'

    async def _base64(self) -> AsyncIterator[bytes]:
        rest = b""
        yield b'{"base64":"'
        async for chunk in self._body.chunks():
            data = rest + chunk
            whole = len(data) - len(data) % 3
            rest = data[whole:]
            yield pybase64.b64encode(data[:whole])
        yield pybase64.b64encode(rest) + b'"}'


class MultipartStream:
    """A multipart request whose message part is sent as it lies on disk."""

    def __init__(self, head: bytes, body: MailBody, tail: bytes) -> None:
        self.size = len(head) + body.size + len(tail)
        self._head = head
        self._body = body
        self._tail = tail

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the request from its beginning."""
        yield self._head
        async for chunk in self._body.chunks():
            yield chunk
        yield self._tail


def json_stream(request: Request, body: MailBody) -> JsonStream:
    """The request as JSON, with its body from disk."""
    head, _, tail = encode(request).partition(bytes(STREAMED))
    return JsonStream(head, body, tail)


MULTIPART = "multipart/form-data; boundary={boundary}"


def multipart(shown: Shown, boundary: str) -> tuple[str, bytes | MultipartStream]:
    """Content type and bytes of `multipart/form-data`: parts `event` (JSON) and `message` (raw, RFC 7578, RFC 5322)."""
    head = b"".join(
        (
            event_part(boundary, shown.request, first=True),
            b"\r\n",
            message_part(boundary),
            header_bytes(shown.fields or ()),
        )
    )
    tail = multipart_end(boundary)
    content_type = MULTIPART.format(boundary=boundary)
    body = shown.body if shown.body is not None else b""
    if isinstance(body, bytes):
        return content_type, head + body + tail
    raw = body.in_memory()
    return content_type, MultipartStream(head, body, tail) if raw is None else head + raw + tail


def event_part(boundary: str, request: Request, *, first: bool = False) -> bytes:
    """The part `event`; behind another part a line break ends that one."""
    return (b"" if first else b"\r\n") + _part(boundary, "event", "application/json") + encode(request)


def message_part(boundary: str) -> bytes:
    """The beginning of the part `message`."""
    return _part(boundary, "message", "message/rfc822", filename="message.eml")


def multipart_end(boundary: str) -> bytes:
    """What stands behind the last part."""
    return f"\r\n--{boundary}--\r\n".encode()


def _part(boundary: str, name: str, content_type: str, *, filename: str | None = None) -> bytes:
    attachment = f'; filename="{filename}"' if filename else ""
    return (
        f"--{boundary}\r\n"
        f'content-disposition: form-data; name="{name}"{attachment}\r\n'
        f"content-type: {content_type}\r\n\r\n"
    ).encode()
