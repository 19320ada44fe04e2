"""The vocabulary of the wire as frozen values, without behaviour.

Commands come from the MTA. Of what goes back, a *reply* ends the MTA's wait and an *edit* changes the message; edits
travel only in front of the reply to the end of the message. All text is bytes, exactly as received.
"""

from dataclasses import dataclass

from gateway.milter.constants import Actions, MacroStage, Steps


@dataclass(frozen=True, slots=True)
class Negotiate:
    """SMFIC_OPTNEG: the MTA's offer."""

    version: int
    actions: Actions
    steps: Steps


@dataclass(frozen=True, slots=True)
class Macros:
    """SMFIC_MACRO: values that belong to the command which follows; `payload` is not decoded yet."""

    stage: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class Connect:
    """SMFIC_CONNECT: an SMTP client; `family` is one of b"U", b"L", b"4", b"6" (SMFIA_*)."""

    hostname: bytes
    family: bytes
    port: int
    address: bytes | None


@dataclass(frozen=True, slots=True)
class Helo:
    """SMFIC_HELO: also for EHLO; may come again in one session."""

    name: bytes


@dataclass(frozen=True, slots=True)
class Mail:
    """SMFIC_MAIL: the sender as the client typed it, normally in angle brackets, then ESMTP parameters."""

    sender: bytes
    params: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Rcpt:
    """SMFIC_RCPT: one recipient."""

    recipient: bytes
    params: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Data:
    """SMFIC_DATA: the client wants to send the content."""


@dataclass(frozen=True, slots=True)
class Header:
    """SMFIC_HEADER: one field; the value keeps its leading space where Steps.LEADING_SPACE was agreed."""

    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class EndOfHeaders:
    """SMFIC_EOH."""


@dataclass(frozen=True, slots=True)
class Body:
    """SMFIC_BODY: a chunk of at most CHUNK_SIZE bytes."""

    chunk: bytes


@dataclass(frozen=True, slots=True)
class EndOfMessage:
    """SMFIC_BODYEOB: may carry the last chunk of the body."""

    chunk: bytes = b""


@dataclass(frozen=True, slots=True)
class Unknown:
    """SMFIC_UNKNOWN: an SMTP command that the MTA does not know."""

    command: bytes


@dataclass(frozen=True, slots=True)
class Abort:
    """SMFIC_ABORT: ends the message, keeps the connection."""


@dataclass(frozen=True, slots=True)
class Quit:
    """SMFIC_QUIT: ends the connection."""


@dataclass(frozen=True, slots=True)
class QuitNewConnection:
    """SMFIC_QUIT_NC: ends the SMTP session, the socket stays for the next one."""


Message = (
    Connect | Helo | Mail | Rcpt | Data | Header | EndOfHeaders | Body | EndOfMessage | Unknown | Abort | Quit
) | QuitNewConnection
"""A command that means something for the SMTP session."""

AnyCommand = Negotiate | Macros | Message


@dataclass(frozen=True, slots=True)
class Agreement:
    """The answer to OPTNEG: what both sides agreed on."""

    version: int
    actions: Actions
    steps: Steps
    macro_lists: tuple[tuple[MacroStage, tuple[bytes, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Continue:
    """SMFIR_CONTINUE."""


@dataclass(frozen=True, slots=True)
class Accept:
    """SMFIR_ACCEPT: of this message, or at connect and helo of the whole session."""


@dataclass(frozen=True, slots=True)
class Reject:
    """SMFIR_REJECT: 5xx with the MTA's own text (seen from other filters; ours always send ReplyCode)."""


@dataclass(frozen=True, slots=True)
class TempFail:
    """SMFIR_TEMPFAIL: 4xx with the MTA's own text (seen from other filters)."""


@dataclass(frozen=True, slots=True)
class Discard:
    """SMFIR_DISCARD: the client sees success, the message vanishes."""


@dataclass(frozen=True, slots=True)
class Skip:
    """SMFIR_SKIP: no more body chunks."""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """SMFIR_SHUTDOWN and SMFIR_CONN_FAIL: seen from other filters, never sent by us."""


@dataclass(frozen=True, slots=True)
class ReplyCode:
    """SMFIR_REPLYCODE: an SMTP reply, ready for the wire (lines joined, `%` doubled)."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Progress:
    """SMFIR_PROGRESS: still working; only while the end of the message is being answered."""


Reply = Continue | Accept | Reject | TempFail | Discard | Skip | Shutdown | ReplyCode


@dataclass(frozen=True, slots=True)
class AddHeader:
    """SMFIR_ADDHEADER: appends a field."""

    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class InsertHeader:
    """SMFIR_INSHEADER: `index` 0 is above everything, also above what the MTA hides from filters."""

    index: int
    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class ChangeHeader:
    """SMFIR_CHGHEADER: `occurrence` counts fields of this name from 1; an empty value deletes."""

    occurrence: int
    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class ReplaceBody:
    """SMFIR_REPLBODY: all chunks of one answer together are the new body."""

    chunk: bytes


@dataclass(frozen=True, slots=True)
class AddRecipient:
    """SMFIR_ADDRCPT, or SMFIR_ADDRCPT_PAR where there are parameters."""

    address: bytes
    params: bytes | None = None


@dataclass(frozen=True, slots=True)
class DeleteRecipient:
    """SMFIR_DELRCPT: the address as its RCPT command gave it."""

    address: bytes


@dataclass(frozen=True, slots=True)
class ChangeFrom:
    """SMFIR_CHGFROM."""

    address: bytes
    params: bytes | None = None


@dataclass(frozen=True, slots=True)
class Quarantine:
    """SMFIR_QUARANTINE: hold the message."""

    reason: bytes


Edit = AddHeader | InsertHeader | ChangeHeader | ReplaceBody | AddRecipient | DeleteRecipient | ChangeFrom | Quarantine
