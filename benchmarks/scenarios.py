"""The scenarios with a played MTA. Each starts what it needs, measures, and gives a table."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import uvloop

from benchmarks.load import Load, MtaConnection, connect
from benchmarks.mail import OPENING, Mail, binary_body, text_body, turns
from benchmarks.measure import Contestant, Figures, compete
from benchmarks.tables import Check, Table
from benchmarks.targets import Bench, MissingError, Process
from benchmarks.usage import cpu_seconds, memory

TYPICAL = Mail(20, text_body(4096))
LARGE = 10_000_000
FOUR = ["mail", "rcpt", "end_of_headers", "end_of_message"]
COLUMNS = ("", "CPU µs/message", "messages/s", "p50 ms", "p95 ms", "p99 ms")


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure: `scale` messages in relation to the full run, and the rounds."""

    scale: float = 1.0
    rounds: int = 3

    def messages(self, full: int) -> int:
        """So many messages."""
        return max(int(full * self.scale), 8)


class _Gathering:
    """The contestants of one scenario, without those that cannot run here."""

    def __init__(self) -> None:
        self.contestants: list[Contestant] = []
        self.left_out: list[str] = []

    def add(self, name: str, start: Callable[[], Process], load: Load, warm_up: int = 100) -> None:
        try:
            self.contestants.append(Contestant(name, start(), load, warm_up))
        except MissingError as error:
            self.left_out.append(str(error))


def _table(name: str, title: str, figures: Mapping[str, Figures], left_out: list[str]) -> Table:
    table = Table(name, title, COLUMNS, left_out=left_out, chart_unit="CPU µs per message")
    for each in figures.values():
        cells = (each.cpu_us, each.rate, each.p50_ms, each.p95_ms, each.p99_ms)
        table.rows.append((each.name, *(f"{value:,.0f}" if value >= 100 else f"{value:.2f}" for value in cells)))
        table.errors += [f"{each.name}: {error}" for error in each.errors]
        table.chart.append((each.name, each.cpu_us))
    return table


def _ratio(
    table: Table, figures: Mapping[str, Figures], ours: str, theirs: str, bound: float, key: str = "cpu_us"
) -> None:
    if ours in figures and theirs in figures:
        what = {"cpu_us": "CPU", "p50_ms": "p50"}[key]
        value = getattr(figures[ours], key) / max(getattr(figures[theirs], key), 1e-9)
        table.checks.append(Check(f"{what}, {ours} to {theirs}", value, bound))


def message(bench: Bench, effort: Effort) -> Table:
    """One POST for each message."""
    url, group = bench.stub(), _Gathering()
    load = Load(TYPICAL, 32, effort.messages(8000), 1)
    group.add("gateway", lambda: bench.gateway("message", url, events=["end_of_message"]), load)
    group.add("rspamd proxy (C)", lambda: bench.rspamd(url), load)
    group.add("bare Python loop", lambda: bench.bare(url, "message"), load)
    slow = Load(TYPICAL, 32, effort.messages(1000), 1)
    group.add("pymilter + requests", lambda: bench.pymilter(url, "message"), slow)
    figures = compete(group.contestants, effort.rounds)
    table = _table("message", "One POST for each message, 32 connections", figures, group.left_out)
    _ratio(table, figures, "gateway", "rspamd proxy (C)", 1.6)
    _ratio(table, figures, "gateway", "pymilter + requests", 0.10)
    return table


def events(bench: Bench, effort: Effort) -> Table:
    """One POST for each event."""
    url, group = bench.stub(), _Gathering()
    group.add("gateway", lambda: bench.gateway("events", url), Load(TYPICAL, 32, effort.messages(1200), 1))
    group.add("libmilter (C), no HTTP", bench.libmilter, Load(TYPICAL, 32, effort.messages(4000), 1))
    group.add("bare Python loop", lambda: bench.bare(url, "events"), Load(TYPICAL, 32, effort.messages(1200), 1))
    slow = Load(TYPICAL, 32, effort.messages(120), 1)
    group.add("pymilter + requests", lambda: bench.pymilter(url, "events"), slow, 32)
    figures = compete(group.contestants, effort.rounds)
    table = _table("events", "One POST for each event (26 a message), 32 connections", figures, group.left_out)
    _ratio(table, figures, "gateway", "libmilter (C), no HTTP", 2.5)
    _ratio(table, figures, "gateway", "pymilter + requests", 0.06)
    return table


