"""The raw message of a request, byte for byte: the body itself, or the part `message` of a form."""

from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

from gateway.translate.form import FORM, FormError, form_parts

_AROUND_BYTES = 64 * 1024
"""What a form may have around its message."""


async def raw_message(request: Request, limit: int) -> bytes:
    """Read the message of at most `limit` bytes. Raises HTTPException 413 and 422."""
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != FORM:
        return await _read(request, limit)
    message = _message_part(content_type, await _read(request, limit + _AROUND_BYTES))
    if len(message) > limit:
        raise _too_large(limit)
    return message


async def _read(request: Request, limit: int) -> bytes:
    pieces, size = [], 0
    try:
        async for piece in request.stream():
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
            pieces.append(piece)
    except ClientDisconnect as error:
        raise HTTPException(400, "the client went away before the message was whole") from error
    return b"".join(pieces)


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"the message is over {limit} bytes (limits.message_bytes)")


def _message_part(content_type: str, body: bytes) -> bytes:
    try:
        found = [content for name, content in form_parts(content_type, body) if name == "message"]
    except FormError as error:
        raise HTTPException(422, str(error)) from error
    if len(found) != 1:
        raise HTTPException(422, f"the form has {len(found) or 'no'} parts `message`; one is needed")
    return found[0]
