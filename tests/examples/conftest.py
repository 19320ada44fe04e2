from collections.abc import Callable, Iterator

import pytest
from example_processes import Filter

COMPILED = pytest.mark.timeout(300)
"""For what may have to wait for a compiler."""

Start = Callable[..., Filter]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "attachments" in item.name:
            item.add_marker(COMPILED)


@pytest.fixture(scope="session")
def start_filter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts an example behind a gateway of its own; both run until the tests end."""
    running: list[Filter] = []

    def start(name: str, **environment: str) -> Filter:
        running.append(Filter(name, tmp_path_factory.mktemp("example"), environment))
        return running[-1]

    yield start
    for item in running:
        item.terminate()
    for item in running:
        item.wait()


@pytest.fixture(scope="session")
def filter_of(start_filter: Start) -> Start:
    """The same, one for each example, shared by all tests."""
    shared: dict[str, Filter] = {}

    def of(name: str) -> Filter:
        if name not in shared:
            shared[name] = start_filter(name)
        return shared[name]

    return of
