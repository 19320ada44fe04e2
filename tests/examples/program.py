"""A program as a process of its own."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from readme_text import ROOT

T = TypeVar("T")
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


class Program:
    """A running program, with those that it started; their output is in a file."""

    def __init__(
        self,
        line: str,
        log: Path,
        environment: Mapping[str, str],
        start_seconds: float = 40.0,
        directory: Path = ROOT,
    ) -> None:
        self.log = log
        self._start_seconds = start_seconds
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                shlex.split(line),
                cwd=directory,
                env={**os.environ, "PATH": PATH, "PYTHONUNBUFFERED": "1", **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # `go run` and shells do not hand a signal on
            )

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def output(self) -> str:
        """Everything that it has printed so far."""
        return self.log.read_text(errors="replace")

    def wait_for(self, find: Callable[[str], T | None], what: str) -> T:
        """Poll its output until `find` finds something."""
        end = time.monotonic() + self._start_seconds
        while (found := find(self.output)) is None:
            assert self._process.poll() is None, f"ended with {self._process.returncode}: {self.output}"
            assert time.monotonic() < end, f"no {what} after {self._start_seconds:g} s: {self.output}"
            time.sleep(0.02)
        return found

    def terminate(self) -> None:
        """Ask it to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it, whatever it may be doing."""
        self._signal(signal.SIGKILL)

    def wait(self) -> None:
        """Wait until it has ended."""
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
