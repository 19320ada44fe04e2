"""The changes of an answer as bytes, each checked against what was agreed and against what the wire can carry."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import get_args

from msgspec import Struct

from gateway.contract import response as r
from gateway.contract.response import InvalidAnswerError
from gateway.contract.words import TRANSACTION_EVENTS, Event, Op
from gateway.mail import changes as c
from gateway.mail.address import address_fault, in_brackets, strip_brackets
from gateway.mail.fields import MalformedMessageError, name_fault, parse_message, value_fault
from gateway.milter.constants import MAX_PAYLOAD
from gateway.translate.text import from_base64

_PARAM_KEY = re.compile(r"[A-Za-z0-9-]+")
_PARAM_VALUE = re.compile(r"[\x21-\x3c\x3e-\x7e]*")
_OVERHEAD = 8
"""Bytes of a packet beside its strings: an index and the NULs."""


class Limits(Struct, frozen=True):
    """What this answer may contain: `ops` agreed with the MTA, `allow` of the configuration, sizes in bytes."""

    event: Event
    ops: frozenset[Op]
    rcpt_params: bool
    allow: frozenset[str] | None
    context_bytes: int
    body_shown: bool = False
    truncated: bool = False
    rcpt_plain: bool = True
    """Whether add_rcpt without params was agreed; with them it is `rcpt_params`."""


def check_allowed(word: str, limits: Limits, always: Collection[str] = ()) -> None:
    """Raise InvalidAnswerError for an action or change that the configuration does not allow."""
    if limits.allow is not None and word not in limits.allow and word not in always:
        raise InvalidAnswerError(f"`allow` of this webhook does not contain {word}")


def checked_changes(changes: Sequence[r.Change], limits: Limits) -> tuple[c.Change, ...]:
    """All changes of one answer. Raises InvalidAnswerError, which names the change by its number."""
    if changes and limits.event not in TRANSACTION_EVENTS:
        raise InvalidAnswerError(f"changes cannot be answered at {limits.event}")
    made: list[c.Change] = []
    for number, change in enumerate(changes):
        try:
            _check_op(change, limits)
            made.append(_MAKE[type(change)](change))
        except (ValueError, MalformedMessageError) as error:
            raise InvalidAnswerError(f"changes[{number}]: {error}") from error
    return tuple(made)


def attached_message(message: bytes, limits: Limits) -> c.Change:
    """The part `message` of a multipart answer, which means replace_message. Raises InvalidAnswerError."""
    if limits.event not in TRANSACTION_EVENTS:
        raise InvalidAnswerError(f"a message cannot be answered at {limits.event}")
    _check_op(r.ReplaceMessage(), limits)
    try:
        return _parsed(message)
    except MalformedMessageError as error:
        raise InvalidAnswerError(f"the part `message`: {error}") from error


def _check_op(change: r.Change, limits: Limits) -> None:
    op = _OPS[type(change)]
    check_allowed(op, limits)
    if op not in limits.ops:
        raise InvalidAnswerError(f"{op} was not agreed with the MTA for this webhook")
    if isinstance(change, r.AddRcpt) and not (limits.rcpt_params if change.params else limits.rcpt_plain):
        how = "with" if change.params else "without"
        raise InvalidAnswerError(f"add_rcpt {how} params was not agreed with the MTA")
    if isinstance(change, r.ReplaceBody | r.ReplaceMessage) and limits.truncated:
        raise InvalidAnswerError(f"{op} is not possible where the request showed a truncated message")
    if isinstance(change, r.ReplaceMessage) and not limits.body_shown:
        raise InvalidAnswerError("replace_message is not possible where the request showed no body")


def _bytes(change: object, name: str) -> bytes:
    """The value under `name` or `name_base64` (for a body `text` or `base64`); exactly one of them."""
    text = getattr(change, name)
    sibling = "base64" if name == "text" else f"{name}_base64"
    encoded = getattr(change, sibling)
    if (text is None) == (encoded is None):
        raise InvalidAnswerError(f"exactly one of {name} and {sibling} is needed")
    try:
        return from_base64(encoded) if text is None else text.encode()
    except ValueError as error:
        raise InvalidAnswerError(f"{name if text is not None else sibling}: {error}") from error


def _fits(*parts: bytes) -> None:
    if sum(map(len, parts)) + _OVERHEAD > MAX_PAYLOAD:
        raise InvalidAnswerError(f"does not fit into one packet of {MAX_PAYLOAD} bytes")


def _check(fault: str | None) -> None:
    if fault:
        raise InvalidAnswerError(fault)


def _name(change: object) -> bytes:
    name = _bytes(change, "name")
    _check(name_fault(name))
    _fits(name)
    return name


def _name_and_value(change: object) -> tuple[bytes, bytes]:
    name, value = _name(change), _bytes(change, "value")
    _check(value_fault(value))
    _fits(name, value)
    return name, value.replace(b"\r\n", b"\n")


def _address(change: r.AddRcpt | r.DeleteRcpt | r.ChangeFrom) -> bytes:
    bare = strip_brackets(_bytes(change, "address"))
    _check(address_fault(bare))
    _fits(in_brackets(bare))
    return bare


def _params(params: r.Params | None) -> bytes | None:
    words = []
    for key, value in (params or {}).items():
        if value is None:
            continue
        if not _PARAM_KEY.fullmatch(key):
            raise InvalidAnswerError(f"{key!r} is no parameter name")
        if value is False or (isinstance(value, str) and not _PARAM_VALUE.fullmatch(value)):
            raise InvalidAnswerError(f"the parameter {key} is neither true nor printable ASCII without space and `=`")
        words.append(key if value is True else f"{key}={value}")
    joined = " ".join(words).encode()
    _fits(joined)
    return joined or None


def _add_header(change: r.AddHeader) -> c.Change:
    return c.AddField(*_name_and_value(change), at="end" if change.at is None else change.at)


def _delete_header(change: r.DeleteHeader) -> c.Change:
    return c.DeleteField(_name(change), change.nth if isinstance(change.nth, int) else None)


def _add_rcpt(change: r.AddRcpt) -> c.Change:
    bare, params = _address(change), _params(change.params)
    if not bare:
        raise InvalidAnswerError("the address is empty")
    _fits(bare, params or b"")
    return c.AddRecipient(bare, params)


def _change_from(change: r.ChangeFrom) -> c.Change:
    bare, params = _address(change), _params(change.params)
    _fits(bare, params or b"")
    return c.ChangeSender(bare, params)


def _quarantine(change: r.Quarantine) -> c.Change:
    reason = _bytes(change, "reason")
    if any(mark in reason for mark in (b"\0", b"\r", b"\n")):
        raise InvalidAnswerError("the reason contains NUL, CR or LF")
    _fits(reason)
    return c.Hold(reason)


def _parsed(message: bytes) -> c.NewMessage:
    pairs, body = parse_message(message)
    for name, raw in pairs:
        _fits(name, raw)
    return c.NewMessage(tuple(pairs), body)


_OPS = {kind: Op(str(kind.__struct_config__.tag)) for kind in get_args(r.Change)}

_MAKE: Mapping[type, Callable[..., c.Change]] = {
    r.AddHeader: _add_header,
    r.SetHeader: lambda change: c.SetField(*_name_and_value(change)),
    r.ChangeHeader: lambda change: c.ChangeField(*_name_and_value(change), nth=change.nth),
    r.DeleteHeader: _delete_header,
    r.ReplaceBody: lambda change: c.NewBody(_bytes(change, "text")),
    r.ReplaceMessage: lambda change: _parsed(_bytes(change, "text")),
    r.AddRcpt: _add_rcpt,
    r.DeleteRcpt: lambda change: c.DeleteRecipient(_address(change)),
    r.ChangeFrom: _change_from,
    r.Quarantine: _quarantine,
}
