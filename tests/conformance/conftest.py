"""Counts which cases of the checklist were carried by tests, and which of those passed."""

from pathlib import Path

import pytest

CLAIMED = pytest.StashKey[set[str]]()
FILES = pytest.StashKey[set[Path]]()
BROKEN = ("failed", "skipped", "error")
PROPERTY = "conformance"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.stash[FILES] = {item.path for item in items}
    config.stash[CLAIMED] = set()
    for item in items:
        ids = sorted(name for marker in item.iter_markers("conformance") for name in marker.args)
        config.stash[CLAIMED].update(ids)
        if ids:
            item.user_properties.append((PROPERTY, ids))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    found = {outcome: ids_of(terminalreporter, outcome) for outcome in ("passed", *BROKEN)}
    every = set().union(*found.values())
    if every:
        broken = set().union(*(found[outcome] for outcome in BROKEN))
        terminalreporter.write_line(f"conformance ids covered: {len(every - broken)} of {len(every)}")


def ids_of(terminalreporter: pytest.TerminalReporter, outcome: str) -> set[str]:
    reports = terminalreporter.stats.get(outcome, [])
    properties = (item for report in reports for item in getattr(report, "user_properties", []))
    return {name for key, ids in properties if key == PROPERTY for name in ids}


@pytest.fixture
def claimed(request: pytest.FixtureRequest) -> set[str]:
    """The ids that the tests of this directory claim; skips where only a part of them was collected."""
    if not set(Path(__file__).parent.glob("test_*.py")) <= request.config.stash[FILES]:
        pytest.skip("only a part of this directory was collected")
    return request.config.stash[CLAIMED]
