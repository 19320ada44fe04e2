"""Bytes to frames, frames to values and back."""

import contextlib
import ipaddress
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kilter.protocol import messages as k
from kilter.protocol.buffer import SimpleBuffer
from milter_vectors import AGREEMENTS, COMMANDS, EDITS, REPLIES, packet

from gateway.milter import messages as m
from gateway.milter.codec import (
    FrameBuffer,
    decode_command,
    decode_macros,
    encode_replies,
    encode_reply,
    frame,
)
from gateway.milter.constants import CHUNK_SIZE, MAX_PAYLOAD, Actions, Steps
from gateway.milter.errors import EncodingError, ProtocolError
from gateway.milter.mta_codec import decode_reply, encode_command, encode_macros

ANSWERS = [*AGREEMENTS, *REPLIES, *EDITS]
STREAM = b"".join(raw for _, raw in COMMANDS)


def frames_of(*parts: bytes) -> list[tuple[bytes, bytes]]:
    buffer, frames = FrameBuffer(), []
    for part in parts:
        buffer.feed(part)
        while (found := buffer.next_frame()) is not None:
            frames.append(found)
    return frames


def only_frame(raw: bytes) -> tuple[bytes, bytes]:
    (found,) = frames_of(raw)
    return found


# ── both ways ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("value", "raw"), COMMANDS, ids=repr)
def test_a_command_is_read_from_its_bytes(value: m.AnyCommand, raw: bytes) -> None:
    assert decode_command(only_frame(raw)) == value


@pytest.mark.parametrize(("value", "raw"), COMMANDS, ids=repr)
def test_a_command_is_written_as_its_bytes(value: m.AnyCommand, raw: bytes) -> None:
    assert encode_command(value) == raw


@pytest.mark.parametrize(("value", "raw"), ANSWERS, ids=repr)
def test_an_answer_is_written_as_its_bytes(value: m.Reply, raw: bytes) -> None:
    assert encode_reply(value) == raw


@pytest.mark.parametrize(("value", "raw"), ANSWERS, ids=repr)
def test_an_answer_is_read_from_its_bytes(value: m.Reply, raw: bytes) -> None:
    assert decode_reply(only_frame(raw)) == value


def test_several_answers_are_one_run_of_bytes() -> None:
    assert encode_replies([value for value, _ in REPLIES]) == b"".join(raw for _, raw in REPLIES)


def test_macros_travel_bare_or_in_braces_by_the_length_of_their_name() -> None:
    raw = encode_macros(b"M", {b"i": b"Q1", b"mail_addr": b"a@x"})
    assert raw == packet(b"DMi\0Q1\0{mail_addr}\0a@x\0")
    command = decode_command(only_frame(raw))
    assert isinstance(command, m.Macros)
    assert decode_macros(command.payload) == {b"i": b"Q1", b"mail_addr": b"a@x"}


def test_a_list_of_no_macros_is_left_out_of_the_agreement() -> None:
    # an empty list means "none" to Sendmail and "the default" to Postfix
    agreement = m.Agreement(6, Actions(0), Steps(0), ((next(iter(AGREEMENTS[1][0].macro_lists))[0], ()),))
    assert len(encode_reply(agreement)) == 4 + 13


# ── cutting ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("raw", [raw for _, raw in COMMANDS], ids=repr)
def test_a_packet_may_be_cut_at_every_byte(raw: bytes) -> None:
    whole = frames_of(raw)
    assert len(whole) == 1
    for at in range(len(raw)):
        buffer = FrameBuffer()
        buffer.feed(raw[:at])
        assert buffer.next_frame() is None
        assert buffer.pending == at
        buffer.feed(raw[at:])
        assert buffer.next_frame() == whole[0]
        assert buffer.pending == 0


def test_a_stream_may_be_cut_at_every_byte() -> None:
    whole = frames_of(STREAM)
    assert len(whole) == len(COMMANDS)
    for at in range(len(STREAM)):
        assert frames_of(STREAM[:at], STREAM[at:]) == whole
    assert frames_of(*(STREAM[at : at + 1] for at in range(len(STREAM)))) == whole


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_a_stream_may_be_cut_anywhere(cuts: list[int]) -> None:
    borders = [0, *sorted(cuts), len(STREAM)]
    parts = [STREAM[start:end] for start, end in itertools.pairwise(borders)]
    assert frames_of(*parts) == frames_of(STREAM)


