"""The URLs of one backend: tried in order, and a failing one is left aside for a while.

Pure but for the state it keeps; times are those of the loop's clock, told by the caller.
"""

from collections.abc import Sequence

from gateway.webhook.transport import HttpRequest

ASIDE_SECONDS = 5.0
"""How long a failing URL is left aside; then one call tries it again while the others still avoid it."""


class Alternative:
    """One URL, with the part of its requests that all calls of an event share."""

    __slots__ = ("aside_until", "requests", "url")

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: dict[str, HttpRequest] = {}
        self.aside_until: float | None = None
        """None: it works, as far as is known."""


class Alternatives:
    """All URLs of a backend, in the configured order."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._all = tuple(map(Alternative, urls))

    def in_order(self, now: float) -> Sequence[Alternative]:
        """In which order a call tries them: those left aside come last, since all may fail."""
        if len(self._all) == 1:
            return self._all
        good, aside = [], []
        for each in self._all:
            if each.aside_until is None:
                good.append(each)
            elif each.aside_until <= now:
                each.aside_until = now + ASIDE_SECONDS  # this call tries it, and the others wait for what it finds
                good.append(each)
            else:
                aside.append(each)
        return good + aside

    def failed(self, alternative: Alternative, now: float) -> bool:
        """Leave it aside. True where it was not already; a single URL never is, since there is no other."""
        if len(self._all) == 1:
            return False
        fresh, alternative.aside_until = alternative.aside_until is None, now + ASIDE_SECONDS
        return fresh

    def worked(self, alternative: Alternative) -> bool:
        """Use it again. True where it had been left aside."""
        if alternative.aside_until is None:
            return False
        alternative.aside_until = None
        return True
