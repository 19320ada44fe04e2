"""What can be asked to change in a message, as bytes; field values come without the leading space."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class AddField:
    """`at`: "end", "start" (above everything), or before the field of that number (from 0) in what was shown."""

    name: bytes
    value: bytes
    at: int | Literal["start", "end"] = "end"


@dataclass(frozen=True, slots=True)
class SetField:
    """Replace the first field of the name, drop the others, add one if there is none."""

    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class ChangeField:
    """Change the `nth` field (from 1) of the name."""

    name: bytes
    value: bytes
    nth: int


@dataclass(frozen=True, slots=True)
class DeleteField:
    """Delete the `nth` field (from 1) of the name, or all of them."""

    name: bytes
    nth: int | None = None


@dataclass(frozen=True, slots=True)
class NewBody:
    """Another body."""

    body: bytes


@dataclass(frozen=True, slots=True)
class NewMessage:
    """Another message: (name, raw value) of every field. `body` None: the old one stays."""

    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class AddRecipient:
    """Another recipient; `address` without brackets."""

    address: bytes
    params: bytes | None = None


@dataclass(frozen=True, slots=True)
class DeleteRecipient:
    """One recipient less; `address` without brackets."""

    address: bytes


@dataclass(frozen=True, slots=True)
class ChangeSender:
    """Another envelope sender; `address` without brackets, empty for the null sender."""

    address: bytes
    params: bytes | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """Quarantine the message."""

    reason: bytes


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
