"""What the fields of a message say: addresses, dates, ids (RFC 5322)."""

import re
from collections.abc import Sequence
from datetime import datetime
from email import utils
from email.utils import parsedate_to_datetime

from gateway.contract import request as r
from gateway.translate.mime.encodings import Note
from gateway.translate.mime.words import FAULTS, words

_ADDRESS_BYTES = 256 * 1024
"""What is looked at of all fields of one name together."""
_IDS_BYTES = 64 * 1024
_ID = re.compile(r"<([^<>]*)>")
_STRICT = {"strict": False} if getattr(utils, "supports_strict_parsing", False) else {}
"""Newer versions refuse a whole list for one bad address otherwise."""


def mailboxes(values: Sequence[str], note: Note) -> list[r.Mailbox]:
    """The addresses of all fields of a name; those of a group stand by themselves."""
    text = ", ".join(values)
    if len(text) > _ADDRESS_BYTES:
        note("more addresses than are read")
        text = text[:_ADDRESS_BYTES].rpartition(",")[0]
    try:
        pairs = utils.getaddresses([text], **_STRICT)
    except FAULTS:
        note("no list of addresses")
        return []
    found = [r.Mailbox(words(name, note) or None, words(address, note)) for name, address in pairs if name or address]
    if any("@" not in item.email for item in found):
        note("an address without @")
    return found


def moment(value: str, note: Note) -> str | None:
    """A date as RFC 3339."""
    try:
        found = parsedate_to_datetime(value[:200])
    except FAULTS:
        note("no date")
        return None
    return _rfc3339(found)


def _rfc3339(found: datetime) -> str:
    if found.tzinfo is None:  # -0000: the time is UTC, the place is not told
        return found.isoformat() + "Z"
    return found.isoformat().replace("+00:00", "Z")


def ids(value: str, note: Note) -> str | None:
    """Message ids without their brackets, with a blank between them."""
    found = [item.strip() for item in _ID.findall(value[:_IDS_BYTES])]
    if not found:
        note("no message id in angle brackets")
        found = value[:_IDS_BYTES].split()
    return words(" ".join(item for item in found if item), note) or None


def subject(value: str, note: Note) -> str:
    """A subject in one line."""
    return words(value, note)
