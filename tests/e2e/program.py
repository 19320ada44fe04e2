"""The real program in a process of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .support import wait_until

ROOT = Path(__file__).parents[2]
Line = dict[str, Any]


class Gateway:
    """``milter-gateway run`` with a configuration file; its log lines can be read while it runs."""

    def __init__(self, directory: Path, config: Mapping[str, object]) -> None:
        self.config = config
        self._log = directory / "gateway.log"
        self._seen = 0
        self._file = directory / "gateway.toml"
        self._file.write_text(toml(config))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MILTER_GATEWAY_")}
        with self._log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "run", "-c", str(self._file), "--log-format", "json"],
                cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stderr=stderr,
            )  # fmt: skip
        wait_until(self._listens, "the gateway", 20)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    @property
    def lines(self) -> list[Line]:
        """Its log lines since the last ``forget``, as far as they are complete."""
        text = self._log.read_text(errors="replace")[self._seen :]
        return [_line(line) for line in text.split("\n")[:-1]]

    def forget(self) -> None:
        """Let ``lines`` begin here."""
        self._seen = len(self._log.read_text(errors="replace"))

    def logged(self, event: str, wanted: Callable[[Line], object] = lambda _: True, within: float = 10.0) -> Line:
        """The first such log line; ``AssertionError`` if none comes in time."""

        def probe() -> Line | None:
            return next((line for line in self.lines if line["event"] == event and wanted(line)), None)

        try:
            return wait_until(probe, f"the log line {event!r}", within)
        except AssertionError as error:
            error.add_note("\n".join(map(str, self.lines)))
            raise

    def reconfigure(self, config: Mapping[str, object]) -> None:
        """Write another configuration and send SIGHUP."""
        self._file.write_text(toml(config))
        self.process.send_signal(signal.SIGHUP)

    def terminate(self) -> None:
        """SIGTERM; does not wait."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.process.kill()
        self.process.wait(10)

    def end(self, within: float = 20.0) -> int:
        """SIGTERM, and wait; the exit code."""
        self.terminate()
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it did not end: {self.lines}") from None

    def _listens(self) -> bool:
        if not self.running:
            raise AssertionError(f"the gateway ended with {self.process.returncode}: {self._log.read_text()}")
        return any(line["event"] == "listening" for line in self.lines)


def _line(text: str) -> Line:
    try:
        parsed: Line = json.loads(text)
    except ValueError:
        return {"event": text, "level": "?"}
    return parsed


def toml(table: Mapping[str, object]) -> str:
    """The TOML text of this table; tables in it come last, lists of tables as ``[[name]]``."""
    plain = [f"{key} = {_value(value)}" for key, value in table.items() if not _is_tables(value)]
    for key, value in table.items():
        if isinstance(value, list) and _is_tables(value):
            plain += [f"[[{key}]]\n{toml(item)}" for item in value]
    return "\n".join(plain) + "\n"


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _value(value: object) -> str:
    match value:
        case Mapping():
            return "{" + ", ".join(f"{json.dumps(key)} = {_value(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_value, value)) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)
