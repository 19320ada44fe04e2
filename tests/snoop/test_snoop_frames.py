"""A stream cut into packets, whatever the stream holds and wherever it is cut."""

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from milter.milter_vectors import COMMANDS, packet

from gateway.milter.constants import MAX_PAYLOAD
from gateway.snoop.frames import LARGEST, Framer, Lost, Packet, Piece, Raw

CONVERSATION = b"".join(raw for _, raw in COMMANDS)


def fed(framer: Framer, *parts: bytes) -> list[Piece]:
    return [piece for part in parts for piece in framer.feed(part)]


def rebuilt(pieces: list[Piece]) -> bytes:
    parts = []
    for piece in pieces:
        if isinstance(piece, Packet):
            parts.append(struct.pack(">I", piece.size + len(piece.code)) + piece.code)
        parts.append(piece.payload)
    return b"".join(parts)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    marks = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(marks)]


STREAMS = st.one_of(
    st.binary(max_size=300),
    st.lists(st.binary(max_size=40).map(packet), max_size=8).map(b"".join),
    st.tuples(st.lists(st.binary(max_size=40).map(packet), max_size=4).map(b"".join), st.binary(max_size=40)).map(
        b"".join
    ),
)


@given(STREAMS, st.lists(st.integers(0, 1000), max_size=6))
def test_any_stream_cut_anywhere_gives_the_same_packets_and_loses_no_byte(stream: bytes, places: list[int]) -> None:
    whole, parts = Framer(kept=LARGEST), Framer(kept=LARGEST)
    at_once, piecemeal = fed(whole, stream), fed(parts, *cut(stream, places))
    assert [piece for piece in at_once if isinstance(piece, Packet)] == [
        piece for piece in piecemeal if isinstance(piece, Packet)
    ]
    assert (whole.pending, whole.lost) == (parts.pending, parts.lost)
    for framer, pieces in ((whole, at_once), (parts, piecemeal)):
        assert rebuilt(pieces) == stream[: len(stream) - framer.pending]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_a_conversation_in_crumbs_is_the_same_conversation(size: int) -> None:
    crumbs = [CONVERSATION[at : at + size] for at in range(0, len(CONVERSATION), size)]
    assert fed(Framer(), *crumbs) == fed(Framer(), CONVERSATION)


def test_a_length_of_zero_is_a_packet_without_a_code_and_the_next_one_follows() -> None:
    assert fed(Framer(), b"\0\0\0\0" + packet(b"A")) == [Packet(b"", b"", 0), Packet(b"A", b"", 0)]


def test_the_largest_packet_of_the_protocol_is_one_and_a_larger_length_is_none() -> None:
    framer = Framer(b"B")
    (found,) = fed(framer, packet(b"B" + b"x" * (LARGEST - 1)))
    assert isinstance(found, Packet)
    assert (found.size, framer.lost) == (LARGEST - 1, False)
    assert fed(framer, struct.pack(">I", LARGEST + 1) + b"abc") == [
        Lost(LARGEST + 1, struct.pack(">I", LARGEST + 1)),
        Raw(b"abc", 3),
    ]


def test_what_follows_a_lost_frame_is_raw_for_ever() -> None:
    framer = Framer()
    assert fed(framer, b"220 ", b"mx ESMTP\r\n", packet(b"A")) == [
        Lost(0x32323020, b"220 "),
        Raw(b"mx ESMTP\r\n", 10),
        Raw(packet(b"A"), 5),
    ]


def test_of_a_body_only_the_beginning_is_kept() -> None:
    (found,) = fed(Framer(b"B", 10), packet(b"B" + b"0123456789abcdef"))
    assert found == Packet(b"B", b"0123456789", 16)
    assert isinstance(found, Packet)
    assert not found.whole


def test_of_another_packet_no_more_is_kept_than_one_may_have() -> None:
    (found,) = fed(Framer(b"B", 10), packet(b"L" + b"x" * (MAX_PAYLOAD + 5)))
    assert isinstance(found, Packet)
    assert (len(found.payload), found.size) == (MAX_PAYLOAD, MAX_PAYLOAD + 5)


@pytest.mark.parametrize(("data", "pending"), [(b"", 0), (b"\0\0", 2), (b"\0\0\0\5", 4), (b"\0\0\0\5Lab", 7)])
def test_what_has_begun_and_not_ended_is_pending(data: bytes, pending: int) -> None:
    framer = Framer()
    assert fed(framer, data) == []
    assert framer.pending == pending
