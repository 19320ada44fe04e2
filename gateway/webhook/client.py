"""The webhook client: one call = the attempts, the header fields and the errors of one POST to a backend.

It owns the retry rule and the fields of the contract's section 3. It knows HTTP; it must not know milter, nor what
the body says. Which transport carries it follows from the endpoint.
"""

import asyncio
import math
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from gateway.webhook.bodies import SLICE_BYTES
from gateway.webhook.endpoint import Endpoint
from gateway.webhook.httpx_transport import HttpxTransport
from gateway.webhook.lean import LeanTransport
from gateway.webhook.pool import PoolLimits
from gateway.webhook.signature import signature, signature_of
from gateway.webhook.transport import (
    Body,
    DeadlineExceeded,
    HttpAnswer,
    HttpRequest,
    MemoryBudget,
    StatusFailed,
    Transport,
    WebhookError,
)

_BACKOFF_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Call:
    """One question to a backend.

    Args:
        id: the call's own id (`webhook-id`, and the body's `id`), ASCII.
        event: `rcpt`, `end_of_message`, ...
        session_id: of the SMTP session, ASCII.
        content_type: of the body, ASCII.
        body: the same bytes on every attempt.
        deadline: on the clock of `loop.time()`, for all attempts together.

    """

    id: str
    event: str
    session_id: str
    content_type: str
    body: Body
    deadline: float


@dataclass(frozen=True, slots=True)
class Answer:
    """A backend's 2xx answer, unread.

    Args:
        status: 200 to 299.
        content_type: as sent, "" when absent.
        body: whole.
        attempts: that were needed, from 1.
        elapsed_ms: of all attempts with the pauses between them.
        reserved: bytes of the memory budget that its receiver releases.

    """

    status: int
    content_type: str
    body: bytes
    attempts: int
    elapsed_ms: float
    reserved: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the observer is told after each attempt: exactly one of `status` (2xx) and `error` is set."""

    webhook: str
    call: Call
    number: int
    elapsed_ms: float
    status: int | None
    error: WebhookError | None


class WebhookClient:
    """Calls one endpoint. Made and used on one event loop; safe for any number of concurrent calls.

    Args:
        endpoint: checked here.
        version: of the gateway, for user-agent.
        on_attempt: told after each attempt; must not raise.
        budget: charged by answers beyond 64 KiB.
        transport: replaces the one that the endpoint would get.

    Raises:
        ValueError: a setting is wrong; the message names its key.

    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        version: str,
        on_attempt: Callable[[Attempt], None] | None = None,
        budget: MemoryBudget | None = None,
        transport: Transport | None = None,
    ) -> None:
        endpoint.check()
        self.endpoint = endpoint
        self._user_agent = f"milter-gateway/{version}"
        self._on_attempt = on_attempt
        self._requests: dict[str, HttpRequest] = {}
        self._transport = transport_for(endpoint, budget) if transport is None else transport

    async def call(self, call: Call) -> Answer:
        """Ask the backend: at most 1 + `retries` attempts within the deadline.

        Raises:
            WebhookError: the failure of the last attempt.

        """
        clock = asyncio.get_running_loop().time
        stopwatch = time.perf_counter  # uvloop's clock counts whole milliseconds
        started = began = stopwatch()
        request = self._requests.get(call.event) or self._request(call.event)
        trace = os.urandom(16).hex()
        fields: list[tuple[str, str]] = []
        number = 0
        while True:
            number += 1
            try:
                fields = fields or await self._fields(call)
                last = _attempt_fields(number, call.deadline - clock(), trace)
                answer = await self._transport.post(request, fields + last, call.body, call.deadline)
                if not 200 <= answer.status < 300:
                    raise StatusFailed(answer.status, _retry_after_seconds(answer))
            except WebhookError as error:
                error.attempts = number
                self._tell(call, number, stopwatch() - began, None, error)
                pause = self._pause(error, number)
                if pause is None or clock() + pause >= call.deadline:
                    raise
            else:
                self._tell(call, number, stopwatch() - began, answer.status, None)
                elapsed_ms = (stopwatch() - started) * 1000
                return Answer(answer.status, answer.content_type, answer.body, number, elapsed_ms, answer.reserved)
            await asyncio.sleep(pause)
            began = stopwatch()

    def _request(self, event: str) -> HttpRequest:
        request = self._requests[event] = self.endpoint.request(event, self._user_agent)
        return request

    async def _fields(self, call: Call) -> list[tuple[str, str]]:
        """The fields that all attempts share."""
        timestamp = int(time.time())
        fields = [
            ("content-type", call.content_type),
            ("webhook-id", call.id),
            ("webhook-timestamp", str(timestamp)),
            ("milter-event", call.event),
            ("milter-session", call.session_id),
        ]
        if self.endpoint.secrets:
            fields.append(("webhook-signature", await self._sign(call, timestamp)))
        return fields

    async def _sign(self, call: Call, timestamp: int) -> str:
        secrets, body = self.endpoint.secrets, call.body
        if isinstance(body, bytes) and len(body) <= SLICE_BYTES:
            return signature(secrets, call.id, timestamp, body)
        limit = asyncio.timeout_at(call.deadline)
        try:
            async with limit:
                return await signature_of(secrets, call.id, timestamp, body)
        except TimeoutError as error:
            raise DeadlineExceeded("timeout: the time was over while the body was signed") from error

    def _pause(self, error: WebhookError, number: int) -> float | None:
        """Seconds until the next attempt, None when there is none."""
        if not error.retryable or number > self.endpoint.retries:
            return None
        if isinstance(error, StatusFailed) and error.retry_after is not None:
            return error.retry_after
        # Spread, so that the calls that failed together do not come back together.
        spread = random.uniform(0.8, 1.2)  # noqa: S311 - no secret
        return math.ldexp(_BACKOFF_SECONDS * spread, number - 1)

    def _tell(self, call: Call, number: int, seconds: float, status: int | None, error: WebhookError | None) -> None:
        if self._on_attempt is not None:
            self._on_attempt(Attempt(self.endpoint.name, call, number, seconds * 1000, status, error))

    async def aclose(self) -> None:
        """Close all connections; calls under way fail."""
        await self._transport.aclose()


