"""`message.parsed`: made once for each state of a message, beside the event loop where it could take long."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import msgspec
from msgspec import Raw

from gateway.mail.fields import Field, header_bytes
from gateway.translate.facts import MailBody, ParsedMessage, StoredBytes, TransactionFacts
from gateway.translate.mime import FAULTS, HIDDEN, Memory, parse, unparsed
from gateway.translate.render import Audience, body_of

_AT_ONCE_BYTES = 4 * 1024
"""A message up to this size is parsed on the event loop: half a millisecond, or twenty for one made to be slow."""

_threads = ThreadPoolExecutor(2, thread_name_prefix="parse")
"""Not those that write bodies to disk, which must not wait for it."""


async def parsed_json(transaction: TransactionFacts, audience: Audience, deadline: float) -> Raw:
    """The message as this audience is shown it, parsed. Raises nothing: what goes wrong is a defect.

    At `deadline` on the loop's clock nobody waits any more; the call, which has no time left then, fails.
    """
    draft = transaction.draft
    fields: Sequence[Field] = transaction.fields if draft is None else draft.shown()
    header, body = header_bytes(fields), body_of(transaction, audience)
    known = transaction.parsed
    if known is None or known.header != header or known.body is not body:
        try:
            async with asyncio.timeout_at(deadline):
                json = await _parsed(fields, len(header), body, truncated=transaction.too_large)
        except TimeoutError:
            return Raw(msgspec.json.encode(unparsed("no time was left")))
        known = transaction.parsed = ParsedMessage(header, body, json)
    return known.json


async def _parsed(fields: Sequence[Field], header_size: int, body: bytes | MailBody | None, *, truncated: bool) -> Raw:
    copies = [Field(item.name, item.raw) for item in fields]  # a thread reads them
    try:
        source = await _source(body)
    except OSError:
        source = HIDDEN
    if header_size + source.size <= _AT_ONCE_BYTES:
        with closing(source):
            return _encoded(copies, source, truncated=truncated)
    running = _threads.submit(_encoded, copies, source, truncated=truncated)
    running.add_done_callback(lambda _: source.close())  # also where it is cancelled before it begins
    return await asyncio.wrap_future(running)


async def _source(body: bytes | MailBody | None) -> StoredBytes:
    if body is None:
        return HIDDEN
    if isinstance(body, bytes):
        return Memory(body)
    raw = body.in_memory()
    return await body.on_disk() if raw is None else Memory(raw)


def _encoded(fields: Sequence[Field], source: StoredBytes, *, truncated: bool) -> Raw:
    try:
        made = parse(fields, source, truncated=truncated)
    except (OSError, *FAULTS) as error:
        made = unparsed(f"{type(error).__name__}: {error}")
    return Raw(msgspec.json.encode(made))
