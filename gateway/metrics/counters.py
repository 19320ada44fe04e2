"""Plain counters of one process, and the sum over several processes.

Counting is adding to an integer; everything that makes a metric of it happens when somebody asks for the metrics.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping

from msgspec import Struct, field

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
"""Upper bounds in seconds; beyond the last there is one more."""

Labels = tuple[str, ...]


class Histogram(Struct):
    """How many calls took how long; `seconds` in all."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BUCKETS) + 1))
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(LATENCY_BUCKETS, seconds)] += 1
        self.seconds += seconds


class Counters(Struct):
    """Everything that is counted in one process."""

    sessions: int = 0
    decisions: dict[Labels, int] = field(default_factory=dict)
    """By event and action: final answers."""
    quarantined: int = 0
    changes: int = 0
    calls: dict[Labels, int] = field(default_factory=dict)
    """By webhook, event and outcome: ok, or the cause of the failure."""
    attempts: dict[Labels, int] = field(default_factory=dict)
    """By webhook: HTTP requests, retries included."""
    latencies: dict[str, Histogram] = field(default_factory=dict)
    """By webhook."""
    fallbacks: dict[Labels, int] = field(default_factory=dict)
    """By webhook, event and what was applied instead of an answer."""
    connections: int = 0
    """Open now."""
    buffered_bytes: int = 0
    """Of the memory budget, used now."""


def add(counts: dict[Labels, int], labels: Labels, number: int = 1) -> None:
    """Count under these labels."""
    counts[labels] = counts.get(labels, 0) + number


def _add_all(counts: dict[Labels, int], further: Mapping[Labels, int]) -> None:
    for labels, number in further.items():
        add(counts, labels, number)


def merged(several: Iterable[Counters]) -> Counters:
    """The sum."""
    total = Counters()
    for each in several:
        total.sessions += each.sessions
        total.quarantined += each.quarantined
        total.changes += each.changes
        total.connections += each.connections
        total.buffered_bytes += each.buffered_bytes
        _add_all(total.decisions, each.decisions)
        _add_all(total.calls, each.calls)
        _add_all(total.attempts, each.attempts)
        _add_all(total.fallbacks, each.fallbacks)
        for webhook, histogram in each.latencies.items():
            sums = total.latencies.setdefault(webhook, Histogram())
            sums.counts = [a + b for a, b in zip(sums.counts, histogram.counts, strict=True)]
            sums.seconds += histogram.seconds
    return total
