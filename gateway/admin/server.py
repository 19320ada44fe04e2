"""An HTTP application on a socket of its own, within the loop of the program."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from gateway.server.listener import ListenError

_SHUTDOWN_SECONDS = 5
"""How long requests under way may take when the server stops."""


class HttpServer:
    """`app` on `host` and `port`; port 0 takes a free one. `what` it is, for messages."""

    def __init__(self, app: FastAPI, host: str, port: int, what: str) -> None:
        self._app = app
        self._host = host
        self._port = port
        self._what = what
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None
        self.address = ""

    async def start(self) -> None:
        """Listen: from here on connections are taken. Raises ListenError."""
        sock = self._listen()
        host, port = sock.getsockname()[:2]
        self.address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        config = uvicorn.Config(
            self._app,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            ws="none",
        )
        self._server = _Server(config)
        self._task = asyncio.get_running_loop().create_task(self._server.serve(sockets=[sock]))

    def _listen(self) -> socket.socket:
        sock: socket.socket | None = None
        try:
            family, _, _, _, address = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)[0]
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen()
        except (OSError, UnicodeError) as error:
            if sock is not None:
                sock.close()
            reason = f"cannot listen on {self._what} {self._host} port {self._port}: {error}"
            raise ListenError(reason) from error
        return sock

    async def stop(self) -> None:
        """Stop, after the requests under way."""
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task


class _Server(uvicorn.Server):
    """uvicorn without signal handlers: the program has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield
