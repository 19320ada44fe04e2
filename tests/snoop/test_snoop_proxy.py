"""Every byte passes, both ways, whatever it is; and so do silence, ends and failures."""

import asyncio
import contextlib
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from milter.milter_vectors import AGREEMENTS, COMMANDS, EDITS, REPLIES, packet
from snoop.snoop_doubles import (
    Heard,
    accepted,
    connected,
    far_end,
    proxy_to,
    read,
    read_to_end,
    write,
)

from gateway.config import TcpSpec, UnixSpec
from gateway.snoop import lines
from gateway.snoop.frames import Packet
from gateway.snoop.proxy import CONNECTIONS, Conversation, relay
from gateway.snoop.words import Side

PIECES = st.lists(
    st.one_of(st.binary(max_size=50), st.binary(max_size=50).map(packet), st.just(b"\0\0\0\0"), st.just(b"\xff" * 5)),
    max_size=8,
)


async def exchanged(of_mta: list[bytes], of_milter: list[bytes]) -> tuple[bytes, bytes, Heard]:
    """Say all this through a relay at once; what arrived at the milter, what at the MTA, and what was told."""
    mta, near = socket.socketpair()
    milter, far = socket.socketpair()
    heard = Heard()
    with mta, near, milter, far:
        for sock in (mta, near, milter, far):
            sock.setblocking(False)
        conversation = Conversation(1, heard.append, started=0.0, full=False)

        async def said(sock: socket.socket, parts: list[bytes]) -> None:
            for part in parts:
                await write(sock, part)
                await asyncio.sleep(0)
            sock.shutdown(socket.SHUT_WR)

        _, _, _, at_milter, at_mta = await asyncio.gather(
            relay(near, far, conversation),
            said(mta, of_mta),
            said(milter, of_milter),
            read_to_end(milter),
            read_to_end(mta),
        )
    return at_milter, at_mta, heard


@settings(max_examples=60, deadline=None)
@given(PIECES, PIECES)
def test_any_bytes_in_any_pieces_pass_unchanged_both_ways(of_mta: list[bytes], of_milter: list[bytes]) -> None:
    at_milter, at_mta, heard = asyncio.run(exchanged(of_mta, of_milter))
    assert at_milter == b"".join(of_mta)
    assert at_mta == b"".join(of_milter)
    closed = heard.notices("closed")
    assert len(closed) == 1
    assert f"{len(at_milter)} bytes from the MTA, {len(at_mta)} from the milter" in closed[0]


async def test_every_packet_of_a_conversation_is_told_once_and_in_order() -> None:
    of_mta = [raw for _, raw in COMMANDS]
    of_milter = [raw for _, raw in [*AGREEMENTS, *REPLIES, *EDITS]]
    at_milter, at_mta, heard = await exchanged([b"".join(of_mta)], [b"".join(of_milter)])
    assert (at_milter, at_mta) == (b"".join(of_mta), b"".join(of_milter))
    told = {side: [item for item in heard if isinstance(item, lines.Heard) and item.side is side] for side in Side}
    for side, packets in ((Side.MTA, of_mta), (Side.MILTER, of_milter)):
        pieces = [item.piece for item in told[side]]
        assert [piece.code for piece in pieces if isinstance(piece, Packet)] == [raw[4:5] for raw in packets]
    assert {item.waited is None for item in told[Side.MTA]} == {True}
    assert {item.waited is None for item in told[Side.MILTER]} == {False}
    assert [item.leading_space for item in told[Side.MILTER]][-1] is True


async def test_an_unfinished_packet_passes_and_is_told_at_the_end() -> None:
    at_milter, at_mta, heard = await exchanged([packet(b"A"), b"\0\0\0\x08Lab"], [])
    assert (at_milter, at_mta) == (packet(b"A") + b"\0\0\0\x08Lab", b"")
    assert "the last packet of the MTA is unfinished: 7 bytes" in heard.notices("closed")[0]


async def test_megabytes_pass() -> None:
    body = b"".join(packet(b"B" + bytes([number]) * 65535) for number in range(100))
    at_milter, at_mta, _ = await exchanged([body], [body])
    assert at_milter == body
    assert at_mta == body


async def test_a_fault_of_ours_costs_no_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(Conversation, "_hear", broken)
    at_milter, at_mta, heard = await exchanged([b"abc"], [b"xyz"])
    assert (at_milter, at_mta) == (b"abc", b"xyz")
    assert "3 bytes of the MTA cannot be shown: RuntimeError('a fault')" in heard.notices("fault")


async def test_one_end_of_stream_is_passed_on_and_the_other_direction_goes_on() -> None:
    async with far_end() as (to, listening), proxy_to(to, Heard()) as spec:
        with await connected(spec) as mta, await accepted(listening) as milter:
            await write(mta, packet(b"E"))
            mta.shutdown(socket.SHUT_WR)
            assert await read_to_end(milter) == packet(b"E")
            await write(milter, packet(b"a"))
            milter.shutdown(socket.SHUT_WR)
            assert await read_to_end(mta) == packet(b"a")


async def test_who_does_not_read_slows_down_the_other_side_and_loses_nothing() -> None:
    chunk = packet(b"B" + b"x" * 65535)
    async with far_end() as (to, listening), proxy_to(to, Heard()) as spec:
        with await connected(spec) as mta, await accepted(listening) as milter:
            sent = 0
            with contextlib.suppress(TimeoutError):
                while sent < 1000:
                    async with asyncio.timeout(1.0):
                        await asyncio.get_running_loop().sock_sendall(mta, chunk)
                    sent += 1
            assert sent < 1000, "somebody keeps 64 MiB that nobody reads"
            found = await read(milter, sent * len(chunk))
            assert found == chunk * sent


