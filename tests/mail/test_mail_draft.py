"""A message with the changes of several answers applied."""

import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.mail import changes as c
from gateway.mail.address import Address
from gateway.mail.draft import Draft
from gateway.mail.fields import Field

Pairs = list[tuple[bytes, bytes]]
OLD: Pairs = [(b"A", b" 1"), (b"B", b" 2"), (b"a", b" 3"), (b"C", b" 4")]


def draft_of(pairs: Sequence[tuple[bytes, bytes]], *answers: Sequence[c.Change]) -> Draft:
    draft = Draft([Field.of_mta(name, raw) for name, raw in pairs], Address(b"<a@x>"), [Address(b"<b@y>")])
    for answer in answers:
        draft.apply(answer, draft.shown())
    return draft


def after(*answers: Sequence[c.Change], pairs: Sequence[tuple[bytes, bytes]] = OLD) -> str:
    """The header after these answers, as `A=1 B=2`."""
    fields = draft_of(pairs, *answers).shown()
    return " ".join(f"{field.name.decode()}={field.value.decode()}" for field in fields)


# ── one change ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("change", "header"),
    [
        (c.AddField(b"N", b"v"), "A=1 B=2 a=3 C=4 N=v"),
        (c.AddField(b"N", b"v", "start"), "N=v A=1 B=2 a=3 C=4"),
        (c.AddField(b"N", b"v", 0), "N=v A=1 B=2 a=3 C=4"),
        (c.AddField(b"N", b"v", 2), "A=1 B=2 N=v a=3 C=4"),
        (c.AddField(b"N", b"v", 4), "A=1 B=2 a=3 C=4 N=v"),
        (c.SetField(b"a", b"v"), "A=v B=2 C=4"),
        (c.SetField(b"N", b"v"), "A=1 B=2 a=3 C=4 N=v"),
        (c.ChangeField(b"a", b"v", 1), "A=v B=2 a=3 C=4"),
        (c.ChangeField(b"A", b"v", 2), "A=1 B=2 a=v C=4"),
        (c.ChangeField(b"A", b"v", 3), "A=1 B=2 a=3 C=4"),
        (c.DeleteField(b"A"), "B=2 C=4"),
        (c.DeleteField(b"a", 1), "B=2 a=3 C=4"),
        (c.DeleteField(b"a", 9), "A=1 B=2 a=3 C=4"),
        (c.DeleteField(b"N"), "A=1 B=2 a=3 C=4"),
    ],
    ids=str,
)
def test_a_change_of_the_header(change: c.Change, header: str) -> None:
    assert after([change]) == header


# ── several changes of one answer ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answer", "header"),
    [
        ([c.DeleteField(b"A", 1), c.ChangeField(b"A", b"v", 2)], "B=2 a=v C=4"),
        ([c.DeleteField(b"A", 1), c.DeleteField(b"A", 2)], "B=2 C=4"),
        ([c.AddField(b"N", b"1", 1), c.AddField(b"N", b"2", 1)], "A=1 N=1 N=2 B=2 a=3 C=4"),
        ([c.AddField(b"N", b"1", 2), c.AddField(b"N", b"2", 1)], "A=1 N=2 B=2 N=1 a=3 C=4"),
        ([c.AddField(b"N", b"1", "start"), c.AddField(b"N", b"2", "start")], "N=1 N=2 A=1 B=2 a=3 C=4"),
        ([c.AddField(b"N", b"1", 0), c.AddField(b"N", b"2", "start")], "N=2 N=1 A=1 B=2 a=3 C=4"),
        ([c.AddField(b"N", b"1"), c.AddField(b"N", b"2")], "A=1 B=2 a=3 C=4 N=1 N=2"),
        ([c.AddField(b"A", b"5", 0), c.ChangeField(b"A", b"v", 1)], "A=5 A=v B=2 a=3 C=4"),
        ([c.AddField(b"A", b"5"), c.DeleteField(b"A")], "B=2 C=4 A=5"),
        ([c.DeleteField(b"B"), c.AddField(b"N", b"v", 1)], "A=1 N=v a=3 C=4"),
    ],
    ids=str,
)
def test_changes_of_one_answer_do_not_shift_each_other(answer: list[c.Change], header: str) -> None:
    assert after(answer) == header


@pytest.mark.parametrize(
    ("answer", "header"),
    [
        ([c.ChangeField(b"B", b"v", 1), c.ChangeField(b"B", b"w", 1)], "A=1 B=w a=3 C=4"),
        ([c.ChangeField(b"B", b"v", 1), c.DeleteField(b"B")], "A=1 a=3 C=4"),
        ([c.DeleteField(b"B"), c.ChangeField(b"B", b"v", 1)], "A=1 B=v a=3 C=4"),
        ([c.SetField(b"N", b"v"), c.SetField(b"n", b"w")], "A=1 B=2 a=3 C=4 N=w"),
        ([c.SetField(b"A", b"v"), c.ChangeField(b"A", b"w", 2)], "A=v B=2 a=w C=4"),
    ],
    ids=str,
)
def test_of_two_changes_of_one_field_the_later_wins(answer: list[c.Change], header: str) -> None:
    assert after(answer) == header


