"""Printing never holds up whoever has something to print."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.snoop.lines import Item, Notice
from gateway.snoop.printer import Printer

PATIENCE_SECONDS = 20.0


def line(item: Item) -> bytes:
    assert isinstance(item, Notice)
    if item.event == "broken":
        raise RuntimeError("a fault")
    return item.text.encode() + b"\n"


def notice(number: int, event: str = "note", size: int = 0) -> Notice:
    return Notice(float(number), 1, event, f"{number} ".ljust(size, "x"))


@contextmanager
def printer_into_pipe(bound: int = 1_000_000) -> Iterator[tuple[Printer, int, list[str]]]:
    theirs, ours = os.pipe()
    said: list[str] = []
    printer = Printer(ours, line, said.append, bound=bound)
    try:
        yield printer, theirs, said
    finally:
        reading = threading.Thread(target=_read_all, args=(theirs,))  # whatever still waits gets its reader
        reading.start()
        printer.close(PATIENCE_SECONDS)
        os.close(ours)
        reading.join()


def _read_all(descriptor: int) -> bytes:
    found = b""
    while data := os.read(descriptor, 65536):
        found += data
    os.close(descriptor)
    return found


def closed_and_read(printer: Printer, theirs: int, ours: int) -> list[str]:
    found: list[bytes] = []
    reading = threading.Thread(target=lambda: found.append(_read_all(theirs)))
    reading.start()
    printer.close(PATIENCE_SECONDS)
    os.close(ours)
    reading.join()
    return found[0].decode().splitlines()


def test_lines_come_out_in_order() -> None:
    theirs, ours = os.pipe()
    printer = Printer(ours, line, lambda _: None)
    for number in range(200):
        printer.put(notice(number))
    lines = closed_and_read(printer, theirs, ours)
    assert [int(each) for each in lines] == list(range(200))


def test_a_reader_who_does_not_read_costs_lines_which_are_counted_and_no_time() -> None:
    theirs, ours = os.pipe()
    printer = Printer(ours, line, lambda _: None, bound=100_000)
    began = time.monotonic()
    for number in range(5000):
        printer.put(notice(number, size=200))
    assert time.monotonic() - began < 5
    lines = closed_and_read(printer, theirs, ours)
    counts = [int(each.split()[0]) for each in lines if "left out here" in each]
    assert counts
    assert sum(counts) + len(lines) - len(counts) == 5000


def test_the_count_stands_where_the_lines_are_missing() -> None:
    theirs, ours = os.pipe()
    printer = Printer(ours, line, lambda _: None, bound=200_000)
    for number in range(2000):
        printer.put(notice(number, size=200))
    found = b""
    while b"left out here" not in found:  # it is printed when there is room again
        found += os.read(theirs, 65536)
    printer.put(notice(2000))
    printed = found.decode() + "\n".join(closed_and_read(printer, theirs, ours))
    words = [each.split()[0] for each in printed.splitlines() if each]
    kept = len(words) - 2
    assert words == [*map(str, range(kept)), str(2000 - kept), "2000"]


def test_a_stopped_terminal_does_not_hold_up_the_end() -> None:
    with printer_into_pipe() as (printer, _, _):
        for number in range(3000):
            printer.put(notice(number, size=100))
        began = time.monotonic()
        printer.close(0.1)
        assert time.monotonic() - began < 5


def test_a_reader_who_went_away_is_told_once_and_nothing_stops() -> None:
    theirs, ours = os.pipe()
    said: list[str] = []
    printer = Printer(ours, line, said.append)
    os.close(theirs)
    for number in range(100):
        printer.put(notice(number))
    printer.close(PATIENCE_SECONDS)
    printer.put(notice(101))
    os.close(ours)
    assert said == ["lines cannot be written: Broken pipe; mail passes all the same"]


def test_a_full_disk_is_told_once_and_nothing_stops() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    said: list[str] = []
    printer = Printer(full, line, said.append)
    for number in range(500):
        printer.put(notice(number))
    printer.close(PATIENCE_SECONDS)
    os.close(full)
    assert said == ["lines cannot be written: No space left on device; mail passes all the same"]


def test_after_a_full_disk_has_room_again_the_lines_that_are_missing_are_counted() -> None:
    theirs, ours = os.pipe()
    full = os.open("/dev/full", os.O_WRONLY)
    descriptor = os.dup(full)
    complained = threading.Event()
    said: list[str] = []

    def complain(text: str) -> None:
        said.append(text)
        complained.set()

    printer = Printer(descriptor, line, complain)
    printer.put(notice(1))
    assert complained.wait(PATIENCE_SECONDS)
    os.dup2(ours, descriptor)  # there is room again
    printer.put(notice(2))
    os.close(full)
    os.close(ours)
    lines = closed_and_read(printer, theirs, descriptor)
    assert lines[0].startswith("1 lines left out here")
    assert lines[1].split() == ["2"]
    assert said[1:] == ["lines can be written again"]


def test_a_terminal_that_somebody_made_non_blocking_gets_every_line() -> None:
    theirs, ours = os.pipe()
    os.set_blocking(ours, False)
    printer = Printer(ours, line, lambda _: None)
    for number in range(2000):
        printer.put(notice(number, size=100))
    lines = closed_and_read(printer, theirs, ours)
    assert [int(each.split()[0]) for each in lines] == list(range(2000))


def test_a_fault_of_ours_costs_its_line_alone() -> None:
    theirs, ours = os.pipe()
    printer = Printer(ours, line, lambda _: None)
    for item in (notice(1), notice(2, "broken"), notice(3)):
        printer.put(item)
    lines = closed_and_read(printer, theirs, ours)
    assert [each.split()[0] for each in lines] == ["1", "this", "3"]
    assert lines[1] == "this cannot be shown: RuntimeError('a fault')"
