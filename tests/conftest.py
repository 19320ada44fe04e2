"""Fixtures that every directory of tests can use."""

from collections.abc import AsyncIterator

import pytest
from gateway_harness import Backend
from hypothesis import HealthCheck, settings

# How long an example takes says more about the machine than about the code.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    """A backend that answers 204 to every event until `answers` says otherwise."""
    async with Backend() as running:
        yield running


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes many seconds; `-m 'not slow'` leaves it out")
