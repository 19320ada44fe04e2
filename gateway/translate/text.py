"""Bytes to text with a lossless sibling, and back."""

from collections.abc import Mapping
from functools import lru_cache

import pybase64
from msgspec import UNSET

from gateway.contract.request import Base64


def readable(raw: bytes) -> str:
    """UTF-8, with U+FFFD where it is not."""
    return raw.decode("utf-8", "replace")


def plain(text: str) -> str:
    """The text with escapes for what a terminal would obey; tabs stay."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each == "\t" else each.encode("unicode_escape", "backslashreplace").decode()
        for each in text
    )


def readable_bytes(raw: bytes) -> str:
    """The text of bytes for a terminal, with escapes for what is no text."""
    return plain(raw.decode("utf-8", "backslashreplace"))


def named(name: str, raw: bytes) -> dict[str, str]:
    """`name` and, where the bytes are not UTF-8, `name_base64`."""
    text, sibling = both(raw)
    return {name: text, f"{name}_base64": sibling} if isinstance(sibling, str) else {name: text}


def exact(raw: bytes) -> Base64:
    """The sibling: the bytes in base64 where `raw` is not UTF-8, absent otherwise."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return to_base64(raw)
    return UNSET


def both(raw: bytes) -> tuple[str, Base64]:
    """Text and sibling in one go."""
    try:
        return raw.decode(), UNSET
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace"), to_base64(raw)


def to_base64(raw: bytes) -> str:
    """Base64 without line breaks (RFC 4648 §4)."""
    return pybase64.b64encode_as_string(raw)


def from_base64(text: str) -> bytes:
    """Strict base64. Raises ValueError."""
    return pybase64.b64decode(text.encode("ascii"), validate=True)


def is_text(raw: bytes) -> bool:
    """Whether a body is sent as text: valid UTF-8 without NUL."""
    if b"\0" in raw:
        return False
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def shown(raw: bytes) -> dict[str, str]:
    """A body for JSON: `text` or `base64`."""
    return {"text": raw.decode()} if is_text(raw) else {"base64": to_base64(raw)}


def macro_texts(macros: Mapping[bytes, bytes]) -> dict[str, str]:
    """Macros for JSON: names of one letter bare, longer ones in braces; `NAME_base64` where a value is not UTF-8."""
    texts: dict[str, str] = {}
    for pair in macros.items():
        texts.update(_macro_text(pair))
    return texts


@lru_cache(maxsize=256)
def _macro_text(pair: tuple[bytes, bytes]) -> tuple[tuple[str, str], ...]:
    """One of them; most are the same in many sessions."""
    name, value = pair
    key = readable(name)
    key = key if len(key) == 1 else "{" + key + "}"
    text, sibling = both(value)
    return ((key, text), (key + "_base64", sibling)) if isinstance(sibling, str) else ((key, text),)