def test_of_two_bodies_senders_and_reasons_the_later_wins() -> None:
    draft = draft_of(OLD, [c.NewBody(b"1"), c.NewBody(b"2")], [c.Hold(b"1"), c.Hold(b"2")])
    draft.apply([c.ChangeSender(b"1"), c.ChangeSender(b"2", b"RET=HDRS")], ())
    assert (draft.body, draft.hold) == (b"2", c.Hold(b"2"))
    assert draft.sender == Address(b"<2>", (b"RET=HDRS",), arrived=False)


# ── several answers ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answers", "header"),
    [
        ([[c.DeleteField(b"A", 1)], [c.DeleteField(b"A", 1)]], "B=2 C=4"),
        ([[c.AddField(b"N", b"1", "start")], [c.AddField(b"N", b"2", "start")]], "N=2 N=1 A=1 B=2 a=3 C=4"),
        ([[c.AddField(b"N", b"1", "start")], [c.AddField(b"N", b"2", 0)]], "N=2 N=1 A=1 B=2 a=3 C=4"),
        ([[c.AddField(b"N", b"1")], [c.SetField(b"N", b"2")]], "A=1 B=2 a=3 C=4 N=2"),
        ([[c.AddField(b"N", b"1")], [c.DeleteField(b"N")]], "A=1 B=2 a=3 C=4"),
        ([[c.DeleteField(b"A")], [c.AddField(b"A", b"5", 0)]], "A=5 B=2 C=4"),
        ([[c.SetField(b"B", b"")], [c.ChangeField(b"B", b"v", 1)]], "A=1 B=v a=3 C=4"),
    ],
    ids=str,
)
def test_each_answer_refers_to_what_its_own_request_showed(answers: list[list[c.Change]], header: str) -> None:
    assert after(*answers) == header


def test_answers_to_the_same_request_are_applied_to_what_it_showed() -> None:
    draft = draft_of(OLD)
    shown = draft.shown()
    draft.apply([c.DeleteField(b"A", 1)], shown)
    draft.apply([c.DeleteField(b"A", 1), c.AddField(b"N", b"v", 1)], shown)
    assert [(field.name, field.value) for field in draft.shown()] == [
        (b"N", b"v"),
        (b"B", b"2"),
        (b"a", b"3"),
        (b"C", b"4"),
    ]


# ── the envelope ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_recipients_are_added_once_and_compared_by_their_exact_spelling() -> None:
    draft = draft_of(
        OLD, [c.AddRecipient(b"b@y"), c.AddRecipient(b"B@y"), c.AddRecipient(b"n@z"), c.AddRecipient(b"n@z")]
    )
    assert [item.spelled for item in draft.recipients] == [b"<b@y>", b"<B@y>", b"<n@z>"]


def test_a_recipient_deleted_and_added_again_is_the_old_one() -> None:
    draft = draft_of(OLD, [c.DeleteRecipient(b"b@y"), c.AddRecipient(b"b@y")])
    assert draft.recipients == [Address(b"<b@y>")]


def test_the_old_sender_named_again_is_no_change() -> None:
    assert draft_of(OLD, [c.ChangeSender(b"z@x")], [c.ChangeSender(b"a@x")]).sender == Address(b"<a@x>")


# ── a whole new message ────────────────────────────────────────────────────────────────────────────────────────────


def test_identical_fields_stay_the_ones_that_arrived() -> None:
    new = [OLD[0], (b"N", b" v"), OLD[3]]
    draft = draft_of(OLD, [c.NewMessage(tuple(new), None)])
    assert [(field.name, field.raw) for field in draft.shown()] == new
    assert [field.arrived is not None for field in draft.shown()] == [True, False, True]


def test_a_message_without_a_body_of_its_own_leaves_the_body_alone() -> None:
    assert draft_of(OLD, [c.NewMessage((), None)]).body is None


