"""The counters in Prometheus' text format. Names and units follow its naming rules."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from gateway.metrics.counters import LATENCY_BUCKETS, Counters, Labels
from gateway.version import VERSION

CONTENT_TYPE = CONTENT_TYPE_LATEST

_LE = (*(str(bound) for bound in LATENCY_BUCKETS), "+Inf")


class _Collector:
    """Hands the counters over as metric families."""

    def __init__(self, counters: Counters, workers: int) -> None:
        self._counters = counters
        self._workers = workers

    def collect(self) -> Iterator[Metric]:
        """Part of prometheus_client's protocol."""
        now = self._counters
        yield _counted("sessions", "SMTP sessions", now.sessions)
        yield _labelled("decisions", "Final answers", ("event", "action"), now.decisions)
        yield _counted("quarantined_messages", "Messages held in quarantine", now.quarantined)
        yield _counted("changes", "Changes of messages sent to the MTA", now.changes)
        yield _labelled("webhook_calls", "Calls by their outcome", ("webhook", "event", "outcome"), now.calls)
        yield _labelled("webhook_attempts", "HTTP requests, retries included", ("webhook",), now.attempts)
        yield _labelled(
            "webhook_fallbacks",
            "Events at which a policy took the place of an answer",
            ("webhook", "event", "applied"),
            now.fallbacks,
        )
        yield self._latencies()
        yield _gauge("connections", "Open MTA connections", now.connections)
        yield _gauge("buffered_bytes", "Mail and answers held in memory", now.buffered_bytes)
        yield _gauge("workers", "Processes that serve", self._workers)
        build = GaugeMetricFamily("milter_gateway_build_info", "The version that runs", labels=("version",))
        build.add_metric((VERSION,), 1)
        yield build

    def _latencies(self) -> HistogramMetricFamily:
        family = HistogramMetricFamily(
            "milter_gateway_webhook_call_duration_seconds", "Calls with all their attempts", labels=("webhook",)
        )
        for webhook, histogram in self._counters.latencies.items():
            buckets = list(zip(_LE, accumulate(histogram.counts), strict=True))
            family.add_metric((webhook,), buckets, histogram.seconds)
        return family


def _counted(name: str, text: str, value: int) -> CounterMetricFamily:
    return CounterMetricFamily(f"milter_gateway_{name}", text, value)


def _gauge(name: str, text: str, value: int) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"milter_gateway_{name}", text, value)


def _labelled(name: str, text: str, labels: Sequence[str], counts: Mapping[Labels, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"milter_gateway_{name}", text, labels=labels)
    for values, number in counts.items():
        family.add_metric(values, number)
    return family


def exposition(counters: Counters, workers: int = 1) -> bytes:
    """All metrics as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(counters, workers))
    return generate_latest(registry)
