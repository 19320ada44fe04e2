"""What a milter's edits make of a message and its envelope."""

import pytest

from gateway.mail.fields import Field
from gateway.milter import messages as m
from gateway.mta.outcome import Result, Verdict, ends_session, told, verdict_of
from gateway.mta.report import changes_json


def result() -> Result:
    fields = [Field(b"A", b" 1"), Field(b"B", b" 2"), Field(b"a", b" 3")]
    return Result(b"<s@x>", [b"<r@x>", b"<q@x>"], fields, b"body\r\n")


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ([], b"A: 1\r\nB: 2\r\na: 3\r\n\r\nbody\r\n"),
        ([m.AddHeader(b"C", b"4")], b"A: 1\r\nB: 2\r\na: 3\r\nC: 4\r\n\r\nbody\r\n"),
        ([m.InsertHeader(0, b"C", b"4")], b"C: 4\r\nA: 1\r\nB: 2\r\na: 3\r\n\r\nbody\r\n"),
        ([m.InsertHeader(1, b"C", b"4")], b"C: 4\r\nA: 1\r\nB: 2\r\na: 3\r\n\r\nbody\r\n"),
        ([m.InsertHeader(2, b"C", b"4")], b"A: 1\r\nC: 4\r\nB: 2\r\na: 3\r\n\r\nbody\r\n"),
        ([m.InsertHeader(99, b"C", b"4")], b"A: 1\r\nB: 2\r\na: 3\r\nC: 4\r\n\r\nbody\r\n"),
        ([m.ChangeHeader(2, b"A", b"4")], b"A: 1\r\nB: 2\r\nA: 4\r\n\r\nbody\r\n"),
        ([m.ChangeHeader(1, b"a", b"")], b"B: 2\r\na: 3\r\n\r\nbody\r\n"),
        ([m.ChangeHeader(3, b"a", b"4")], b"A: 1\r\nB: 2\r\na: 3\r\na: 4\r\n\r\nbody\r\n"),
        ([m.ChangeHeader(3, b"a", b"")], b"A: 1\r\nB: 2\r\na: 3\r\n\r\nbody\r\n"),
        ([m.ChangeHeader(0, b"B", b"4\n 5")], b"A: 1\r\nB: 4\r\n 5\r\na: 3\r\n\r\nbody\r\n"),
        ([m.ReplaceBody(b"ne"), m.ReplaceBody(b"w\r\n")], b"A: 1\r\nB: 2\r\na: 3\r\n\r\nnew\r\n"),
        ([m.ReplaceBody(b"a\nb\r\n\n"), m.ReplaceBody(b"c\r")], b"A: 1\r\nB: 2\r\na: 3\r\n\r\na\r\nb\r\n\r\nc\r\r\n"),
        ([m.ReplaceBody(b"")], b"A: 1\r\nB: 2\r\na: 3\r\n\r\n"),
    ],
)
def test_edits_change_the_message_as_postfix_would(edits: list[m.Edit], message: bytes) -> None:
    changed = result()
    changed.apply(edits)
    assert changed.message() == message


@pytest.mark.parametrize(
    ("edits", "sender", "recipients"),
    [
        ([m.AddRecipient(b"<n@x>")], b"<s@x>", [b"<r@x>", b"<q@x>", b"<n@x>"]),
        ([m.AddRecipient(b"r@x")], b"<s@x>", [b"<r@x>", b"<q@x>"]),
        (
            [m.AddRecipient(b"R@X"), m.AddRecipient(b"n@x"), m.AddRecipient(b"N@x")],
            b"<s@x>",
            [b"<r@x>", b"<q@x>", b"<n@x>"],
        ),
        ([m.DeleteRecipient(b"r@x")], b"<s@x>", [b"<q@x>"]),
        ([m.DeleteRecipient(b"<none@x>")], b"<s@x>", [b"<r@x>", b"<q@x>"]),
        ([m.ChangeFrom(b"<>")], b"<>", [b"<r@x>", b"<q@x>"]),
    ],
)
def test_edits_change_the_envelope(edits: list[m.Edit], sender: bytes, recipients: list[bytes]) -> None:
    changed = result()
    changed.apply(edits)
    assert (changed.sender, changed.recipients) == (sender, recipients)


