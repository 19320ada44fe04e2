"""The net result of all changes as milter packets, in an order that Postfix and Sendmail both obey.

All CHGHEADER first, highest occurrence first (Postfix renumbers after each deletion, Sendmail does not); then
additions, envelope, quarantine, and the body last, since Postfix lets nothing stand between two body chunks.
"""

from collections.abc import Iterable, Iterator

from gateway.mail import changes as c
from gateway.mail.address import Address
from gateway.mail.draft import Draft
from gateway.mail.fields import Field, occurrences
from gateway.milter import messages as m
from gateway.milter.constants import CHUNK_SIZE

BELOW_RECEIVED = 1
"""INSHEADER counts the Received field that the MTA has just added and never shows; 1 is below it."""

APPEND = 1_000_000
"""INSHEADER beyond the end appends on both MTAs, where ADDHEADER makes Sendmail put it before its namesakes."""


def edits(draft: Draft, *, leading_space: bool) -> list[m.Edit]:
    """What to send in front of ACCEPT. `leading_space`: Steps.LEADING_SPACE was agreed."""
    return [
        *_unseen_fields(draft, leading_space=leading_space),
        *_fields(draft, leading_space=leading_space),
        *_envelope(draft),
        *([] if draft.hold is None else [m.Quarantine(draft.hold.reason)]),
        *_body(draft.body),
    ]


def _fields(draft: Draft, *, leading_space: bool) -> list[m.Edit]:
    """What happens to header fields; mostly one is added at the end, and that is cheap to see."""
    touched = [field for field in draft.fields if field.raw is not field.arrived or field.deleted]
    if not touched:
        return []
    stays = draft.fields[: -len(touched)]
    if draft.fields[len(stays)] is touched[0] and all(map(_is_plain_addition, touched)):
        return _appended(touched, stays, leading_space=leading_space)
    return [
        *_changed_fields(draft, leading_space=leading_space),
        *_added_fields(draft, leading_space=leading_space),
    ]


def _is_plain_addition(field: Field) -> bool:
    return field.arrived is None and not field.deleted and not field.on_top


def _appended(new: Iterable[Field], above: Iterable[Field], *, leading_space: bool) -> list[m.Edit]:
    """Fields at the end of the header, below those that stay as they arrived."""
    taken = {b"received", *[field.name.lower() for field in above]}
    made: list[m.Edit] = []
    for field in new:
        value, key = _on_wire(field.raw, leading_space=leading_space), field.name.lower()
        made.append(m.InsertHeader(APPEND, field.name, value) if key in taken else m.AddHeader(field.name, value))
        taken.add(key)
    return made


def _on_wire(raw: bytes, *, leading_space: bool) -> bytes:
    """Without the agreement the MTA puts a space before the value by itself."""
    return raw if leading_space else raw.removeprefix(b" ")


def _vanishes(field: Field, *, leading_space: bool) -> bool:
    """Whether an arrived field is deleted: also where it is changed to nothing, since that is CHGHEADER's deletion."""
    return field.deleted or (field.raw != field.arrived and not _on_wire(field.raw, leading_space=leading_space))


def _changed_fields(draft: Draft, *, leading_space: bool) -> list[m.ChangeHeader]:
    arrived = draft.arrived()
    changed: list[m.ChangeHeader] = []
    for number, field in zip(occurrences(arrived), arrived, strict=True):
        if field.deleted:
            changed.append(m.ChangeHeader(number, field.name, b""))
        elif field.raw != field.arrived:
            changed.append(m.ChangeHeader(number, field.name, _on_wire(field.raw, leading_space=leading_space)))
    return sorted(changed, key=lambda edit: -edit.occurrence)


UNSEEN_FIELDS = 100
"""How many fields of a name are assumed where the header was negotiated away; an edit beyond the last does nothing."""


def _unseen_fields(draft: Draft, *, leading_space: bool) -> Iterator[m.ChangeHeader]:
    for change in draft.unseen:
        if isinstance(change, c.DeleteField):
            numbers = range(UNSEEN_FIELDS, 0, -1) if change.nth is None else (change.nth,)
            yield from (m.ChangeHeader(number, change.name, b"") for number in numbers)
        elif isinstance(change, c.SetField | c.ChangeField):
            if isinstance(change, c.SetField):
                yield from (m.ChangeHeader(number, change.name, b"") for number in range(UNSEEN_FIELDS, 1, -1))
            number = 1 if isinstance(change, c.SetField) else change.nth
            yield m.ChangeHeader(number, change.name, _on_wire(b" " + change.value, leading_space=leading_space))


def _added_fields(draft: Draft, *, leading_space: bool) -> Iterator[m.AddHeader | m.InsertHeader]:
    """Insertions from the top down, each counting those before it; then appended ones; last those above all."""
    taken = {b"received", *(field.name.lower() for field in draft.arrived())}
    stays = [
        (field.raw is field.arrived and not field.deleted)
        or (field.arrived is not None and not _vanishes(field, leading_space=leading_space))
        for field in draft.fields
    ]
    last = max((at for at, field in enumerate(stays) if field), default=-1)
    top = max((at for at, field in enumerate(draft.fields) if field.on_top and not field.deleted), default=-1)
    on_top: list[m.InsertHeader] = []
    above = 0
    for at, field in enumerate(draft.fields):
        if stays[at]:
            above += 1
        if stays[at] or field.deleted or not _is_new(field, leading_space=leading_space):
            continue
        value = _on_wire(field.raw, leading_space=leading_space)
        if at <= top:  # what a later answer put in between stands above the MTA's own fields as well
            on_top.append(m.InsertHeader(0, field.name, value))
        elif at < last:
            yield m.InsertHeader(above + BELOW_RECEIVED, field.name, value)
            above += 1
            taken.add(field.name.lower())
        elif field.name.lower() in taken:
            yield m.InsertHeader(APPEND, field.name, value)
        else:
            taken.add(field.name.lower())
            yield m.AddHeader(field.name, value)
    yield from reversed(on_top)


def _is_new(field: Field, *, leading_space: bool) -> bool:
    """Added, or changed to an empty value, which only an insertion can express."""
    return field.arrived is None or _vanishes(field, leading_space=leading_space)


def _envelope(draft: Draft) -> Iterator[m.Edit]:
    if draft.sender is not None and not draft.sender.arrived:
        yield m.ChangeFrom(draft.sender.spelled, _params(draft.sender))
    if tuple(draft.recipients) == draft.original_recipients:
        return
    kept = set(draft.recipients)
    gone = dict.fromkeys(item.spelled for item in draft.original_recipients if item not in kept)
    for spelled in gone:
        yield m.DeleteRecipient(spelled)
    for item in draft.recipients:
        if not item.arrived:
            yield m.AddRecipient(item.spelled, _params(item))


def _params(address: Address) -> bytes | None:
    return b" ".join(address.params) or None


def _body(body: bytes | None) -> Iterator[m.ReplaceBody]:
    if body is None:
        return
    for start in range(0, max(len(body), 1), CHUNK_SIZE):
        yield m.ReplaceBody(body[start : start + CHUNK_SIZE])
