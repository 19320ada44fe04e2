"""The text of REPLYCODE."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.milter.messages import ReplyCode
from gateway.milter.smtp_reply import MAX_LINE, MAX_LINES, is_enhanced_code, read_reply, reply_code


def test_one_line() -> None:
    assert reply_code(550, "5.7.1", ["No"]) == ReplyCode(b"550 5.7.1 No")


def test_every_line_but_the_last_has_a_hyphen_after_the_code() -> None:
    assert reply_code(550, "5.7.1", ["a", "b", "c"]).text == b"550-5.7.1 a\r\n550-5.7.1 b\r\n550 5.7.1 c"


def test_an_empty_line_keeps_its_codes() -> None:
    assert reply_code(450, "4.2.0", [""]).text == b"450 4.2.0 "


def test_no_lines_are_one_empty_line() -> None:
    assert reply_code(450, "4.2.0", []).text == b"450 4.2.0 "


def test_a_percent_sign_is_doubled_once() -> None:
    assert reply_code(550, "5.7.1", ["100% %s"]).text == b"550 5.7.1 100%% %%s"


def test_what_is_not_printable_ascii_becomes_a_question_mark() -> None:
    assert reply_code(550, "5.7.1", ["caf\u00e9 \U0001f600 \x7f\x01 \udcff"]).text == b"550 5.7.1 caf? ? ?? ?"


def test_a_tab_stays() -> None:
    assert reply_code(550, "5.7.1", ["a\tb"]).text == b"550 5.7.1 a\tb"


def test_a_line_is_wrapped_at_980_bytes() -> None:
    text = reply_code(550, "5.7.1", ["x" * 981]).text
    assert text == b"550-5.7.1 " + b"x" * 980 + b"\r\n550 5.7.1 x"


def test_a_line_of_980_bytes_is_not_wrapped() -> None:
    assert reply_code(550, "5.7.1", ["x" * 980]).text.count(b"\n") == 0


def test_wrapping_counts_before_percent_signs_are_doubled() -> None:
    text = reply_code(550, "5.7.1", ["%" * 980]).text
    assert text == b"550 5.7.1 " + b"%%" * 980


def test_at_most_32_lines_are_sent() -> None:
    lines = reply_code(550, "5.7.1", [str(number) for number in range(40)]).text.split(b"\r\n")
    assert len(lines) == MAX_LINES
    assert lines[-1] == b"550 5.7.1 31"


def test_wrapped_lines_count_too() -> None:
    lines = reply_code(550, "5.7.1", ["x" * MAX_LINE * 40]).text.split(b"\r\n")
    assert len(lines) == MAX_LINES
    assert lines[-1].startswith(b"550 ")


@pytest.mark.parametrize("text", ["5.7.1", "4.0.0", "2.1.5", "5.123.999"])
def test_an_enhanced_code_has_three_numbers(text: str) -> None:
    assert is_enhanced_code(text)


@pytest.mark.parametrize(
    "text", ["", "5.7", "3.7.1", "5.7.1.1", "5.7.1 ", "5.7.1\n", "5.7777.1", "5.\u0667.1", "x5.7.1"]
)
def test_anything_else_is_no_enhanced_code(text: str) -> None:
    assert not is_enhanced_code(text)


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        (b"550 5.7.1 No", (550, "5.7.1", ["No"])),
        (b"550-5.7.1 a\r\n550 5.7.1 b", (550, "5.7.1", ["a", "b"])),
        (b"550 No", (550, None, ["No"])),
        (b"451", (451, None, [""])),
        (b"oops", (0, None, [""])),
        (b"550 5.7.1 50%% off", (550, "5.7.1", ["50% off"])),
    ],
    ids=repr,
)
def test_a_reply_is_taken_apart(raw: bytes, read: tuple[int, str | None, list[str]]) -> None:
    assert read_reply(ReplyCode(raw)) == read


LINE = re.compile(rb"(550-5\.7\.1 [\t\x20-\x7e]*\r\n)*550 5\.7\.1 [\t\x20-\x7e]*")


@given(st.lists(st.text(st.characters(exclude_characters="\r\n\0"), max_size=1500), max_size=40))
def test_whatever_the_text_the_reply_is_fit_for_the_wire(lines: list[str]) -> None:
    text = reply_code(550, "5.7.1", lines).text
    assert LINE.fullmatch(text)
    assert len(text.split(b"\r\n")) <= MAX_LINES
    assert b"%" not in text.replace(b"%%", b"")
    assert all(len(line.replace(b"%%", b"%")) <= MAX_LINE + 10 for line in text.split(b"\r\n"))


PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=MAX_LINE)


@given(st.lists(PRINTABLE, min_size=1, max_size=MAX_LINES))
def test_printable_lines_survive(lines: list[str]) -> None:
    assert read_reply(reply_code(550, "5.7.1", lines)) == (550, "5.7.1", lines)
