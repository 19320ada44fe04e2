"""The ids and the time that every call carries. They are made for each event, so they are made cheaply."""

import time
from datetime import UTC, datetime
from functools import lru_cache
from random import getrandbits


def new_id() -> str:
    """A UUID of version 7 (RFC 9562 §5.7): sortable by time; nobody has to be unable to guess it."""
    milliseconds, random = time.time_ns() // 1_000_000, getrandbits(74)
    return (
        f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-{0x7000 | random >> 62:04x}"
        f"-{0x8000 | random >> 48 & 0x3FFF:04x}-{random & 0xFFFFFFFFFFFF:012x}"
    )


def utc_now() -> str:
    """The time in RFC 3339, to the millisecond."""
    seconds, milliseconds = divmod(time.time_ns() // 1_000_000, 1000)
    return f"{_second(seconds)}.{milliseconds:03}Z"


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
