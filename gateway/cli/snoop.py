"""`snoop`: shows what an MTA and a milter say to each other."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import click

from gateway.cli.errors import OK, CommandError
from gateway.config import ListenSpec, TcpSpec, UnixSpec
from gateway.server.listener import Address, ListenError, SocketPath, TcpAddress, UnixAddress, bind, name_of
from gateway.snoop.lines import renderer
from gateway.snoop.printer import Printer
from gateway.snoop.proxy import Proxy

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Snoop:
    """What is to be done.

    Args:
        listen: where the MTA connects.
        to: where the milter listens.
        seconds: how long the milter may take to answer a connection.
        full: show bodies and long values whole.
        as_json: print one JSON object a line.
        socket_mode: of the unix socket to listen on.

    """

    listen: ListenSpec
    to: ListenSpec
    seconds: float
    full: bool = False
    as_json: bool = False
    socket_mode: int = 0o660


def snoop(what: Snoop) -> int:
    """Pass connections on and print what is said, until a signal ends it. Raises CommandError."""
    if what.listen == what.to and not (isinstance(what.listen, TcpSpec) and what.listen.port == 0):
        raise CommandError(f"--listen and --to are both {what.to}: the proxy would talk to itself")
    address = _address(what)
    try:
        sockets = bind(address)
    except ListenError as error:
        raise CommandError(str(error)) from error
    path = SocketPath.of(address)
    colour = not what.as_json and _coloured()
    render = renderer(as_json=what.as_json, full=what.full, colour=colour, started=datetime.now(UTC))
    printer = Printer(_descriptor(), render, _complain)
    try:
        asyncio.run(_serve(what, sockets, printer))
    finally:
        for sock in sockets:
            sock.close()
        if path is not None:
            path.remove()
        printer.close()
    return OK


async def _serve(what: Snoop, sockets: Sequence[socket.socket], printer: Printer) -> None:
    proxy = Proxy(what.to, printer.put, connect_seconds=what.seconds, full=what.full)
    names = [name_of(sock) for sock in sockets]
    stopped = asyncio.Event()
    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    text = f"listening on {', '.join(names)}, passing on to {what.to}; --> is the MTA, <-- the milter"
    proxy.notice("listening", text, listen=names, to=str(what.to))
    serving = asyncio.create_task(proxy.serve(sockets))
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    serving.cancel()
    waiting.cancel()
    await asyncio.wait({serving, waiting})
    if not serving.cancelled():
        serving.result()
    proxy.notice("stopped", "stopped")


def _address(what: Snoop) -> Address:
    match what.listen:
        case UnixSpec(path):
            return UnixAddress(path, what.socket_mode)
        case TcpSpec(host, port):
            return TcpAddress(host, port)


def _descriptor() -> int:
    """Where lines go; nowhere, where the program was started without a standard output."""
    return os.open(os.devnull, os.O_WRONLY) if sys.stdout is None else sys.stdout.fileno()


def _coloured() -> bool:
    """A terminal that knows colours, whose user has nothing against them (no-color.org)."""
    return (
        sys.stdout is not None
        and sys.stdout.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
    )


def _complain(text: str) -> None:
    """Said on the other stream, by the thread that prints."""
    with contextlib.suppress(OSError):
        click.echo(f"milter-gateway snoop: {text}", err=True)
