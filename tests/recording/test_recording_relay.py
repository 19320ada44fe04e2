"""From a worker to its parent: records go over, and what cannot is lost without holding anything up."""

import socket
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs
from test_recording_archive import exchange

from gateway.recording.records import Exchange
from gateway.workers.channel import Happened, Relay, pair, receive


@pytest.fixture(name="ends")
def the_ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The parent's and the worker's."""
    parent, worker = pair()
    with parent, worker:
        yield parent, worker


def test_a_record_goes_over_and_a_large_one_without_its_bodies(ends: tuple[socket.socket, socket.socket]) -> None:
    parent, relay = ends[0], Relay(ends[1])
    for number, size in enumerate((1000, 1_000_000)):
        relay.keep(exchange(number, size=size))
    small, large = (receive(parent)[0] for _ in range(2))
    assert isinstance(small, Happened)
    assert isinstance(large, Happened)
    assert isinstance(small.what, Exchange)
    assert isinstance(large.what, Exchange)
    assert (small.what.request, large.what.request) == (b"x" * 1000, None)
    assert large.what.request_bytes == 1_000_000


def test_a_parent_that_does_not_read_costs_records_and_is_complained_of_once(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    with capture_logs() as log:
        relay = Relay(ends[1])
        for number in range(100):
            relay.keep(exchange(number, size=100_000))
    (line,) = log
    assert line["event"] == "what is kept has gaps: the parent process does not keep up"
