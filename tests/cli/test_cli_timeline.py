"""What happened to a mail, as lines for people."""

import pytest

from gateway.cli.timeline import change_lines, diff, exchange_lines, reply_text
from gateway.milter import messages as m
from gateway.milter.constants import Actions, Steps
from gateway.mta.mail import Mail
from gateway.mta.outcome import Result
from gateway.mta.player import Exchanged
from gateway.translate.text import plain, readable_bytes


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain\ttext", "plain\ttext"),
        ("häßlich ✉".encode(), "häßlich ✉"),
        (b"\xff\xe9", r"\xff\xe9"),
        (b"\x1b[31m\r\0\x7f", r"\x1b[31m\r\x00\x7f"),
        ("\u202eabc\u2028".encode(), r"\u202eabc\u2028"),
        ("\x9b".encode(), r"\x9b"),
    ],
)
def test_bytes_are_shown_as_text_and_what_is_none_as_escapes(raw: bytes, shown: str) -> None:
    assert readable_bytes(raw) == shown


def test_a_lone_surrogate_is_an_escape_too() -> None:
    assert plain("\udce9") == r"\udce9"


def test_equal_messages_have_no_diff() -> None:
    assert list(diff(b"A: b\r\n\r\nc\r\n", b"A: b\r\n\r\nc\r\n")) == []


def test_a_diff_names_the_line_ends_that_are_no_crlf() -> None:
    assert list(diff(b"\r\na\r\n", b"\r\nb\nc"))[2:] == [
        "@@ -1,2 +1,3 @@",
        " ",
        "-a",
        "+b \\ no CRLF at the end",
        "+c \\ no CRLF at the end",
    ]


def test_a_diff_of_bytes_that_are_no_text_is_exact() -> None:
    assert list(diff(b"\xe9\r\n", b"\xe8\r\n"))[3:] == [r"-\xe9", r"+\xe8"]


def test_a_body_line_that_looks_like_a_part_of_a_diff_stays_readable() -> None:
    assert "+\\xff@@" in list(diff(b"a\r\n", b"\xff@@\r\n"))


def test_only_what_changed_is_told_of_the_envelope() -> None:
    mail = Mail(b"A: b\r\n\r\n", "a@x", ("b@y",))
    result = Result(b"<>", [], [], b"")
    lines = list(change_lines(mail, result))
    assert lines[:2] == ["envelope from: <a@x> -> <>", "envelope to: <b@y> -> nobody"]
    assert lines[2:4] == ["--- before", "+++ after"]


@pytest.mark.parametrize(
    ("exchanged", "lines"),
    [
        (Exchanged(m.Connect(b"mx", b"4", 1, b"192.0.2.1"), m.Continue()), ["connect mx [192.0.2.1] continue"]),
        (Exchanged(m.Helo(b"a\x1b"), None), [r"helo a\x1b (no answer wanted)"]),
        (Exchanged(m.Mail(b"<>"), None, sent=False), ["mail <> (not wanted)"]),
        (Exchanged(m.Header(b"A", b" b\n c"), m.Skip()), ["header A: b skip"]),
        (Exchanged(m.Body(b"abc"), m.Discard()), ["body 3 bytes discard"]),
        (Exchanged(m.Data(), m.ReplyCode(b"550-5.7.1 a%%\r\n550 5.7.1 b")), ["data 550 5.7.1 a% / b"]),
        (
            Exchanged(
                m.EndOfMessage(),
                m.Accept(),
                (m.AddHeader(b"X", b"y"), m.ChangeHeader(2, b"Z", b""), m.ReplaceBody(b"abc"), m.ReplaceBody(b"d")),
            ),
            ["end_of_message accept", "add_header X y at=end", "delete_header Z nth=2", "replace_body 4 bytes"],
        ),
        (
            Exchanged(m.Negotiate(6, Actions(0), Steps(0)), m.Agreement(6, Actions.QUARANTINE, Steps(0))),
            ["negotiate version 6; may change: quarantine"],
        ),
        (
            Exchanged(m.Negotiate(6, Actions(0), Steps(0)), m.Agreement(2, Actions(0), Steps(0))),
            ["negotiate version 2; may change: nothing"],
        ),
    ],
)
def test_an_exchange_is_a_line_with_the_answer(exchanged: Exchanged, lines: list[str]) -> None:
    assert [" ".join(line.split()) for line in exchange_lines(exchanged)] == lines


def test_a_reply_cannot_drive_the_terminal() -> None:
    assert reply_text(m.ReplyCode(b"550 5.7.1 \x1b[31mred")) == r"550 5.7.1 \x1b[31mred"
