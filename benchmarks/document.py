"""Writes docs/performance.md and its charts from the tables of one run."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.tables import Table, bars

TEXT = """\
# Performance

What the gateway costs beside other milters, measured in one run on one machine. `make bench` repeats it on yours and
writes this page anew; absolute figures differ from machine to machine and from hour to hour, the **ratios** hardly do.
So compare ratios, and take a changed ratio, not a changed time, for a regression.

## How it is measured

- The load generator plays Postfix: it offers what Postfix 3.7 offers, sends the macros that Postfix sends (the queue id
  before each header field and body chunk too), leaves out what the milter negotiated away, waits for answers only where
  they were agreed, and **checks every one of them**. A wrong answer or a missing header field is an error, and a run
  with errors fails.
- The mail: 20 header fields, one recipient, 4 KB, unless a table says otherwise. The milter listens on a unix socket,
  the backend on loopback TCP; load generator, milter and backend share the machine.
- The backend is a stub that reads a request and answers the same bytes each time, so that it is no bottleneck.
- CPU is user plus system time of the milter's whole process tree, as the kernel counts it. Peak memory is what the tree
  had resident at most, above what it had before.
- The contestants play in turns, round after round; each figure is the median of the rounds.
- The peers: a milter of 50 lines on Sendmail's **libmilter** in C that makes no HTTP call at all; **pymilter with
  requests**, the way one writes a webhook filter today; **rspamd's proxy** (`rspamd_proxy`, C), which sends each
  message to an HTTP scanner, here to the stub. A **bare loop** in Python shows what the language costs at the least: it
  posts the same events and checks nothing. Their sources are in `benchmarks/peers/`.
- The gateway runs as an operator runs it: `milter-gateway run -c FILE`, JSON log into a file, default limits but for
  the number of connections.

```sh
make bench                                        # everything; about ten minutes
make bench RUNS=3                                 # three runs in a row: a target must hold in each
.venv/bin/python -m benchmarks --quick message    # one scenario, roughly
.venv/bin/python -m benchmarks profile            # where the time goes (pip install py-spy)
```

## What to take from it

- **Subscribe few events.** One POST for each message costs a small part of one POST for each event, since header fields
  and body chunks that nobody subscribes are taken without an answer, and many of them in one read.
- **Use a unix socket or TCP as you like.** Sendmail and Postfix write several small packets and wait; the gateway
  acknowledges each read at once (`TCP_QUICKACK`) and answers in one write, so TCP costs no 40 ms pauses.
- **Large mail**: `format = "multipart"` is the cheapest way, and sends the message while it still arrives. Above
  `spool_above` a message lies on disk, which bounds memory and costs processor time; raise it where memory is plenty.
- `workers = N` uses more cores; a message costs the same.

{missed}
## The figures of {date}

{machine}

{tables}
"""


def write(tables: Sequence[Table], path: Path, missed: str) -> None:
    """Write the page at `path` and the charts beside it."""
    charts = path.parent / path.stem
    charts.mkdir(exist_ok=True)
    parts = []
    for table in tables:
        parts.append(table.markdown())
        if table.chart:
            (charts / f"{table.name}.svg").write_text(bars(table.title, table.chart, table.chart_unit))
            parts.append(f"![{table.title}]({path.stem}/{table.name}.svg)\n")
    text = TEXT.format(
        missed=missed, date=datetime.now(UTC).strftime("%Y-%m-%d"), machine=_machine(), tables="\n".join(parts)
    )
    path.write_text(text.rstrip() + "\n")


def _machine() -> str:
    """What the figures depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), platform.machine())
    system = f"Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores ({model}), {system}."