# ── lengths ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_length_of_zero_is_refused() -> None:
    with pytest.raises(ProtocolError, match="length 0"):
        frames_of(bytes(4))


def test_a_length_of_one_is_a_bare_code() -> None:
    assert frames_of(b"\0\0\0\1T") == [(b"T", b"")]


def test_a_length_at_the_limit_is_taken() -> None:
    assert frames_of(packet(b"B" + bytes(MAX_PAYLOAD))) == [(b"B", bytes(MAX_PAYLOAD))]


@pytest.mark.parametrize("length", [MAX_PAYLOAD + 2, 0xFFFFFFFF, 0x47455420])
def test_a_length_beyond_the_limit_is_refused_before_its_bytes_arrive(length: int) -> None:
    with pytest.raises(ProtocolError, match=str(length)):
        frames_of(length.to_bytes(4, "big"))


def test_the_buffer_forgets_what_it_has_handed_out() -> None:
    buffer = FrameBuffer()
    for _ in range(100):
        buffer.feed(packet(b"B" + bytes(60_000)) + b"\0\0")
        assert buffer.next_frame() is not None
        assert buffer.next_frame() is None
        assert buffer.pending == 2
        buffer.feed(b"\0\1T")
        assert buffer.next_frame() == (b"T", b"")
        assert buffer.pending == 0


def test_the_code_of_the_next_packet_can_be_seen_in_advance() -> None:
    buffer = FrameBuffer()
    assert buffer.peek_code() == b""
    buffer.feed(packet(b"T") + packet(b"A"))
    assert buffer.peek_code() == b"T"
    buffer.next_frame()
    assert buffer.peek_code() == b"A"


def test_the_largest_chunk_fits_and_a_larger_one_does_not() -> None:
    assert len(encode_reply(m.ReplaceBody(bytes(CHUNK_SIZE)))) == CHUNK_SIZE + 5
    with pytest.raises(EncodingError):
        encode_reply(m.ReplaceBody(bytes(MAX_PAYLOAD + 1)))
    with pytest.raises(EncodingError):
        frame(b"h", bytes(MAX_PAYLOAD + 1))


# ── what is malformed, and what is tolerated ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "content",
    [
        *(b"O" + bytes(11), b"O" + b"\0\0\0\1" + bytes(8)),
        b"D",
        *(b"C", b"Cx", b"Cx\0", b"Cx\0Z", b"Cx\x004", b"Cx\x004\0", b"Cx\x004\0\x19192.0.2.1", b"Cx\x004\0\x19::1\0"),
        *(b"Cx\x006\0\x19192.0.2.1\0", b"Cx\x004\0\x19999.1.1.1\0", b"Cx\0L/run/s", b"Cx\0L\0\0/run/s"),
        *(b"H", b"Hx", b"M", b"M<a@x>", b"R", b"R<b@y>", b"L", b"LX\0", b"LX\0v", b"U", b"UFOO"),
        *(b"z", b"o", b"\0"),
    ],
    ids=repr,
)
def test_a_malformed_command_is_refused(content: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_command(only_frame(packet(content)))


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"O" + bytes.fromhex("00000007 0000ffff 7fffffff") + b"more", m.Negotiate(7, Actions(0x1FF), Steps(0x1FFFFF))),
        (b"Cx\0U\0\0x\0", m.Connect(b"x", b"U", 0, None)),
        (b"Cx\0L/run/s\0", m.Connect(b"x", b"L", 0, b"/run/s")),
        (b"Cx\x006\0\x19IPv6:0:0:0:0:0:0:0:1\0", m.Connect(b"x", b"6", 25, b"::1")),
        (b"Cx\x006\0\x19[ipv6:2001:DB8:0::1]\0", m.Connect(b"x", b"6", 25, b"2001:db8::1")),
        (b"C\x004\0\x00192.0.2.1\0", m.Connect(b"", b"4", 0, b"192.0.2.1")),
        (b"Hx\0y\0", m.Helo(b"x")),
        (b"LX\0v\0extra\0", m.Header(b"X", b"v")),
        (b"L\0v\0", m.Header(b"", b"v")),
        (b"Tx", m.Data()),
        (b"Nx", m.EndOfHeaders()),
        (b"Ax", m.Abort()),
        (b"Qx", m.Quit()),
        (b"Kx", m.QuitNewConnection()),
        (b"B", m.Body(b"")),
    ],
    ids=repr,
)
def test_what_other_mtas_send_is_tolerated(content: bytes, value: m.AnyCommand) -> None:
    assert decode_command(only_frame(packet(content))) == value


