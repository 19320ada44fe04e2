"""Telling the MTA that we are still at work, while the end of a message waits for its webhooks.

Sendmail gives up when nothing comes for ten seconds there, and takes SMFIR_PROGRESS at no other event.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.milter import messages as m
from gateway.milter.codec import encode_reply

PROGRESS_SECONDS = 3.0
_PROGRESS = encode_reply(m.Progress())


@contextmanager
def progress(transport: asyncio.WriteTransport | None, seconds: float) -> Iterator[None]:
    """Say so every `seconds` until the block ends."""
    loop = asyncio.get_running_loop()
    handle: asyncio.TimerHandle

    def tell() -> None:
        nonlocal handle
        if transport is not None:
            transport.write(_PROGRESS)
        handle = loop.call_later(seconds, tell)

    handle = loop.call_later(seconds, tell)
    try:
        yield
    finally:
        handle.cancel()
