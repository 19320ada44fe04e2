"""`python -m gateway` as a process: run to its end, or running."""

import io
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, NoReturn

import pytest

from gateway.cli.main import main

PATIENCE_SECONDS = 30.0
GATEWAY = (sys.executable, "-m", "gateway")
SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def environment(**extra: str) -> dict[str, str]:
    """The environment without anything that configures a gateway."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MILTER_GATEWAY_")}
    return {**kept, "PYTHONUNBUFFERED": "1", **extra}


def run(*args: str, stdin: bytes = b"", **extra: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; `extra` goes into the environment."""
    done = subprocess.run(
        [*GATEWAY, *args],
        input=stdin,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        env=environment(**extra),
        check=False,
    )
    return subprocess.CompletedProcess(
        args, done.returncode, done.stdout.decode("utf-8", "surrogateescape"), done.stderr.decode()
    )


def call(*args: str) -> subprocess.CompletedProcess[str]:
    """The same as `run` within this process, which is faster."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main(args)
        except SystemExit as end:
            code = end.code
        else:
            raise AssertionError("it must end with an exit code")
    printed = [stream.detach().getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(args, code or 0, *printed)  # type: ignore[arg-type]


def one_line(text: str) -> str:
    """The text, which must be one line and no traceback."""
    assert text.endswith("\n"), text
    assert text.count("\n") == 1, text
    return text.rstrip("\n")


class Program:
    """A program that runs, with what it has printed so far."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.printed = {"out": b"", "err": b""}
        self._selector = selectors.DefaultSelector()
        assert process.stdout is not None
        assert process.stderr is not None
        self._selector.register(process.stdout, selectors.EVENT_READ, "out")
        self._selector.register(process.stderr, selectors.EVENT_READ, "err")

    @property
    def out(self) -> str:
        """Standard output so far."""
        return self.printed["out"].decode()

    @property
    def err(self) -> str:
        """Standard error so far."""
        return self.printed["err"].decode()

    def read_until(self, condition: Callable[[], Any], what: str) -> Any:
        """Read its output until the condition gives something true."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := condition()):
            if time.monotonic() > deadline:
                self._fail(f"{PATIENCE_SECONDS} s without {what}")
            if not self._read(0.1):
                self._fail(f"ended without {what}")
        return found

    def log_line(self, event: str, count: int = 1) -> dict[str, Any]:
        """Wait for the JSON log line of that name, for the n-th of them."""

        def matching() -> list[dict[str, Any]]:
            lines = [json.loads(line) for line in self.err.splitlines(keepends=True) if line.endswith("\n")]
            found = [line for line in lines if line["event"] == event]
            return found if len(found) >= count else []

        line: dict[str, Any] = self.read_until(matching, f"the log line {event!r}")[count - 1]
        return line

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def stop(self) -> None:
        """Ask it to end, and see that it does so well."""
        self.signal(signal.SIGTERM)
        assert self.wait() == 0, self.err

    def wait(self) -> int:
        """Its exit code, after its end."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._read(0.1):
            if time.monotonic() > deadline:
                self._fail("it does not end")
        return self.process.wait(PATIENCE_SECONDS)

    def _read(self, seconds: float) -> bool:
        """Take what it has printed; False where both pipes are closed."""
        for key, _ in self._selector.select(seconds):
            data = os.read(key.fd, 65536)
            self.printed[key.data] += data
            if not data:
                self._selector.unregister(key.fileobj)
        return bool(self._selector.get_map())

    def close(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_SECONDS)
        self._selector.close()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

    def _fail(self, what: str) -> NoReturn:
        raise AssertionError(f"{what}\n--- out\n{self.out}\n--- err\n{self.err}")


@contextmanager
def running(*args: str) -> Iterator[Program]:
    """A command of the gateway that runs until the test ends it."""
    with started(*GATEWAY, *args) as program:
        yield program


@contextmanager
def started(*command: str) -> Iterator[Program]:
    """Any program, for the time of a test."""
    _heed_interrupts()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    program = Program(process)
    try:
        yield program
    finally:
        program.close()


def _heed_interrupts() -> None:
    """A shell starts background jobs with SIGINT ignored, and children inherit that; a handler they do not."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def require_program(name: str, package: str) -> str:
    """The path of an installed program; without it the test is skipped, in CI it fails."""
    path = shutil.which(name, path=SEARCH)
    if path is None:
        unavailable(f"{name} is missing: apt-get install {package}")
    return path


def unavailable(reason: str) -> NoReturn:
    """Skip the test; fail it in CI, where everything must be there."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def wait_for_unix_socket(path: str) -> None:
    """Wait until something accepts connections there."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with socket.socket(socket.AF_UNIX) as peer:
            try:
                peer.connect(path)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return
