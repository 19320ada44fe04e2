"""A person at a terminal: types blocks of a document into one shell, one after the other, and reads what is printed."""

import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

PATIENCE_SECONDS = 60.0


class Terminal:
    """A shell with job control, as an interactive one has; what is typed into it may leave jobs running."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._shell = subprocess.Popen(
            ["bash", "-m"],
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def type(self, commands: str) -> str:
        """Type commands; what they print until the shell is ready again."""
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"{commands}\necho '{_END}'\n")
        self._shell.stdin.flush()
        printed: list[str] = []
        reader = Thread(target=self._read, args=(printed,), daemon=True)
        reader.start()
        reader.join(PATIENCE_SECONDS)
        if reader.is_alive():
            raise AssertionError(f"{commands!r} does not end after {PATIENCE_SECONDS:g} s: {''.join(printed)}")
        return "".join(printed)

    def _read(self, printed: list[str]) -> None:
        assert self._shell.stdout is not None
        for line in self._shell.stdout:
            before, end, _ = line.partition(_END)
            if before:
                printed.append(before if end else line)
            if end:
                return
        printed.append("(the shell has ended)")

    def close(self) -> None:
        """End the jobs and the shell."""
        assert self._shell.stdin is not None
        try:
            self._shell.stdin.write("kill -KILL $(jobs -p)\nexit\n")
            self._shell.stdin.close()
            self._shell.wait(10)
        except (OSError, subprocess.TimeoutExpired):
            self._shell.kill()
            self._shell.wait()
        assert self._shell.stdout is not None
        self._shell.stdout.close()


_END = "=== the commands of this block have ended ==="


def same_output(shown: str, printed: str) -> bool:
    """Whether a document shows what was printed; `…` stands for anything, a line with it alone for any lines."""
    lines = [re.escape(line.rstrip()).replace("…", ".*") for line in shown.splitlines()]
    pattern = "".join("(?:.*\n)*?" if line == ".*" else f"{line}[ ]*\n" for line in lines)
    text = printed if printed.endswith("\n") else f"{printed}\n"
    return re.fullmatch(pattern, text) is not None


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll until it holds."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"{PATIENCE_SECONDS:g} s without {what}"
        time.sleep(0.05)


def answers(url: str) -> bool:
    """Whether anything answers there, whatever it says."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment without anything that configures a gateway."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MILTER_GATEWAY_")}
    return {**kept, "PYTHONUNBUFFERED": "1", **extra}


@contextmanager
def started(command: list[str], directory: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A program that Ctrl-C ends: make and what it started alike."""
    process = subprocess.Popen(
        command,
        cwd=directory,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
