"""What became of a mail: the verdict, and the message and envelope after the changes, as Postfix applies them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.mail.address import in_brackets, strip_brackets
from gateway.mail.fields import Field, header_bytes
from gateway.milter import messages as m
from gateway.milter.smtp_reply import read_reply


class Verdict(StrEnum):
    """How it ended; `error`: the milter broke the protocol, fell silent or went away."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    TEMPFAILED = "tempfailed"
    DISCARDED = "discarded"
    QUARANTINED = "quarantined"
    ERROR = "error"


def verdict_of(reply: m.Reply) -> Verdict:
    """The verdict that a final reply means."""
    match reply:
        case m.ReplyCode():
            return Verdict.REJECTED if reply.text[:1] == b"5" else Verdict.TEMPFAILED
        case m.Reject():
            return Verdict.REJECTED
        case m.TempFail() | m.Shutdown():
            return Verdict.TEMPFAILED
        case m.Discard():
            return Verdict.DISCARDED
        case m.Accept() | m.Continue() | m.Skip():
            return Verdict.ACCEPTED


_OWN_WORDS: Mapping[type, tuple[int, str, str]] = {
    m.Reject: (550, "5.7.1", "Command rejected"),
    m.TempFail: (451, "4.7.1", "Service unavailable - try again later"),
    m.Shutdown: (421, "4.7.0", "Closing connection"),
}
"""What Postfix says where a milter leaves the words to it."""


def told(reply: m.Reply | None) -> tuple[int, str | None, list[str]] | None:
    """Code, enhanced code and lines that an SMTP client would be told; None where it is told of no refusal."""
    if isinstance(reply, m.ReplyCode):
        return read_reply(reply)
    words = _OWN_WORDS.get(type(reply))
    return None if words is None else (words[0], words[1], [words[2]])


def once(recipients: list[bytes]) -> list[bytes]:
    """Each recipient once, as an MTA delivers: letters of either case are the same."""
    first: dict[bytes, bytes] = {}
    for item in recipients:
        first.setdefault(item.lower(), item)
    return list(first.values())


def ends_session(reply: m.Reply) -> bool:
    """Whether the MTA hangs up on the client afterwards (RFC 5321 §3.8)."""
    return isinstance(reply, m.Shutdown) or (isinstance(reply, m.ReplyCode) and reply.text[:3] == b"421")


@dataclass(slots=True)
class Result:
    """The mail as the MTA would pass it on."""

    sender: bytes
    recipients: list[bytes]
    fields: list[Field]
    body: bytes
    leading_space: bool = False
    """Whether values in edits bring their leading space along (Steps.LEADING_SPACE)."""
    quarantine: str | None = None
    replaced: list[bytes] = field(default_factory=list)
    edits: list[m.Edit] = field(default_factory=list)

    def apply(self, edits: list[m.Edit]) -> None:
        """Apply the edits of a milter in the order in which they came."""
        for edit in edits:
            self.edits.append(edit)
            _APPLY[type(edit)](self, edit)
        self.recipients = once(self.recipients)
        if self.replaced:
            self.body, self.replaced = _of_lines(b"".join(self.replaced)), []

    def message(self) -> bytes:
        """The raw message."""
        return header_bytes(self.fields) + self.body

    def _raw(self, value: bytes) -> bytes:
        return value if self.leading_space else b" " + value

    def _add(self, edit: m.AddHeader) -> None:
        self.fields.append(Field(edit.name, self._raw(edit.value)))

    def _insert(self, edit: m.InsertHeader) -> None:
        # the MTA's own Received, which milters do not see, stands at 0
        self.fields.insert(max(edit.index - 1, 0), Field(edit.name, self._raw(edit.value)))

    def _change(self, edit: m.ChangeHeader) -> None:
        named = [at for at, item in enumerate(self.fields) if item.named(edit.name)]
        number = max(edit.occurrence, 1)
        if number > len(named):
            if edit.value:
                self.fields.append(Field(edit.name, self._raw(edit.value)))
        elif edit.value:
            self.fields[named[number - 1]] = Field(edit.name, self._raw(edit.value))
        else:
            del self.fields[named[number - 1]]

    def _replace(self, edit: m.ReplaceBody) -> None:
        self.replaced.append(edit.chunk)

    def _add_recipient(self, edit: m.AddRecipient) -> None:
        self.recipients.append(in_brackets(strip_brackets(edit.address)))

    def _delete_recipient(self, edit: m.DeleteRecipient) -> None:
        gone = strip_brackets(edit.address)
        self.recipients = [item for item in self.recipients if strip_brackets(item) != gone]

    def _change_from(self, edit: m.ChangeFrom) -> None:
        self.sender = in_brackets(strip_brackets(edit.address))

    def _quarantine(self, edit: m.Quarantine) -> None:
        self.quarantine = edit.reason.decode("utf-8", "replace")


def _of_lines(body: bytes) -> bytes:
    """A new body as Postfix takes it: LF ends a line, with or without CR, and so does the end."""
    if not body:
        return body
    lines = body.removesuffix(b"\n").split(b"\n")
    last = lines.pop() if not body.endswith(b"\n") else None
    ended = [line.removesuffix(b"\r") for line in lines]
    return b"".join(line + b"\r\n" for line in (ended if last is None else [*ended, last]))


_APPLY: Mapping[type, Callable[..., None]] = {
    m.AddHeader: Result._add,
    m.InsertHeader: Result._insert,
    m.ChangeHeader: Result._change,
    m.ReplaceBody: Result._replace,
    m.AddRecipient: Result._add_recipient,
    m.DeleteRecipient: Result._delete_recipient,
    m.ChangeFrom: Result._change_from,
    m.Quarantine: Result._quarantine,
}
