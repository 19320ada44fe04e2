"""Measuring: the contestants of a scenario play in turns, round after round, and the median of the rounds counts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

import uvloop

from benchmarks.load import Load, play
from benchmarks.targets import Process
from benchmarks.usage import cpu_seconds, memory, reset_peak


@dataclass(frozen=True, slots=True)
class Contestant:
    """A milter and what is played to it. `warm_up` messages come first and are not counted."""

    name: str
    process: Process
    load: Load
    warm_up: int = 100


@dataclass(slots=True)
class Figures:
    """Medians over the rounds."""

    name: str
    cpu_us: float = 0.0
    """Processor time of the process tree for each message, in microseconds."""
    rate: float = 0.0
    """Messages a second."""
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0
    peak_mib: float = 0.0
    """Resident memory at most, above what it was before the load."""
    messages: int = 0
    errors: list[str] = field(default_factory=list)


def compete(contestants: Sequence[Contestant], rounds: int) -> dict[str, Figures]:
    """Let all play in turns."""
    for each in contestants:
        warm_up = Load(each.load.mail, min(each.load.connections, each.warm_up), each.warm_up, each.load.added)
        uvloop.run(play(each.process.address, warm_up))
    samples: dict[str, list[Figures]] = {each.name: [] for each in contestants}
    for _ in range(rounds):
        for each in contestants:
            samples[each.name].append(_sample(each))
    return {name: _median(name, found) for name, found in samples.items()}


def _sample(contestant: Contestant) -> Figures:
    pid = contestant.process.pid
    before = memory(pid).now
    reset_peak(pid)
    cpu = cpu_seconds(pid)
    result = uvloop.run(play(contestant.process.address, contestant.load))
    cpu = cpu_seconds(pid) - cpu
    errors = list(result.errors)
    if result.messages != contestant.load.messages:
        errors.append(f"{result.messages} of {contestant.load.messages} messages were played")
    return Figures(
        contestant.name,
        cpu_us=cpu / max(result.messages, 1) * 1e6,
        rate=result.rate,
        p50_ms=result.percentile(0.5) * 1000,
        p95_ms=result.percentile(0.95) * 1000,
        p99_ms=result.percentile(0.99) * 1000,
        peak_mib=(memory(pid).peak - before) / 1024,
        messages=result.messages,
        errors=errors,
    )


def _median(name: str, samples: Sequence[Figures]) -> Figures:
    keys = ("cpu_us", "rate", "p50_ms", "p95_ms", "p99_ms", "peak_mib")
    middle = {key: median(getattr(each, key) for each in samples) for key in keys}
    return Figures(
        name,
        **middle,
        messages=sum(each.messages for each in samples),
        errors=[error for each in samples for error in each.errors],
    )
