"""Sending an exchange again, and saying what differs."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from gateway.contract.response import InvalidAnswerError, Response, decode_response
from gateway.contract.words import Action
from gateway.recording.records import Exchange
from gateway.recording.request_text import NothingToSendError
from gateway.translate.form import FORM, split_answer
from gateway.webhook import Answer, Call, WebhookClient, WebhookError

_INVALID = "invalid"


class Outcome(Struct, frozen=True):
    """What an answer says, so that two can be compared. `said` is empty where it is "continue" and nothing else."""

    status: int | None
    action: str
    said: Mapping[str, Any]
    failure: str | None = None


class Replayed(Struct, frozen=True):
    """The answer of now, and how it differs from that of then."""

    id: str
    event: str
    url: str
    status: int | None
    response: bytes
    answer_type: str
    action: str
    failure: str | None
    elapsed_ms: float
    differences: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether both mean the same."""
        return not self.differences


async def send_again(exchange: Exchange, client: WebhookClient, url: str, seconds: float) -> Replayed:
    """Ask `client` what was asked then. Raises NothingToSendError."""
    if exchange.request is None:
        raise NothingToSendError("the body of this request was not recorded, or it was too large")
    deadline = asyncio.get_running_loop().time() + seconds
    call = Call(exchange.id, exchange.event, exchange.session_id, exchange.content_type, exchange.request, deadline)
    before = outcome(exchange.status, exchange.answer_type, exchange.response or b"", exchange.failure)
    try:
        answer = await client.call(call)
    except WebhookError as error:
        status = getattr(error, "status", None)
        now, elapsed, raw, kind = Outcome(status, "", {}, str(error)), 0.0, b"", ""
    else:
        now, elapsed = _of(answer), answer.elapsed_ms
        raw, kind = answer.body, answer.content_type
    return Replayed(
        id=exchange.id,
        event=exchange.event,
        url=url,
        status=now.status,
        response=raw,
        answer_type=kind,
        action=now.action,
        failure=now.failure,
        elapsed_ms=elapsed,
        differences=tuple(differences(before, now)),
    )


def _of(answer: Answer) -> Outcome:
    return outcome(answer.status, answer.content_type, answer.body, None)


def outcome(status: int | None, content_type: str, body: bytes, failure: str | None) -> Outcome:
    """Read an answer as the gateway would."""
    if failure is not None and (status is None or not 200 <= status < 300):
        return Outcome(status, "", {}, failure)
    try:
        message: bytes | None = None
        if content_type.partition(";")[0].strip().lower() == FORM:
            body, message = split_answer(content_type, body)
        said = _said(decode_response(body))
    except (InvalidAnswerError, ValueError) as error:
        return Outcome(status, _INVALID, {}, str(error))
    if message is not None:
        said["message"] = message
    action = said.pop("action", None) or _implied(said.get("reply"))
    return Outcome(status, action, said)


def _implied(reply: Mapping[str, Any] | None) -> str:
    code = (reply or {}).get("code")
    if code is None:
        return Action.CONTINUE.value
    return (Action.REJECT if code >= 500 else Action.TEMPFAIL).value


def _said(response: Response) -> dict[str, Any]:
    """What is in an answer: null equals absent, but for context, and an empty list says nothing, but for `next`."""
    whole = msgspec.json.decode(msgspec.json.encode(response))
    context = whole.pop("context", None)
    said = _without_null(whole)
    said = {key: value for key, value in said.items() if value not in ([], {}) or key == "next"}
    return said | ({"context": context} if context else {})


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_null(item) for key, item in value.items() if item is not None}
    return [_without_null(item) for item in value] if isinstance(value, list) else value


def differences(before: Outcome, now: Outcome) -> list[str]:
    """What is not the same, each in one line."""
    found = []
    if _kind(before) != _kind(now):
        found.append(f"{_kind(before)} -> {_kind(now)}")
    for key in sorted(before.said.keys() | now.said.keys()):
        old, new = before.said.get(key), now.said.get(key)
        if old != new:
            found.append(f"{key}: {_shown(old)} -> {_shown(new)}")
    return found


def _kind(what: Outcome) -> str:
    """The action; of a failure, that it is one."""
    if what.failure is None:
        return what.action
    return "an invalid answer" if what.action == _INVALID else f"a failure ({what.status or 'no answer'})"


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    return repr(value) if isinstance(value, bytes) else msgspec.json.encode(value).decode()
