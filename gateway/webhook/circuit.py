"""The circuit of one webhook (contract section 8): after calls that failed in a row, calls fail at once for a while.

Pure but for the state it keeps; times are those of the loop's clock, told by the caller.
"""

from gateway.webhook.transport import Cause

FAILURES_TO_OPEN = 5
"""So many failed calls in a row open it; a call with its attempts counts once."""
OPEN_SECONDS = 5.0
"""How long it stays open; then one call probes while the others still fail at once."""

_OURS = frozenset((Cause.NO_ROOM, Cause.BODY, Cause.TOO_LARGE, Cause.CIRCUIT_OPEN))
"""Failures that say nothing about whether the backend works: our own, and the answer that `on_invalid` decides."""


class Circuit:
    """Closed until so many calls fail in a row; with None it stays closed."""

    __slots__ = ("_failures", "_probe_at", "_to_open")

    def __init__(self, to_open: int | None = FAILURES_TO_OPEN) -> None:
        self._failures = 0
        self._to_open = to_open
        self._probe_at: float | None = None
        """When the next call may probe; None while it is closed."""

    @property
    def is_open(self) -> bool:
        """Whether calls fail at once."""
        return self._probe_at is not None

    def lets_through(self, now: float) -> bool:
        """Whether a call may be made now. An answer True while it is open is the probe: it is not given twice.

        A probe that comes to nothing (its caller went away) is followed by the next one after `OPEN_SECONDS`.
        """
        if self._probe_at is None:
            return True
        if now < self._probe_at:
            return False
        self._probe_at = now + OPEN_SECONDS
        return True

    def worked(self) -> bool:
        """A call was answered. True where that closes it."""
        self._failures = 0
        was_open, self._probe_at = self._probe_at is not None, None
        return was_open

    def failed(self, cause: Cause, now: float) -> bool:
        """A call failed. True where that opens it."""
        if cause in _OURS or self._to_open is None:
            return False
        self._failures += 1
        if self._failures < self._to_open:
            return False
        opens, self._probe_at = self._probe_at is None, now + OPEN_SECONDS
        return opens
