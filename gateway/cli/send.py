"""`send`: plays the MTA against any milter."""

import asyncio
import json
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

import click

from gateway.cli.errors import FAILED, OK, CommandError
from gateway.cli.timeline import change_lines, exchange_lines, verdict_lines
from gateway.config import ListenSpec, UnixSpec
from gateway.mta.mail import Mail
from gateway.mta.outcome import Verdict
from gateway.mta.player import Exchanged, Played, Player, PlayError, Timeouts
from gateway.mta.report import report

EXIT_CODES = {
    Verdict.ACCEPTED: OK,
    Verdict.REJECTED: 10,
    Verdict.TEMPFAILED: 11,
    Verdict.DISCARDED: 12,
    Verdict.QUARANTINED: 13,
}


@dataclass(frozen=True, slots=True)
class Destination:
    """A milter, and how long to wait for it: `timeout` in seconds replaces an MTA's own patience."""

    spec: ListenSpec
    timeout: float | None = None

    @property
    def timeouts(self) -> Timeouts:
        """How long to wait for answers."""
        return Timeouts() if self.timeout is None else Timeouts(self.timeout, self.timeout)


def send(destination: Destination, mail: Mail, *, as_json: bool) -> int:
    """Play the mail, print what happened, and give the exit code. Raises CommandError."""
    tell = _silent if as_json else _print_exchange
    outcome = asyncio.run(play(destination, mail, tell))
    if as_json:
        click.echo(json.dumps(report(outcome), ensure_ascii=False))
    if isinstance(outcome, PlayError):
        raise CommandError(str(outcome), FAILED)
    if not as_json:
        _print_outcome(mail, outcome)
    return EXIT_CODES[outcome.verdict]


async def play(destination: Destination, mail: Mail, tell: Callable[[Exchanged], None]) -> Played | PlayError:
    """Connect and play."""
    try:
        reader, writer = await _connect(destination)
    except OSError as error:
        return PlayError(f"cannot connect to {destination.spec}: {_reason(error)}")
    try:
        return await Player(reader, writer, tell=tell, timeouts=destination.timeouts).play(mail)
    except PlayError as error:
        return PlayError(f"{destination.spec}: {error}")
    finally:
        writer.close()


async def _connect(destination: Destination) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    spec = destination.spec
    async with asyncio.timeout(destination.timeouts.command):
        if isinstance(spec, UnixSpec):
            return await asyncio.open_unix_connection(spec.path)
        family = socket.AF_INET6 if spec.family == "inet6" else socket.AF_INET
        return await asyncio.open_connection(spec.host, spec.port, family=family)


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError) and error.errno is None:
        return "timeout"
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or str(error)
    return os.strerror(error.errno)


def _silent(_: Exchanged) -> None:
    pass


def _print_exchange(exchanged: Exchanged) -> None:
    for line in exchange_lines(exchanged):
        click.echo(line)


def _print_outcome(mail: Mail, played: Played) -> None:
    for line in verdict_lines(played):
        click.echo(line)
    if played.verdict in (Verdict.ACCEPTED, Verdict.QUARANTINED):
        for line in change_lines(mail, played.result):
            click.echo(line)
