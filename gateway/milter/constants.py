"""Numbers and letters of the protocol, with the names that libmilter gives them (mfdef.h, mfapi.h)."""

from enum import IntEnum, IntFlag

MIN_VERSION = 2
MAX_VERSION = 6

CHUNK_SIZE = 65535
"""MILTER_CHUNK_SIZE: body bytes in one BODY or REPLBODY packet."""

MAX_PAYLOAD = 65535
"""MILTER_MAX_DATA_SIZE: bytes after the code byte; we negotiate no larger size."""

INTERNAL_STEPS = 0x70000000
"""SMFI_INTERNAL: packet size bits (MDS_256K, MDS_1M), which we never ask for."""


class Actions(IntFlag):
    """SMFIF_*: what the filter may do to a message."""

    ADD_HEADERS = 0x001
    CHANGE_BODY = 0x002
    ADD_RECIPIENTS = 0x004
    DELETE_RECIPIENTS = 0x008
    CHANGE_HEADERS = 0x010
    QUARANTINE = 0x020
    CHANGE_FROM = 0x040
    ADD_RECIPIENTS_WITH_PARAMS = 0x080
    SET_MACRO_LISTS = 0x100


class Steps(IntFlag):
    """SMFIP_*: which events the MTA leaves out (NO_*) or does not wait for (NR_*)."""

    NO_CONNECT = 0x000001
    NO_HELO = 0x000002
    NO_MAIL = 0x000004
    NO_RCPT = 0x000008
    NO_BODY = 0x000010
    NO_HEADERS = 0x000020
    NO_END_OF_HEADERS = 0x000040
    NR_HEADER = 0x000080
    NO_UNKNOWN = 0x000100
    NO_DATA = 0x000200
    SKIP = 0x000400
    REJECTED_RECIPIENTS = 0x000800
    NR_CONNECT = 0x001000
    NR_HELO = 0x002000
    NR_MAIL = 0x004000
    NR_RCPT = 0x008000
    NR_DATA = 0x010000
    NR_UNKNOWN = 0x020000
    NR_END_OF_HEADERS = 0x040000
    NR_BODY = 0x080000
    LEADING_SPACE = 0x100000


class MacroStage(IntEnum):
    """SMFIM_*: the slots of the macro lists in the OPTNEG reply; not in the order of time."""

    CONNECT = 0
    HELO = 1
    MAIL = 2
    RCPT = 3
    DATA = 4
    END_OF_MESSAGE = 5
    END_OF_HEADERS = 6


class Command:
    """SMFIC_*: the first byte of a packet from the MTA."""

    NEGOTIATE = b"O"
    MACRO = b"D"
    CONNECT = b"C"
    HELO = b"H"
    MAIL = b"M"
    RCPT = b"R"
    DATA = b"T"
    HEADER = b"L"
    END_OF_HEADERS = b"N"
    BODY = b"B"
    END_OF_MESSAGE = b"E"
    UNKNOWN = b"U"
    ABORT = b"A"
    QUIT = b"Q"
    QUIT_NEW_CONNECTION = b"K"


class Response:
    """SMFIR_*: the first byte of a packet to the MTA."""

    NEGOTIATE = b"O"
    CONTINUE = b"c"
    ACCEPT = b"a"
    REJECT = b"r"
    TEMPFAIL = b"t"
    DISCARD = b"d"
    REPLY_CODE = b"y"
    SKIP = b"s"
    SHUTDOWN = b"4"
    CONNECTION_FAIL = b"f"
    ADD_HEADER = b"h"
    INSERT_HEADER = b"i"
    CHANGE_HEADER = b"m"
    REPLACE_BODY = b"b"
    ADD_RECIPIENT = b"+"
    ADD_RECIPIENT_WITH_PARAMS = b"2"
    DELETE_RECIPIENT = b"-"
    CHANGE_FROM = b"e"
    QUARANTINE = b"q"
    PROGRESS = b"p"
