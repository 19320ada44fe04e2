"""Mails for the tests of examples."""

from dataclasses import replace

from gateway.milter import messages as m
from gateway.mta.mail import Mail

PLAIN = b"From: Ann <ann@client.example>\r\nTo: bob@site.example\r\nSubject: Lunch?\r\n\r\nAt noon, as ever.\r\n"
PUT_OFF = "451 4.7.1 Try again later (session "
"""What the gateway itself says where an example fails."""


def mail(raw: bytes = PLAIN, *recipients: str, sender: str = "ann@client.example", client: str = "192.0.2.25") -> Mail:
    """A mail from outside."""
    return Mail(raw, sender, recipients or ("bob@site.example",), client=client)


def from_our_own(message: Mail, user: str = "ann") -> Mail:
    """The same from one who has logged in."""
    return replace(message, macros={"{auth_authen}": user, "{auth_type}": "PLAIN"})


def with_subject(subject: bytes) -> bytes:
    """A message with another subject."""
    return PLAIN.replace(b"Lunch?", subject)


def said(reply: m.Reply | None) -> str:
    """What the client is told."""
    assert isinstance(reply, m.ReplyCode), reply
    return reply.text.decode()


def fields(raw: bytes) -> list[tuple[str, str]]:
    """The header, unfolded."""
    header = raw.partition(b"\r\n\r\n")[0].decode().replace("\r\n\t", " ")
    return [(name, value) for name, _, value in (line.partition(": ") for line in header.split("\r\n"))]