def test_values_bring_their_space_along_where_that_was_agreed() -> None:
    changed = result()
    changed.leading_space = True
    changed.apply([m.AddHeader(b"C", b"4"), m.AddHeader(b"D", b" 5")])
    assert changed.message().endswith(b"C:4\r\nD: 5\r\n\r\nbody\r\n")


@pytest.mark.parametrize(
    ("reply", "verdict", "words"),
    [
        (m.Accept(), Verdict.ACCEPTED, None),
        (m.Continue(), Verdict.ACCEPTED, None),
        (m.Discard(), Verdict.DISCARDED, None),
        (m.Reject(), Verdict.REJECTED, (550, "5.7.1", ["Command rejected"])),
        (m.TempFail(), Verdict.TEMPFAILED, (451, "4.7.1", ["Service unavailable - try again later"])),
        (m.Shutdown(), Verdict.TEMPFAILED, (421, "4.7.0", ["Closing connection"])),
        (m.ReplyCode(b"554 5.6.0 100%% spam"), Verdict.REJECTED, (554, "5.6.0", ["100% spam"])),
        (m.ReplyCode(b"450 later"), Verdict.TEMPFAILED, (450, None, ["later"])),
        (m.ReplyCode(b"550-5.7.1 a\r\n550 5.7.1 b"), Verdict.REJECTED, (550, "5.7.1", ["a", "b"])),
    ],
)
def test_each_final_reply_has_its_verdict_and_its_words(
    reply: m.Reply, verdict: Verdict, words: tuple[int, str | None, list[str]] | None
) -> None:
    assert (verdict_of(reply), told(reply)) == (verdict, words)


def test_421_and_shutdown_end_the_session_and_other_refusals_do_not() -> None:
    replies = (m.ReplyCode(b"421 4.7.0 bye"), m.Shutdown(), m.ReplyCode(b"451 4.7.1 later"), m.Reject())
    assert [ends_session(reply) for reply in replies] == [True, True, False, False]


@pytest.mark.parametrize(
    ("edit", "change"),
    [
        (m.AddHeader(b"C", b" 4"), {"op": "add_header", "name": "C", "value": "4", "at": "end"}),
        (m.InsertHeader(0, b"C", b" 4"), {"op": "add_header", "name": "C", "value": "4", "at": "start"}),
        (m.InsertHeader(3, b"C", b" 4"), {"op": "add_header", "name": "C", "value": "4", "at": 2}),
        (m.InsertHeader(1_000_000, b"C", b" 4"), {"op": "add_header", "name": "C", "value": "4", "at": "end"}),
        (m.ChangeHeader(2, b"C", b" 4"), {"op": "change_header", "name": "C", "value": "4", "nth": 2}),
        (m.ChangeHeader(2, b"C", b""), {"op": "delete_header", "name": "C", "nth": 2}),
        (
            m.AddHeader(b"C", b" \xff"),
            {"op": "add_header", "name": "C", "value": "�", "value_base64": "/w==", "at": "end"},
        ),
        (m.ReplaceBody(b"new"), {"op": "replace_body", "text": "new"}),
        (m.ReplaceBody(b"\0"), {"op": "replace_body", "base64": "AA=="}),
        (m.AddRecipient(b"<n@x>"), {"op": "add_rcpt", "address": "n@x"}),
        (
            m.AddRecipient(b"<n@x>", b"NOTIFY=NEVER X"),
            {"op": "add_rcpt", "address": "n@x", "params": {"NOTIFY": "NEVER", "X": True}},
        ),
        (m.DeleteRecipient(b"<n@x>"), {"op": "delete_rcpt", "address": "n@x"}),
        (m.ChangeFrom(b"<>"), {"op": "change_from", "address": ""}),
        (m.Quarantine(b"why"), {"op": "quarantine", "reason": "why"}),
    ],
)
def test_edits_are_reported_in_the_words_of_the_contract(edit: m.Edit, change: dict[str, object]) -> None:
    assert changes_json([edit], leading_space=True) == [change]


def test_a_space_that_belongs_to_the_value_is_kept_in_the_report() -> None:
    assert changes_json([m.AddHeader(b"C", b" 4")], leading_space=False)[0]["value"] == " 4"
