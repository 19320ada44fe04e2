"""The vocabulary of the wire as frozen values, without behaviour.

Commands come from the MTA. Of what goes back, a *reply* ends the MTA's wait and an *edit* changes the message; edits
travel only in front of the reply to the end of the message. All text is bytes, exactly as received.

They are structs rather than dataclasses because one is made for each packet, and a frozen dataclass takes five times
as long to make; without `gc`, since none of them can be part of a cycle.
"""

from msgspec import Struct

from gateway.milter.constants import Actions, MacroStage, Steps


class Negotiate(Struct, frozen=True, gc=False):
    """SMFIC_OPTNEG: the MTA's offer."""

    version: int
    actions: Actions
    steps: Steps


class Macros(Struct, frozen=True, gc=False):
    """SMFIC_MACRO: values that belong to the command which follows; `payload` is not decoded yet."""

    stage: bytes
    payload: bytes


class Connect(Struct, frozen=True, gc=False):
    """SMFIC_CONNECT: an SMTP client; `family` is one of b"U", b"L", b"4", b"6" (SMFIA_*)."""

    hostname: bytes
    family: bytes
    port: int
    address: bytes | None


class Helo(Struct, frozen=True, gc=False):
    """SMFIC_HELO: also for EHLO; may come again in one session."""

    name: bytes


class Mail(Struct, frozen=True, gc=False):
    """SMFIC_MAIL: the sender as the client typed it, normally in angle brackets, then ESMTP parameters."""

    sender: bytes
    params: tuple[bytes, ...] = ()


class Rcpt(Struct, frozen=True, gc=False):
    """SMFIC_RCPT: one recipient."""

    recipient: bytes
    params: tuple[bytes, ...] = ()


class Data(Struct, frozen=True, gc=False):
    """SMFIC_DATA: the client wants to send the content."""


class Header(Struct, frozen=True, gc=False):
    """SMFIC_HEADER: one field; the value keeps its leading space where Steps.LEADING_SPACE was agreed."""

    name: bytes
    value: bytes


class EndOfHeaders(Struct, frozen=True, gc=False):
    """SMFIC_EOH."""


class Body(Struct, frozen=True, gc=False):
    """SMFIC_BODY: a chunk of at most CHUNK_SIZE bytes."""

    chunk: bytes


class EndOfMessage(Struct, frozen=True, gc=False):
    """SMFIC_BODYEOB: may carry the last chunk of the body."""

    chunk: bytes = b""


class Unknown(Struct, frozen=True, gc=False):
    """SMFIC_UNKNOWN: an SMTP command that the MTA does not know."""

    command: bytes


class Abort(Struct, frozen=True, gc=False):
    """SMFIC_ABORT: ends the message, keeps the connection."""


class Quit(Struct, frozen=True, gc=False):
    """SMFIC_QUIT: ends the connection."""


class QuitNewConnection(Struct, frozen=True, gc=False):
    """SMFIC_QUIT_NC: ends the SMTP session, the socket stays for the next one."""


Message = (
    Connect | Helo | Mail | Rcpt | Data | Header | EndOfHeaders | Body | EndOfMessage | Unknown | Abort | Quit
) | QuitNewConnection
"""A command that means something for the SMTP session."""

AnyCommand = Negotiate | Macros | Message


class Agreement(Struct, frozen=True, gc=False):
    """The answer to OPTNEG: what both sides agreed on."""

    version: int
    actions: Actions
    steps: Steps
    macro_lists: tuple[tuple[MacroStage, tuple[bytes, ...]], ...] = ()


class Continue(Struct, frozen=True, gc=False):
    """SMFIR_CONTINUE."""


class Accept(Struct, frozen=True, gc=False):
    """SMFIR_ACCEPT: of this message, or at connect and helo of the whole session."""


class Reject(Struct, frozen=True, gc=False):
    """SMFIR_REJECT: 5xx with the MTA's own text (seen from other filters; ours always send ReplyCode)."""


class TempFail(Struct, frozen=True, gc=False):
    """SMFIR_TEMPFAIL: 4xx with the MTA's own text (seen from other filters)."""


class Discard(Struct, frozen=True, gc=False):
    """SMFIR_DISCARD: the client sees success, the message vanishes."""


class Skip(Struct, frozen=True, gc=False):
    """SMFIR_SKIP: no more body chunks."""


class Shutdown(Struct, frozen=True, gc=False):
    """SMFIR_SHUTDOWN and SMFIR_CONN_FAIL: seen from other filters, never sent by us."""


class ReplyCode(Struct, frozen=True, gc=False):
    """SMFIR_REPLYCODE: an SMTP reply, ready for the wire (lines joined, `%` doubled)."""

    text: bytes


class Progress(Struct, frozen=True, gc=False):
    """SMFIR_PROGRESS: still working; only while the end of the message is being answered."""


Reply = Continue | Accept | Reject | TempFail | Discard | Skip | Shutdown | ReplyCode


class AddHeader(Struct, frozen=True, gc=False):
    """SMFIR_ADDHEADER: appends a field."""

    name: bytes
    value: bytes


class InsertHeader(Struct, frozen=True, gc=False):
    """SMFIR_INSHEADER: `index` 0 is above everything, also above what the MTA hides from filters."""

    index: int
    name: bytes
    value: bytes


class ChangeHeader(Struct, frozen=True, gc=False):
    """SMFIR_CHGHEADER: `occurrence` counts fields of this name from 1; an empty value deletes."""

    occurrence: int
    name: bytes
    value: bytes


class ReplaceBody(Struct, frozen=True, gc=False):
    """SMFIR_REPLBODY: all chunks of one answer together are the new body."""

    chunk: bytes


class AddRecipient(Struct, frozen=True, gc=False):
    """SMFIR_ADDRCPT, or SMFIR_ADDRCPT_PAR where there are parameters."""

    address: bytes
    params: bytes | None = None


class DeleteRecipient(Struct, frozen=True, gc=False):
    """SMFIR_DELRCPT: the address as its RCPT command gave it."""

    address: bytes


class ChangeFrom(Struct, frozen=True, gc=False):
    """SMFIR_CHGFROM."""

    address: bytes
    params: bytes | None = None


class Quarantine(Struct, frozen=True, gc=False):
    """SMFIR_QUARANTINE: hold the message."""

    reason: bytes


Edit = AddHeader | InsertHeader | ChangeHeader | ReplaceBody | AddRecipient | DeleteRecipient | ChangeFrom | Quarantine
