"""What is printed of each packet: for people, and for programs."""

import json
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from milter.milter_vectors import AGREEMENTS, COMMANDS, EDITS, REPLIES, packet

from gateway.milter.constants import Command, Response
from gateway.snoop.decode import agreed_leading_space
from gateway.snoop.frames import LARGEST, PREVIEW, Framer, Packet, Piece
from gateway.snoop.lines import Heard, Notice, renderer
from gateway.snoop.words import ACTIONS, BODIES, NAMES, STEPS, Side, flags

STARTED = datetime(2026, 11, 22, tzinfo=UTC)


def heard(side: Side, raw: bytes, *, full: bool = False, space: bool = False, waited: float | None = None) -> Heard:
    (piece,) = Framer(BODIES[side], LARGEST if full else PREVIEW).feed(raw)
    return Heard(1.5, 3, side, piece, waited, space)


def text(side: Side, raw: bytes, *, full: bool = False, space: bool = False, waited: float | None = None) -> str:
    """The line less what all have in common, blanks squeezed."""
    render = renderer(as_json=False, full=full, colour=False, started=STARTED)
    printed = render(heard(side, raw, full=full, space=space, waited=waited)).decode()
    start = "    1.500 #3   " + {Side.MTA: "--> ", Side.MILTER: "<-- "}[side]
    assert printed.startswith(start)
    assert printed.endswith("\n")
    return " ".join(printed.removeprefix(start).split())


def facts(side: Side, raw: bytes, *, full: bool = False, space: bool = False) -> Mapping[str, Any]:
    render = renderer(as_json=True, full=full, colour=False, started=STARTED)
    printed = render(heard(side, raw, full=full, space=space))
    assert printed.isascii()
    assert printed.count(b"\n") == 1
    shown: dict[str, Any] = json.loads(printed)
    assert (shown["seconds"], shown["connection"], shown["event"], shown["from"]) == (1.5, 3, "packet", side)
    return shown


ALL_ACTIONS = "ADDHDRS CHGBODY ADDRCPT DELRCPT CHGHDRS QUARANTINE CHGFROM ADDRCPT_PAR SETSYMLIST"
ALL_STEPS = (
    "NOCONNECT NOHELO NOMAIL NORCPT NOBODY NOHDRS NOEOH NR_HDR NOUNKNOWN NODATA SKIP RCPT_REJ NR_CONN NR_HELO"
    " NR_MAIL NR_RCPT NR_DATA NR_UNKN NR_EOH NR_BODY HDR_LEADSPC"
)
OF_MTA = [
    f"OPTNEG negotiate version 6 actions {ALL_ACTIONS} steps {ALL_STEPS}",
    "MACRO macros for CONNECT: j=mx",
    "MACRO macros for HELO: none",
    "CONNECT connect mx.test [192.0.2.1] port 25, inet",
    "CONNECT connect v6 [2001:db8::1] port 50000, inet6",
    "CONNECT connect localhost [/run/s], unix",
    "CONNECT connect localhost [], unknown",
    "HELO helo c.test",
    "HELO helo",
    "MAIL mail <a@x> SIZE=100 BODY=8BITMIME",
    "MAIL mail <>",
    "RCPT rcpt <b@y>",
    r"RCPT rcpt <\xff@y> NOTIFY=NEVER",
    "DATA data",
    r"HEADER header Subject: hi\n there",
    "HEADER header X:",
    "EOH end_of_headers",
    r"BODY body 5 bytes: a\x00b\r\n",
    "BODYEOB end_of_message",
    "BODYEOB end_of_message 4 bytes: last",
    "UNKNOWN unknown FOO bar",
    "UNKNOWN unknown",
    "ABORT abort",
    "QUIT disconnect",
    "QUIT_NC disconnect",
]
OF_MILTER = [
    "OPTNEG negotiate version 2 actions ADDHDRS CHGBODY ADDRCPT DELRCPT CHGHDRS QUARANTINE steps none",
    (
        f"OPTNEG negotiate version 6 actions {ALL_ACTIONS} steps SKIP HDR_LEADSPC"
        " macros at CONNECT: j {client_addr} macros at EOM: i"
    ),
    "CONTINUE continue",
    "ACCEPT accept",
    "REJECT reject",
    "TEMPFAIL tempfail",
    "DISCARD discard",
    "SKIP skip",
    "SHUTDOWN disconnect",
    "REPLYCODE reject 550 5.7.1 No",
    "PROGRESS progress",
    "ADDHEADER add_header X-A:v",
    "ADDHEADER add_header X-A:",
    "INSHEADER add_header at 0: X-A:v",
    "INSHEADER add_header at 16909060: X-A:v",
    "CHGHEADER change_header number 2: X-A:w",
    "CHGHEADER delete_header X-A, number 1",
    r"REPLBODY replace_body 4 bytes: new\x00",
    "REPLBODY replace_body 0 bytes:",
    "ADDRCPT add_rcpt <c@z>",
    "ADDRCPT_PAR add_rcpt <c@z> NOTIFY=NEVER",
    "DELRCPT delete_rcpt <b@y>",
    "CHGFROM change_from <>",
    "CHGFROM change_from <z@x> RET=HDRS",
    "QUARANTINE quarantine why",
]
EVERY_PACKET = [(Side.MTA, raw, line) for (_, raw), line in zip(COMMANDS, OF_MTA, strict=True)] + [
    (Side.MILTER, raw, line) for (_, raw), line in zip([*AGREEMENTS, *REPLIES, *EDITS], OF_MILTER, strict=True)
]


