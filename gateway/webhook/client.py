"""The webhook client: one call = the attempts, the header fields and the errors of one POST to a backend.

It owns the retry rule and the fields of the contract's section 3. It knows HTTP; it must not know milter, nor what
the body says. Which transport carries it follows from the endpoint.
"""

import asyncio
import math
import random
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from random import getrandbits

from msgspec import Struct

from gateway.webhook.alternatives import Alternative, Alternatives
from gateway.webhook.bodies import SLICE_BYTES
from gateway.webhook.circuit import OPEN_SECONDS, Circuit
from gateway.webhook.endpoint import Endpoint
from gateway.webhook.httpx_transport import HttpxTransport
from gateway.webhook.lean import LeanTransport
from gateway.webhook.pool import PoolLimits
from gateway.webhook.secrecy import Secrecy
from gateway.webhook.signature import signature, signature_of
from gateway.webhook.transport import (
    Body,
    Cause,
    CircuitOpen,
    DeadlineExceeded,
    HttpAnswer,
    HttpRequest,
    MemoryBudget,
    StatusFailed,
    Transport,
    WebhookError,
)

_BACKOFF_SECONDS = 0.1
_ASIDE = frozenset(
    (
        Cause.CONNECT,
        Cause.DNS,
        Cause.TLS,
        Cause.TIMEOUT,
        Cause.BROKEN_ANSWER,
        Cause.RATE_LIMITED,
        Cause.SERVER_ERROR,
    )
)
"""What a URL is left aside for; anything else would be the same at another one."""


class Call(Struct, frozen=True):
    """One question to a backend.

    Args:
        id: the call's own id (`webhook-id`, and the body's `id`), ASCII.
        event: `rcpt`, `end_of_message`, ...
        session_id: of the SMTP session, ASCII.
        content_type: of the body, ASCII.
        body: the same bytes on every attempt.
        deadline: on the clock of `loop.time()`, for all attempts together.
        patience: seconds that the backend is told, where they do not follow from the deadline.

    """

    id: str
    event: str
    session_id: str
    content_type: str
    body: Body
    deadline: float
    patience: float | None = None


class Answer(Struct, frozen=True):
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


