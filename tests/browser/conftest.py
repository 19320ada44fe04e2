"""A browser and a demo for each module: they are ended before others' event loops begin."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from browser.visitor import Visitor, started_chromium, started_demo, visitor
from playwright.sync_api import Browser

Visit = Callable[..., Visitor]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Real Chromium."""
    with started_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def demo(chromium: Browser) -> Iterator[str]:
    """The demo, with a mail every half second; the address of its page."""
    with started_demo() as address:
        yield address


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Visit]:
    """`visit(address, place)` opens the page; at the end of the test it must have behaved."""
    with ExitStack() as stack:

        def open_page(address: str, place: str = "", **options: object) -> Visitor:
            found = stack.enter_context(visitor(chromium, address, **options))
            found.open(place)
            return found

        yield open_page


@pytest.fixture
def ann(visit: Visit, demo: str) -> Visitor:
    """Somebody at the page of the demo."""
    return visit(demo)
