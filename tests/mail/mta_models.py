"""How Postfix and Sendmail apply a filter's edits to the header, from section 3.4 of the protocol reference.

Both keep a Received field of their own on top, which filters never see. A result is the list of (name, what follows
the colon), without that field; `above` counts the fields that ended up above it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gateway.milter import messages as m

OWN = (b"Received", b" by the MTA itself")
BEYOND = 10_000

Pairs = list[tuple[bytes, bytes]]


@dataclass
class Result:
    fields: Pairs
    above: int
    body: bytes | None = None


@dataclass
class _Record:
    name: bytes
    raw: bytes
    own: bool = False
    deleted: bool = False
    added: bool = False


@dataclass
class Mta:
    """What both have in common."""

    pairs: Sequence[tuple[bytes, bytes]]
    leading_space: bool
    records: list[_Record] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.records = [_Record(*OWN, own=True), *(_Record(name, raw) for name, raw in self.pairs)]

    def apply(self, edits: Iterable[m.Edit]) -> Result:
        body_begun = False
        for edit in edits:
            assert not body_begun or isinstance(edit, m.ReplaceBody), "Postfix: nothing may follow a body chunk"
            body_begun = isinstance(edit, m.ReplaceBody)
            if isinstance(edit, m.AddHeader):
                self.add(_Record(edit.name, self.raw(edit.value), added=True))
            elif isinstance(edit, m.InsertHeader):
                self.insert(edit.index, _Record(edit.name, self.raw(edit.value), added=True))
            elif isinstance(edit, m.ChangeHeader):
                self.change(edit)
            elif isinstance(edit, m.ReplaceBody):
                self.chunks.append(edit.chunk)
        left = [item for item in self.records if not item.deleted]
        above = next(at for at, item in enumerate(left) if item.own)
        body = b"".join(self.chunks) if self.chunks else None
        return Result([(item.name, item.raw) for item in left if not item.own], above, body)

    def raw(self, value: bytes) -> bytes:
        return value if self.leading_space else b" " + value

    def add(self, new: _Record) -> None:
        raise NotImplementedError

    def insert(self, index: int, new: _Record) -> None:
        raise NotImplementedError

    def change(self, edit: m.ChangeHeader) -> None:
        raise NotImplementedError


class Postfix(Mta):
    """cleanup_milter.c: one list; numbers follow every change."""

    def add(self, new: _Record) -> None:
        self.records.append(new)

    def insert(self, index: int, new: _Record) -> None:
        self.records.insert(index, new)

    def change(self, edit: m.ChangeHeader) -> None:
        named = [item for item in self.records if item.name.lower() == edit.name.lower() and not item.own]
        number = max(edit.occurrence, 1)
        if number > len(named):
            if edit.value:
                self.records.append(_Record(edit.name, self.raw(edit.value), added=True))
            return
        found = named[number - 1]
        if edit.value:
            found.name, found.raw = edit.name, self.raw(edit.value)
        else:
            self.records = [item for item in self.records if item is not found]


class Sendmail(Mta):
    """milter.c, headers.c: deleted fields keep their numbers and their places; only some indexes are reliable."""

    inserted_on_top = 0

    def add(self, new: _Record) -> None:
        first = next((at for at, item in enumerate(self.records) if item.name.lower() == new.name.lower()), None)
        self.records.insert(len(self.records) if first is None else first, new)

    def insert(self, index: int, new: _Record) -> None:
        assert index <= 1 + self.inserted_on_top or index >= BEYOND, f"index {index} is unreliable"
        if index >= BEYOND:
            self.records.append(new)
            return
        self.records.insert(index, new)
        self.inserted_on_top += 1

    def change(self, edit: m.ChangeHeader) -> None:
        named = [i for i in self.records if i.name.lower() == edit.name.lower() and not i.own and not i.added]
        number = max(edit.occurrence, 1)
        if number > len(named):
            if edit.value:
                self.add(_Record(edit.name, self.raw(edit.value), added=True))
            return
        found = named[number - 1]
        found.deleted = not edit.value
        if edit.value:
            found.name, found.raw = edit.name, self.raw(edit.value)
