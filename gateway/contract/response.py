"""What a webhook may answer (contract section 6), decoded strictly.

An unknown key anywhere is a fault, but for top-level keys that begin with `x_`. null equals absent, except in
`context`, where it clears.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from gateway.contract.words import Action

Code = Annotated[int, Meta(ge=400, le=599)]
Number = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Position = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Params = dict[str, bool | str | None]


class InvalidAnswerError(ValueError):
    """The backend answered, but not in this contract; the message says where and why."""


class _Strict(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Reply(_Strict, frozen=True):
    """An SMTP reply; what is left out takes the action's default."""

    code: Code | None = None
    enhanced: str | None = None
    text: str | list[str] | None = None


class AddHeader(_Strict, frozen=True, tag_field="op", tag="add_header"):
    """Add a field at the end, at the start, or before the n-th field (from 0) that the request showed."""

    name: str | None = None
    value: str | None = None
    name_base64: str | None = None
    value_base64: str | None = None
    at: Literal["end", "start"] | Position | None = None


class SetHeader(_Strict, frozen=True, tag_field="op", tag="set_header"):
    """Replace the first field of the name, drop the others, add one if there is none."""

    name: str | None = None
    value: str | None = None
    name_base64: str | None = None
    value_base64: str | None = None


class ChangeHeader(_Strict, frozen=True, tag_field="op", tag="change_header"):
    """Change the nth field (from 1) of the name."""

    nth: Number
    name: str | None = None
    value: str | None = None
    name_base64: str | None = None
    value_base64: str | None = None


class DeleteHeader(_Strict, frozen=True, tag_field="op", tag="delete_header"):
    """Delete the nth field (from 1) of the name, or all of them."""

    name: str | None = None
    name_base64: str | None = None
    nth: Number | Literal["all"] | None = None


class ReplaceBody(_Strict, frozen=True, tag_field="op", tag="replace_body"):
    """Another body."""

    text: str | None = None
    base64: str | None = None


class ReplaceMessage(_Strict, frozen=True, tag_field="op", tag="replace_message"):
    """Another message; fields and a body that are the same stay untouched."""

    text: str | None = None
    base64: str | None = None


class AddRcpt(_Strict, frozen=True, tag_field="op", tag="add_rcpt"):
    """Another recipient."""

    address: str | None = None
    address_base64: str | None = None
    params: Params | None = None


class DeleteRcpt(_Strict, frozen=True, tag_field="op", tag="delete_rcpt"):
    """One recipient less."""

    address: str | None = None
    address_base64: str | None = None


class ChangeFrom(_Strict, frozen=True, tag_field="op", tag="change_from"):
    """Another envelope sender; an empty address is the null sender."""

    address: str | None = None
    address_base64: str | None = None
    params: Params | None = None


class Quarantine(_Strict, frozen=True, tag_field="op", tag="quarantine"):
    """Hold the message in the MTA's queue."""

    reason: str | None = None
    reason_base64: str | None = None


Change = (
    AddHeader
    | SetHeader
    | ChangeHeader
    | DeleteHeader
    | ReplaceBody
    | ReplaceMessage
    | AddRcpt
    | DeleteRcpt
    | ChangeFrom
    | Quarantine
)


class ContextUpdate(_Strict, frozen=True):
    """Absent keeps, null clears, a value replaces."""

    session: Raw | UnsetType = UNSET
    transaction: Raw | UnsetType = UNSET


class Wants(_Strict, frozen=True):
    """What this webhook wants of this connection; only in the answer to `negotiate`."""

    events: list[str] | None = None
    optional_events: list[str] | None = None
    changes: list[str] | None = None
    optional_changes: list[str] | None = None
    macros: dict[str, list[str] | None] | None = None


class Response(_Strict, frozen=True):
    """One answer."""

    action: Action | None = None
    reply: Reply | None = None
    changes: list[Change] | None = None
    context: ContextUpdate | None = None
    next: list[str] | None = None
    annotations: dict[str, str | bool | int | float | None] | None = None
    warnings: list[str] | None = None
    wants: Wants | None = None


EMPTY = Response()
_decoder = msgspec.json.Decoder(Response)
_keys = msgspec.json.Decoder(dict[str, Raw])


def decode_response(body: bytes) -> Response:
    """Read an answer; an empty body is the empty answer.

    Raises InvalidAnswerError.
    """
    if not body:
        return EMPTY
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidAnswerError(str(error) or "nested too deeply") from error


def _decode(body: bytes) -> Response:
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError:
        extended = _keys.decode(body)
        standard = {key: value for key, value in extended.items() if not key.startswith("x_")}
        if len(standard) == len(extended):
            raise
        for key in extended.keys() - standard.keys():
            check_json(extended[key])
        return _decoder.decode(msgspec.json.encode(standard))


def check_json(value: Raw) -> None:
    """Raises InvalidAnswerError where the bytes are not JSON through and through (msgspec skips over raw values)."""
    try:
        msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidAnswerError(str(error) or "nested too deeply") from error