def four(bench: Bench, effort: Effort) -> Table:
    """Four POSTs a message, beside one for each event."""
    url, group = bench.stub(), _Gathering()
    group.add(
        "gateway, 4 events",
        lambda: bench.gateway("four", url, events=FOUR),
        Load(TYPICAL, 32, effort.messages(3000), 1),
    )
    group.add("gateway, all events", lambda: bench.gateway("all", url), Load(TYPICAL, 32, effort.messages(1200), 1))
    figures = compete(group.contestants, effort.rounds)
    table = _table("four", "Four POSTs a message (mail, rcpt, end_of_headers, end_of_message)", figures, group.left_out)
    _ratio(table, figures, "gateway, 4 events", "gateway, all events", 0.45)
    return table


def large(bench: Bench, effort: Effort) -> Table:
    """Messages of 10 MB."""
    url, group = bench.stub(), _Gathering()
    text, binary = Mail(20, text_body(LARGE)), Mail(20, binary_body(LARGE))
    at_end, count = ["end_of_message"], effort.messages(24)
    as_text, as_binary = Load(text, 4, count, 1), Load(binary, 4, count, 1)
    group.add("gateway, JSON, text", lambda: bench.gateway("json", url, events=at_end), as_text, 4)
    group.add("gateway, JSON, binary", lambda: bench.gateway("base64", url, events=at_end), as_binary, 4)
    group.add("gateway, multipart", lambda: bench.gateway("form", url, events=at_end, format="multipart"), as_text, 4)
    group.add(
        "gateway, multipart, in memory",
        lambda: bench.gateway("memory", url, events=at_end, format="multipart", limits={"spool_above": "64MiB"}),
        as_text,
        4,
    )
    group.add("rspamd proxy (C)", lambda: bench.rspamd(url), as_text, 4)
    figures = compete(group.contestants, effort.rounds)
    table = Table(
        "large", "Messages of 10 MB, 4 connections", ("", "CPU ms/message", "messages/s", "p50 ms", "peak MiB/message")
    )
    table.left_out, table.chart_unit = group.left_out, "CPU ms per message"
    for each in figures.values():
        cells = (each.cpu_us / 1000, each.rate, each.p50_ms, each.peak_mib / 4)
        table.rows.append((each.name, *(f"{value:.1f}" for value in cells)))
        table.chart.append((each.name, each.cpu_us / 1000))
        table.errors += [f"{each.name}: {error}" for error in each.errors]
    _ratio(table, figures, "gateway, JSON, text", "rspamd proxy (C)", 1.0)
    _ratio(table, figures, "gateway, JSON, binary", "rspamd proxy (C)", 1.0)
    _ratio(table, figures, "gateway, multipart", "rspamd proxy (C)", 0.65)
    peak = figures["gateway, multipart"].peak_mib / 4
    table.checks.append(Check("peak memory for a message in flight, multipart", peak, 2.0, unit="MiB"))
    return table


MANY, EACH, HUGE = 100, 20_000_000, 100_000_000


def peaks(bench: Bench, effort: Effort) -> Table:
    """How much memory a crowd of large messages takes, and a single huge one."""
    columns = ("", f"peak MiB, {MANY} x {EACH // 10**6} MB at once", f"peak MiB, 1 x {HUGE // 10**6} MB")
    table = Table("peaks", "Peak memory above the idle gateway", columns, chart_unit=f"MiB, {MANY} messages at once")
    url, limits = bench.stub(), {"message_bytes": "128MiB"}
    text, huge = Mail(20, text_body(EACH)), Mail(20, text_body(HUGE))
    for form in ("json", "multipart"):
        settings = {"events": ["end_of_message"], "format": form, "limits": limits}
        process = bench.gateway(form, url, **settings)
        one, many = (_peak(process, load) for load in (Load(huge, 1, 1, 1), Load(text, MANY, MANY, 1)))
        table.rows.append((f"gateway, {form}", f"{many.peak_mib:.1f}", f"{one.peak_mib:.1f}"))
        table.chart.append((f"gateway, {form}", many.peak_mib))
        table.errors += [f"{form}: {error}" for error in (*many.errors, *one.errors)]
        if form == "multipart":
            table.checks.append(Check("peak memory for a message in flight", many.peak_mib / MANY, 2.0, unit="MiB"))
    return table


def _peak(process: Process, load: Load) -> Figures:
    return compete([Contestant("", process, load, 1)], 1)[""]


