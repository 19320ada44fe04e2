"""`replay`: recorded exchanges against a new version of a filter."""

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec

from gateway.cli.errors import FAILED, OK, USAGE_ERROR, CommandError
from gateway.recording import Exchange, RecordingError
from gateway.recording.journal import read
from gateway.recording.replay import Replayed, send_again
from gateway.translate.text import plain
from gateway.version import VERSION
from gateway.webhook import Circuit, Endpoint, WebhookClient

_AT_ONCE = 8
"""Calls under way; the calls of one session stay in order all the same."""
_WINDOW = 64
_WINDOW_BYTES = 64 << 20
"""Exchanges that are read ahead: a recording may be larger than the memory."""
_WIDTH = 400
"""Characters of a difference that are printed."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What is to be done.

    Args:
        path: of the recording.
        url: where to; `{event}` becomes the event's name.
        secrets: that sign the calls.
        seconds: for each call.
        as_json: print one JSON value a line.

    """

    path: Path
    url: str
    secrets: tuple[bytes, ...] = ()
    seconds: float = 30.0
    as_json: bool = False


def replay(what: Replay) -> int:
    """Send all again, print what differs, and give the exit code: 0 same, 1 different. Raises CommandError."""
    contents = _checked(what.path)
    if not contents.kept:
        raise CommandError(f"{what.path}: no exchange with a body is in it", USAGE_ERROR)
    different = asyncio.run(_replay(what, contents.kept))
    if not what.as_json:
        words = f"{contents.kept} replayed, {contents.kept - different} the same, {different} different"
        words += f"; {contents.left_out} without a body left out" if contents.left_out else ""
        click.echo(words)
    if contents.redacted:
        click.echo(
            f"{what.path} is redacted: actions, codes and kinds of changes were compared, texts were not", err=True
        )
    return FAILED if different else OK


@dataclass(slots=True)
class _Contents:
    """What is in a recording."""

    kept: int = 0
    left_out: int = 0
    redacted: int = 0


def _checked(path: Path) -> _Contents:
    """Read the whole recording once, so that nothing is sent where some of it is none. Raises CommandError."""
    contents = _Contents()
    try:
        for exchange in read(path):
            contents.kept += exchange.request is not None
            contents.left_out += exchange.request is None
            contents.redacted += exchange.redacted
    except RecordingError as error:
        raise CommandError(str(error), USAGE_ERROR) from error
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}", USAGE_ERROR) from error
    return contents


async def _replay(what: Replay, count: int) -> int:
    """Print each in the order of the recording; how many differ."""
    endpoint = Endpoint(name="replay", urls=(what.url,), retries=0, secrets=what.secrets)
    try:
        client = WebhookClient(endpoint, version=VERSION, circuit=Circuit(None))  # each one is asked
    except ValueError as error:
        raise CommandError(str(error), USAGE_ERROR) from error
    watched = sys.stderr.isatty()
    different = 0
    try:
        with click.progressbar(length=count, label="replaying", file=sys.stderr, hidden=not watched) as shown:
            async for each in _sent(what, client):
                different += not each.same
                if watched and (what.as_json or not each.same):
                    click.echo("\r\x1b[K", nl=False, err=True)  # the bar comes back below what is printed
                _print(each, as_json=what.as_json)
                shown.update(1)
    finally:
        await client.aclose()
    return different


async def _sent(what: Replay, client: WebhookClient) -> AsyncIterator[Replayed]:
    """Send one after the other, sessions side by side; only so many are in memory."""
    turn = asyncio.Semaphore(_AT_ONCE)
    last: dict[str, asyncio.Task[Replayed]] = {}
    window: deque[tuple[asyncio.Task[Replayed], int]] = deque()

    async def send(exchange: Exchange, before: asyncio.Task[Replayed] | None) -> Replayed:
        if before is not None:
            await asyncio.wait({before})
        async with turn:
            url = what.url.replace("{event}", exchange.event)
            return await send_again(exchange, client, url, what.seconds)

    def forget(task: asyncio.Task[Replayed]) -> None:
        if last.get(task.get_name()) is task:
            del last[task.get_name()]

    for exchange in read(what.path):
        if exchange.request is None:
            continue
        while window and (len(window) >= _WINDOW or sum(size for _, size in window) > _WINDOW_BYTES):
            yield await window.popleft()[0]
        task = asyncio.create_task(send(exchange, last.get(exchange.session_id)), name=exchange.session_id)
        last[exchange.session_id] = task
        task.add_done_callback(forget)
        window.append((task, exchange.size))
    while window:
        yield await window.popleft()[0]


def _print(each: Replayed, *, as_json: bool) -> None:
    if as_json:
        names = ("id", "event", "status", "action", "failure", "same", "differences")
        click.echo(msgspec.json.encode({name: getattr(each, name) for name in names}))
    elif not each.same:
        click.echo(f"{each.event} {each.id}")
        for line in each.differences:
            click.echo(f"  {_clipped(line)}")
        if each.failure:
            click.echo(f"  {_clipped(each.failure)}")


def _clipped(line: str) -> str:
    """A line for people; of a long one (a whole new body, say) the beginning of both sides."""
    if len(line) > _WIDTH:
        before, arrow, now = line.partition(" -> ")
        line = arrow.join(
            part if len(part) <= _WIDTH else f"{part[:_WIDTH]}… ({len(part)} characters)"
            for part in ((before, now) if arrow else (before,))
        )
    return plain(line)