@pytest.mark.parametrize(
    ("payload", "macros"),
    [
        (b"", {}),
        (b"i\0Q1\0", {b"i": b"Q1"}),
        (b"{i}\0Q1\0", {b"i": b"Q1"}),
        (b"i\0Q1\0odd\0", {b"i": b"Q1"}),
        (b"i\0Q1", {}),
        (b"i\0\0", {b"i": b""}),
        (b"{auth_type}\0PLAIN\0{}\0x\0", {b"auth_type": b"PLAIN", b"": b"x"}),
    ],
    ids=repr,
)
def test_pairs_of_macros_are_read_as_libmilter_reads_them(payload: bytes, macros: dict[bytes, bytes]) -> None:
    assert decode_macros(payload) == macros


@pytest.mark.parametrize(
    "content",
    [
        b"z",
        b"",
        b"O" + bytes(11),
        b"y550 no NUL",
        b"hX\0v",
        b"hX\0",
        b"hX\0v\0w\0",
        b"i\0\0",
        b"m\0\0\0\1X\0",
        b"+a",
        b"q",
    ],
    ids=repr,
)
def test_a_malformed_answer_is_refused(content: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_reply(only_frame(packet(content)))


# ── anything at all ────────────────────────────────────────────────────────────────────────────────────────────────

CODES = st.sampled_from([bytes([byte]) for byte in b"OCHMRTLNBEUAQKDz"])


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_as_protocol_errors_and_nothing_else(raw: bytes) -> None:
    try:
        for found in frames_of(raw):
            decode_command(found)
    except ProtocolError:
        pass


@given(CODES, st.binary(max_size=60))
def test_random_payloads_are_refused_as_protocol_errors_and_nothing_else(code: bytes, payload: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        decode_command((code, payload))


@given(st.sampled_from([bytes([byte]) for byte in b"Ocardsy4fphimb+2-eqz"]), st.binary(max_size=60))
def test_random_answers_are_refused_as_protocol_errors_and_nothing_else(code: bytes, payload: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        decode_reply((code, payload))


@given(st.binary(max_size=100))
def test_random_macros_are_never_refused(payload: bytes) -> None:
    assert all(b"\0" not in name + value for name, value in decode_macros(payload).items())


TEXT = st.binary(max_size=40).map(lambda raw: raw.replace(b"\0", b""))


@given(
    st.one_of(
        st.builds(m.Helo, TEXT),
        st.builds(m.Mail, TEXT, st.lists(TEXT, max_size=3).map(tuple)),
        st.builds(m.Rcpt, TEXT, st.lists(TEXT, max_size=3).map(tuple)),
        st.builds(m.Header, TEXT, TEXT),
        st.builds(m.Body, st.binary(max_size=300)),
        st.builds(m.EndOfMessage, st.binary(max_size=300)),
        st.builds(m.Unknown, TEXT),
    )
)
def test_any_command_survives_the_wire(value: m.AnyCommand) -> None:
    assert decode_command(only_frame(encode_command(value))) == value


@given(
    st.one_of(
        st.builds(m.AddHeader, TEXT, TEXT),
        st.builds(m.InsertHeader, st.integers(0, 2**32 - 1), TEXT, TEXT),
        st.builds(m.ChangeHeader, st.integers(0, 2**32 - 1), TEXT, TEXT),
        st.builds(m.AddRecipient, TEXT, st.none() | TEXT),
        st.builds(m.ChangeFrom, TEXT, st.none() | TEXT),
        st.builds(m.Quarantine, TEXT),
        st.builds(m.ReplyCode, TEXT),
    )
)
def test_any_answer_survives_the_wire(value: m.Edit) -> None:
    assert decode_reply(only_frame(encode_reply(value))) == value


# ── a foreign implementation reads what we write ───────────────────────────────────────────────────────────────────


def foreign(raw: bytes) -> k.Message:
    buffer = SimpleBuffer(1 << 17)
    buffer[:] = raw
    message, size = k.Message.unpack(buffer)
    assert size == len(raw)
    message.freeze()
    return message


FOREIGN: list[tuple[m.AnyCommand | m.Reply | m.Edit | m.Agreement | m.Progress, k.Message]] = [
    (
        m.Negotiate(6, Actions(0x1FF), Steps(0x1FFFFF)),
        k.Negotiate(6, k.ActionFlags(0x1FF), k.ProtocolFlags(0x1FFFFF), {}),
    ),
    (m.Macros(b"C", b"j\0mx\0"), k.Macro(ord("C"), {"j": "mx"})),
    (m.Connect(b"mx.test", b"4", 25, b"192.0.2.1"), k.Connect("mx.test", ipaddress.ip_address("192.0.2.1"), 25)),
    (m.Connect(b"v6.test", b"6", 9, b"2001:db8::1"), k.Connect("v6.test", ipaddress.ip_address("2001:db8::1"), 9)),
    (m.Connect(b"localhost", b"U", 0, None), k.Connect("localhost")),
    (m.Helo(b"c.test"), k.Helo("c.test")),
    (m.Mail(b"<a@x>", (b"SIZE=1",)), k.EnvelopeFrom(b"<a@x>", [b"SIZE=1"])),
    (m.Rcpt(b"<b@y>", (b"NOTIFY=NEVER",)), k.EnvelopeRecipient(b"<b@y>", [b"NOTIFY=NEVER"])),
    (m.Header(b"X", b"v\n w"), k.Header("X", b"v\n w")),
    (m.Body(b"a\0b"), k.Body(b"a\0b")),
    (m.EndOfMessage(b"z"), k.EndOfMessage(b"z")),
    (
        AGREEMENTS[1][0],
        k.Negotiate(
            6,
            k.ActionFlags(0x1FF),
            k.ProtocolFlags(0x100400),
            {k.Stage.CONNECT: ["j", "{client_addr}"], k.Stage.END_MESSAGE: ["i"]},
        ),
    ),
    (m.AddHeader(b"X", b"v"), k.AddHeader("X", b"v")),
    (m.InsertHeader(3, b"X", b"v"), k.InsertHeader(3, "X", b"v")),
    (m.ChangeHeader(2, b"X", b""), k.ChangeHeader(2, "X", b"")),
    (m.ReplaceBody(b"new"), k.ReplaceBody(b"new")),
    (m.AddRecipient(b"<c@z>"), k.AddRecipient("<c@z>")),
    (m.AddRecipient(b"<c@z>", b"NOTIFY=NEVER"), k.AddRecipientPar("<c@z>", "NOTIFY=NEVER")),
    (m.DeleteRecipient(b"<b@y>"), k.RemoveRecipient("<b@y>")),
    (m.ChangeFrom(b"<>"), k.ChangeSender("<>")),
    (m.Quarantine(b"why"), k.Quarantine("why")),
]
BARE = [
    (m.Data(), k.Data),
    (m.EndOfHeaders(), k.EndOfHeaders),
    (m.Abort(), k.Abort),
    (m.Quit(), k.Close),
    (m.Continue(), k.Continue),
    (m.Accept(), k.Accept),
    (m.Reject(), k.Reject),
    (m.TempFail(), k.TemporaryFailure),
    (m.Discard(), k.Discard),
    (m.Skip(), k.Skip),
    (m.Progress(), k.Progress),
]


def written(value: object) -> bytes:
    answers = (type(item) for item, _ in ANSWERS)
    return encode_reply(value) if type(value) in answers else encode_command(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(("ours", "theirs"), FOREIGN, ids=repr)
def test_a_foreign_implementation_reads_the_same_values(ours: object, theirs: k.Message) -> None:
    assert foreign(written(ours)) == theirs


@pytest.mark.parametrize(("ours", "kind"), BARE, ids=repr)
def test_a_foreign_implementation_reads_the_same_codes(ours: object, kind: type) -> None:
    assert type(foreign(written(ours))) is kind


@pytest.mark.parametrize(("ours", "theirs"), FOREIGN, ids=repr)
def test_a_foreign_implementation_writes_the_same_bytes(ours: object, theirs: k.Message) -> None:
    buffer = SimpleBuffer(1 << 17)
    theirs.pack(buffer)
    assert buffer[:].tobytes() == written(ours)
