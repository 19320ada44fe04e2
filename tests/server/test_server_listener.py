"""Listening sockets."""

import asyncio
import socket
import stat
from pathlib import Path

import pytest
from gateway_harness import OPT, Backend, MtaPeer, gateway

from gateway.server.listener import ListenError, TcpAddress, UnixAddress, bind, open_address


class HangUp(asyncio.Protocol):
    """Closes what connects."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
async def test_a_unix_socket_has_the_mode_that_was_asked_for(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "gw.sock"
    listener = await open_address(UnixAddress(str(path), mode), asyncio.Protocol)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    listener.close()


async def test_a_closed_unix_socket_leaves_no_path(tmp_path: Path) -> None:
    path = tmp_path / "gw.sock"
    (await open_address(UnixAddress(str(path), 0o600), asyncio.Protocol)).close()
    assert not path.exists()


async def test_a_path_that_another_process_took_over_is_left_alone(tmp_path: Path) -> None:
    path, other = tmp_path / "gw.sock", tmp_path / "other"
    listener = await open_address(UnixAddress(str(path), 0o600), asyncio.Protocol)
    other.write_text("of another process")
    other.rename(path)
    listener.close()
    assert path.read_text() == "of another process"


async def test_a_socket_that_a_dead_process_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "gw.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    listener = await open_address(UnixAddress(str(path), 0o600), HangUp)
    reader, writer = await asyncio.open_unix_connection(path)
    assert await reader.read() == b""
    writer.close()
    listener.close()


async def test_a_socket_on_which_somebody_listens_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gw.sock"
    listener = await open_address(UnixAddress(str(path), 0o600), asyncio.Protocol)
    with pytest.raises(ListenError, match="another process"):
        await open_address(UnixAddress(str(path), 0o600), asyncio.Protocol)
    assert path.is_socket()
    listener.close()


@pytest.mark.parametrize("kind", ["file", "directory", "link to a file"])
async def test_a_path_that_is_no_socket_is_refused_and_stays(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "gw.sock"
    if kind == "file":
        path.write_text("mine")
    elif kind == "directory":
        path.mkdir()
    else:
        (tmp_path / "target").write_text("mine")
        path.symlink_to(tmp_path / "target")
    with pytest.raises(ListenError, match=str(path)):
        await open_address(UnixAddress(str(path), 0o600), asyncio.Protocol)
    assert path.exists()


async def test_a_path_in_a_directory_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ListenError, match="no-such-directory"):
        await open_address(UnixAddress(str(tmp_path / "no-such-directory" / "gw.sock"), 0o600), asyncio.Protocol)


async def test_a_tcp_port_that_is_taken_is_refused_by_name() -> None:
    server = await open_address(TcpAddress("127.0.0.1", 0), asyncio.Protocol)
    port = int(server.names[0].removeprefix("inet:").partition("@")[0])
    with pytest.raises(ListenError, match=f"port {port}"):
        await open_address(TcpAddress("127.0.0.1", port), asyncio.Protocol)
    server.close()


async def test_a_milter_is_served_on_a_unix_socket(backend: Backend, tmp_path: Path) -> None:
    async with gateway(backend, unix=tmp_path / "gw.sock", socket_mode="0600") as gw, gw.peer() as mta:
        assert gw.address == f"unix:{tmp_path}/gw.sock"
        assert stat.S_IMODE((tmp_path / "gw.sock").stat().st_mode) == 0o600
        await mta.start()
        await mta.quit()
    assert not (tmp_path / "gw.sock").exists()


async def test_several_addresses_are_served_at_once(backend: Backend, tmp_path: Path) -> None:
    listen = ["inet:0@127.0.0.1", f"unix:{tmp_path}/gw.sock"]
    async with gateway(backend, listen=listen) as gw:
        assert len(gw.service.addresses) == 2
        for address in gw.service.addresses:
            mta = await MtaPeer.to(address)
            await mta.send(OPT)
            assert (await mta.packet())[:1] == b"O"
            await mta.close()


def test_a_tcp_address_can_be_shared_by_those_who_say_so() -> None:
    (first,) = bind(TcpAddress("127.0.0.1", 0), shared=True)
    port = first.getsockname()[1]
    (second,) = bind(TcpAddress("127.0.0.1", port), shared=True)
    first.listen()
    with pytest.raises(ListenError, match=f"port {port}"):
        bind(TcpAddress("127.0.0.1", port))
    first.close()
    second.close()
