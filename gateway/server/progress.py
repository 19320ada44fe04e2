"""Telling the MTA that we are still at work, while the end of a message waits for its webhooks.

Sendmail gives up when nothing comes for ten seconds there, and takes SMFIR_PROGRESS at no other event.
"""

import asyncio

from gateway.milter import messages as m
from gateway.milter.codec import encode_reply

PROGRESS_SECONDS = 3.0
_PROGRESS = encode_reply(m.Progress())


class Progressing:
    """One connection's announcements: a context while the end of a message waits.

    One timer for the whole connection, which looks whether anything waits when it fires: none is touched for a message
    that is answered in time.
    """

    __slots__ = ("_due", "_handle", "_loop", "_seconds", "_transport")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._transport: asyncio.WriteTransport | None = None
        self._due: float | None = None
        self._handle: asyncio.TimerHandle | None = None

    def made(self, transport: asyncio.WriteTransport) -> None:
        """The connection stands."""
        self._transport = transport

    def __enter__(self) -> None:
        """A message waits from now on."""
        self._due = self._loop.time() + self._seconds
        if self._handle is None:
            self._handle = self._loop.call_at(self._due, self._fired)

    def __exit__(self, *_: object) -> None:
        """It is answered."""
        self._due = None

    def cancel(self) -> None:
        """The connection is over."""
        self._due = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fired(self) -> None:
        self._handle = None
        if self._due is None:
            return
        if self._loop.time() >= self._due:
            if self._transport is not None:
                self._transport.write(_PROGRESS)
            self._due = self._loop.time() + self._seconds
        self._handle = self._loop.call_at(self._due, self._fired)
