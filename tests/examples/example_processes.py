"""An example and a gateway as processes of their own, started with the lines of the README on ports that were free."""

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest
from readme_text import PORT, ROOT, ROWS, gateway_line

from gateway.mta.mail import Mail
from gateway.mta.player import Played, Player

T = TypeVar("T")
START_SECONDS = 20.0
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
PACKAGES = {"socat": "socat", "node": "nodejs", "curl": "curl"}
"""Programs that a machine may lack, and the packages that bring them."""


def unavailable(reason: str) -> NoReturn:
    """Skip the test; in CI, where every part must be there, fail it."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def require(name: str) -> None:
    """Be sure that a program is installed."""
    if shutil.which(name, path=PATH) is None:
        unavailable(f"{name} is missing: apt-get install {PACKAGES.get(name, name)}")


def require_for(row_name: str) -> None:
    """Be sure that what an example is written in is installed."""
    require({".sh": "socat", ".mjs": "node"}.get(Path(row_name).suffix, "python3"))


class Program:
    """A running program; its output is in a file."""

    def __init__(self, line: str, log: Path, environment: Mapping[str, str]) -> None:
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                shlex.split(line),
                cwd=ROOT,
                env={**os.environ, "PATH": PATH, "PYTHONUNBUFFERED": "1", **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        """Everything that it has printed so far."""
        return self.log.read_text(errors="replace")

    def wait_for(self, find: Callable[[str], T | None], what: str) -> T:
        """Poll its output until `find` finds something."""
        end = time.monotonic() + START_SECONDS
        while (found := find(self.output)) is None:
            assert self._process.poll() is None, f"ended with {self._process.returncode}: {self.output}"
            assert time.monotonic() < end, f"no {what} after {START_SECONDS:g} s: {self.output}"
            time.sleep(0.02)
        return found

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def wait(self) -> None:
        """Wait until it has ended."""
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Filter:
    """An example behind a gateway."""

    def __init__(self, name: str, directory: Path, environment: Mapping[str, str] | None = None) -> None:
        require_for(name)
        self.directory = directory
        row = ROWS[name]
        own = {"GREYLIST_FILE": str(directory / "greylist.sqlite3"), **(environment or {})}
        self.example = Program(on_port(row.run, 0), directory / "example.log", own)
        self._programs = [self.example]
        try:
            self.port = int(self.example.wait_for(_announced_port, "address")[1])
            self.gateway = Program(_gateway_for(row.events, self.port), directory / "gateway.log", {})
            self._programs.append(self.gateway)
            self.milter_port = int(self.gateway.wait_for(_milter_port, "log line `listening`")[1])
        except BaseException:
            self.terminate()
            self.wait()
            raise

    def curl(self, line: str) -> object:
        """Type a curl line into a shell; the answer."""
        require("curl")
        done = subprocess.run(["/bin/sh", "-c", on_port(line, self.port)], capture_output=True, timeout=20, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    async def play(self, mail: Mail, *, complaints: bool = False) -> Played:
        """Send a mail through the gateway; a warning in its log is a failure, where none is to be expected."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.milter_port)
        try:
            played = await Player(reader, writer).play(mail)
        finally:
            writer.close()
            await writer.wait_closed()
        assert complaints or self.complaints() == []
        return played

    def complaints(self) -> list[str]:
        """What the gateway's log says that is more than information."""
        lines = self.gateway.output.splitlines()
        return [line for line in lines if not line.startswith("{") or json.loads(line)["level"] != "info"]

    def terminate(self) -> None:
        """Ask both to end."""
        for program in self._programs:
            program.terminate()

    def wait(self) -> None:
        """Wait until both have ended."""
        for program in self._programs:
            program.wait()


def on_port(line: str, port: int) -> str:
    """A line of the README with another port than its own."""
    assert re.search(rf"\b{PORT}\b", line), f"no port {PORT} in {line}"
    return re.sub(rf"\b{PORT}\b", str(port), line)


def _gateway_for(events: str, port: int) -> str:
    line = on_port(gateway_line(), port)
    chosen = "" if events == "all" else f"--events {events}"
    assert re.search(r"--events \S+", line), "the gateway's line chooses events"
    return re.sub(r"--events \S+", chosen, line) + ' --listen inet:0@127.0.0.1 --admin "" --log-format json'


def _announced_port(output: str) -> re.Match[str] | None:
    return re.search(r"\b127\.0\.0\.1:(\d+)", output)


def _milter_port(output: str) -> re.Match[str] | None:
    return re.search(r'"inet:(\d+)@127\.0\.0\.1".*"event": ?"listening"', output)
