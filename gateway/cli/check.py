"""`check`: asks each webhook one question, without any mail."""

import asyncio
from collections.abc import Iterator

import click

from gateway import assembly
from gateway.cli.errors import FAILED, OK, CommandError
from gateway.cli.scenes import OFFER, scene
from gateway.cli.timeline import reply_text
from gateway.config import Settings
from gateway.contract.words import Event
from gateway.policy.ask import Asked, Question, ask
from gateway.policy.member import Member
from gateway.policy.member_terms import NO_WISHES, terms_for
from gateway.policy.rules import Bounds, Webhook
from gateway.policy.setup import Setup
from gateway.translate.answer import Judgement
from gateway.translate.text import plain


def check(settings: Settings) -> int:
    """Print a line for each webhook, and give the exit code. Raises CommandError."""
    for warning in settings.warnings():
        click.echo(f"warning: {warning}", err=True)
    return asyncio.run(_check(settings))


async def _check(settings: Settings) -> int:
    code = OK
    for item in settings.webhook:
        for url in item.url:
            title = item.name if len(item.url) == 1 else f"{item.name} ({url})"
            alone = item.model_copy(update={"url": (url,)})
            code = max(code, await _check_one(title, settings.model_copy(update={"webhook": (alone,)})))
    return code


async def _check_one(title: str, settings: Settings) -> int:
    """Ask the only webhook of these settings."""
    try:
        generation = assembly.generation(settings)
    except ValueError as error:
        raise CommandError(f"configuration: {error}") from error
    setup = assembly.dry(generation.setup)
    try:
        asked = await _ask(setup.webhooks[0], setup)
    finally:
        for client in generation.clients:
            await client.aclose()
    click.echo(_line(title, asked))
    return OK if asked.error is None else FAILED


def _first_event(webhook: Webhook) -> Event:
    return next(event for event in Event if event in webhook.events)


async def _ask(webhook: Webhook, setup: Setup) -> Asked:
    event = _first_event(webhook)
    told = scene(event)
    member = Member(webhook)
    member.terms = terms_for(webhook, OFFER, NO_WISHES)
    deadline = asyncio.get_running_loop().time() + _seconds(event, setup.bounds)
    question = Question(told.event, event, member, told.session, told.transaction, (), deadline, setup.dry_run)
    asked = await ask(question, setup.bounds)
    setup.release(asked.reserved)
    return asked


def _seconds(event: Event, bounds: Bounds) -> float:
    return bounds.end_of_message_seconds if event is Event.END_OF_MESSAGE else bounds.command_seconds


def _line(title: str, asked: Asked) -> str:
    exchange = asked.exchange
    start = f"{title}: {exchange.event}: "
    timing = f"{exchange.elapsed_ms:.0f} ms"
    if asked.judgement is None:
        status = "" if exchange.status is None else f"HTTP {exchange.status}, but the answer is invalid: "
        return plain(f"{start}FAILED after {timing}: {status}{asked.error}")
    return plain(f"{start}ok, {timing}, HTTP {exchange.status}: {', '.join(_answer(asked.judgement))}")


def _answer(judgement: Judgement) -> Iterator[str]:
    yield judgement.action if judgement.reply is None else f"{judgement.action} {reply_text(judgement.reply)}"
    if judgement.changes:
        count = len(judgement.changes)
        yield "1 change" if count == 1 else f"{count} changes"
    for warning in judgement.warnings:
        yield f"warning: {warning}"