@pytest.mark.parametrize(("side", "raw", "line"), EVERY_PACKET, ids=[line for _, _, line in EVERY_PACKET])
def test_every_packet_is_printed_in_words(side: Side, raw: bytes, line: str) -> None:
    assert text(side, raw, space=True) == line
    shown = facts(side, raw, space=True)
    assert [shown["command"], shown["name"]] == line.split()[:2]
    assert (shown["bytes"], shown["fault"]) == (len(raw) - 5, None)


def test_every_command_of_the_protocol_has_its_names() -> None:
    codes = {value for name, value in vars(Command).items() if name.isupper()}
    assert set(NAMES[Side.MTA]) == codes
    assert set(NAMES[Side.MILTER]) == {value for name, value in vars(Response).items() if name.isupper()}


def test_flags_without_a_name_are_shown_as_numbers() -> None:
    assert flags(0x1 | 0x800, ACTIONS) == ["ADDHDRS", "0x800"]
    assert flags(0x10000000 | 0x40000000, STEPS) == ["MDS_256K", "0x40000000"]


def test_a_value_without_its_space_is_shown_as_it_would_stand_in_the_mail() -> None:
    raw = packet(b"LSubject\0hi\0")
    assert text(Side.MTA, raw) == "HEADER header Subject: hi"
    assert text(Side.MTA, raw, space=True) == "HEADER header Subject:hi"
    assert facts(Side.MTA, raw)["data"] == {"name": "Subject", "value": "hi"}


@pytest.mark.parametrize(
    ("raw", "agreed"), [(AGREEMENTS[0][1], False), (AGREEMENTS[1][1], True), (packet(b"O\0\0"), False)]
)
def test_the_leading_space_is_known_from_the_negotiation(raw: bytes, agreed: bool) -> None:
    (piece,) = Framer().feed(raw)
    assert isinstance(piece, Packet)
    assert agreed_leading_space(piece) is agreed


def test_a_reply_has_its_code_and_all_lines_and_says_how_long_it_took() -> None:
    raw = packet(b"y451-4.7.1 50%% sure\r\n451 4.7.1 Ask again\0")
    assert text(Side.MILTER, raw, waited=0.0123) == "REPLYCODE tempfail 451 4.7.1 50% sure / Ask again [12.3 ms]"
    assert facts(Side.MILTER, raw)["data"] == {"code": 451, "enhanced": "4.7.1", "text": ["50% sure", "Ask again"]}
    assert facts(Side.MILTER, packet(b"y421 4.7.0 Bye\0"))["name"] == "disconnect"


def test_bytes_that_are_no_text_are_exact_in_json() -> None:
    data = facts(Side.MTA, packet(b"R<\xff@y>\0"))["data"]
    assert data == {"address": "\ufffd@y", "address_base64": "/0B5", "params": {}}
    assert facts(Side.MTA, packet(b"B\xff"))["data"] == {"size": 1, "base64": "/w==", "truncated": False}


def test_macros_are_named_with_the_stage_that_they_belong_to() -> None:
    raw = packet(b"DMi\0Q1\0{mail_addr}\0a@x\0")
    assert text(Side.MTA, raw) == "MACRO macros for MAIL: i=Q1 {mail_addr}=a@x"
    assert facts(Side.MTA, raw)["data"] == {"for": "mail", "macros": {"i": "Q1", "{mail_addr}": "a@x"}}


def test_of_a_body_the_beginning_is_shown_and_all_of_it_where_that_is_wanted() -> None:
    raw = packet(b"B" + b"0123456789\r\n" * 100 + b"lone\rbreaks\n")
    assert text(Side.MTA, raw).endswith("1212 bytes: " + r"0123456789\r\n" * 5 + r"0123456789\r\n012345678"[:10] + "…")
    assert facts(Side.MTA, raw)["data"]["truncated"] is True
    full = text(Side.MTA, raw, full=True)
    assert full.count("| 0123456789") == 100
    assert full.endswith(r"| lone\rbreaks\n")
    assert facts(Side.MTA, raw, full=True)["data"]["text"].endswith("lone\rbreaks\n")


def test_a_long_value_is_cut_unless_it_is_wanted_whole() -> None:
    raw = packet(b"LX\0" + b"y" * 5000 + b"\0")
    assert text(Side.MTA, raw).endswith("y… (5003 characters)")
    assert text(Side.MTA, raw, full=True).endswith("y" * 5000)


