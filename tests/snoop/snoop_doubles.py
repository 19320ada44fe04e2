"""What the tests of the proxy need: both of its ends, and what it told."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.config import ListenSpec, TcpSpec
from gateway.server.listener import TcpAddress, UnixAddress, bind
from gateway.snoop.lines import Item, Notice
from gateway.snoop.proxy import Proxy

PATIENCE_SECONDS = 20.0


class Heard(list[Item]):
    """All that was told, in order."""

    def notices(self, event: str) -> list[str]:
        """The texts of these notices."""
        return [item.text for item in self if isinstance(item, Notice) and item.event == event]

    async def notice(self, event: str) -> str:
        """Wait for the first such notice."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self.notices(event):
                await asyncio.sleep(0.01)
        return self.notices(event)[0]


@asynccontextmanager
async def proxy_to(
    to: ListenSpec, heard: Heard, *, unix: Path | None = None, seconds: float = PATIENCE_SECONDS
) -> AsyncIterator[ListenSpec]:
    """A proxy that runs. Gives where it listens."""
    sockets = bind(UnixAddress(str(unix), 0o600) if unix else TcpAddress("127.0.0.1", 0))
    serving = asyncio.create_task(Proxy(to, heard.append, connect_seconds=seconds).serve(sockets))
    try:
        port = 0 if unix else sockets[0].getsockname()[1]
        yield TcpSpec("127.0.0.1", port)
    finally:
        serving.cancel()
        await asyncio.wait({serving})
        for sock in sockets:
            sock.close()
    if not serving.cancelled():
        serving.result()


@asynccontextmanager
async def far_end() -> AsyncIterator[tuple[TcpSpec, socket.socket]]:
    """A milter's listening socket, for tests that accept by themselves."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield TcpSpec("127.0.0.1", listening.getsockname()[1]), listening


async def accepted(listening: socket.socket) -> socket.socket:
    """The next connection of the proxy."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        return (await asyncio.get_running_loop().sock_accept(listening))[0]


async def connected(spec: ListenSpec) -> socket.socket:
    """A connection to the proxy, as an MTA makes it."""
    assert isinstance(spec, TcpSpec)
    sock = socket.socket()
    sock.setblocking(False)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.get_running_loop().sock_connect(sock, (spec.host, spec.port))
    return sock


async def read_to_end(sock: socket.socket) -> bytes:
    """All that comes before the end of the stream."""
    loop = asyncio.get_running_loop()
    parts = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while data := await loop.sock_recv(sock, 65536):
            parts.append(data)
    return b"".join(parts)


async def read(sock: socket.socket, size: int) -> bytes:
    """So many bytes."""
    loop = asyncio.get_running_loop()
    found = b""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(found) < size:
            data = await loop.sock_recv(sock, size - len(found))
            assert data, f"the stream ended after {found!r}"
            found += data
    return found


async def write(sock: socket.socket, data: bytes) -> None:
    """Send it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.get_running_loop().sock_sendall(sock, data)