LONG = 10_000
HEADERS = {
    "all different": ([(b"A", b" %d" % n) for n in range(LONG)], [(b"B", b" %d" % n) for n in range(LONG)]),
    "every second different": ([(b"A", b" 1")] * LONG, [(b"A", b" 1"), (b"B", b" 2")] * (LONG // 2)),
    "turned round": ([(b"%d" % n, b" ") for n in range(LONG)], [(b"%d" % n, b" ") for n in reversed(range(LONG))]),
    "every value changed": ([(b"A", b" %d" % n) for n in range(LONG)], [(b"A", b"%d" % n) for n in range(LONG)]),
}


@pytest.mark.parametrize("case", HEADERS)
def test_long_headers_are_compared_in_little_time(case: str) -> None:
    old, new = HEADERS[case]
    draft = draft_of(old)
    began = time.process_time()
    draft.apply([c.NewMessage(tuple(new), None)], draft.shown())
    assert time.process_time() - began < 2
    assert [(field.name, field.raw) for field in draft.shown()] == new


def test_one_new_field_in_a_long_header_leaves_the_others_alone() -> None:
    old = [(b"A", b" %d" % (n % 7)) for n in range(LONG)]
    new = [*old[:5000], (b"N", b" v"), *old[5000:6000], *old[6001:]]
    draft = draft_of(old, [c.NewMessage(tuple(new), None)])
    assert [(field.name, field.raw) for field in draft.shown()] == new
    assert sum(field.arrived is None for field in draft.shown()) == 1
    assert sum(field.raw != field.arrived for field in draft.fields if field.arrived is not None) == 0


@given(
    st.lists(st.tuples(st.sampled_from([b"A", b"B"]), st.sampled_from([b" 1", b" 2", b""])), max_size=250),
    st.lists(st.tuples(st.sampled_from([b"A", b"B"]), st.sampled_from([b" 1", b" 2", b""])), max_size=250),
)
def test_a_new_message_is_what_is_shown_afterwards(old: Pairs, new: Pairs) -> None:
    draft = draft_of(old, [c.NewMessage(tuple(new), None)])
    assert [(field.name, field.raw) for field in draft.shown()] == new


# ── a model of the rules ───────────────────────────────────────────────────────────────────────────────────────────


def model(fields: Pairs, changes: Sequence[c.Change]) -> Pairs:  # noqa: C901  all rules in one place, to be read
    """Contract section 6, as simply as it can be said."""
    slots: list[tuple[bytes, bytes] | None] = [*fields]
    before: list[Pairs] = [[] for _ in fields]
    start: Pairs = []
    end: Pairs = []
    set_at: dict[bytes, int] = {}

    def named(name: bytes) -> list[int]:
        return [at for at, (known, _) in enumerate(fields) if known.lower() == name.lower()]

    for change in changes:
        if isinstance(change, c.AddField):
            places = {"start": start, "end": end}
            at = change.at
            place = places[at] if isinstance(at, str) else before[at] if at < len(fields) else end
            place.append((change.name, b" " + change.value))
        elif isinstance(change, c.SetField):
            found = named(change.name)
            for at in found:
                slots[at] = None
            if found:
                slots[found[0]] = (fields[found[0]][0], b" " + change.value)
            elif change.name.lower() in set_at:
                at = set_at[change.name.lower()]
                end[at] = (end[at][0], b" " + change.value)
            else:
                set_at[change.name.lower()] = len(end)
                end.append((change.name, b" " + change.value))
        elif isinstance(change, c.ChangeField):
            for at in named(change.name)[change.nth - 1 : change.nth]:
                slots[at] = (fields[at][0], b" " + change.value)
        elif isinstance(change, c.DeleteField):
            found = named(change.name)
            for at in found if change.nth is None else found[change.nth - 1 : change.nth]:
                slots[at] = None
    middle = [pair for at, slot in enumerate(slots) for pair in (*before[at], *([slot] if slot else []))]
    return [*start, *middle, *end]


NAMES = st.sampled_from([b"A", b"a", b"B", b"C"])
VALUES = st.sampled_from([b"", b"v", b"w"])
NUMBERS = st.integers(1, 3)
CHANGES = st.one_of(
    st.builds(c.AddField, NAMES, VALUES, st.sampled_from(["start", "end", 0, 1, 2, 5])),  # type: ignore[arg-type]
    st.builds(c.SetField, NAMES, VALUES),
    st.builds(c.ChangeField, NAMES, VALUES, NUMBERS),
    st.builds(c.DeleteField, NAMES, st.none() | NUMBERS),
)


def sets_and_deletes_an_absent_field(fields: Pairs, answer: Sequence[c.Change]) -> bool:
    """Whether set_header adds a field that a later delete_header of the same answer names: the contract is silent."""
    known = {name.lower() for name, _ in fields}
    added = {change.name.lower() for change in answer if isinstance(change, c.SetField)} - known
    return any(isinstance(change, c.DeleteField) and change.name.lower() in added for change in answer)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(NAMES, VALUES.map(lambda v: b" " + v)), max_size=5),
    st.lists(st.lists(CHANGES, max_size=5), max_size=3),
)
def test_answers_are_applied_as_the_contract_says(fields: Pairs, answers: list[list[c.Change]]) -> None:
    draft = draft_of(fields)
    expected = [*fields]
    for answer in answers:
        if sets_and_deletes_an_absent_field(expected, answer):
            continue
        draft.apply(answer, draft.shown())
        expected = model(expected, answer)
    assert [(field.name, field.raw) for field in draft.shown()] == expected
