"""Where the gateway's processor time goes, package by package, with flame graphs. Needs py-spy."""

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import uvloop

from benchmarks.load import Load, play
from benchmarks.scenarios import TYPICAL, Effort
from benchmarks.tables import Table
from benchmarks.targets import Bench, MissingError, Process
from benchmarks.usage import cpu_seconds

_CHARTS = Path(__file__).parent.parent / "docs" / "performance"
_SECONDS = 20
_MODES = {"message": {"events": ["end_of_message"]}, "events": {}}
_ROWS = {
    "milter": "`milter`: frames, macros, order of the protocol",
    "policy": "`policy`: gathering, who is asked, the decision",
    "translate": "`translate`, `contract`: the request's JSON, the answer",
    "webhook": "`webhook`: the HTTP exchange",
    "server": "`server`: the MTA's socket",
    "mail": "`mail`: net changes",
    "log": "log line",
    "rest": "event loop, spool, metrics",
}
_ROW_OF = {"contract": "translate", "observe.py": "log", "cli/logs.py": "log"}
"""What stands in a row of another name."""
_TITLE = re.compile(r'(<text id="title"[^>]*>)[^<]*<')
"""py-spy's own is its command line."""
_OURS = re.compile(r"\(gateway/(([\w.]+)(?:/[\w.]+)?)")


def profile(bench: Bench, effort: Effort) -> Table:
    """CPU for each message by package; the flame graphs go beside the page."""
    table = Table("profile", "Profile, CPU µs/message", ("package", "one POST for each message", "every event"))
    spy = shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if spy is None:
        table.left_out.append("py-spy: pip install py-spy")
        return table
    url, found = bench.stub(), []
    for mode, settings in _MODES.items():
        try:
            process = bench.gateway(mode, url, **settings)
        except MissingError as error:
            table.errors.append(str(error))
            return table
        seconds = max(int(_SECONDS * effort.scale), 3)
        raw = bench.scratch / f"{mode}.raw"
        cost = _record(spy, process, seconds, "raw", raw)
        chart = _CHARTS / f"profile-{mode}-after.svg"
        _record(spy, process, seconds, "flamegraph", chart)
        chart.write_text(_TITLE.sub(rf"\1{mode}, now<", chart.read_text()))
        found.append(by_row(raw.read_text(), cost))
    for key, text in _ROWS.items():
        table.rows.append((text, *(f"{costs[key]:,.0f}" for costs in found)))
    table.rows.append(("**together**", *(f"**{sum(costs.values()):,.0f}**" for costs in found)))
    return table


def _record(spy: str, process: Process, seconds: int, form: str, path: Path) -> float:
    """Sample while the load is played; CPU µs for each message."""
    load = Load(TYPICAL, 32, 200, 1)
    uvloop.run(play(process.address, load))
    command = [spy, "record", "--function", "--rate", "400", "--duration", str(seconds), "--format", form]
    before, messages = cpu_seconds(process.pid), 0
    recording = subprocess.Popen(
        [*command, "--output", str(path), "--pid", str(process.pid)], stdout=subprocess.DEVNULL
    )
    while recording.poll() is None:
        messages += uvloop.run(play(process.address, load)).messages
    return (cpu_seconds(process.pid) - before) / max(messages, 1) * 1e6


def by_row(stacks: str, cost: float) -> dict[str, float]:
    """Attribute the samples to the innermost function of ours; system calls and libraries count for their caller."""
    samples: Counter[str] = Counter()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        innermost = next(reversed(_OURS.findall(stack)), ("", ""))
        row = next((row for name in innermost if (row := _ROW_OF.get(name, name)) in _ROWS), "rest")
        samples[row] += int(count)
    most = max(samples.total(), 1)
    return {row: samples[row] / most * cost for row in _ROWS}
