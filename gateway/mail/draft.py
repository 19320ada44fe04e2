"""A message and its envelope with the changes of several answers applied, one answer after the other.

Changes of one answer refer to the message as its request showed it and do not shift each other. Therefore the list
of fields is never renumbered: a deleted field keeps its place, an added one is put in front of the field that was
named, and each answer brings along the tuple of fields that its request showed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.mail import changes as c
from gateway.mail.address import Address, in_brackets
from gateway.mail.comparison import differing_runs
from gateway.mail.fields import Field

_RUN_LIMIT = 1_000_000
"""Pairs of fields beyond which a run is replaced without keeping fields of the same name: bounds the time."""


@dataclass(slots=True)
class _Answer:
    """One answer while it is applied: what it was shown, and the fields that its set_header added."""

    shown: Sequence[Field]
    added: dict[bytes, Field] = field(default_factory=dict)
    anchors: dict[int, int] = field(default_factory=dict)


class Draft:
    """The transaction as it will be handed back to the MTA."""

    def __init__(
        self,
        fields: Iterable[Field],
        sender: Address | None,
        recipients: Iterable[Address],
        *,
        fields_known: bool = True,
    ) -> None:
        self.fields = list(fields)
        self.fields_known = fields_known
        """False where the header was negotiated away; changes of fields are then kept in `unseen`."""
        self.unseen: list[c.Change] = []
        self.original_sender = sender
        self.sender = sender
        self.original_recipients = tuple(recipients)
        self.recipients = list(self.original_recipients)
        self.body: bytes | None = None
        """The new body, or None as long as the one that arrived stays."""
        self.hold: c.Hold | None = None

    def shown(self) -> tuple[Field, ...]:
        """The fields that a request shows now."""
        return tuple([item for item in self.fields if not item.deleted])

    def arrived(self) -> tuple[Field, ...]:
        """The fields as the MTA sent them."""
        return tuple([item for item in self.fields if item.arrived is not None])

    def apply(self, changes: Iterable[c.Change], shown: Sequence[Field]) -> None:
        """Apply one answer, whose request showed the fields `shown`."""
        answer = _Answer(shown)
        for change in changes:
            if not self.fields_known and isinstance(change, _OF_FIELDS):
                self.unseen.append(change)
                continue
            _APPLY[type(change)](self, answer, change)

    def _insert_before(self, answer: _Answer, position: int, new: Field) -> None:
        if position >= len(answer.shown):
            self.fields.append(new)
        else:
            self.fields.insert(self.fields.index(answer.shown[position]), new)

    def _add(self, answer: _Answer, change: c.AddField) -> None:
        new = Field(change.name, b" " + change.value, on_top=change.at == "start")
        if change.at == "start":
            # several of one answer keep their order; those of an earlier answer stand below
            place = answer.anchors.get(0, 0)
            self.fields.insert(place, new)
            answer.anchors[0] = place + 1
        elif change.at == "end":
            self.fields.append(new)
        else:
            self._insert_before(answer, change.at, new)

    def _set(self, answer: _Answer, change: c.SetField) -> None:
        raw, found = b" " + change.value, _named(answer.shown, change.name)
        for item in found:
            item.deleted = True
        if found:
            _rewrite(found[0], raw)
        elif (added := answer.added.get(change.name.lower())) is not None:
            _rewrite(added, raw)
        else:
            new = Field(change.name, raw)
            self.fields.append(new)
            answer.added[change.name.lower()] = new

    def _change(self, answer: _Answer, change: c.ChangeField) -> None:
        found = _named(answer.shown, change.name)
        if change.nth <= len(found):
            _rewrite(found[change.nth - 1], b" " + change.value)

    def _delete(self, answer: _Answer, change: c.DeleteField) -> None:
        found = _named(answer.shown, change.name)
        if change.nth is not None:
            found = found[change.nth - 1 : change.nth]
        elif (added := answer.added.get(change.name.lower())) is not None:
            found = [*found, added]
        for item in found:
            item.deleted = True

    def _new_body(self, _: _Answer, change: c.NewBody) -> None:
        self.body = change.body

    def _new_message(self, answer: _Answer, change: c.NewMessage) -> None:
        if change.body is not None:
            self.body = change.body
        old = [(item.name, item.raw) for item in answer.shown]
        for start, end, new_start, new_end in differing_runs(old, change.fields):
            self._replace_run(answer, start, end, change.fields[new_start:new_end])

    def _replace_run(self, answer: _Answer, start: int, end: int, new: Sequence[tuple[bytes, bytes]]) -> None:
        """Make shown[start:end] read `new`: rewrite fields of the same name in place, add and delete the rest."""
        waiting = list(answer.shown[start:end])
        if len(waiting) * len(new) > _RUN_LIMIT:
            at = self.fields.index(waiting[0])
            self.fields[at:at] = [Field(name, raw) for name, raw in new]
            new = ()
        for name, raw in new:
            match = next((at for at, item in enumerate(waiting) if item.name == name), None)
            if match is None:
                anchor = self.fields.index(waiting[0]) if waiting else None
                if anchor is None:
                    self._insert_before(answer, end, Field(name, raw))
                else:
                    self.fields.insert(anchor, Field(name, raw))
                continue
            for item in waiting[:match]:
                item.deleted = True
            _rewrite(waiting[match], raw)
            waiting = waiting[match + 1 :]
        for item in waiting:
            item.deleted = True

    def _add_recipient(self, _: _Answer, change: c.AddRecipient) -> None:
        params = tuple(change.params.split(b" ")) if change.params else ()
        known = next((item for item in self.recipients if item.bare == change.address), None)
        if known is not None and not params:
            return
        if known is not None and not known.arrived:
            self.recipients.remove(known)
        removed = next((r for r in self.original_recipients if r.bare == change.address), None)
        if known is None and removed is not None and not params:
            self.recipients.append(removed)
            return
        self.recipients.append(Address(in_brackets(change.address), params, arrived=False))

    def _delete_recipient(self, _: _Answer, change: c.DeleteRecipient) -> None:
        self.recipients = [item for item in self.recipients if item.bare != change.address]

    def _change_sender(self, _: _Answer, change: c.ChangeSender) -> None:
        params = tuple(change.params.split(b" ")) if change.params else ()
        original = self.original_sender
        if original is not None and not params and original.bare == change.address:
            self.sender = original
            return
        self.sender = Address(in_brackets(change.address), params, arrived=False)

    def _hold(self, _: _Answer, change: c.Hold) -> None:
        self.hold = change


def _named(fields: Sequence[Field], name: bytes) -> list[Field]:
    return [item for item in fields if item.named(name)]


def _rewrite(item: Field, raw: bytes) -> None:
    item.raw = raw
    item.deleted = False


_OF_FIELDS = (c.SetField, c.ChangeField, c.DeleteField)

_APPLY: Mapping[type, Callable[..., None]] = {
    c.AddField: Draft._add,
    c.SetField: Draft._set,
    c.ChangeField: Draft._change,
    c.DeleteField: Draft._delete,
    c.NewBody: Draft._new_body,
    c.NewMessage: Draft._new_message,
    c.AddRecipient: Draft._add_recipient,
    c.DeleteRecipient: Draft._delete_recipient,
    c.ChangeSender: Draft._change_sender,
    c.Hold: Draft._hold,
}
