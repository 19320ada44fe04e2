"""TCP and unix sockets on which MTAs connect: bound in one step, listened on in another.

A process that serves alone does both. Where several processes serve, one binds for all of them and hands the sockets
over (`bind`, then `listen` elsewhere).
"""

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

BACKLOG = 1024
Factory = Callable[[], asyncio.Protocol]


class ListenError(OSError):
    """An address cannot be listened on; the message says which and why."""


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A TCP address to listen on; port 0 takes a free one."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A unix socket to listen on, with the mode of its file."""

    path: str
    mode: int


Address = TcpAddress | UnixAddress


class Listener:
    """Servers on the sockets of one address; `close` ends them, and removes the path where it is ours to remove."""

    def __init__(self, servers: Sequence[asyncio.Server], names: tuple[str, ...], path: "SocketPath | None") -> None:
        self.names = names
        """In Sendmail's spelling, with the ports that were taken."""
        self._servers = servers
        self._path = path

    def close(self) -> None:
        """Stop listening."""
        for server in self._servers:
            server.close()
        if self._path is not None:
            self._path.remove()


async def open_address(address: Address, factory: Factory) -> Listener:
    """Bind and listen, for a process that serves alone. Raises ListenError."""
    return await listen(bind(address), factory, SocketPath.of(address))


async def listen(sockets: Sequence[socket.socket], factory: Factory, path: "SocketPath | None" = None) -> Listener:
    """Listen on bound sockets; they belong to the listener then."""
    loop = asyncio.get_running_loop()
    names = tuple(name_of(sock) for sock in sockets)
    servers = []
    for sock in sockets:
        create = loop.create_unix_server if sock.family == socket.AF_UNIX else loop.create_server
        servers.append(await create(factory, sock=sock, backlog=BACKLOG))
    return Listener(servers, names, path)


def name_of(sock: socket.socket) -> str:
    """How Sendmail spells the address of a bound socket."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    host, port = name[:2]
    return f"inet6:{port}@[{host}]" if sock.family == socket.AF_INET6 else f"inet:{port}@{host}"


def bind(address: Address, *, shared: bool = False) -> list[socket.socket]:
    """Bind every socket of an address. `shared`: others may bind the same TCP address. Raises ListenError."""
    if isinstance(address, UnixAddress):
        try:
            _remove_stale(Path(address.path))
            return [_bound_unix(Path(address.path), address.mode)]
        except OSError as error:
            raise ListenError(f"cannot listen on unix:{address.path}: {error}") from error
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, where in dict.fromkeys((item[0], item[4]) for item in found):
            sockets.append(_bound_tcp(family, where, shared=shared))
    except (OSError, UnicodeError) as error:
        for sock in sockets:
            sock.close()
        raise ListenError(f"cannot listen on {address.host} port {address.port}: {error}") from error
    return sockets


def _bound_tcp(family: socket.AddressFamily, where: tuple[object, ...], *, shared: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(where)
        if not shared:
            sock.listen(BACKLOG)  # so that a second process that binds the address is refused at once
    except OSError:
        sock.close()
        raise
    return sock


class SocketPath:
    """The path of a unix socket that this process bound."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._inode = path.stat().st_ino

    @classmethod
    def of(cls, address: Address) -> "SocketPath | None":
        """The path of an address that was just bound; TCP has none."""
        return cls(Path(address.path)) if isinstance(address, UnixAddress) else None

    def remove(self) -> None:
        """Remove it if it is still ours."""
        with contextlib.suppress(FileNotFoundError):
            if self.path.stat().st_ino == self._inode:
                self.path.unlink()


def _bound_unix(path: Path, mode: int) -> socket.socket:
    """Bind with the mode from the first moment on: the umask is that of the process, and nothing runs in between."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(0o777 & ~mode)
    try:
        sock.bind(str(path))
        path.chmod(mode)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(umask)
    return sock


def _remove_stale(path: Path) -> None:
    """Remove a socket on which nobody answers; anything else in its place is left alone."""
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise OSError("the path exists and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
    raise OSError("another process is listening there")
