"""What became of a mail as JSON, in the words of the contract: the answer of `/v1/simulate` and of `send --json`."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from gateway.contract.words import Op
from gateway.mail.address import split_params, strip_brackets
from gateway.mail.edits import APPEND, BELOW_RECEIVED
from gateway.mail.fields import header_size
from gateway.milter import messages as m
from gateway.mta.outcome import Result, Verdict, told
from gateway.mta.player import Played, PlayError
from gateway.translate.parts import field_json
from gateway.translate.text import named, readable, shown


def report(played: Played | PlayError) -> dict[str, Any]:
    """Verdict, reply, refused recipients, changes, envelope and message; after an error only what it was."""
    if isinstance(played, PlayError):
        return {
            "verdict": Verdict.ERROR,
            "reply": None,
            "error": str(played),
            "refused": [],
            "changes": [],
            "envelope": None,
            "message": None,
        }
    result = played.result
    return {
        "verdict": played.verdict,
        "reply": _reply(played.reply),
        "refused": [
            {**named("address", strip_brackets(address)), "reply": _reply(reply)} for address, reply in played.refused
        ],
        "changes": changes_json(result.edits, leading_space=result.leading_space),
        "envelope": _envelope(result),
        "message": _message(result),
    }


def _reply(reply: m.Reply | None) -> dict[str, Any] | None:
    words = told(reply)
    if words is None:
        return None
    code, enhanced, lines = words
    return {"code": code, "enhanced": enhanced, "text": lines}


def changes_json(edits: list[m.Edit], *, leading_space: bool) -> list[dict[str, Any]]:
    """Edits in the words of the contract (section 6); `leading_space`: values bring theirs along."""
    changes: list[dict[str, Any]] = []
    chunks: list[bytes] = []
    for edit in edits:
        if isinstance(edit, m.ReplaceBody):
            chunks.append(edit.chunk)
        elif isinstance(edit, m.AddHeader | m.InsertHeader | m.ChangeHeader):
            changes.append(_field_change(edit, leading_space=leading_space))
        else:
            changes.append(_CHANGES[type(edit)](edit))
    if chunks:
        changes.append({"op": Op.REPLACE_BODY, **shown(b"".join(chunks))})
    return changes


def _field_change(edit: m.AddHeader | m.InsertHeader | m.ChangeHeader, *, leading_space: bool) -> dict[str, Any]:
    name = named("name", edit.name)
    value = named("value", edit.value.removeprefix(b" ") if leading_space else edit.value)
    match edit:
        case m.AddHeader():
            return {"op": Op.ADD_HEADER, **name, **value, "at": "end"}
        case m.InsertHeader():
            at = {0: "start", APPEND: "end"}.get(edit.index, edit.index - BELOW_RECEIVED)
            return {"op": Op.ADD_HEADER, **name, **value, "at": at}
        case m.ChangeHeader() if not edit.value:
            return {"op": Op.DELETE_HEADER, **name, "nth": max(edit.occurrence, 1)}
        case m.ChangeHeader():
            return {"op": Op.CHANGE_HEADER, **name, **value, "nth": max(edit.occurrence, 1)}


def _address(op: Op, edit: m.AddRecipient | m.DeleteRecipient | m.ChangeFrom) -> dict[str, Any]:
    shown = {"op": op, **named("address", strip_brackets(edit.address))}
    params = getattr(edit, "params", None)
    return shown | ({"params": _params(params)} if params else {})


def _params(params: bytes) -> dict[str, str | bool]:
    return {readable(key): True if value is None else readable(value) for key, value in split_params([params])}


_CHANGES: Mapping[type, Callable[..., dict[str, Any]]] = {
    m.AddRecipient: partial(_address, Op.ADD_RCPT),
    m.DeleteRecipient: partial(_address, Op.DELETE_RCPT),
    m.ChangeFrom: partial(_address, Op.CHANGE_FROM),
    m.Quarantine: lambda edit: {"op": Op.QUARANTINE, **named("reason", edit.reason)},
}


def _message(result: Result) -> dict[str, Any]:
    """The message after the changes, as contract section 4 shows messages."""
    headers = msgspec.to_builtins([field_json(item) for item in result.fields])
    return {"size": header_size(result.fields) + len(result.body), "headers": headers, "body": shown(result.body)}


def _envelope(result: Result) -> dict[str, Any]:
    recipients = [named("address", strip_brackets(item)) for item in result.recipients]
    return {"from": named("address", strip_brackets(result.sender)), "to": recipients}
