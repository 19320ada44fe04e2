"""An example and a gateway as processes of their own, started with the lines of the README on ports that were free."""

import asyncio
import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import httpx
import pytest
from all_known import KNOWN
from known import Need
from program import PATH, Program
from readme_text import PORT, ROOT, ROWS, Row, gateway_line, settings_of

from gateway.mta.mail import Mail
from gateway.mta.player import Played, Player


def unavailable(reason: str) -> NoReturn:
    """Skip the test; in CI, where every part must be there, fail it."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def require(*needs: Need) -> None:
    """Be sure that programs are installed."""
    for need in needs:
        if not _is_there(shlex.split(need.command)):
            unavailable(f"`{need.command}` does not work: apt-get install {need.package}")


def _is_there(command: list[str]) -> bool:
    if shutil.which(command[0], path=PATH) is None:
        return False
    if len(command) == 1:
        return True
    environment = {**os.environ, "PATH": PATH}
    return subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False).returncode == 0


class Filter:
    """An example behind a gateway."""

    def __init__(self, name: str, directory: Path, environment: Mapping[str, str] | None = None) -> None:
        row, known = ROWS[name], KNOWN[name]
        require(*known.needs)
        self.directory = directory
        self._programs: list[Program] = []
        self._around = contextlib.ExitStack()
        try:
            own = self._around.enter_context(known.surroundings(directory))
            log, given = directory / "example.log", {**own, **(environment or {})}
            self.example = self._start(Program(on_port(row.run, 0), log, given, known.start_seconds))
            self.port = listening_port(self.example)
            line = _gateway_for(row, self.port, directory)
            self.gateway = self._start(Program(line, directory / "gateway.log", own, directory=directory))
            self.milter_port = int(self.gateway.wait_for(_milter_port, "log line `listening`")[1])
        except BaseException:
            self.terminate()
            self.wait()
            raise

    def _start(self, program: Program) -> Program:
        self._programs.append(program)
        return program

    def curl(self, line: str) -> object:
        """Type a curl line into a shell; the answer."""
        require(Need("curl", "curl"))
        command = ["/bin/sh", "-c", on_port(line, self.port)]
        environment = {**os.environ, "PATH": PATH}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=20, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    def post(self, content: bytes, path: str = "/milter", **headers: str) -> httpx.Response:
        """Call the example as the gateway does; what it answered."""
        url = f"http://127.0.0.1:{self.port}{path}"
        headers = {"content-type": "application/json", **headers}
        return httpx.post(url, content=content, headers=headers, timeout=20, trust_env=False)

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
        """Wait until both have ended, and clear away what was around them."""
        for program in self._programs:
            program.wait()
        self._around.close()


def on_port(line: str, port: int) -> str:
    """A line of the README with another port than its own."""
    assert re.search(rf"\b{PORT}\b", line), f"no port {PORT} in {line}"
    return re.sub(rf"\b{PORT}\b", str(port), line)


def _gateway_for(row: Row, port: int, directory: Path) -> str:
    own = ' --listen inet:0@127.0.0.1 --admin "" --log-format json'
    if row.settings:
        file = directory / "gateway.toml"
        file.write_text(on_port(settings_of(row), port))
        return f"milter-gateway run -c {file}{own}"
    line = on_port(gateway_line(), port)
    assert re.search(r"--events \S+", line), "the gateway's line chooses events"
    return re.sub(r"--events \S+", "" if row.events == "all" else f"--events {row.events}", line) + own


def listening_port(example: Program) -> int:
    """The port that an example has told."""
    return int(example.wait_for(_announced_port, "address")[1])


def _announced_port(output: str) -> re.Match[str] | None:
    return re.search(r"\b127\.0\.0\.1:(\d+)", output)


def _milter_port(output: str) -> re.Match[str] | None:
    return re.search(r'"inet:(\d+)@127\.0\.0\.1".*"event": ?"listening"', output)
