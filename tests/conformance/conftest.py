"""Counts which cases of the checklist were carried by tests, and which of those passed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

CLAIMED = pytest.StashKey[dict[str, set[str]]]()
"""For each test that claims ids: the ids."""
FAILED = pytest.StashKey[set[str]]()
FILES = pytest.StashKey[set[Path]]()


def ids_of(item: pytest.Item) -> set[str]:
    return {name for marker in item.iter_markers("conformance") for name in marker.args}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.stash[CLAIMED] = {item.nodeid: ids for item in items if (ids := ids_of(item))}
    config.stash[FILES] = {item.path for item in items}
    config.stash[FAILED] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.failed or report.skipped:
        item.config.stash[FAILED].add(item.nodeid)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    claimed = config.stash.get(CLAIMED, {})
    if not claimed:
        return
    failed = config.stash[FAILED]
    every = set().union(*claimed.values())
    broken = set().union(*(ids for node, ids in claimed.items() if node in failed))
    terminalreporter.write_line(f"conformance ids covered: {len(every - broken)} of {len(every)}")


@pytest.fixture
def claimed(request: pytest.FixtureRequest) -> set[str]:
    """The ids that the tests of this directory claim; skips where only a part of them was collected."""
    if not set(Path(__file__).parent.glob("test_*.py")) <= request.config.stash[FILES]:
        pytest.skip("only a part of this directory was collected")
    return set().union(*request.config.stash[CLAIMED].values())
