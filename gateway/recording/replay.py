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
from gateway.webhook import Call, WebhookClient, WebhookError

_INVALID = "invalid"
_JSON = "application/json"


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
        raw, kind = client.secrecy.conceal(answer.body), answer.content_type
        now, elapsed = outcome(answer.status, kind, raw, None), answer.elapsed_ms
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
        differences=tuple(differences(before, now, texts=not exchange.redacted)),
    )


def outcome(status: int | None, content_type: str, body: bytes, failure: str | None) -> Outcome:
    """Read an answer as the gateway would, as far as the answer alone tells.

    `failure` is what was wrong then: it counts where there is no answer, and where that was not kept.
    """
    answered = status is not None and 200 <= status < 300
    if failure is not None and not (answered and body):
        return Outcome(status, _INVALID if answered else "", {}, failure)
    try:
        said = _read(content_type, body)
    except (InvalidAnswerError, ValueError) as error:
        return Outcome(status, _INVALID, {}, str(error))
    action = said.pop("action", None) or _implied(said.get("reply"))
    return Outcome(status, action, said)


def _read(content_type: str, body: bytes) -> dict[str, Any]:
    """What is in an answer, a new message included. Raises InvalidAnswerError and ValueError."""
    kind = content_type.partition(";")[0].strip().lower()
    if not body or kind == _JSON:
        return _said(decode_response(body))
    if kind != FORM:
        raise InvalidAnswerError(f"the content type is {kind or 'missing'!r}, not {_JSON}")
    answer, message = split_answer(content_type, body)
    said = _said(decode_response(answer))
    return said if message is None else {**said, "message": message}


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


def differences(before: Outcome, now: Outcome, *, texts: bool = True) -> list[str]:
    """What is not the same, each in one line; without `texts` what people and filters wrote is not compared."""
    found = []
    if _kind(before) != _kind(now):
        found.append(f"{_kind(before)} -> {_kind(now)}")
    old_said, new_said = (what.said if texts else _without_texts(what.said) for what in (before, now))
    for key in sorted(old_said.keys() | new_said.keys()):
        old, new = old_said.get(key), new_said.get(key)
        if old != new:
            found.append(f"{key}: {_shown(old)} -> {_shown(new)}")
    return found


_SHAPES: Mapping[str, tuple[str, ...]] = {"reply": ("code", "enhanced"), "changes": ("op", "name", "at", "nth")}
_WORDS_OF_CONTRACT = ("next", "wants")


def _without_texts(said: Mapping[str, Any]) -> dict[str, Any]:
    """What of an answer stays comparable where one of two has pseudonyms: of the rest, that it is there."""
    return {key: value if key in _WORDS_OF_CONTRACT else _shape(key, value) for key, value in said.items()}


def _shape(key: str, value: Any) -> Any:
    if isinstance(value, list) and key in _SHAPES:
        return [_shape(key, item) for item in value]
    return {name: value[name] for name in _SHAPES[key] if name in value} if key in _SHAPES else "…"


def _kind(what: Outcome) -> str:
    """The action; of a failure, that it is one."""
    if what.failure is None:
        return what.action
    return "an invalid answer" if what.action == _INVALID else f"a failure ({what.status or 'no answer'})"


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    return repr(value) if isinstance(value, bytes) else msgspec.json.encode(value).decode()
