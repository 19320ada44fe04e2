"""What a process and its children cost, from /proc: processor time and memory."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


def tree(pid: int) -> list[int]:
    """The process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        waiting += children.get(found[-1], [])
    return found


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name; empty where the process has gone."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def cpu_seconds(pid: int) -> float:
    """User and system time of the tree so far, threads and ended children included."""
    return sum(sum(map(int, fields[11:15])) for each in tree(pid) if (fields := _stat(each))) / _TICK


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident KiB of the tree: now, and at most since `reset_peak`."""

    now: int
    peak: int


def memory(pid: int) -> Memory:
    """Read VmRSS and VmHWM."""
    now = peak = 0
    for each in tree(pid):
        try:
            lines = (_PROC / str(each) / "status").read_text().splitlines()
        except OSError:
            continue
        values = {name: text for name, _, text in (line.partition(":") for line in lines)}
        now += int(values.get("VmRSS", "0").split()[0])
        peak += int(values.get("VmHWM", "0").split()[0])
    return Memory(now, peak)


def reset_peak(pid: int) -> None:
    """Let the peak start anew (proc(5), clear_refs); without the right to, it stays that of the whole run."""
    for each in tree(pid):
        try:
            (_PROC / str(each) / "clear_refs").write_text("5")
        except OSError:
            continue
