"""`replay`: recorded exchanges against a new version of a filter."""

import asyncio
import sys
from collections.abc import Sequence
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
from gateway.webhook import Endpoint, WebhookClient

_AT_ONCE = 8
"""Calls under way; the calls of one session stay in order all the same."""


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
    try:
        exchanges = list(read(what.path))
    except OSError as error:
        raise CommandError(f"{what.path}: {error.strerror or error}", USAGE_ERROR) from error
    except RecordingError as error:
        raise CommandError(str(error), USAGE_ERROR) from error
    kept = [item for item in exchanges if item.request is not None]
    if not kept:
        raise CommandError(f"{what.path}: no exchange with a body is in it", USAGE_ERROR)
    done = asyncio.run(_replay(what, kept))
    for each in done:
        _print(each, as_json=what.as_json)
    different = sum(not each.same for each in done)
    if not what.as_json:
        left_out = len(exchanges) - len(kept)
        words = f"{len(done)} replayed, {len(done) - different} the same, {different} different"
        click.echo(words + (f"; {left_out} without a body left out" if left_out else ""))
    return FAILED if different else OK


async def _replay(what: Replay, exchanges: Sequence[Exchange]) -> list[Replayed]:
    """In the order of the recording; sessions side by side."""
    endpoint = Endpoint(name="replay", urls=(what.url,), retries=0, secrets=what.secrets)
    try:
        client = WebhookClient(endpoint, version=VERSION)
    except ValueError as error:
        raise CommandError(str(error), USAGE_ERROR) from error
    sessions: dict[str, list[tuple[int, Exchange]]] = {}
    for number, exchange in enumerate(exchanges):
        sessions.setdefault(exchange.session_id, []).append((number, exchange))
    turn = asyncio.Semaphore(_AT_ONCE)
    done: dict[int, Replayed] = {}
    shown = click.progressbar(length=len(exchanges), label="replaying", file=sys.stderr, hidden=not sys.stderr.isatty())

    async def play(session: list[tuple[int, Exchange]]) -> None:
        async with turn:
            for number, exchange in session:
                url = what.url.replace("{event}", exchange.event)
                done[number] = await send_again(exchange, client, url, what.seconds)
                shown.update(1)

    try:
        with shown:
            await asyncio.gather(*(play(session) for session in sessions.values()))
    finally:
        await client.aclose()
    return [done[number] for number in sorted(done)]


def _print(each: Replayed, *, as_json: bool) -> None:
    if as_json:
        names = ("id", "event", "status", "action", "failure", "same", "differences")
        click.echo(msgspec.json.encode({name: getattr(each, name) for name in names}))
    elif not each.same:
        click.echo(f"{each.event} {each.id}")
        for line in each.differences:
            click.echo(f"  {plain(line)}")
        if each.failure:
            click.echo(f"  {plain(each.failure)}")
