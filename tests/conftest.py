"""Fixtures that every directory of tests can use."""

from collections.abc import AsyncIterator

import pytest
from gateway_harness import Backend


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    """A backend that answers 204 to every event until `answers` says otherwise."""
    async with Backend() as running:
        yield running


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes many seconds; `-m 'not slow'` leaves it out")
