"""The mail that the tests send, and what of it arrives."""

import re

from .sink import Received

Lines = list[bytes]
OWN_RECEIVED = re.compile(rb"^Received:[^\n]*\n(?:[ \t][^\n]*\n)*", re.MULTILINE)


def lines_of(subject: str, *more: bytes) -> Lines:
    """A header that no mail server completes: one item for each field, folds and all, without its line end."""
    return [
        b"From: Ann <ann@client.example>",
        b"To: Bob <bob@site.example>",
        b"Date: Mon, 23 Nov 2026 09:20:03 +0000",
        f"Message-Id: <{subject}@client.example>".encode(),
        f"Subject: {subject}".encode(),
        *more,
    ]


def joined(lines: Lines, body: bytes) -> bytes:
    """The message with these header fields."""
    return b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def mail(subject: str, *more: bytes, body: bytes = b"hello\r\n") -> bytes:
    """A complete message; ``more`` are further header fields."""
    return joined(lines_of(subject, *more), body)


def without_received(received: Received) -> bytes:
    """The message as delivered, less the one Received field that the mail server put in."""
    content, count = OWN_RECEIVED.subn(b"", received.content)
    assert count == 1, f"{count} Received fields in {received.content[:2000]!r}"
    return content


def lines_received(received: Received) -> Lines:
    """Its header fields, with folds, less that Received field."""
    head = without_received(received).partition(b"\r\n\r\n")[0]
    return re.split(rb"\r\n(?![ \t])", head)