def latency(bench: Bench, effort: Effort) -> Table:
    """One connection, over both kinds of socket."""
    url, group = bench.stub(), _Gathering()
    load, at_end = Load(TYPICAL, 1, effort.messages(2000), 1), ["end_of_message"]
    group.add("gateway, unix", lambda: bench.gateway("unix", url, events=at_end), load)
    group.add("gateway, TCP", lambda: bench.gateway("tcp", url, tcp=True, events=at_end), load)
    group.add("rspamd proxy (C)", lambda: bench.rspamd(url), load)
    figures = compete(group.contestants, effort.rounds)
    table = _table("latency", "One connection, one POST for each message", figures, group.left_out)
    table.chart = [(each.name, each.p50_ms) for each in figures.values()]
    table.chart_unit = "p50 ms"
    _ratio(table, figures, "gateway, unix", "rspamd proxy (C)", 1.5, "p50_ms")
    return table


def slow(bench: Bench, effort: Effort) -> Table:
    """A backend that takes 200 ms, 200 connections: 1,000 messages a second would be ideal."""
    url, group = bench.stub(0.2), _Gathering()
    load = Load(TYPICAL, 200, effort.messages(5000), 1)
    group.add("gateway", lambda: bench.gateway("slow", url, events=["end_of_message"]), load, 200)
    group.add("rspamd proxy (C)", lambda: bench.rspamd(url), load, 200)
    figures = compete(group.contestants, effort.rounds)
    table = _table("slow", "A backend that answers after 200 ms, 200 connections", figures, group.left_out)
    table.chart = [(each.name, each.p50_ms) for each in figures.values()]
    table.chart_unit = "p50 ms, 200 of them the backend's"
    table.checks.append(Check("messages a second, to N/delay", figures["gateway"].rate / 1000, 0.95, at_most=False))
    return table


def workers(bench: Bench, effort: Effort) -> Table:
    """Two processes beside one."""
    url, group = bench.stub(), _Gathering()
    load, at_end = Load(TYPICAL, 32, effort.messages(8000), 1), ["end_of_message"]
    group.add("gateway, 1 process", lambda: bench.gateway("one", url, events=at_end), load)
    group.add("gateway, 2 workers", lambda: bench.gateway("two", url, workers=2, events=at_end), load)
    figures = compete(group.contestants, effort.rounds)
    table = _table("workers", "Two workers and one process, one POST for each message", figures, group.left_out)
    _ratio(table, figures, "gateway, 2 workers", "gateway, 1 process", 1.1)
    return table


IDLE = 2000


def idle(bench: Bench, effort: Effort) -> Table:
    """2,000 connections that have said EHLO, and then nothing."""
    table = Table("idle", f"{IDLE:,} idle connections", ("", "KiB/connection", "CPU s in 3 s"))
    table.chart_unit = "KiB per connection"
    starts: list[tuple[str, Callable[[], Process]]] = [
        ("gateway", lambda: bench.gateway("idle", bench.stub(), events=["end_of_message"])),
        ("libmilter (C), no HTTP", bench.libmilter),
    ]
    for name, start in starts:
        try:
            process = start()
        except MissingError as error:
            table.left_out.append(str(error))
            continue
        kib, cpu = uvloop.run(_idle(process))
        table.rows.append((name, f"{kib:.2f}", f"{cpu:.2f}"))
        table.chart.append((name, kib))
        if name == "gateway":
            table.checks.append(Check("memory of an idle connection", kib, 6.0, unit="KiB"))
            table.checks.append(Check("CPU while idle", cpu, 0.02, unit="s in 3 s"))
    return table


async def _idle(process: Process) -> tuple[float, float]:
    """KiB for each connection, and processor seconds within three seconds."""
    for connection in await _open(process, 50):
        connection.close()
    await asyncio.sleep(0.5)
    before = memory(process.pid).now
    connections = await _open(process, IDLE)
    await asyncio.sleep(0.5)
    kib, cpu = (memory(process.pid).now - before) / IDLE, cpu_seconds(process.pid)
    await asyncio.sleep(3)
    cpu = cpu_seconds(process.pid) - cpu
    for connection in connections:
        connection.close()
    return kib, cpu


async def _open(process: Process, count: int) -> list[MtaConnection]:
    opened = []
    for _ in range(count):
        connection = await connect(process.address)
        terms = await connection.negotiate()
        script, rest = turns(iter(OPENING), terms)
        for turn in script:
            await connection.ask(turn)
        if rest and connection.transport is not None:
            with suppress(OSError):
                connection.transport.write(rest)
        opened.append(connection)
    return opened


SCENARIOS: Mapping[str, Callable[[Bench, Effort], Table]] = {
    "events": events,
    "four": four,
    "message": message,
    "large": large,
    "peaks": peaks,
    "latency": latency,
    "idle": idle,
    "slow": slow,
    "workers": workers,
}
