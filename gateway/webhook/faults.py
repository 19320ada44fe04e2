"""What sockets, DNS and TLS raise, turned into the tree of errors, with words that an operator can act on.

Pure; shared by both transports so that one trouble has one name whichever of them met it.
"""

import socket
import ssl
from collections.abc import Iterator

from gateway.webhook.transport import (
    MAX_HEAD_BYTES,
    BrokenAnswer,
    Cause,
    ConnectFailed,
    DeadlineExceeded,
    TlsFailed,
    WebhookError,
)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and all that it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def connect_fault(error: BaseException, where: str, tls: bool) -> WebhookError:
    """The failure to reach `where` (`host:port` or a path), told by the first telling exception of the chain."""
    for each in chain(error):
        if isinstance(each, ssl.SSLError):
            reason = getattr(each, "verify_message", "") or each.reason or str(each)
            return TlsFailed(f"TLS with {where} failed: {reason} (see tls.ca_file, tls.cert_file)")
        if isinstance(each, socket.gaierror | UnicodeError):
            return ConnectFailed(f"the name of {where} does not resolve: {each}", Cause.DNS)
        if tls and isinstance(each, ConnectionResetError | ConnectionAbortedError):
            return ConnectFailed(f"{where} closed the connection during the TLS handshake")
    return ConnectFailed(f"cannot connect to {where}: {str(error) or type(error).__name__}")


def connect_timeout(where: str) -> DeadlineExceeded:
    """The deadline passed before the connection to `where` stood."""
    return DeadlineExceeded(f"timeout: no connection to {where} in time")


def answer_timeout(started: bool, status: int, size: int) -> DeadlineExceeded:
    """The deadline passed with so much of an answer: any byte, the final status (0: none), bytes of its body."""
    if not started:
        seen = "no byte of an answer"
    elif not status:
        seen = "only a part of the answer's head"
    else:
        seen = f"only status {status} and {size} bytes of the body"
    return DeadlineExceeded(f"timeout: connected, but {seen} came in time")


def loss(exc: BaseException | None, started: bool, tls: bool) -> WebhookError:
    """The connection was lost during an exchange, after (`started`) or before the first byte of the answer."""
    for each in chain(exc):
        if isinstance(each, ssl.SSLError):
            # With TLS 1.3 the refusal of a client certificate shows only here.
            return TlsFailed(f"the backend broke the TLS connection: {each.reason or each}")
    detail = f" ({exc})" if exc is not None and str(exc) else ""
    when = "in the middle of its answer" if started else "without an answer"
    if tls and not started:
        # The alert that would say so is often lost, because the request was already on its way.
        detail += "; over TLS it may also have refused our client certificate (tls.cert_file)"
    return BrokenAnswer(f"the backend closed the connection {when}{detail}")


def head_too_large() -> BrokenAnswer:
    """The answer's head is beyond the bound."""
    return BrokenAnswer(f"the head of the answer has more than {MAX_HEAD_BYTES} bytes")


def not_http(error: BaseException) -> BrokenAnswer:
    """A parser gave up."""
    return BrokenAnswer(f"the answer is not valid HTTP: {error}")
