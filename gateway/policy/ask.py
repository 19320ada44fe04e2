"""One question to one webhook: the request's bytes, the call, and the judgement that its answer makes."""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from uuid_utils import uuid7

from gateway.contract import request as r
from gateway.contract.response import EMPTY, InvalidAnswerError, decode_response
from gateway.contract.words import Event
from gateway.mail.changes import NewBody, NewMessage
from gateway.policy.member import Member
from gateway.policy.rules import Bounds, Exchange
from gateway.translate.answer import Judgement, judge
from gateway.translate.change import Limits
from gateway.translate.facts import MailBody, SessionFacts, TransactionFacts
from gateway.translate.form import FORM, split_answer
from gateway.translate.payload import json_stream, multipart
from gateway.translate.render import Occasion, Shown, encode, render
from gateway.translate.terms import EVENT_OF
from gateway.webhook import Answer, Body, BodyFailed, Call, DeadlineExceeded, WebhookError

JSON = "application/json"


def new_id() -> str:
    """A UUID of version 7 (RFC 9562 §5.7): sortable by time."""
    return str(uuid7())


@dataclass(frozen=True, slots=True)
class Question:
    """An event put to one member, within the time that is left (`deadline` on the loop's clock)."""

    event: object
    member: Member
    session: SessionFacts
    transaction: TransactionFacts | None
    previous: tuple[r.Previous, ...]
    deadline: float
    dry_run: bool = False

    @property
    def name(self) -> Event:
        """The event's name."""
        return EVENT_OF[type(self.event)]


@dataclass(frozen=True, slots=True)
class Asked:
    """What came back: a judgement with what it refers to, or an error; and the record of both."""

    exchange: Exchange
    shown: Shown
    judgement: Judgement | None = None
    error: WebhookError | InvalidAnswerError | None = None
    reserved: int = 0
    """Bytes of the memory budget that the answer takes until the event is over."""


async def ask(question: Question, bounds: Bounds) -> Asked:
    """Put the question. Failures are part of the answer; only cancellation is raised."""
    call_id, member = new_id(), question.member
    shown = render(
        question.event,
        question.session,
        question.transaction,
        member.audience,
        Occasion(
            id=call_id,
            time=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            dry_run=question.dry_run,
            previous=question.previous,
            session_context=member.session_context,
            transaction_context=member.transaction_context,
        ),
    )
    request: bytes | None = None
    answer: Answer | None = None
    started = asyncio.get_running_loop().time()
    try:
        call = await _call(question, shown, call_id)
        request = call.body if isinstance(call.body, bytes) else None
        answer = await member.webhook.client.call(call)
        judgement = await _compared(_judgement(answer, shown, question, bounds), shown)
    except (WebhookError, InvalidAnswerError) as error:
        elapsed_ms = (asyncio.get_running_loop().time() - started) * 1000
        record = _exchange(question, call_id, request, answer, elapsed_ms, str(error))
        return Asked(record, shown, error=error, reserved=answer.reserved if answer else 0)
    record = _exchange(question, call_id, request, answer, answer.elapsed_ms, None, judgement.action)
    return Asked(record, shown, judgement, reserved=answer.reserved)


async def _call(question: Question, shown: Shown, call_id: str) -> Call:
    webhook, at_end = question.member.webhook, question.name is Event.END_OF_MESSAGE
    timeout = webhook.timeout_end_of_message_seconds if at_end else webhook.timeout_seconds
    deadline = min(question.deadline, asyncio.get_running_loop().time() + timeout)
    content_type, body = await _payload(shown, call_id, deadline, as_form=webhook.multipart and at_end)
    return Call(call_id, question.name, question.session.id, content_type, body, deadline)


async def _payload(shown: Shown, call_id: str, deadline: float, *, as_form: bool) -> tuple[str, Body]:
    """Content type and bytes. Raises BodyFailed and DeadlineExceeded, both only for a body on disk."""
    if as_form:
        return multipart(shown, f"gateway-{call_id}")
    if shown.body is None or isinstance(shown.body, bytes) or shown.body.in_memory() is not None:
        return JSON, encode(shown.request)
    try:
        async with asyncio.timeout_at(deadline):
            return JSON, await json_stream(shown.request, shown.body)
    except OSError as error:  # TimeoutError is one
        if isinstance(error, TimeoutError):
            raise DeadlineExceeded("timeout: the time was over while the message was read from disk") from error
        raise BodyFailed(f"the message cannot be read from disk: {error}") from error


def _judgement(answer: Answer, shown: Shown, question: Question, bounds: Bounds) -> Judgement:
    """Read an answer. Raises InvalidAnswerError."""
    message: bytes | None = None
    response = EMPTY
    if answer.body:
        kind = answer.content_type.partition(";")[0].strip().lower()
        if kind == FORM:
            encoded, message = split_answer(answer.content_type, answer.body)
        elif kind == JSON:
            encoded = answer.body
        else:
            raise InvalidAnswerError(f"the content type is {kind or 'missing'!r}, not {JSON}")
        response = decode_response(encoded)
    limits = Limits(
        event=question.name,
        ops=question.member.ops,
        rcpt_params=question.member.rcpt_params,
        rcpt_plain=question.member.rcpt_plain,
        allow=question.member.webhook.allow,
        context_bytes=bounds.context_bytes,
        body_shown=shown.body is not None,
        truncated=shown.truncated,
    )
    return judge(response, limits, message)


async def _compared(judgement: Judgement, shown: Shown) -> Judgement:
    """The same; a new message leaves the body alone where it has the one that was shown."""
    bodies = [change for change in judgement.changes if isinstance(change, NewBody | NewMessage)]
    if len(bodies) != 1 or isinstance(bodies[0], NewBody) or not await _is_shown(bodies[0].body, shown.body):
        return judgement
    kept = replace(bodies[0], body=None)
    return replace(judgement, changes=tuple(kept if item is bodies[0] else item for item in judgement.changes))


async def _is_shown(body: bytes | None, shown: bytes | MailBody | None) -> bool:
    if body is None or shown is None or isinstance(shown, bytes):
        return body == shown
    if len(body) != shown.size:
        return False
    at = 0
    try:
        async for chunk in shown.chunks():
            if body[at : at + len(chunk)] != chunk:
                return False
            at += len(chunk)
    except OSError:
        return False  # sending it again is right, too
    return True


def _exchange(
    question: Question,
    call_id: str,
    request: bytes | None,
    answer: Answer | None,
    elapsed_ms: float,
    failure: str | None,
    action: str = "",
) -> Exchange:
    return Exchange(
        webhook=question.member.webhook.name,
        event=question.name,
        call_id=call_id,
        request=request,
        status=answer.status if answer else None,
        response=answer.body if answer else b"",
        action=action,
        failure=failure,
        attempts=answer.attempts if answer else 0,
        elapsed_ms=elapsed_ms,
    )
