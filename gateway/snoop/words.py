"""The names of commands, replies and flags: libmilter's (mfdef.h, mfapi.h, without their prefix) beside ours."""

from collections.abc import Mapping
from enum import StrEnum

from gateway.contract.words import Action, Event, Op
from gateway.milter.constants import Command, MacroStage, Response


class Side(StrEnum):
    """Who said it."""

    MTA = "mta"
    MILTER = "milter"


COMMANDS: Mapping[bytes, tuple[str, str]] = {
    Command.NEGOTIATE: ("OPTNEG", Event.NEGOTIATE),
    Command.MACRO: ("MACRO", "macros"),
    Command.CONNECT: ("CONNECT", Event.CONNECT),
    Command.HELO: ("HELO", Event.HELO),
    Command.MAIL: ("MAIL", Event.MAIL),
    Command.RCPT: ("RCPT", Event.RCPT),
    Command.DATA: ("DATA", Event.DATA),
    Command.HEADER: ("HEADER", Event.HEADER),
    Command.END_OF_HEADERS: ("EOH", Event.END_OF_HEADERS),
    Command.BODY: ("BODY", Event.BODY),
    Command.END_OF_MESSAGE: ("BODYEOB", Event.END_OF_MESSAGE),
    Command.UNKNOWN: ("UNKNOWN", Event.UNKNOWN),
    Command.ABORT: ("ABORT", Event.ABORT),
    Command.QUIT: ("QUIT", Event.DISCONNECT),
    Command.QUIT_NEW_CONNECTION: ("QUIT_NC", Event.DISCONNECT),
}
RESPONSES: Mapping[bytes, tuple[str, str]] = {
    Response.NEGOTIATE: ("OPTNEG", Event.NEGOTIATE),
    Response.CONTINUE: ("CONTINUE", Action.CONTINUE),
    Response.ACCEPT: ("ACCEPT", Action.ACCEPT),
    Response.REJECT: ("REJECT", Action.REJECT),
    Response.TEMPFAIL: ("TEMPFAIL", Action.TEMPFAIL),
    Response.DISCARD: ("DISCARD", Action.DISCARD),
    Response.REPLY_CODE: ("REPLYCODE", "reply"),
    Response.SKIP: ("SKIP", Action.SKIP),
    Response.SHUTDOWN: ("SHUTDOWN", Action.DISCONNECT),
    Response.CONNECTION_FAIL: ("CONN_FAIL", Action.DISCONNECT),
    Response.PROGRESS: ("PROGRESS", "progress"),
    Response.ADD_HEADER: ("ADDHEADER", Op.ADD_HEADER),
    Response.INSERT_HEADER: ("INSHEADER", Op.ADD_HEADER),
    Response.CHANGE_HEADER: ("CHGHEADER", Op.CHANGE_HEADER),
    Response.REPLACE_BODY: ("REPLBODY", Op.REPLACE_BODY),
    Response.ADD_RECIPIENT: ("ADDRCPT", Op.ADD_RCPT),
    Response.ADD_RECIPIENT_WITH_PARAMS: ("ADDRCPT_PAR", Op.ADD_RCPT),
    Response.DELETE_RECIPIENT: ("DELRCPT", Op.DELETE_RCPT),
    Response.CHANGE_FROM: ("CHGFROM", Op.CHANGE_FROM),
    Response.QUARANTINE: ("QUARANTINE", Op.QUARANTINE),
}
NAMES: Mapping[Side, Mapping[bytes, tuple[str, str]]] = {Side.MTA: COMMANDS, Side.MILTER: RESPONSES}

BODIES: Mapping[Side, bytes] = {Side.MTA: Command.BODY + Command.END_OF_MESSAGE, Side.MILTER: Response.REPLACE_BODY}
"""The packets that hold a part of a body."""

EMPTY: Mapping[Side, bytes] = {
    Side.MTA: b"".join(
        (
            Command.DATA,
            Command.END_OF_HEADERS,
            Command.ABORT,
            Command.QUIT,
            Command.QUIT_NEW_CONNECTION,
        )
    ),
    Side.MILTER: b"".join(
        (
            Response.CONTINUE,
            Response.ACCEPT,
            Response.REJECT,
            Response.TEMPFAIL,
            Response.DISCARD,
            Response.SKIP,
            Response.SHUTDOWN,
            Response.CONNECTION_FAIL,
            Response.PROGRESS,
        )
    ),
}
"""The packets that hold nothing beside their code."""

_ACTIONS = (
    "ADDHDRS",
    "CHGBODY",
    "ADDRCPT",
    "DELRCPT",
    "CHGHDRS",
    "QUARANTINE",
    "CHGFROM",
    "ADDRCPT_PAR",
    "SETSYMLIST",
)
_STEPS = (
    *("NOCONNECT", "NOHELO", "NOMAIL", "NORCPT", "NOBODY", "NOHDRS", "NOEOH"),
    *("NR_HDR", "NOUNKNOWN", "NODATA", "SKIP", "RCPT_REJ"),
    *("NR_CONN", "NR_HELO", "NR_MAIL", "NR_RCPT", "NR_DATA", "NR_UNKN", "NR_EOH", "NR_BODY", "HDR_LEADSPC"),
)
ACTIONS: Mapping[int, str] = {1 << bit: name for bit, name in enumerate(_ACTIONS)}
"""SMFIF_*."""
STEPS: Mapping[int, str] = {1 << bit: name for bit, name in enumerate(_STEPS)} | {
    0x10000000: "MDS_256K",
    0x20000000: "MDS_1M",
}
"""SMFIP_*."""

STAGES: Mapping[int, str] = {
    MacroStage.CONNECT: "CONNECT",
    MacroStage.HELO: "HELO",
    MacroStage.MAIL: "ENVFROM",
    MacroStage.RCPT: "ENVRCPT",
    MacroStage.DATA: "DATA",
    MacroStage.END_OF_MESSAGE: "EOM",
    MacroStage.END_OF_HEADERS: "EOH",
}
"""SMFIM_*: the lists of macros that a milter asks for."""


def flags(bits: int, names: Mapping[int, str]) -> list[str]:
    """The names of the bits that are set; what has no name is shown in hexadecimal."""
    known = [name for bit, name in names.items() if bits & bit]
    rest = bits & ~sum(names)
    return [*known, f"{rest:#x}"] if rest else known
