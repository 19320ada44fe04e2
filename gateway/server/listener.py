"""TCP and unix sockets on which MTAs connect."""

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

BACKLOG = 1024


class ListenError(OSError):
    """An address cannot be listened on; the message says which and why."""


async def listen_tcp(host: str, port: int, factory: Callable[[], asyncio.Protocol]) -> asyncio.Server:
    """Listen on a TCP address; port 0 takes a free one. Raises ListenError."""
    loop = asyncio.get_running_loop()
    try:
        return await loop.create_server(factory, host, port, backlog=BACKLOG, reuse_address=True)
    except (OSError, UnicodeError) as error:
        raise ListenError(f"cannot listen on {host} port {port}: {error}") from error


class UnixListener:
    """A unix socket with a mode of its own; the path is removed when it is closed."""

    def __init__(self, path: Path, server: asyncio.Server) -> None:
        self.path = path
        self._server = server
        self._inode = path.stat().st_ino

    def close(self) -> None:
        """Stop listening, and remove the path if it is still ours."""
        self._server.close()
        with contextlib.suppress(FileNotFoundError):
            if self.path.stat().st_ino == self._inode:
                self.path.unlink()


async def listen_unix(path: Path, mode: int, factory: Callable[[], asyncio.Protocol]) -> UnixListener:
    """Listen on a unix socket; one that a dead process left behind is replaced. Raises ListenError."""
    loop = asyncio.get_running_loop()
    try:
        _remove_stale(path)
        server = await loop.create_unix_server(factory, sock=_bound(path, mode), backlog=BACKLOG)
    except OSError as error:
        raise ListenError(f"cannot listen on unix:{path}: {error}") from error
    return UnixListener(path, server)


def _bound(path: Path, mode: int) -> socket.socket:
    """Bind with the mode from the first moment on: the umask is that of the process, and nothing runs in between."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(0o777 & ~mode)
    try:
        sock.bind(str(path))
        path.chmod(mode)
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
