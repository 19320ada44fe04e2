"""Envelope addresses as bytes: brackets, parameters and what makes one unfit for the wire."""

import re
from collections.abc import Iterable

from msgspec import Struct

_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


class Address(Struct, frozen=True):
    """An envelope address: as it is spelled on the wire, its ESMTP parameters, and whether the MTA sent it."""

    spelled: bytes
    params: tuple[bytes, ...] = ()
    arrived: bool = True

    @property
    def bare(self) -> bytes:
        """The address without one surrounding pair of angle brackets."""
        return strip_brackets(self.spelled)

    @property
    def domain(self) -> bytes | None:
        """What follows the last `@`, in small letters, or None."""
        _, at, domain = self.bare.rpartition(b"@")
        return domain.lower() if at else None


def strip_brackets(spelled: bytes) -> bytes:
    """Remove one surrounding pair of angle brackets."""
    return spelled[1:-1] if spelled[:1] == b"<" and spelled[-1:] == b">" else spelled


def in_brackets(bare: bytes) -> bytes:
    """Spell an address for the wire."""
    return b"<" + bare + b">"


def address_fault(bare: bytes) -> str | None:
    """Why this cannot be sent as an address, or None (RFC 5321 §4.1.2 allows brackets inside quotes)."""
    if any(byte in bare for byte in (b"\0", b"\r", b"\n")):
        return "an address contains NUL, CR or LF"
    unquoted = _QUOTED.sub(b"", bare)
    if b"<" in unquoted or b">" in unquoted:
        return "an address contains angle brackets"
    return None


def split_params(params: Iterable[bytes]) -> list[tuple[bytes, bytes | None]]:
    """ESMTP parameters as (key in capitals, value or None); some MTAs join all of them with blanks."""
    pairs: list[tuple[bytes, bytes | None]] = []
    for word in b" ".join(params).split():
        key, equals, value = word.partition(b"=")
        pairs.append((key.upper(), value if equals else None))
    return pairs
