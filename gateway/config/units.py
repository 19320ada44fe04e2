"""Durations and sizes with their units: ``"8s"`` -> 8.0 seconds, ``"64MiB"`` -> 67108864 bytes.

A number without a unit is refused: whether ``timeout = 30`` means seconds or milliseconds must not be guessed.
"""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, PlainValidator

SECONDS: Final = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
BYTES: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(ms|s|min|h)")
_SIZE: Final = re.compile(r"([0-9]{1,15}) ?(B|KiB|MiB|GiB)")
_BARE: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")


def parse_duration(value: object) -> float:
    """Return the seconds that a text such as ``"250ms"``, ``"1.5h"`` or ``"30 s"`` means."""
    if _is_bare_number(value):
        raise ValueError('has no unit: write ms, s, min or h after the number, as in "30s"')
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError('must be a duration: a number and ms, s, min or h, as in "30s"')
    return _scale(float(found[1]), found[2])


def parse_size(value: object) -> int:
    """Return the bytes that a text such as ``"64KiB"`` or ``"50 MiB"`` means."""
    if _is_bare_number(value):
        raise ValueError('has no unit: write B, KiB, MiB or GiB after the number, as in "64KiB"')
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError('must be a size: a whole number and B, KiB, MiB or GiB, as in "64KiB"')
    return int(found[1]) * BYTES[found[2]]


def _is_bare_number(value: object) -> bool:
    """Tell a number that only lacks its unit from anything else."""
    if isinstance(value, str):
        return _BARE.fullmatch(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scale(number: float, unit: str) -> float:
    """Convert to seconds; dividing for ``ms`` keeps 250ms exactly 0.25."""
    return number / 1000 if unit == "ms" else number * SECONDS[unit]


def _not_zero(value: float) -> float:
    if not value:
        raise ValueError("must be greater than zero")
    return value


def _not_empty(value: int) -> int:
    if not value:
        raise ValueError("must be greater than zero")
    return value


Duration = Annotated[float, PlainValidator(parse_duration)]
"""Seconds, zero included."""

PositiveDuration = Annotated[float, PlainValidator(parse_duration), AfterValidator(_not_zero)]
"""Seconds, more than zero."""

ByteSize = Annotated[int, PlainValidator(parse_size)]
"""Bytes, zero included."""

PositiveByteSize = Annotated[int, PlainValidator(parse_size), AfterValidator(_not_empty)]
"""Bytes, at least one."""
