"""What can be asked to change in a message, as bytes; field values come without the leading space."""

from typing import Literal

from msgspec import Struct


class AddField(Struct, frozen=True):
    """`at`: "end", "start" (above everything), or before the field of that number (from 0) in what was shown."""

    name: bytes
    value: bytes
    at: int | Literal["start", "end"] = "end"


class SetField(Struct, frozen=True):
    """Replace the first field of the name, drop the others, add one if there is none."""

    name: bytes
    value: bytes


class ChangeField(Struct, frozen=True):
    """Change the `nth` field (from 1) of the name."""

    name: bytes
    value: bytes
    nth: int


class DeleteField(Struct, frozen=True):
    """Delete the `nth` field (from 1) of the name, or all of them."""

    name: bytes
    nth: int | None = None


class NewBody(Struct, frozen=True):
    """Another body."""

    body: bytes


class NewMessage(Struct, frozen=True):
    """Another message: (name, raw value) of every field. `body` None: the old one stays."""

    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes | None


class AddRecipient(Struct, frozen=True):
    """Another recipient; `address` without brackets."""

    address: bytes
    params: bytes | None = None


class DeleteRecipient(Struct, frozen=True):
    """One recipient less; `address` without brackets."""

    address: bytes


class ChangeSender(Struct, frozen=True):
    """Another envelope sender; `address` without brackets, empty for the null sender."""

    address: bytes
    params: bytes | None = None


class Hold(Struct, frozen=True):
    """Quarantine the message; `by` the webhook of this name."""

    reason: bytes
    by: str | None = None


Change = (
    AddField
    | SetField
    | ChangeField
    | DeleteField
    | NewBody
    | NewMessage
    | AddRecipient
    | DeleteRecipient
    | ChangeSender
    | Hold
)
