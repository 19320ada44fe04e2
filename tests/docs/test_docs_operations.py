"""The runbook knows every cause, every log line and every metric, and invents none."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from docs_text import ROOT, blocks
from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics.counters import Counters, Histogram
from gateway.metrics.exposition import exposition
from gateway.webhook.transport import Cause

OPERATIONS = ROOT / "docs" / "operations.md"
TEXT = OPERATIONS.read_text()
OURS = {"invalid", "unmet_requirement", "message_too_large"}
"""Causes that are not those of a call."""
INSIDE = {
    "a worker does not listen",
    "a worker refuses the configuration",
    "a worker serves",
    "reports of ended sessions were cut short",
    "the configuration cannot be served",
    "the parent process does not listen",
    "the parent process is gone: the worker stops",
    "workers did not end in time and are killed",
}
"""Lines about the processes among themselves: each says what is done, and nothing is to be done by hand."""


LEVELS = {"log": "warning", "exception": "error"} | {name: name for name in ("info", "warning", "error", "critical")}
"""What a method of the log is called, and the level of its lines."""


def section(title: str) -> str:
    """What stands under a heading."""
    return re.split(r"^#+ ", TEXT.split(f"{title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def first_cells(text: str) -> set[str]:
    """The names in the first column of a table."""
    return {name for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE) for name in re.findall(r"`([^`]+)`", row)}


def test_every_cause_has_a_row() -> None:
    policy = "".join(path.read_text() for path in (ROOT / "gateway" / "policy").glob("*.py"))
    assert all(f'"{cause}"' in policy for cause in OURS)
    assert first_cells(section("### `webhook failed`")) - {"cause"} == {*Cause, *OURS}


def logged(path: Path) -> Iterator[tuple[str, str]]:
    """Level and name of each line that a module logs."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant | ast.JoinedStr):
            level = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            name = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
            if level in LEVELS and isinstance(name, str):
                yield LEVELS[level], name


def test_every_log_line_has_a_row_with_its_level() -> None:
    known = {name: level for path in (ROOT / "gateway").rglob("*.py") for level, name in logged(path)}
    rows = section("### Other lines")
    told = first_cells(rows) | {"webhook failed"}
    assert set(known) - INSIDE == told
    assert set(known) >= INSIDE
    for names, level in re.findall(r"^\| (`.*?) \| (\w+) \|", rows, re.MULTILINE):
        assert {known[name] for name in re.findall(r"`([^`]+)`", names)} == {level}


def families() -> set[str]:
    """The names of all metrics as a scraper gets them, without what histograms and counters add."""
    counters = Counters(
        decisions={("rcpt", "reject"): 1},
        calls={("policy", "rcpt", "ok"): 1},
        attempts={("policy",): 1},
        fallbacks={("policy", "rcpt", "tempfail"): 1},
        latencies={"policy": Histogram()},
    )
    found = text_string_to_metric_families(exposition(counters).decode())
    return {f"{family.name}_total" if family.type == "counter" else family.name for family in found}


def test_every_metric_has_a_row() -> None:
    assert first_cells(section("## Metrics and alerts").split("Four alerts")[0]) == families()


def test_alerts_are_about_metrics_that_are_there() -> None:
    (rules,) = blocks(OPERATIONS, "yaml")
    named = set(re.findall(r"milter_gateway_\w+", rules.text))
    assert named
    assert {name.removesuffix("_bucket") for name in named} <= families()
    for name in re.findall(r"`(milter_gateway_\w+)`", TEXT):
        assert name in families()
