"""The seam between the client and the two HTTP transports: values, protocols and the tree of errors.

It owns the vocabulary only. It must not know sockets, TLS, retries or what the bytes mean.

The errors, all of them raised by a call that failed (never anything else, but `asyncio.CancelledError`)::

    WebhookError
      ConnectFailed      nobody took the request: refused, name unknown, proxy down      may be tried again
      TlsFailed          certificate or handshake refused                                not tried again
      DeadlineExceeded   the time of the call is over                                    not tried again
      BrokenAnswer       not HTTP, half an answer, connection closed mid-way             not tried again
      AnswerTooLarge     a 2xx answer beyond `response_bytes` (this one is `on_invalid`) not tried again
      StatusFailed       a whole answer with a status that is no success                 429 and 5xx: may be
      NoRoom             the memory budget refused the answer                            not tried again
      BodyFailed         our own stored body could not be read                           not tried again
      CircuitOpen        too many calls failed in a row: nothing was sent                not tried again
"""

# ruff: noqa: N818 - the names say what happened ("the connect failed"), the base class says that it is an error

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import ClassVar, Protocol

from msgspec import Struct

MAX_HEAD_BYTES = 64 * 1024
"""Bytes of status line and header fields (interim answers and trailers included) that an answer may have."""

FREE_ANSWER_BYTES = 64 * 1024
"""Bytes of an answer that are not charged to the memory budget, and all that is kept of a failure's body."""


class Cause(StrEnum):
    """Why a call failed: the one word for logs and metric labels."""

    CONNECT = "connect"
    DNS = "dns"
    TLS = "tls"
    TIMEOUT = "timeout"
    BROKEN_ANSWER = "broken_answer"
    TOO_LARGE = "too_large"
    REDIRECT = "redirect"
    CLIENT_ERROR = "client_error"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    NO_ROOM = "no_room"
    BODY = "body"
    CIRCUIT_OPEN = "circuit_open"


class WebhookError(Exception):
    """A call to a backend failed; `str(error)` is for the operator, `cause` for logs and metrics.

    `retryable` says whether another attempt of the same call is allowed at all; `attempts` how many were made.
    """

    cause: Cause
    retryable: bool = False
    attempts: int = 0

    @property
    def elsewhere(self) -> bool:
        """Whether the same call may be tried at another URL."""
        return self.retryable or self.cause is Cause.TLS


class ConnectFailed(WebhookError):
    """The request reached nobody: refused, unknown name (`Cause.DNS`), unreachable, or the proxy failed."""

    retryable = True

    def __init__(self, message: str, cause: Cause = Cause.CONNECT) -> None:
        super().__init__(message)
        self.cause = cause


class TlsFailed(WebhookError):
    """The TLS handshake failed: a certificate that does not verify, or one of ours that was refused."""

    cause = Cause.TLS


class DeadlineExceeded(WebhookError):
    """The call's deadline passed while connecting, writing, reading, or before it began."""

    cause = Cause.TIMEOUT


class BrokenAnswer(WebhookError):
    """The backend answered something that is not HTTP, or closed the connection before the end."""

    cause = Cause.BROKEN_ANSWER


class AnswerTooLarge(WebhookError):
    """A successful answer is larger than the limit; found while reading, the rest was not read."""

    cause = Cause.TOO_LARGE


class NoRoom(WebhookError):
    """The memory budget of the gateway has no room for the answer."""

    cause = Cause.NO_ROOM


class BodyFailed(WebhookError):
    """The request's own body could not be read, or was not as long as it said (our fault, not the backend's)."""

    cause = Cause.BODY


class CircuitOpen(WebhookError):
    """Nothing was sent: too many calls failed in a row, and the backend is left alone for a while."""

    cause = Cause.CIRCUIT_OPEN


class StatusFailed(WebhookError):
    """The backend answered, with a status that is no success: transport trouble, never a verdict.

    Args:
        status: the HTTP status.
        retry_after: seconds that the backend asks to wait (RFC 9110 section 10.2.3), None when it does not say.

    """

    _HINTS: ClassVar[dict[Cause, str]] = {
        Cause.REDIRECT: "redirects are not followed; configure the final URL",
        Cause.CLIENT_ERROR: "the backend refuses the request; check url, credentials and its log",
        Cause.RATE_LIMITED: "the backend asks for fewer requests",
        Cause.SERVER_ERROR: "the backend failed; check its log",
        Cause.BROKEN_ANSWER: "that is no HTTP status",
    }

    def __init__(self, status: int, retry_after: float | None = None) -> None:
        self.status = status
        self.retry_after = retry_after
        self.cause = cause = _cause_of(status)
        self.retryable = cause in (Cause.RATE_LIMITED, Cause.SERVER_ERROR)
        wait = "" if retry_after is None else f" (retry-after: {retry_after:.0f} s)"
        super().__init__(f"answered {status}{_phrase(status)}{wait}: {self._HINTS[cause]}")


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""


def _cause_of(status: int) -> Cause:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Cause.RATE_LIMITED
    classes = {3: Cause.REDIRECT, 4: Cause.CLIENT_ERROR, 5: Cause.SERVER_ERROR}
    return classes.get(status // 100, Cause.BROKEN_ANSWER)


class StreamedBody(Protocol):
    """A request body that is not held in memory, such as a spooled message. It can be read many times."""

    @property
    def size(self) -> int | None:
        """Its length in bytes, exactly: it is sent as Content-Length. None: not known yet, it is sent in chunks."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The bytes from the beginning; each call starts anew and yields the same bytes."""
        ...


Body = bytes | StreamedBody
HeaderFields = Sequence[tuple[str, str]]


class MemoryBudget(Protocol):
    """Who is asked before an answer takes memory beyond `FREE_ANSWER_BYTES`."""

    def reserve(self, size: int, /) -> bool:
        """Take `size` bytes; False when there is no room."""
        ...

    def release(self, size: int, /) -> None:
        """Give `size` bytes back."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class HttpRequest:
    """The part of a request that every call of one event shares; a transport may keep what it derives of it.

    Compared by identity, so keep and reuse it. `url` is absolute, ASCII, and http or https. `headers` are
    ASCII names and latin-1 values, checked by whoever builds it.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = ()


class HttpAnswer(Struct, frozen=True):
    """A complete answer. Of one that is no success at most `FREE_ANSWER_BYTES` of the body are kept.

    `reserved` bytes of the memory budget are held by this answer: its receiver releases them.
    """

    status: int
    content_type: str
    retry_after: str | None
    body: bytes
    reserved: int = 0


class Transport(Protocol):
    """Sends one POST and reads one answer. No retries, no redirects, no cookies, no environment."""

    async def post(self, request: HttpRequest, headers: HeaderFields, body: Body, deadline: float) -> HttpAnswer:
        """POST `body` with the request's and these header fields.

        Args:
            request: the static part.
            headers: further fields of this call, ASCII names, latin-1 values without CR, LF and NUL.
            body: sent with Content-Length, or chunked (RFC 9112 section 7.1) where its size is not known.
            deadline: on the clock of `loop.time()`, for everything from connecting to the last byte.

        Raises:
            WebhookError: any of the tree but `StatusFailed`: each status is an answer here.

        """
        ...

    async def aclose(self) -> None:
        """Close every connection; calls under way fail."""
        ...
