import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gateway.config.units import (
    BYTES,
    SECONDS,
    ByteSize,
    Duration,
    PositiveByteSize,
    PositiveDuration,
    parse_duration,
    parse_size,
)

NO_UNIT = 'has no unit: write ms, s, min or h after the number, as in "30s"'
NOT_A_DURATION = 'must be a duration: a number and ms, s, min or h, as in "30s"'
NO_SIZE_UNIT = 'has no unit: write B, KiB, MiB or GiB after the number, as in "64KiB"'
NOT_A_SIZE = 'must be a size: a whole number and B, KiB, MiB or GiB, as in "64KiB"'


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("9s", 9.0), ("1.5 s", 1.5), ("2min", 120.0), ("24h", 86400.0), ("0s", 0.0), ("0.5h", 1800.0)],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert TypeAdapter(Duration).validate_python(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("0B", 0), ("64KiB", 65536), ("50 MiB", 52428800), ("1GiB", 1 << 30)],
)
def test_a_size_is_read_in_bytes(text: str, size: int) -> None:
    assert TypeAdapter(ByteSize).validate_python(text) == size


@pytest.mark.parametrize("value", [30, 0, 1.5, "30", "1.5", "-3", "+2", "7."])
def test_a_bare_number_is_told_its_units(value: object) -> None:
    with pytest.raises(ValueError) as duration:
        parse_duration(value)
    with pytest.raises(ValueError) as size:
        parse_size(value)
    assert str(duration.value) == NO_UNIT
    assert str(size.value) == NO_SIZE_UNIT


@pytest.mark.parametrize(
    "value",
    [
        "",
        "s",
        "1m",
        "1sec",
        "1h30min",
        "-1s",
        "1e3s",
        " 1s",
        "1s ",
        "1s\n",
        "1  s",
        "٣s",
        "9999999999s",
        True,
        None,
        [],
        {},
    ],
)
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ValueError) as error:
        parse_duration(value)
    assert str(error.value) == NOT_A_DURATION


@pytest.mark.parametrize(
    "value", ["", "KiB", "1KB", "1kib", "1.5MiB", "-1B", "1MiB\n", "٣B", "9" * 16 + "B", True, None]
)
def test_what_is_no_size_is_refused(value: object) -> None:
    with pytest.raises(ValueError) as error:
        parse_size(value)
    assert str(error.value) == NOT_A_SIZE


@pytest.mark.parametrize(("kind", "text"), [(PositiveDuration, "0ms"), (PositiveByteSize, "0KiB")])
def test_zero_is_refused_where_it_makes_no_sense(kind: object, text: str) -> None:
    with pytest.raises(ValidationError, match="must be greater than zero"):
        TypeAdapter(kind).validate_python(text)


@given(st.integers(0, 10**9 - 1), st.sampled_from(sorted(SECONDS)), st.sampled_from(["", " "]))
def test_every_number_with_a_unit_is_a_duration(number: int, unit: str, blank: str) -> None:
    assert parse_duration(f"{number}{blank}{unit}") == pytest.approx(number * SECONDS[unit])


@given(st.integers(0, 10**15 - 1), st.sampled_from(sorted(BYTES)))
def test_every_number_with_a_unit_is_a_size(number: int, unit: str) -> None:
    assert parse_size(f"{number}{unit}") == number * BYTES[unit]


@given(st.one_of(st.text(), st.from_regex(r"[0-9.]+ ?[a-zA-Z]*"), st.floats(), st.integers(), st.none()))
def test_anything_else_fails_with_a_reason(value: object) -> None:
    for parse in (parse_duration, parse_size):
        try:
            assert parse(value) >= 0
        except ValueError as error:
            assert str(error) in {NO_UNIT, NOT_A_DURATION, NO_SIZE_UNIT, NOT_A_SIZE}
