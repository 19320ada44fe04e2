"""What is kept, for how long, and who is told."""

import asyncio
from typing import Any

import pytest

from gateway.recording import Archive, Bounds, Exchange, Transaction
from gateway.recording.feed import Feed, TooManyWatchersError
from gateway.recording.records import Client, Kept


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def exchange(number: int, *, at: float = 1000.0, size: int = 0, **other: Any) -> Exchange:
    values: dict[str, Any] = {
        "id": f"e{number}",
        "time": at,
        "session_id": "s",
        "transaction_id": f"t{number}",
        "webhook": "w",
        "event": "rcpt",
        "status": 200,
        "action": "continue",
        "failure": None,
        "cause": "",
        "attempts": 1,
        "elapsed_ms": 2.0,
        "dry_run": False,
        "simulated": False,
        "content_type": "application/json",
        "answer_type": "application/json",
        "request_bytes": size,
        "response_bytes": 0,
        "request": b"x" * size if size else None,
    }
    return Exchange(**values | other)


def transaction(number: int, *, at: float = 1000.0, size: int = 0) -> Transaction:
    made = Transaction(f"t{number}", "s", at, Client("c", "192.0.2.1", "h"), ended=at)
    made.received = made.changed = b"y" * size
    return made


def kept(archive: Archive) -> list[str]:
    return [item.id for item in archive.exchanges()]


def test_the_oldest_goes_where_there_are_too_many():
    archive = Archive(Bounds(count=3, seconds=1e9), recording=True, clock=Clock())
    for number in range(5):
        archive.keep(exchange(number))
        archive.keep(transaction(number))
    assert kept(archive) == ["e4", "e3", "e2"]
    assert archive.transaction("t1") is None
    assert archive.transaction("t2") is not None


def test_the_oldest_goes_where_bodies_take_too_much():
    archive = Archive(Bounds(bytes=1000), recording=True, clock=Clock())
    for number in range(10):
        archive.keep(exchange(number, size=300))
        assert archive.kept_bytes <= 1000
    assert kept(archive) == ["e9", "e8", "e7"]
    archive.keep(transaction(1, size=600))
    assert archive.kept_bytes <= 1000


def test_messages_that_take_all_the_room_do_not_drive_out_every_exchange():
    archive = Archive(Bounds(bytes=1000), recording=True, clock=Clock())
    for number in range(10):
        archive.keep(exchange(number, at=1000.0 + number, size=200))
        archive.keep(transaction(number, at=1000.0 + number, size=200))
        assert archive.kept_bytes <= 1000
    assert kept(archive) == ["e9", "e8"]
    assert [archive.transaction(f"t{number}") is not None for number in (6, 7, 8, 9)] == [False, True, True, True]


def test_what_is_too_old_goes_even_where_nothing_comes():
    clock = Clock()
    archive = Archive(Bounds(seconds=60), recording=False, clock=clock)
    archive.keep(exchange(1))
    clock.now += 59
    assert kept(archive) == ["e1"]
    clock.now += 2
    assert kept(archive) == []
    assert archive.kept_bytes == 0


def test_a_message_that_was_not_changed_is_counted_once():
    archive = Archive(Bounds(), recording=True, clock=Clock())
    archive.keep(transaction(1, size=500))
    assert archive.kept_bytes == 500


def test_health_counts_calls_and_failures():
    archive = Archive(Bounds(count=2), recording=False, clock=Clock())
    for number in range(10):
        archive.keep(exchange(number, elapsed_ms=float(number)))
    archive.keep(exchange(10, failure="refused", status=None, elapsed_ms=100.0))
    health = archive.health("w")
    assert (health["calls"], health["failures"]) == (11, 1)
    assert health["last_failure"] == {"time": "1970-01-01T00:16:40.000Z", "reason": "refused"}
    assert 4 <= health["p50_ms"] <= 6  # type: ignore[operator]
    assert archive.health("unknown")["calls"] == 0


async def test_watchers_get_what_happens_from_then_on():
    archive = Archive(Bounds(), recording=False, clock=Clock())
    archive.keep(exchange(1))
    watching = archive.feed.watch(60)
    first = asyncio.create_task(anext(watching))
    await asyncio.sleep(0)
    what: list[Kept] = [exchange(2), transaction(2)]
    for item in what:
        archive.keep(item)
    name, line = await first
    assert name == "exchange"
    assert b'"id":"e2"' in line
    assert (await anext(watching))[0] == "transaction"
    await watching.aclose()
    assert not archive.feed.watched


async def test_who_does_not_keep_up_is_let_go():
    feed = Feed()
    watching = feed.watch(60)
    first = asyncio.create_task(anext(watching))
    await asyncio.sleep(0)
    for number in range(1500):
        feed.say("x", number)
    assert not feed.watched
    got = [await first] + [event async for event in watching]
    assert len(got) == 1000


async def test_what_waits_for_a_watcher_has_a_bound_in_bytes_as_well():
    feed = Feed()
    watching = feed.watch(60)
    first = asyncio.create_task(anext(watching))
    await asyncio.sleep(0)
    feed.say("x", "a" * (20 << 20))  # one alone goes out, whatever its size
    await first
    for _ in range(12):
        feed.say("x", "a" * (1 << 20))
    assert not feed.watched
    assert len([event async for event in watching]) == 7


async def test_silence_is_told_and_an_end_ends_it():
    feed = Feed()
    watching = feed.watch(0.001)
    assert await anext(watching) == ("", b"")
    feed.close()
    assert [event async for event in watching] == []


async def test_there_is_room_for_so_many_watchers():
    feed = Feed()
    watching = [feed.watch(60) for _ in range(65)]
    tasks = [asyncio.create_task(anext(each)) for each in watching[:64]]
    await asyncio.sleep(0)
    with pytest.raises(TooManyWatchersError):
        await anext(watching[64])
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not feed.watched
