"""Bodies in memory and on disk."""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.spool import FLUSH_BYTES, MemoryBudget, Spool

PLENTY = 1 << 30


def spool(above: int = PLENTY, memory: int = PLENTY, directory: Path | str | None = None) -> Spool:
    return Spool(MemoryBudget(memory), above, None if directory is None else str(directory))


async def fill(body: Spool, chunks: Iterable[bytes]) -> None:
    for chunk in chunks:
        body.append(chunk)
        if body.wants_flush:
            await body.flush()


async def content(body: Spool) -> bytes:
    return b"".join([chunk async for chunk in body.chunks()])


async def test_a_small_body_stays_in_memory() -> None:
    body = spool(above=10)
    await fill(body, [b"12345", b"67890"])
    assert body.in_memory() == b"1234567890"
    assert await content(body) == b"1234567890"
    body.close()


async def test_a_body_beyond_the_border_goes_to_disk_and_comes_back_whole(tmp_path: Path) -> None:
    chunks = [bytes([number % 251]) * 65535 for number in range(40)]
    body = spool(above=100_000, directory=tmp_path)
    await fill(body, chunks)
    assert body.in_memory() is None
    assert body.size == 40 * 65535
    for _ in range(2):
        assert await content(body) == b"".join(chunks)
    body.close()


async def test_the_file_has_no_name(tmp_path: Path) -> None:
    body = spool(above=0, directory=tmp_path)
    await fill(body, [bytes(FLUSH_BYTES)])
    assert list(tmp_path.iterdir()) == []
    body.close()


async def test_a_body_goes_to_disk_where_the_budget_is_used_up(tmp_path: Path) -> None:
    budget = MemoryBudget(10)
    first, second = (Spool(budget, PLENTY, str(tmp_path)) for _ in range(2))
    first.append(b"1234567")
    second.append(b"12345")
    assert first.in_memory() == b"1234567"
    assert second.in_memory() is None
    assert await content(second) == b"12345"
    first.close()
    second.close()
    assert budget.used == 0


async def test_a_body_on_disk_takes_nothing_of_the_budget(tmp_path: Path) -> None:
    budget = MemoryBudget(PLENTY)
    body = Spool(budget, 100, str(tmp_path))
    await fill(body, [bytes(90), bytes(FLUSH_BYTES)])
    assert budget.used == 0
    body.close()
    assert budget.used == 0


async def test_a_closed_body_gives_its_memory_back_once() -> None:
    budget = MemoryBudget(100)
    body = Spool(budget, PLENTY)
    body.append(bytes(60))
    assert budget.used == 60
    body.close()
    body.close()
    assert budget.used == 0


async def test_a_disk_that_refuses_is_an_error_of_the_flush(tmp_path: Path) -> None:
    body = spool(above=0, directory=tmp_path / "no-such-directory")
    body.append(bytes(FLUSH_BYTES))
    assert body.wants_flush
    with pytest.raises(OSError, match="no-such-directory"):
        await body.flush()
    body.close()


async def test_a_disk_that_refuses_is_an_error_of_the_reader_too(tmp_path: Path) -> None:
    body = spool(above=0, directory=tmp_path / "no-such-directory")
    body.append(b"12345")
    with pytest.raises(OSError, match="no-such-directory"):
        await content(body)
    body.close()


async def test_an_empty_body_is_empty() -> None:
    body = spool()
    assert body.in_memory() == b""
    assert await content(body) == b""
    assert body.is_text
    body.close()


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain\r\n", True),
        ("caf\u00e9 \U0001f600".encode(), True),
        (b"\0", False),
        (b"\xff", False),
        ("caf\u00e9".encode()[:-1], False),
        ("\U0001f600".encode()[:-1], False),
        (b"\xed\xa0\x80", False),
    ],
    ids=repr,
)
def test_text_is_utf8_without_nul_wherever_it_is_cut(raw: bytes, text: bool) -> None:
    for at in range(len(raw) + 1):
        body = spool()
        body.append(raw[:at])
        body.append(raw[at:])
        assert body.is_text is text
        body.close()


@given(st.lists(st.binary(max_size=4) | st.text(max_size=2).map(str.encode), max_size=6))
def test_text_is_what_decodes_as_a_whole(chunks: list[bytes]) -> None:
    body = spool()
    for chunk in chunks:
        body.append(chunk)
    whole = b"".join(chunks)
    try:
        whole.decode()
        text = b"\0" not in whole
    except UnicodeDecodeError:
        text = False
    assert body.is_text is text
    body.close()


async def test_a_flush_that_is_cancelled_leaves_no_open_file(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        body = spool(above=0, directory=tmp_path)
        body.append(bytes(4 * FLUSH_BYTES))
        flushing = asyncio.create_task(body.flush())
        await asyncio.sleep(0)
        flushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flushing
        body.close()
    await asyncio.get_running_loop().shutdown_default_executor()
    await asyncio.sleep(0)
    assert len(os.listdir("/proc/self/fd")) <= before + 1


async def test_a_body_on_disk_can_be_read_anywhere_also_after_it_was_forgotten() -> None:
    body = spool(above=10)
    body.append(b"0123456789")
    body.append(b"abcdef")
    stored = await body.on_disk()
    body.close()
    assert (stored.size, stored.read(0, 3), stored.read(8, 16)) == (16, b"012", b"89abcdef")
    with pytest.raises(OSError, match="ends after 16 of 16"):
        stored.read(10, 17)
    stored.close()


async def test_a_body_that_was_forgotten_is_not_read_from_disk_any_more() -> None:
    body = spool(above=1)
    body.append(b"0123456789")
    await body.flush()
    body.close()
    with pytest.raises(OSError, match="no longer there"):
        await body.on_disk()