@pytest.mark.parametrize(
    ("side", "raw", "line"),
    [
        (Side.MTA, b"\0\0\0\0", "? nothing (a packet of length 0: not even a command byte is in it)"),
        (Side.MTA, packet(b"Zab\n"), r"? unknown to us ab\n ('Z' is no command that the MTA can send)"),
        (Side.MILTER, packet(b"\x1b"), r"? unknown to us ('\\x1b' is no command that the milter can send)"),
        (Side.MTA, packet(b"O\0"), r"OPTNEG negotiate \x00 (OPTNEG with 1 bytes, 12 are needed)"),
        (Side.MTA, packet(b"M<a>"), "MAIL mail <a> (MAIL does not end in NUL)"),
        (Side.MTA, packet(b"C"), "CONNECT connect (CONNECT without an address family)"),
        (Side.MTA, packet(b"DCj\0mx"), r"MACRO macros Cj\x00mx (the macros for CONNECT do not end in NUL, so nobody"),
        (Side.MTA, packet(b"Tx"), "DATA data (1 bytes behind it do not belong there)"),
        (Side.MILTER, packet(b"y250 ok\0"), r"REPLYCODE reply 250 ok\x00 (this is no SMTP refusal)"),
        (Side.MILTER, packet(b"hX\0"), r"ADDHEADER add_header X\x00 (ADDHEADER with 1 strings)"),
        (Side.MTA, packet(b"L" + b"x" * 70_000), "HEADER header " + "x" * 256 + "… (larger than a packet of this kind"),
    ],
)
def test_what_is_wrong_with_a_packet_is_said(side: Side, raw: bytes, line: str) -> None:
    assert text(side, raw).startswith(line)
    assert facts(side, raw)["fault"]


def test_a_lost_frame_is_told_once_and_then_bytes_are_shown() -> None:
    render = renderer(as_json=False, full=False, colour=False, started=STARTED)
    lost, raw = Framer().feed(b"220 mx\x1b[2J ESMTP\r\n")
    assert b"this is no milter packet, so all that follows is shown as it is" in render(Heard(0, 1, Side.MILTER, lost))
    assert render(Heard(0, 1, Side.MILTER, raw)).split(b"raw")[1].split(b"[")[0].strip() == rb"14 bytes: mx\x1b"


EVIL = st.text(st.characters(max_codepoint=0x2FFF), max_size=60).map(lambda text: text.encode("utf-8", "ignore"))
PAYLOADS = st.one_of(
    st.binary(max_size=80),
    EVIL,
    st.lists(st.one_of(EVIL, st.binary(max_size=20)), max_size=4).map(lambda parts: b"\0".join([*parts, b""])),
    st.tuples(st.binary(min_size=4, max_size=12), EVIL).map(lambda pair: pair[0] + pair[1] + b"\0"),
)


@given(st.sampled_from(Side), st.one_of(st.sampled_from(b"ODCHMRTLNBEUAQKcardtys4fphimb+2-eq"), st.integers(0, 255)),
       PAYLOADS, st.booleans(), st.booleans())  # fmt: skip
def test_nothing_that_is_said_can_break_a_line_or_drive_a_terminal(
    side: Side, code: int, payload: bytes, full: bool, space: bool
) -> None:
    item = heard(side, packet(bytes([code]) + payload), full=full, space=space)
    printed = renderer(as_json=False, full=full, colour=False, started=STARTED)(item).decode()
    assert all(character.isprintable() or character in "\t\n" for character in printed)
    as_json = renderer(as_json=True, full=full, colour=False, started=STARTED)(item)
    assert all(0x20 <= byte < 0x7F for byte in as_json[:-1])
    json.loads(as_json)


def test_a_notice_says_what_happened_and_when_the_proxy_began() -> None:
    notice = Notice(0.25, 0, "listening", "listening on \x1b", {"to": "x"})
    assert renderer(as_json=False, full=False, colour=False, started=STARTED)(notice).decode().split() == [
        "0.250", "listening", "on", r"\x1b",
    ]  # fmt: skip
    assert json.loads(renderer(as_json=True, full=False, colour=False, started=STARTED)(notice)) == {
        "seconds": 0.25, "connection": None, "event": "listening", "text": "listening on \x1b", "to": "x",
        "started": "2026-11-22T00:00:00+00:00",
    }  # fmt: skip


def test_colours_come_only_from_us() -> None:
    render = renderer(as_json=False, full=False, colour=True, started=STARTED)
    printed = render(heard(Side.MILTER, packet(b"y550 5.7.1 \x1b[2J\0"), waited=0.1)).decode()
    assert "\x1b[31m<-- REPLYCODE" in printed
    assert r"\x1b[2J" in printed
    assert "\x1b[2J" not in printed


def test_raw_pieces_are_pieces() -> None:
    pieces: list[Piece] = Framer().feed(struct.pack(">I", 2**32 - 1) + b"x" * 1000)
    printed = renderer(as_json=True, full=False, colour=False, started=STARTED)(Heard(0, 1, Side.MTA, pieces[1]))
    assert json.loads(printed)["data"] == {"size": 1000, "text": "x" * PREVIEW, "truncated": True}
