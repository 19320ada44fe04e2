"""The attempts of calls under way, until the calls are over: clients tell of the first, the policy of the second."""

from typing import TypeVar

from gateway.recording.records import Try
from gateway.webhook import Attempt

Thing = TypeVar("Thing")

_UNDER_WAY = 4096
"""Calls, sessions and transactions under way that are remembered at most; beyond, the oldest is forgotten."""


class Attempts:
    """One for all who use the same clients: those that take mail, and those that try a message out."""

    def __init__(self) -> None:
        self._of_call: dict[str, list[Try]] = {}

    def attempted(self, attempt: Attempt) -> None:
        """Remember an attempt until its call is over."""
        error = None if attempt.error is None else str(attempt.error)
        status = attempt.status if attempt.error is None else getattr(attempt.error, "status", None)
        made = Try(attempt.number, attempt.url, attempt.elapsed_ms, status, error)
        remember(self._of_call, attempt.call.id, self._of_call.get(attempt.call.id, [])).append(made)

    def take(self, call_id: str) -> tuple[Try, ...]:
        """Those of a call that is over."""
        return tuple(self._of_call.pop(call_id, ()))


def remember(among: dict[str, Thing], key: str, thing: Thing) -> Thing:
    """Put it there, within the bound."""
    if key not in among and len(among) >= _UNDER_WAY:
        among.pop(next(iter(among)))
    among[key] = thing
    return thing
