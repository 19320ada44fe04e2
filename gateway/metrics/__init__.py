"""What is counted, and how Prometheus reads it."""

from gateway.metrics.counters import Counters, merged
from gateway.metrics.exposition import exposition
from gateway.metrics.observer import CountingObserver

__all__ = ["Counters", "CountingObserver", "exposition", "merged"]
