"""Fields with their exact bytes, and raw messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail.fields import (
    Field,
    MalformedMessageError,
    header_bytes,
    header_size,
    name_fault,
    occurrences,
    parse_message,
    value_fault,
)


@pytest.mark.parametrize(
    ("raw", "value"), [(b" v", b"v"), (b"v", b"v"), (b"  v", b" v"), (b"\tv", b"\tv"), (b"", b""), (b" ", b"")]
)
def test_a_value_is_what_follows_the_colon_less_one_space(raw: bytes, value: bytes) -> None:
    assert Field(b"X", raw).value == value


def test_names_are_compared_without_case() -> None:
    assert Field(b"Subject", b" x").named(b"sUBJECT")
    assert not Field(b"Subject", b" x").named(b"Subject2")


def test_a_field_counts_with_its_line_ends() -> None:
    assert Field(b"X", b" a\n b").size == len(b"X: a\r\n b\r\n")


def test_occurrences_are_counted_by_name() -> None:
    fields = [Field(name, b"") for name in (b"A", b"B", b"a", b"A", b"b")]
    assert occurrences(fields) == [1, 1, 2, 3, 2]


@pytest.mark.parametrize("name", [b"X", b"X-A", b"!#$%&'*+-.^_`|~", b"\x21\x7e"])
def test_a_field_name(name: bytes) -> None:
    assert name_fault(name) is None


@pytest.mark.parametrize("name", [b"", b"X Y", b"X:", b"X\n", b"\x7f", b"\xe9", b"\0", b"X\t"])
def test_no_field_name(name: bytes) -> None:
    assert name_fault(name)


@pytest.mark.parametrize("value", [b"", b"v", b"a\n b", b"a\r\n\tb", b"\xff", b" ", b"a\n \n b", b"\n v"])
def test_a_field_value(value: bytes) -> None:
    assert value_fault(value) is None


@pytest.mark.parametrize(
    "value",
    [b"a\0b", b"a\rb", b"a\r", b"a\nb", b"a\n", b"a\r\n", b"a\n\n b", b"a\r\r\n b", b"\n", b"a\n b\n"],
    ids=repr,
)
def test_no_field_value(value: bytes) -> None:
    assert value_fault(value)


@pytest.mark.parametrize(
    ("raw", "fields", "body"),
    [
        (b"A: 1\r\nB:2\r\n\r\nbody\r\n", [(b"A", b" 1"), (b"B", b"2")], b"body\r\n"),
        (b"A: 1\nB:2\n\nbody\n", [(b"A", b" 1"), (b"B", b"2")], b"body\n"),
        (b"A: 1\r\n\tx\r\n y\r\n\r\n", [(b"A", b" 1\n\tx\n y")], b""),
        (b"A: 1\r\n", [(b"A", b" 1")], b""),
        (b"A: 1", [(b"A", b" 1")], b""),
        (b"A:\r\n\r\n", [(b"A", b"")], b""),
        (b"\r\nbody", [], b"body"),
        (b"\nbody", [], b"body"),
        (b"", [], b""),
        (b"A: 1\r\n\r\nX\n\nY", [(b"A", b" 1")], b"X\n\nY"),
        (b"A: 1\n\nX\r\n\r\nY", [(b"A", b" 1")], b"X\r\n\r\nY"),
        (b"A: \xff\r\n\r\n\0", [(b"A", b" \xff")], b"\0"),
        (b"A: 1\n\r\nbody", [(b"A", b" 1")], b"body"),
    ],
    ids=repr,
)
def test_a_message_is_split_into_fields_and_body(raw: bytes, fields: list[tuple[bytes, bytes]], body: bytes) -> None:
    assert parse_message(raw) == (fields, body)


@pytest.mark.parametrize(
    "raw",
    [
        b"no colon\r\n\r\n",
        b" folded first\r\n\r\n",
        b"X Y: v\r\n\r\n",
        b": v\r\n\r\n",
        b"A: a\0b\r\n\r\n",
        b"A: a\rb\r\n\r\n",
    ],
)
def test_a_header_block_with_a_line_that_is_no_field_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        parse_message(raw)


NAMES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=":"), min_size=1, max_size=8)
LINES = st.binary(max_size=12).map(lambda raw: raw.translate(None, b"\0\r\n"))
RAWS = st.lists(LINES, min_size=1, max_size=3).map(b"\n ".join)


@given(st.lists(st.tuples(NAMES.map(str.encode), RAWS), max_size=5), st.binary(max_size=40))
def test_any_message_survives_being_written_and_read(pairs: list[tuple[bytes, bytes]], body: bytes) -> None:
    fields = [Field(name, raw) for name, raw in pairs]
    written = header_bytes(fields)
    assert len(written) == header_size(fields)
    assert parse_message(written + body) == (pairs, body)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_message_or_malformed(raw: bytes) -> None:
    try:
        fields, _ = parse_message(raw)
    except MalformedMessageError:
        return
    assert all(name_fault(name) is None and value_fault(value) is None for name, value in fields)