class Attempt(Struct, frozen=True):
    """What the observer is told after each attempt: exactly one of `status` (2xx) and `error` is set."""

    webhook: str
    call: Call
    url: str
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
        on_alternative: told (name, URL, failure) when one of several URLs is left aside, and without a failure when
            it works again; must not raise.
        on_circuit: told (name, the failure that opened the circuit), and without a failure when it closes; must not
            raise.
        budget: charged by answers beyond 64 KiB.
        transport: replaces the one that the endpoint would get.
        circuit: replaces one that opens after five failed calls.

    Raises:
        ValueError: a setting is wrong; the message names its key.

    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        version: str,
        on_attempt: Callable[[Attempt], None] | None = None,
        on_alternative: Callable[[str, str, WebhookError | None], None] = lambda *_: None,
        on_circuit: Callable[[str, WebhookError | None], None] = lambda *_: None,
        budget: MemoryBudget | None = None,
        transport: Transport | None = None,
        circuit: Circuit | None = None,
    ) -> None:
        endpoint.check()
        self.endpoint = endpoint
        self.secrecy = Secrecy(endpoint.headers)
        self._user_agent = f"milter-gateway/{version}"
        self._on_attempt = on_attempt
        self._on_alternative = on_alternative
        self._on_circuit = on_circuit
        self._alternatives = Alternatives(endpoint.urls)
        self._circuit = circuit or Circuit()
        self._transport = transport_for(endpoint, budget) if transport is None else transport

    async def call(self, call: Call) -> Answer:
        """Ask the backend: at most 1 + `retries` rounds over its URLs within the deadline.

        In a round one URL after the other is tried until one answers. Only what a retry is allowed for, and a TLS
        failure, goes on to the next: after a timeout or half an answer the request may have had its effect.

        Raises:
            CircuitOpen: nothing was sent, since the last calls all failed.
            WebhookError: the failure of the last attempt.

        """
        clock = asyncio.get_running_loop().time
        now = clock()
        if not self._circuit.lets_through(now):
            raise CircuitOpen(f"the last calls failed: the next one is made within {OPEN_SECONDS:g} s")
        try:
            return await self._try_all(call, clock)
        except WebhookError as error:
            # where no time was left, earlier webhooks had used it up
            if now < call.deadline and self._circuit.failed(error.cause, clock()):
                self._on_circuit(self.endpoint.name, error)
            raise

    async def _try_all(self, call: Call, clock: Callable[[], float]) -> Answer:
        """All rounds over all URLs. Raises WebhookError."""
        stopwatch = time.perf_counter  # uvloop's clock counts whole milliseconds
        started = began = stopwatch()
        timestamp = int(time.time())
        fields = [
            ("content-type", call.content_type),
            ("webhook-id", call.id),
            ("webhook-timestamp", str(timestamp)),
            ("milter-event", call.event),
            ("milter-session", call.session_id),
        ]
        trace = getrandbits(128)
        number = rounds = 0
        while True:
            failure = WebhookError()
            for place in self._alternatives.in_order(clock()):
                number += 1
                try:
                    if self.endpoint.secrets and number == 1:
                        fields.append(("webhook-signature", await self._sign(call, timestamp)))
                    last = _attempt_fields(number, call.patience or call.deadline - clock(), trace)
                    request = place.requests.get(call.event) or self._request(place, call.event)
                    answer = await self._transport.post(request, fields + last, call.body, call.deadline)
                    if not 200 <= answer.status < 300:
                        raise StatusFailed(answer.status, _retry_after_seconds(answer))
                except WebhookError as error:
                    error.attempts = number
                    self._failed(call, place, number, stopwatch() - began, error)
                    failure = error
                    if not error.elsewhere:
                        break
                    began = stopwatch()
                else:
                    now = stopwatch()
                    self._worked(call, place, number, now - began, answer.status)
                    return Answer(
                        answer.status, answer.content_type, answer.body, number, (now - started) * 1000, answer.reserved
                    )
            rounds += 1
            pause = self._pause(failure, rounds)
            if pause is None or clock() + pause >= call.deadline:
                raise failure
            await asyncio.sleep(pause)
            began = stopwatch()

    def _request(self, place: Alternative, event: str) -> HttpRequest:
        request = place.requests[event] = self.endpoint.request(place.url, event, self._user_agent)
        return request

    def _worked(self, call: Call, place: Alternative, number: int, seconds: float, status: int) -> None:
        if self._alternatives.worked(place):
            self._on_alternative(self.endpoint.name, place.url, None)
        if self._circuit.worked():
            self._on_circuit(self.endpoint.name, None)
        if self._on_attempt is not None:
            url = place.requests[call.event].url
            self._on_attempt(Attempt(self.endpoint.name, call, url, number, seconds * 1000, status, None))

    def _failed(self, call: Call, place: Alternative, number: int, seconds: float, error: WebhookError) -> None:
        now = asyncio.get_running_loop().time()
        if error.cause in _ASIDE and self._alternatives.failed(place, now):
            self._on_alternative(self.endpoint.name, place.url, error)
        if self._on_attempt is not None:
            request = place.requests.get(call.event)
            url = request.url if request is not None else place.url
            self._on_attempt(Attempt(self.endpoint.name, call, url, number, seconds * 1000, None, error))

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

    def _pause(self, error: WebhookError, rounds: int) -> float | None:
        """Seconds until the next round, None when there is none."""
        if not error.retryable or rounds > self.endpoint.retries:
            return None
        if isinstance(error, StatusFailed) and error.retry_after is not None:
            return error.retry_after
        # Spread, so that the calls that failed together do not come back together.
        spread = random.uniform(0.8, 1.2)  # noqa: S311 - no secret
        return math.ldexp(_BACKOFF_SECONDS * spread, rounds - 1)

    async def aclose(self) -> None:
        """Close all connections; calls under way fail."""
        await self._transport.aclose()


def transport_for(endpoint: Endpoint, budget: MemoryBudget | None = None) -> Transport:
    """The transport that an endpoint needs: lean, or httpx for a proxy and for HTTP/2.

    Raises:
        ValueError: a TLS file is unusable.

    """
    tls = endpoint.tls_context()
    limits = PoolLimits(connections=endpoint.connections, response_bytes=endpoint.response_bytes)
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


def _attempt_fields(number: int, left_seconds: float, trace: int) -> list[tuple[str, str]]:
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
        ("traceparent", f"00-{trace:032x}-{getrandbits(64):016x}-01"),
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