def transport_for(endpoint: Endpoint, budget: MemoryBudget | None = None) -> Transport:
    """The transport that an endpoint needs: lean, or httpx for a proxy and for HTTP/2.

    Raises:
        ValueError: a TLS file is unusable.

    """
    tls = endpoint.tls_context()
    limits = PoolLimits(response_bytes=endpoint.response_bytes)
    if endpoint.proxy is None and not endpoint.http2:
        return LeanTransport(tls=tls, uds=endpoint.uds, limits=limits, budget=budget)
    return HttpxTransport(
        tls=tls,
        uds=endpoint.uds,
        proxy=endpoint.proxy,
        http2=endpoint.http2,
        limits=limits,
        budget=budget,
    )


def _attempt_fields(number: int, left_seconds: float, trace: str) -> list[tuple[str, str]]:
    """The fields that differ between attempts.

    Raises:
        DeadlineExceeded: no time is left.

    """
    if left_seconds <= 0:
        raise DeadlineExceeded("timeout: no time was left to send the request")
    return [
        ("milter-attempt", str(number)),
        ("milter-deadline-ms", str(int(left_seconds * 1000))),
        # https://www.w3.org/TR/trace-context/ - "sampled": else backends that follow the parent record nothing
        ("traceparent", f"00-{trace}-{os.urandom(8).hex()}-01"),
    ]


def _retry_after_seconds(answer: HttpAnswer) -> float | None:
    """Retry-After (RFC 9110 section 10.2.3): seconds or a date; None when absent or unreadable."""
    text = (answer.retry_after or "").strip()
    try:
        if text.isdecimal():
            return float(text)
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
