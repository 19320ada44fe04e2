r"""What happened to a mail, as lines for people: events and answers, the verdict, the changes as a diff.

Bytes that are not UTF-8 and characters that a terminal would obey are shown as escapes (`\xe9`), never dropped.
"""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping

from gateway.contract.words import Op
from gateway.mail.address import strip_brackets
from gateway.mail.fields import Field, header_bytes
from gateway.milter import messages as m
from gateway.mta.mail import Mail, split_as_queued
from gateway.mta.outcome import Result, told
from gateway.mta.player import Exchanged, Played
from gateway.mta.report import changes_json
from gateway.translate.terms import EVENT_OF, offered_ops
from gateway.translate.text import plain, readable_bytes

_EVENT_WIDTH = 15
_FACT_WIDTH = 38
_LINE = re.compile(rb"[^\n]*\n|[^\n]+")
_DIFF_HEAD = 2
"""Lines that name both sides."""


def exchange_lines(exchanged: Exchanged) -> Iterator[str]:
    """One event with its answer, and the changes that came with it."""
    command = exchanged.command
    event = EVENT_OF[type(command)]
    yield row(event, _fact(command), _answer(exchanged))
    body = sum(len(edit.chunk) for edit in exchanged.edits if isinstance(edit, m.ReplaceBody))
    for change in changes_json(list(exchanged.edits), leading_space=True):
        yield f"{'':{_EVENT_WIDTH}} {_change_text(change, body)}"


def row(event: str, fact: str, answer: str) -> str:
    """One line of the timeline."""
    return f"{event:{_EVENT_WIDTH}} {fact:{_FACT_WIDTH}} {answer}".rstrip()


def verdict_lines(played: Played) -> Iterator[str]:
    """The verdict, and what an SMTP client would be told."""
    yield f"verdict: {played.verdict}"
    if told(played.reply) is not None:
        yield f"reply: {reply_text(played.reply)}"
    if played.result.quarantine is not None:
        yield f"quarantine: {plain(played.result.quarantine)}"


def reply_text(reply: m.Reply | m.Agreement | None) -> str:
    """A reply in words; the lines of one with many have a slash between them."""
    words = told(reply) if not isinstance(reply, m.Agreement) else None
    if words is not None:
        code, enhanced, lines = words
        start = f"{code} {enhanced} " if enhanced else f"{code} "
        return plain(start + " / ".join(lines)).rstrip()
    return type(reply).__name__.lower()


def change_lines(mail: Mail, result: Result) -> Iterator[str]:
    """The envelope where it was changed, then the message as a unified diff."""
    sender, recipients = mail.spelled_envelope()
    if result.sender != sender:
        yield f"envelope from: {readable_bytes(sender)} -> {readable_bytes(result.sender)}"
    if result.recipients != recipients:
        yield f"envelope to: {_listed(recipients)} -> {_listed(result.recipients)}"
    lines = list(diff(original(mail), result.message()))
    if not lines:
        yield "message: unchanged"
    yield from lines


def original(mail: Mail) -> bytes:
    """The message as the MTA has it before the milter."""
    fields, body = split_as_queued(mail.raw)
    return header_bytes([Field(*item) for item in fields]) + body


def diff(before: bytes, after: bytes) -> Iterator[str]:
    """A unified diff of two messages. Lines end in CRLF; where one does not, that is said."""
    lines = difflib.diff_bytes(
        difflib.unified_diff, _LINE.findall(before), _LINE.findall(after), b"before", b"after", lineterm=b""
    )
    for number, line in enumerate(lines):
        if number < _DIFF_HEAD or line[:2] == b"@@":
            yield line.decode("ascii")
        elif line[-2:] == b"\r\n":
            yield readable_bytes(line[:-2])
        else:
            yield readable_bytes(line.removesuffix(b"\n")) + " \\ no CRLF at the end"


def _listed(addresses: list[bytes]) -> str:
    return ", ".join(map(readable_bytes, addresses)) or "nobody"


def _answer(exchanged: Exchanged) -> str:
    reply = exchanged.reply
    if isinstance(reply, m.Agreement):
        ops = ", ".join(offered_ops(reply.actions)) or "nothing"
        return f"version {reply.version}; may change: {ops}"
    if reply is None:
        return "(no answer wanted)" if exchanged.sent else "(not wanted)"
    return reply_text(reply)


def _change_text(change: Mapping[str, object], body_bytes: int) -> str:
    if change["op"] == Op.REPLACE_BODY:
        return f"{Op.REPLACE_BODY} {body_bytes} bytes"
    facts = {key: value for key, value in change.items() if key != "op"}
    said = " ".join(f"{key}={value}" if key in ("at", "nth") else f"{value}" for key, value in facts.items())
    return plain(f"{change['op']} {said}".rstrip())


def _fact(command: m.Message | m.Negotiate) -> str:
    describe = _FACTS.get(type(command))
    return "" if describe is None else describe(command)


def _envelope_fact(address: bytes) -> str:
    return readable_bytes(b"<" + strip_brackets(address) + b">")


_FACTS: Mapping[type, Callable[..., str]] = {
    m.Connect: lambda it: readable_bytes(b"%s [%s]" % (it.hostname, it.address or b"")),
    m.Helo: lambda it: readable_bytes(it.name),
    m.Mail: lambda it: _envelope_fact(it.sender),
    m.Rcpt: lambda it: _envelope_fact(it.recipient),
    m.Header: lambda it: readable_bytes(it.name + b": " + it.value.strip().partition(b"\n")[0])[:_FACT_WIDTH],
    m.Body: lambda it: f"{len(it.chunk)} bytes",
}
