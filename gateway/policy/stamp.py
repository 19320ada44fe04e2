"""The ids and the time that every call carries. They are made for each event, so they are made cheaply."""

import time
from datetime import UTC, datetime
from functools import lru_cache
from random import getrandbits


def new_id() -> str:
    """A UUID of version 7 (RFC 9562 §5.7): sortable by time; nobody has to be unable to guess it."""
    milliseconds = time.time_ns() // 1_000_000
    number = milliseconds << 80 | 0x7 << 76 | getrandbits(12) << 64 | 0b10 << 62 | getrandbits(62)
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def utc_now() -> str:
    """The time in RFC 3339, to the millisecond."""
    seconds, milliseconds = divmod(time.time_ns() // 1_000_000, 1000)
    return f"{_second(seconds)}.{milliseconds:03}Z"


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
