"""`demo`: everything in one process, without an MTA and without a network."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec
import uvloop

from gateway import assembly
from gateway.admin.app import admin_app
from gateway.admin.served import SingleProcess
from gateway.admin.server import HttpServer
from gateway.cli.demo_backend import EVENTS, demo_backend
from gateway.cli.demo_mails import DEMO_MAILS, DemoMail
from gateway.cli.demo_rules import Rules, rule_routes
from gateway.cli.errors import FAILED, CommandError
from gateway.cli.send import Destination, play
from gateway.cli.timeline import change_lines, row, verdict_lines
from gateway.config import Settings, parse, parse_spec
from gateway.metrics import Counters
from gateway.mta.outcome import Verdict
from gateway.mta.player import PlayError
from gateway.observe import LogObserver
from gateway.policy.rules import Exchange
from gateway.recording import Archive, Recorder
from gateway.server.listener import ListenError, TcpAddress
from gateway.server.service import Service
from gateway.translate.facts import SessionFacts, TransactionFacts
from gateway.translate.text import plain

_HOST = "127.0.0.1"
_INDENT = "  "
_ANSWER_WIDTH = 400
"""Characters of an answer that are shown."""
_PRINTF = r"printf 'Subject: hi\r\n\r\nhello\r\n'"
_SAMPLE = "sample rcpt --set data.address='\"nobody@demo.example\"'"


class TimelineObserver(LogObserver):
    """Prints what was asked and answered; of the log only the trouble remains."""

    def exchanged(self, session: SessionFacts, transaction: TransactionFacts | None, exchange: Exchange) -> None:
        """Print the event and the answer."""
        super().exchanged(session, transaction, exchange)
        answer = plain(exchange.failure or exchange.response.decode("utf-8", "replace") or "{}")
        answer = answer if len(answer) <= _ANSWER_WIDTH else answer[:_ANSWER_WIDTH] + "…"
        with contextlib.suppress(BrokenPipeError):  # no reason to fail a mail: the demo itself will notice
            click.echo(_INDENT + row(exchange.event, _fact(exchange), f"-> {answer}"))

    def decided(self, *_: object) -> None:
        """Leave it out: the verdict is printed."""

    def noted(self, *_: object) -> None:
        """Leave it out: the answer is printed."""


@dataclass(frozen=True, slots=True)
class Demo:
    """The parts, running."""

    milter: str
    admin: str
    backend: str


def demo(count: int | None, interval: float) -> None:
    """Run until SIGINT or SIGTERM, or until `count` mails were played. Raises CommandError."""
    uvloop.run(_demo(count, interval))


async def _demo(count: int | None, interval: float) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        async with _running() as running:
            click.echo(_greeting(running))
            played = await _play_mails(running, count, interval, stopped)
    except ListenError as error:
        raise CommandError(str(error), FAILED) from error
    click.echo(f"\nthe demo ends after {played} {'mail' if played == 1 else 'mails'}")


@contextlib.asynccontextmanager
async def _running() -> AsyncIterator[Demo]:
    async with contextlib.AsyncExitStack() as stack:
        rules = Rules()
        backend = HttpServer(demo_backend(rules), _HOST, 0, "backend address")
        await backend.start()
        stack.push_async_callback(backend.stop)
        settings = _settings(backend.address)
        archive = Archive(assembly.archive_bounds(settings), recording=True)
        archive.configured(assembly.shown_webhooks(settings))
        service = await _start_service(settings, archive)
        stack.push_async_callback(service.stop)
        admin = await _start_admin(service, settings, archive, rules)
        stack.push_async_callback(admin.stop)
        stack.callback(archive.feed.close)  # first: the admin API waits for those who watch
        yield Demo(service.addresses[0], admin.address, backend.address)


def _settings(backend: str) -> Settings:
    webhook = {"name": "demo", "url": f"{backend}/", "events": list(EVENTS)}
    return parse({"webhook": [webhook], "limits": {"drain_timeout": "1s"}})


async def _start_service(settings: Settings, archive: Archive) -> Service:
    """Listen where the configuration says; on any free port where that one is taken."""
    recorder = Recorder(TimelineObserver(), archive, record_bytes=archive.record_bytes, attempts=archive.attempts)
    generation = assembly.generation(settings, recorder.attempted)
    try:
        service = Service(generation, recorder)
        await service.start()
    except ListenError:
        generation.addresses = (TcpAddress(_HOST, 0),)
        service = Service(generation, recorder)
        await service.start()
    return service


async def _start_admin(service: Service, settings: Settings, archive: Archive, rules: Rules) -> HttpServer:
    wanted = settings.admin.listen.port if settings.admin.listen else 0
    app = admin_app(SingleProcess(service, Counters(), archive), token=None, loopback=True)
    app.include_router(rule_routes(rules))
    try:
        admin = HttpServer(app, _HOST, wanted, "admin address")
        await admin.start()
    except ListenError:
        admin = HttpServer(app, _HOST, 0, "admin address")
        await admin.start()
    return admin


def _greeting(running: Demo) -> str:
    simulate = f"'{running.admin}/v1/simulate?from=ann@client.example&rcpt=bob@demo.example'"
    return "\n".join(
        (
            "The demo of milter-gateway: a backend, the gateway, and a mail every few seconds. Ctrl-C ends it.",
            f"{_INDENT}page      {running.admin}/ (open it in a browser: watch the mail, switch the backend's rules)",
            f"{_INDENT}admin     {running.admin} (API: {running.admin}/docs)",
            f"{_INDENT}milter    {running.milter}",
            f"{_INDENT}backend   {running.backend}/",
            "Try in another terminal:",
            f"{_INDENT}curl -s {running.admin}/healthz",
            f"{_INDENT}{_PRINTF} | curl -s --data-binary @- {simulate}",
            f"{_INDENT}{_command()} {_SAMPLE} | curl -s -d @- -H 'content-type: application/json' {running.backend}/",
            f"{_INDENT}{_command()} send --milter {running.milter} --rcpt nobody@demo.example",
        )
    )


def _command() -> str:
    """How this program was called, so that the lines can be copied: it may not be on the PATH."""
    called = Path(sys.argv[0])
    return str(called) if called.name == "milter-gateway" and called.parent != Path() else "milter-gateway"


async def _play_mails(running: Demo, count: int | None, interval: float, stopped: asyncio.Event) -> int:
    played = 0
    while not stopped.is_set():
        await _play(running, played + 1, DEMO_MAILS[played % len(DEMO_MAILS)])
        played += 1
        if played == count:
            break
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), interval)
    return played


async def _play(running: Demo, number: int, item: DemoMail) -> None:
    mail = item.mail
    click.echo(f"\nmail {number}: {item.title} ({mail.sender} -> {', '.join(mail.recipients)})")
    outcome = await play(Destination(parse_spec(running.milter)), mail, lambda _: None)
    if isinstance(outcome, PlayError):
        click.echo(f"{_INDENT}error: {outcome}")
        return
    lines = [*verdict_lines(outcome)]
    if outcome.verdict in (Verdict.ACCEPTED, Verdict.QUARANTINED):
        lines += [line for line in change_lines(mail, outcome.result) if line[:1] != " "]
    for line in lines:
        click.echo(_INDENT + line)


def _fact(exchange: Exchange) -> str:
    """What the event is about, for people."""
    if exchange.request is None:
        return ""
    data = msgspec.json.decode(exchange.request)["data"]
    if "address" in data:
        return plain(f"<{data['address']}>")
    return f"{data['size']} bytes" if "size" in data else ""
