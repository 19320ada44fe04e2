"""A response to a judgement, checked whole before any of it counts (contract section 6)."""

import re
from collections.abc import Mapping, Sequence

from msgspec import UNSET, Raw, Struct, UnsetType, field

from gateway.contract import response as r
from gateway.contract.response import InvalidAnswerError
from gateway.contract.words import ACTIONS, Action, Event, Op
from gateway.mail import changes as c
from gateway.milter.messages import ReplyCode
from gateway.milter.smtp_reply import is_enhanced_code, reply_code
from gateway.translate.change import Limits, attached_message, check_allowed, checked_changes

_DEFAULTS: Mapping[Action, tuple[int, str, str]] = {
    Action.REJECT: (550, "5.7.1", "Command rejected"),
    Action.TEMPFAIL: (451, "4.7.1", "Try again later"),
    Action.DISCONNECT: (421, "4.7.0", "Closing connection"),
}
REFUSALS = frozenset(_DEFAULTS)
"""The actions that end in an SMTP reply."""


class Judgement(Struct, frozen=True):
    """What one webhook decided; `reply` is set where the action is a refusal."""

    action: Action = Action.CONTINUE
    reply: ReplyCode | None = None
    changes: tuple[c.Change, ...] = ()
    session_context: Raw | UnsetType = UNSET
    transaction_context: Raw | UnsetType = UNSET
    next: frozenset[Event] | None = None
    annotations: Mapping[str, str | bool | int | float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    wants: r.Wants | None = None


PASS = Judgement()


def judge(response: r.Response, limits: Limits, message: bytes | None = None) -> Judgement:
    """Check a response as a whole; `message` is the raw message of a multipart answer.

    Raises InvalidAnswerError; then nothing of it may be applied.
    """
    if response is r.EMPTY and message is None:
        return PASS
    action, reply = _action(response)
    _check_action(action, limits)
    if response.wants is not None and limits.event is not Event.NEGOTIATE:
        raise InvalidAnswerError(f"`wants` is answered at negotiate only, not at {limits.event}")
    if response.wants is not None:
        _check_wants(response.wants)
    changes = checked_changes(response.changes or (), limits)
    if message is not None:
        changes = (*changes, attached_message(message, limits))
    return Judgement(
        action=action,
        reply=reply,
        changes=changes,
        session_context=_context(response, "session", limits),
        transaction_context=_context(response, "transaction", limits),
        next=None if response.next is None else frozenset(_events(response.next, "next")),
        annotations={key: value for key, value in (response.annotations or {}).items() if value is not None},
        warnings=tuple(response.warnings or ()),
        wants=response.wants,
    )


def refusal(action: Action, text: str | None = None) -> ReplyCode:
    """The reply that the gateway makes up for an action, with its default code."""
    code, enhanced, default = _DEFAULTS[action]
    return reply_code(code, enhanced, [text or default])


def _action(response: r.Response) -> tuple[Action, ReplyCode | None]:
    reply, action = response.reply, response.action
    if reply is None:
        action = action or Action.CONTINUE
        return action, refusal(action) if action in _DEFAULTS else None
    if action is None:
        if reply.code is None:
            raise InvalidAnswerError("`reply` has neither a code nor an action beside it")
        action = Action.REJECT if reply.code >= 500 else Action.TEMPFAIL
    if action not in _DEFAULTS:
        raise InvalidAnswerError(f"`reply` does not go with the action {action}")
    return action, _reply(reply, action)


def _reply(reply: r.Reply, action: Action) -> ReplyCode:
    code, enhanced, default = _DEFAULTS[action]
    if reply.code is not None and reply.code // 100 != code // 100:
        raise InvalidAnswerError(f"the code {reply.code} does not go with the action {action}")
    if action is Action.DISCONNECT and reply.code not in (None, code):
        raise InvalidAnswerError(f"the action disconnect has the code {code}, not {reply.code}")
    if reply.enhanced is not None:
        if not is_enhanced_code(reply.enhanced):
            raise InvalidAnswerError(f"{reply.enhanced!r} is no enhanced status code")
        if int(reply.enhanced[0]) != code // 100:
            raise InvalidAnswerError(f"the enhanced code {reply.enhanced} does not go with {reply.code or code}")
    lines = [reply.text] if isinstance(reply.text, str) else reply.text or [default]
    if any(mark in line for line in lines for mark in "\r\n\0"):
        raise InvalidAnswerError("a line of the reply contains CR, LF or NUL")
    return reply_code(reply.code or code, reply.enhanced or enhanced, lines)


def _check_action(action: Action, limits: Limits) -> None:
    if action not in ACTIONS[limits.event]:
        raise InvalidAnswerError(f"the action {action} cannot be answered at {limits.event}")
    check_allowed(action, limits, always=(Action.CONTINUE, Action.ACCEPT))


def _context(response: r.Response, scope: str, limits: Limits) -> Raw | UnsetType:
    value: Raw | UnsetType = getattr(response.context, scope) if response.context else UNSET
    if isinstance(value, UnsetType):
        return UNSET
    if len(bytes(value)) > limits.context_bytes:
        raise InvalidAnswerError(
            f"context.{scope} has {len(bytes(value))} bytes, context_bytes allows {limits.context_bytes}"
        )
    r.check_json(value)
    return value.copy()  # a raw value would keep the whole answer alive


def _events(names: Sequence[str], where: str) -> list[Event]:
    try:
        return [Event(name) for name in names]
    except ValueError as error:
        raise InvalidAnswerError(f"`{where}`: {error}") from error


def _check_wants(wants: r.Wants) -> None:
    _events([*(wants.events or ()), *(wants.optional_events or ())], "wants.events")
    for name in [*(wants.changes or ()), *(wants.optional_changes or ())]:
        if name not in list(Op):
            raise InvalidAnswerError(f"`wants.changes`: {name!r} is no change")
    for stage, names in (wants.macros or {}).items():
        fault = macro_fault(stage, names or ())
        if fault:
            raise InvalidAnswerError(f"`wants.macros`: {fault}")


MACRO_STAGES = ("connect", "helo", "mail", "rcpt", "data", "end_of_headers", "end_of_message")
_MACRO = re.compile(r"\{[\x21-\x7a|~]+\}|[\x21-\x7a|~]+")


def macro_fault(stage: str, names: Sequence[str]) -> str | None:
    """Why these macros cannot be asked for, or None."""
    if stage not in MACRO_STAGES:
        return f"{stage!r} is not one of {', '.join(MACRO_STAGES)}"
    wrong = next((name for name in names if not _MACRO.fullmatch(name) or "," in name), None)
    return None if wrong is None else f"{wrong!r} is no macro name"
