"""One question to one webhook: the request's bytes, the call, and the judgement that its answer makes."""

import asyncio
from functools import lru_cache

from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.structs import replace

from gateway.contract import request as r
from gateway.contract.response import InvalidAnswerError, decode_response
from gateway.contract.words import Event
from gateway.mail.changes import NewBody, NewMessage
from gateway.policy.member import Member
from gateway.policy.parsing import parsed_json
from gateway.policy.rules import Bounds, Exchange
from gateway.policy.stamp import new_id, utc_now
from gateway.policy.upload import Upload
from gateway.translate.answer import PASS, Judgement, judge
from gateway.translate.change import Limits
from gateway.translate.facts import MailBody, SessionFacts, TransactionFacts
from gateway.translate.form import FORM, split_answer
from gateway.translate.payload import json_stream, multipart
from gateway.translate.render import Occasion, Shown, encode, render
from gateway.webhook import Answer, Body, Call, WebhookError

JSON = "application/json"
INVALID = "invalid"
"""The cause where an answer is not in the contract."""
_SMALL_BYTES = 1024


class Question(Struct, frozen=True):
    """An event put to one member, within the time that is left (`deadline` on the loop's clock)."""

    event: object
    name: Event
    member: Member
    session: SessionFacts
    transaction: TransactionFacts | None
    previous: tuple[r.Previous, ...]
    deadline: float
    dry_run: bool = False


class Asked(Struct, frozen=True):
    """What came back: a judgement with what it refers to, or an error; and the record of both."""

    exchange: Exchange
    shown: Shown
    judgement: Judgement | None = None
    error: WebhookError | InvalidAnswerError | None = None
    reserved: int = 0
    """Bytes of the memory budget that the answer takes until the event is over."""


async def ask(question: Question, bounds: Bounds, upload: Upload | None = None) -> Asked:
    """Put the question; `upload`: the call that began while the message arrived.

    Failures are part of the answer; only cancellation is raised.
    """
    member, webhook, name = question.member, question.member.webhook, question.name
    clock = asyncio.get_running_loop().time
    call_id = upload.call_id if upload is not None else new_id()
    at_end = name is Event.END_OF_MESSAGE
    parsed: Raw | UnsetType = UNSET
    if at_end and webhook.parsed and question.transaction is not None:
        parsed = await parsed_json(question.transaction, member.terms.audience, question.deadline)
    occasion = Occasion(
        call_id,
        utc_now(),
        question.dry_run,
        question.previous,
        member.session_context,
        member.transaction_context,
        parsed,
    )
    shown = render(question.event, question.session, question.transaction, member.terms.audience, occasion)
    started = clock()
    timeout = webhook.timeout_end_of_message_seconds if at_end else webhook.timeout_seconds
    deadline = min(question.deadline, started + timeout)
    content_type = JSON
    body: Body = b""
    answer: Answer | None = None
    try:
        if upload is not None:
            content_type = upload.content_type
            answer = await upload.finish(shown, deadline)
            if answer is None:
                return await ask(question, bounds)
        elif webhook.multipart and at_end:
            content_type, body = multipart(shown, f"gateway-{call_id}")
        else:
            body = _as_json(shown)
        if answer is None:
            answer = await webhook.client.call(Call(call_id, name, question.session.id, content_type, body, deadline))
        judgement = _judgement(answer, shown, question, bounds)
        if judgement.changes:
            judgement = await _compared(judgement, shown)
    except (WebhookError, InvalidAnswerError) as error:
        elapsed_ms = (clock() - started) * 1000
        attempts = error.attempts if isinstance(error, WebhookError) else answer.attempts if answer else 0
        cause = error.cause if isinstance(error, WebhookError) else INVALID
        sent = (content_type, body)
        record = _exchange(question, call_id, sent, answer, attempts, elapsed_ms, failure=str(error), cause=cause)
        return Asked(record, shown, error=error, reserved=answer.reserved if answer else 0)
    sent = (content_type, body)
    record = _exchange(question, call_id, sent, answer, answer.attempts, answer.elapsed_ms, action=judgement.action)
    return Asked(record, shown, judgement, reserved=answer.reserved)


def _as_json(shown: Shown) -> Body:
    """The request; as a stream where its message lies on disk."""
    if shown.body is not None and not isinstance(shown.body, bytes) and shown.body.in_memory() is None:
        return json_stream(shown.request, shown.body)
    return encode(shown.request)


def _judgement(answer: Answer, shown: Shown, question: Question, bounds: Bounds) -> Judgement:
    """Read an answer. Raises InvalidAnswerError."""
    if not answer.body:
        return PASS
    kind = answer.content_type
    message: bytes | None = None
    encoded = answer.body
    if kind != JSON:
        kind = kind.partition(";")[0].strip().lower()
        if kind == FORM:
            encoded, message = split_answer(answer.content_type, answer.body)
        elif kind != JSON:
            raise InvalidAnswerError(f"the content type is {kind or 'missing'!r}, not {JSON}")
    if encoded == b"{}" and message is None:
        return PASS
    terms = question.member.terms
    limits = Limits(
        event=question.name,
        ops=terms.ops,
        rcpt_params=terms.rcpt_params,
        rcpt_plain=terms.rcpt_plain,
        allow=question.member.webhook.allow,
        context_bytes=bounds.context_bytes,
        body_shown=shown.body is not None,
        truncated=shown.truncated,
    )
    if message is None and len(encoded) <= _SMALL_BYTES:
        return _judge_small(encoded, limits)
    return judge(decode_response(encoded), limits, message)


@lru_cache(maxsize=256)
def _judge_small(encoded: bytes, limits: Limits) -> Judgement:
    """Most backends say the same few things: what was in the contract once is so again. Raises InvalidAnswerError."""
    return judge(decode_response(encoded), limits)


async def _compared(judgement: Judgement, shown: Shown) -> Judgement:
    """The same; a new message leaves the body alone where it has the one that was shown."""
    bodies = [change for change in judgement.changes if isinstance(change, NewBody | NewMessage)]
    if len(bodies) != 1 or isinstance(bodies[0], NewBody) or not await _is_shown(bodies[0].body, shown.body):
        return judgement
    kept = NewMessage(bodies[0].fields, None)
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
    sent: tuple[str, Body],
    answer: Answer | None,
    attempts: int,
    elapsed_ms: float,
    *,
    failure: str | None = None,
    action: str = "",
    cause: str = "",
) -> Exchange:
    content_type, body = sent
    response = answer.body if answer else b""
    secrecy = question.member.webhook.secrecy
    if secrecy:
        response = secrecy.conceal(response)
        failure = failure and secrecy.conceal_text(failure)
    return Exchange(
        webhook=question.member.webhook.name,
        event=question.name,
        call_id=call_id,
        request=body if isinstance(body, bytes) and body else None,
        status=answer.status if answer else None,
        response=response,
        action=action,
        failure=failure,
        attempts=attempts,
        elapsed_ms=elapsed_ms,
        cause=cause,
        content_type=content_type,
        answer_type=answer.content_type if answer else "",
        dry_run=question.dry_run,
    )