async def test_a_milter_that_dies_is_an_end_for_the_mta() -> None:
    heard = Heard()
    async with far_end() as (to, listening), proxy_to(to, heard) as spec:
        with await connected(spec) as mta:
            milter = await accepted(listening)
            milter.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            milter.close()
            assert await read_to_end(mta) == b""
        assert "the milter is gone (Connection reset by peer)" in await heard.notice("closed")


async def test_an_mta_that_dies_is_an_end_for_the_milter() -> None:
    heard = Heard()
    async with far_end() as (to, listening), proxy_to(to, heard) as spec:
        mta = await connected(spec)
        with await accepted(listening) as milter:
            mta.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            mta.close()
            assert await read_to_end(milter) == b""
        assert "the MTA is gone (Connection reset by peer)" in await heard.notice("closed")


async def test_what_the_milter_said_before_it_closed_still_arrives() -> None:
    answer = packet(b"y550 5.7.1 No\0")
    async with far_end() as (to, listening), proxy_to(to, Heard()) as spec:
        with await connected(spec) as mta:
            with await accepted(listening) as milter:
                await write(milter, answer)
            assert await read_to_end(mta) == answer


def nobodys_port() -> TcpSpec:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return TcpSpec("127.0.0.1", taken.getsockname()[1])


async def closed_by_the_proxy(mta: socket.socket) -> bool:
    with contextlib.suppress(ConnectionResetError):
        return await read_to_end(mta) == b""
    return True


async def test_where_the_milter_is_not_there_the_mta_is_closed_and_a_line_says_why() -> None:
    heard = Heard()
    to = nobodys_port()
    async with proxy_to(to, heard) as spec:
        for _ in range(2):
            with await connected(spec) as mta:
                await write(mta, packet(b"O"))
                assert await closed_by_the_proxy(mta)
    assert (
        heard.notices("unreachable")
        == [f"the milter at {to} cannot be reached: Connection refused; closed, so the MTA's default action applies"]
        * 2
    )


async def test_a_missing_unix_socket_is_told(tmp_path: Path) -> None:
    heard = Heard()
    async with proxy_to(UnixSpec(str(tmp_path / "none")), heard) as spec:
        with await connected(spec) as mta:
            assert await closed_by_the_proxy(mta)
    assert "No such file or directory" in heard.notices("unreachable")[0]


def full_backlog(path: Path) -> tuple[socket.socket, list[socket.socket]]:
    """A unix socket that has no room for another connection, and those that wait there."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(0)
    waiting: list[socket.socket] = []
    with contextlib.suppress(BlockingIOError):
        while True:
            each = socket.socket(socket.AF_UNIX)
            each.setblocking(False)
            waiting.append(each)
            each.connect(str(path))
    waiting.pop().close()
    return listening, waiting


async def test_a_milter_that_takes_no_connection_gets_a_deadline(tmp_path: Path) -> None:
    heard = Heard()
    listening, waiting = full_backlog(tmp_path / "s")
    async with proxy_to(UnixSpec(str(tmp_path / "s")), heard, seconds=0.2) as spec:
        with await connected(spec) as mta:
            assert await closed_by_the_proxy(mta)
    for sock in (listening, *waiting):
        sock.close()
    assert "cannot be reached: no answer within 0.2 s" in heard.notices("unreachable")[0]


async def test_a_busy_milter_on_a_unix_socket_is_waited_for(tmp_path: Path) -> None:
    listening, waiting = full_backlog(tmp_path / "s")
    listening.setblocking(False)
    async with proxy_to(UnixSpec(str(tmp_path / "s")), Heard()) as spec:
        with await connected(spec) as mta:
            await write(mta, packet(b"A"))
            for _ in waiting:
                (await accepted(listening)).close()
            with await accepted(listening) as milter:
                assert await read(milter, 5) == packet(b"A")
    for sock in (listening, *waiting):
        sock.close()


async def test_unix_sockets_at_both_ends(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as mta:
        listening.bind(str(tmp_path / "far"))
        listening.listen()
        listening.setblocking(False)
        heard = Heard()
        async with proxy_to(UnixSpec(str(tmp_path / "far")), heard, unix=tmp_path / "near"):
            mta.setblocking(False)
            mta.connect(str(tmp_path / "near"))
            with await accepted(listening) as milter:
                await write(mta, packet(b"A"))
                assert await read(milter, 5) == packet(b"A")
        assert heard.notices("opened") == [f"opened: from a unix socket to unix:{tmp_path}/far"]


async def test_the_end_of_the_proxy_closes_what_is_open() -> None:
    heard = Heard()
    async with far_end() as (to, listening):
        async with proxy_to(to, heard) as spec:
            mta = await connected(spec)
            milter = await accepted(listening)
            await write(mta, packet(b"A"))
            await read(milter, 5)
        with mta, milter:
            assert await read_to_end(mta) == b""
            assert await read_to_end(milter) == b""
    assert heard.notices("closed")[0].startswith("closed: the proxy ends; ")


async def test_beyond_the_limit_a_connection_is_closed_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CONNECTIONS >= 1000
    monkeypatch.setattr("gateway.snoop.proxy.CONNECTIONS", 1)
    heard = Heard()
    async with far_end() as (to, listening), proxy_to(to, heard) as spec:
        with await connected(spec) as first, await accepted(listening) as milter, await connected(spec) as second:
            assert await closed_by_the_proxy(second)
            await write(first, packet(b"A"))
            assert await read(milter, 5) == packet(b"A")
    assert heard.notices("refused") == ["closed: 1 connections are open already"]
