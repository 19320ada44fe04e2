"""The net result as packets: both MTAs must end up with what the last request would have shown."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mta_models import Mta, Pairs, Postfix, Sendmail

from gateway.mail import changes as c
from gateway.mail.address import Address
from gateway.mail.draft import Draft
from gateway.mail.edits import edits
from gateway.mail.fields import Field
from gateway.milter import messages as m
from gateway.milter.constants import CHUNK_SIZE

SENDER = Address(b"<a@x>", (b"SIZE=1",))
RECIPIENTS = [Address(b"<b@y>", (b"NOTIFY=NEVER",)), Address(b"c@y")]


def draft_of(pairs: Sequence[tuple[bytes, bytes]] = (), *answers: Sequence[c.Change], known: bool = True) -> Draft:
    fields = [Field.of_mta(name, raw) for name, raw in pairs]
    draft = Draft(fields, SENDER, RECIPIENTS, fields_known=known)
    for answer in answers:
        draft.apply(answer, draft.shown())
    return draft


def edits_of(pairs: Sequence[tuple[bytes, bytes]], *answers: Sequence[c.Change]) -> list[m.Edit]:
    return edits(draft_of(pairs, *answers), leading_space=False)


TWO = [(b"X-A", b" 1"), (b"B", b" 2"), (b"x-a", b" 3")]

# ── single changes ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_changes_nothing_is_sent() -> None:
    assert edits_of(TWO) == []


@pytest.mark.parametrize(
    ("change", "sent"),
    [
        (c.AddField(b"N", b"v"), [m.AddHeader(b"N", b"v")]),
        (c.AddField(b"N", b""), [m.AddHeader(b"N", b"")]),
        (c.AddField(b"N", b"v", at="start"), [m.InsertHeader(0, b"N", b"v")]),
        (c.AddField(b"N", b"v", at=0), [m.InsertHeader(1, b"N", b"v")]),
        (c.AddField(b"N", b"v", at=2), [m.InsertHeader(3, b"N", b"v")]),
        (c.AddField(b"N", b"v", at=3), [m.AddHeader(b"N", b"v")]),
        (c.AddField(b"N", b"v", at=99), [m.AddHeader(b"N", b"v")]),
        (c.SetField(b"N", b"v"), [m.AddHeader(b"N", b"v")]),
        (
            c.SetField(b"x-A", b"v"),
            [m.ChangeHeader(2, b"x-a", b""), m.ChangeHeader(1, b"X-A", b"v")],
        ),
        (c.SetField(b"B", b"v"), [m.ChangeHeader(1, b"B", b"v")]),
        (c.SetField(b"B", b"2"), []),
        (c.ChangeField(b"x-A", b"v", 2), [m.ChangeHeader(2, b"x-a", b"v")]),
        (c.ChangeField(b"x-A", b"v", 3), []),
        (c.ChangeField(b"B", b"2", 1), []),
        (c.DeleteField(b"X-A"), [m.ChangeHeader(2, b"x-a", b""), m.ChangeHeader(1, b"X-A", b"")]),
        (c.DeleteField(b"X-A", 1), [m.ChangeHeader(1, b"X-A", b"")]),
        (c.DeleteField(b"X-A", 3), []),
        (c.DeleteField(b"N"), []),
        (c.NewBody(b"new"), [m.ReplaceBody(b"new")]),
        (c.NewBody(b""), [m.ReplaceBody(b"")]),
        (c.AddRecipient(b"n@z"), [m.AddRecipient(b"<n@z>")]),
        (c.AddRecipient(b"n@z", b"NOTIFY=NEVER"), [m.AddRecipient(b"<n@z>", b"NOTIFY=NEVER")]),
        (c.AddRecipient(b"b@y"), []),
        (c.DeleteRecipient(b"b@y"), [m.DeleteRecipient(b"<b@y>")]),
        (c.DeleteRecipient(b"c@y"), [m.DeleteRecipient(b"c@y")]),
        (c.DeleteRecipient(b"n@z"), []),
        (c.ChangeSender(b"z@x"), [m.ChangeFrom(b"<z@x>")]),
        (c.ChangeSender(b""), [m.ChangeFrom(b"<>")]),
        (c.ChangeSender(b"z@x", b"RET=HDRS ENVID=1"), [m.ChangeFrom(b"<z@x>", b"RET=HDRS ENVID=1")]),
        (c.ChangeSender(b"a@x"), []),
        (c.Hold(b"why"), [m.Quarantine(b"why")]),
    ],
    ids=str,
)
def test_a_single_change_is_sent_as_its_packets(change: c.Change, sent: list[m.Edit]) -> None:
    assert edits_of(TWO, [change]) == sent


def test_a_field_changed_to_nothing_is_deleted_and_put_back_empty() -> None:
    # an empty value in CHGHEADER deletes
    assert edits_of(TWO, [c.ChangeField(b"B", b"", 1)]) == [m.ChangeHeader(1, b"B", b""), m.InsertHeader(2, b"B", b"")]


def test_a_second_field_of_a_name_is_not_added_before_the_first() -> None:
    # ADDHEADER makes Sendmail put it before its namesakes
    (edit,) = edits_of(TWO, [c.AddField(b"B", b"v")])
    assert isinstance(edit, m.InsertHeader)
    assert edit.index >= 10_000


def test_several_fields_above_everything_keep_their_order() -> None:
    answer = [c.AddField(b"N1", b"v", at="start"), c.AddField(b"N2", b"v", at="start")]
    assert edits_of(TWO, answer) == [m.InsertHeader(0, b"N2", b"v"), m.InsertHeader(0, b"N1", b"v")]


def test_with_leading_space_agreed_every_value_is_sent_with_it() -> None:
    draft = draft_of([(b"A", b"\tv"), (b"B", b"v")], [c.AddField(b"N", b"v"), c.SetField(b"A", b"w")])
    assert edits(draft, leading_space=True) == [m.ChangeHeader(1, b"A", b" w"), m.AddHeader(b"N", b" v")]


@pytest.mark.parametrize("size", [1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 3 * CHUNK_SIZE])
def test_a_body_is_sent_in_chunks_of_the_largest_size(size: int) -> None:
    sent = edits_of([], [c.NewBody(bytes(size))])
    sizes = [len(edit.chunk) for edit in sent if isinstance(edit, m.ReplaceBody)]
    assert sum(sizes) == size
    assert all(part == CHUNK_SIZE for part in sizes[:-1])
    assert 0 < sizes[-1] <= CHUNK_SIZE


def test_the_packets_come_in_the_order_that_both_mtas_obey() -> None:
    answer = [
        c.NewBody(b"new"),
        c.Hold(b"why"),
        c.AddRecipient(b"n@z"),
        c.DeleteRecipient(b"b@y"),
        c.ChangeSender(b"z@x"),
        c.AddField(b"N", b"v"),
        c.ChangeField(b"B", b"v", 1),
    ]
    kinds = [type(edit) for edit in edits_of(TWO, answer)]
    assert kinds[0] is m.ChangeHeader
    assert kinds[1] is m.AddHeader
    assert set(kinds[2:5]) == {m.ChangeFrom, m.DeleteRecipient, m.AddRecipient}
    assert kinds[5:] == [m.Quarantine, m.ReplaceBody]


def test_a_recipient_that_is_replaced_with_parameters_is_sent_anew() -> None:
    sent = edits_of([], [c.AddRecipient(b"n@z", b"NOTIFY=NEVER")], [c.AddRecipient(b"n@z", b"NOTIFY=DELAY")])
    assert sent == [m.AddRecipient(b"<n@z>", b"NOTIFY=DELAY")]


def test_a_recipient_deleted_and_added_again_is_left_alone() -> None:
    assert edits_of([], [c.DeleteRecipient(b"b@y")], [c.AddRecipient(b"b@y")]) == []


def test_a_recipient_added_and_deleted_again_is_not_sent() -> None:
    assert edits_of([], [c.AddRecipient(b"n@z")], [c.DeleteRecipient(b"n@z")]) == []


# ── the header was negotiated away ─────────────────────────────────────────────────────────────────────────────────


def blind(*changes: c.Change) -> list[m.Edit]:
    draft = Draft([], SENDER, RECIPIENTS, fields_known=False)
    draft.apply(changes, ())
    return edits(draft, leading_space=False)


HIDDEN = [(b"A", b" 1"), (b"B", b" 2"), (b"a", b" 3"), (b"A", b" 4")]


@pytest.mark.parametrize("mta", [Postfix, Sendmail])
@pytest.mark.parametrize(
    ("change", "left"),
    [
        (c.DeleteField(b"A"), [(b"B", b" 2")]),
        (c.DeleteField(b"A", 2), [(b"A", b" 1"), (b"B", b" 2"), (b"A", b" 4")]),
        (c.DeleteField(b"N"), HIDDEN),
        (c.ChangeField(b"B", b"v", 1), [(b"A", b" 1"), (b"B", b" v"), (b"a", b" 3"), (b"A", b" 4")]),
        (c.SetField(b"A", b"v"), [(b"A", b" v"), (b"B", b" 2")]),
        (c.SetField(b"N", b"v"), [*HIDDEN, (b"N", b" v")]),
        (c.AddField(b"N", b"v"), [*HIDDEN, (b"N", b" v")]),
    ],
    ids=str,
)
def test_fields_that_were_never_shown_can_be_changed_all_the_same(
    mta: type[Mta], change: c.Change, left: Pairs
) -> None:
    assert mta(HIDDEN, leading_space=False).apply(blind(change)).fields == left


# ── replace_message ────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_identical_message_changes_nothing() -> None:
    assert edits_of(TWO, [c.NewMessage(tuple(TWO), None)]) == []


def test_a_message_with_another_subject_changes_the_subject_only() -> None:
    old = [(b"From", b" a"), (b"Subject", b" old"), (b"To", b" b")]
    new = [(b"From", b" a"), (b"Subject", b" new"), (b"To", b" b")]
    assert edits_of(old, [c.NewMessage(tuple(new), None)]) == [m.ChangeHeader(1, b"Subject", b"new")]


# ── models ─────────────────────────────────────────────────────────────────────────────────────────────────────────

NAMES = st.sampled_from([b"A", b"a", b"B", b"C", b"Received"])
VALUES = st.sampled_from([b"", b"v", b"w", b" x", b"\ty", b"a\n b"])
FULL_VALUES = VALUES.filter(bool)
NUMBERS = st.integers(1, 4)


def changes_of(values: st.SearchStrategy[bytes], places: st.SearchStrategy[int | str]) -> st.SearchStrategy[c.Change]:
    return st.one_of(
        st.builds(c.AddField, NAMES, values, places),  # type: ignore[arg-type]
        st.builds(c.SetField, NAMES, values),
        st.builds(c.ChangeField, NAMES, values, NUMBERS),
        st.builds(c.DeleteField, NAMES, st.none() | NUMBERS),
    )


def raws(values: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return values.map(lambda value: b" " + value)


ANYWHERE = changes_of(VALUES, st.sampled_from(["start", "end", 0, 1, 2, 3, 5]))
RELIABLE = changes_of(FULL_VALUES, st.sampled_from(["start", "end", 0]))
HEADERS = st.lists(st.tuples(NAMES, raws(VALUES)), max_size=6)
BARE_HEADERS = st.lists(st.tuples(NAMES, VALUES | raws(VALUES)), max_size=6)
MESSAGES = BARE_HEADERS.map(lambda pairs: [c.NewMessage(tuple(pairs), None)])
ANSWERS = st.lists(st.lists(ANYWHERE, max_size=4) | MESSAGES, max_size=3)
RELIABLE_ANSWERS = st.lists(st.lists(RELIABLE, max_size=4), max_size=3)


def shown(draft: Draft, *, leading_space: bool) -> Pairs:
    """What the draft says; without the agreement every field begins with a space at the MTA."""
    pairs = [(field.name, field.raw) for field in draft.shown()]
    return pairs if leading_space else [(name, raw if raw[:1] == b" " else b" " + raw) for name, raw in pairs]


@settings(max_examples=300, deadline=None)
@given(HEADERS, ANSWERS)
def test_postfix_ends_up_with_what_was_shown(pairs: Pairs, answers: list[list[c.Change]]) -> None:
    draft = draft_of(pairs, *answers)
    result = Postfix(pairs, leading_space=False).apply(edits(draft, leading_space=False))
    assert result.fields == shown(draft, leading_space=False)


@settings(max_examples=300, deadline=None)
@given(BARE_HEADERS, ANSWERS)
def test_postfix_ends_up_with_what_was_shown_byte_for_byte(pairs: Pairs, answers: list[list[c.Change]]) -> None:
    draft = draft_of(pairs, *answers)
    result = Postfix(pairs, leading_space=True).apply(edits(draft, leading_space=True))
    assert result.fields == shown(draft, leading_space=True)


@settings(max_examples=300, deadline=None)
@given(HEADERS, RELIABLE_ANSWERS, st.booleans())
def test_sendmail_ends_up_with_what_was_shown(pairs: Pairs, answers: list[list[c.Change]], leading_space: bool) -> None:
    draft = draft_of(pairs, *answers)
    result = Sendmail(pairs, leading_space).apply(edits(draft, leading_space=leading_space))
    assert result.fields == shown(draft, leading_space=leading_space)


@given(
    HEADERS,
    ANSWERS.filter(lambda answers: all(getattr(one, "at", 0) != "start" for answer in answers for one in answer)),
)
def test_nothing_ends_up_above_the_mtas_own_unless_added_at_the_start(
    pairs: Pairs, answers: list[list[c.Change]]
) -> None:
    draft = draft_of(pairs, *answers)
    assert Postfix(pairs, leading_space=False).apply(edits(draft, leading_space=False)).above == 0


@pytest.mark.parametrize("mta", [Postfix, Sendmail])
def test_fields_added_at_the_start_end_up_above_the_mtas_own(mta: type[Mta]) -> None:
    answers = [[c.AddField(name, b"v", at="start") for name in (b"N1", b"N2")], [c.AddField(b"N3", b"v", at="start")]]
    result = mta(TWO, leading_space=False).apply(edits_of(TWO, *answers))
    assert result.above == 3
    assert [name for name, _ in result.fields] == [b"N3", b"N1", b"N2", b"X-A", b"B", b"x-a"]


@settings(max_examples=300, deadline=None)
@given(BARE_HEADERS, BARE_HEADERS)
def test_a_replaced_message_ends_up_as_it_was_given(pairs: Pairs, new: Pairs) -> None:
    draft = draft_of(pairs, [c.NewMessage(tuple(new), b"body")])
    result = Postfix(pairs, leading_space=True).apply(edits(draft, leading_space=True))
    assert result.fields == new
    assert result.body == b"body"
