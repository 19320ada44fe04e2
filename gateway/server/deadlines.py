"""How long a peer may take for a packet, how long it may be silent, and how long it may refuse to read.

One timer for each connection, which looks at its deadline when it fires and is set anew only then: no timer is touched
for a packet.
"""

import asyncio
from collections.abc import Callable


class Deadlines:
    """The present expectation of one connection; `late` is told what did not happen in time."""

    __slots__ = ("_due", "_frame_seconds", "_handle", "_idle_seconds", "_late", "_loop", "_what")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        frame_seconds: float,
        idle_seconds: float,
        late: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._frame_seconds = frame_seconds
        self._idle_seconds = idle_seconds
        self._late = late
        self._due: float | None = None
        self._what = ""
        self._handle: asyncio.TimerHandle | None = None

    def expect_frame(self) -> None:
        """A packet has begun, or the first is awaited; further bytes of it do not extend the deadline."""
        if self._what != "frame":
            self._expect("frame", self._frame_seconds)

    def expect_silence(self) -> None:
        """Nothing is begun; SMTP clients may be idle for long."""
        self._expect("idle", self._idle_seconds)

    def expect_room(self) -> None:
        """What was written waits for the peer to read it; further answers do not extend the deadline."""
        if self._what != "room":
            self._expect("room", self._frame_seconds)

    def expect_nothing(self) -> None:
        """It is our turn."""
        self._due, self._what = None, ""

    def cancel(self) -> None:
        """The connection is over."""
        self.expect_nothing()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _expect(self, what: str, seconds: float) -> None:
        self._what = what
        self._due = self._loop.time() + seconds
        if self._handle is None or self._handle.when() > self._due:
            self._set(self._due)

    def _set(self, when: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._loop.call_at(when, self._fired)

    def _fired(self) -> None:
        self._handle = None
        if self._due is None:
            return
        if self._loop.time() < self._due:
            self._set(self._due)
            return
        self._late(_LATE[self._what])


_LATE = {
    "frame": "a packet was not complete within frame_timeout",
    "idle": "silence between packets for longer than idle_timeout",
    "room": "the MTA did not read our answer within frame_timeout",
}
