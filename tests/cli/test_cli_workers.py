"""`run --workers N`: several processes that serve as one."""

import json
import os
import re
import signal
import socket
import struct
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import pytest
from cli_backend import Backend, backend
from cli_program import PATIENCE_SECONDS, Program, call, running

TEMPFAIL = {"end_of_message": {"action": "tempfail"}}


def config(path: Path, url: str, *, name: str = "policy", unix: Path | None = None, workers: int = 2) -> str:
    """A configuration file for `workers` processes."""
    listen = ["inet:0@127.0.0.1", *([f"unix:{unix}"] if unix else [])]
    path.write_text(
        f"listen = {json.dumps(listen)}\nworkers = {workers}\n"
        '[admin]\nlisten = "127.0.0.1:0"\n[limits]\ndrain_timeout = "20s"\n'
        f'[[webhook]]\nname = "{name}"\nurl = "{url}"\nevents = ["end_of_message"]\n'
    )
    return str(path)


class Service:
    """A running service of several workers."""

    def __init__(self, program: Program) -> None:
        self.program = program
        line = program.log_line("listening")
        self.specs: list[str] = line["milter"]
        self.admin: str = line["admin"]

    def pid(self, number: int, start: int = 1) -> int:
        """Of a worker, when it was started for the n-th time."""

        def started() -> list[int]:
            lines = [json.loads(text) for text in self.program.err.splitlines(keepends=True) if text.endswith("\n")]
            return [line["pid"] for line in lines if line["event"] == "a worker serves" and line["worker"] == number]

        found: list[int] = self.program.read_until(
            lambda: pids if len(pids := started()) >= start else None, f"worker {number}, start {start}"
        )
        return found[start - 1]

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a GET."""
        try:
            with urllib.request.urlopen(self.admin + path, timeout=PATIENCE_SECONDS) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        text = self.get("/metrics")[1]
        return sum(map(float, re.findall(rf"^milter_gateway_{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)))


@contextmanager
def serving(path: str) -> Iterator[Service]:
    """`run` with this configuration."""
    with running("run", "-c", path, "--log-format", "json") as program:
        yield Service(program)


def verdict(spec: str) -> str:
    """Of one mail."""
    shown: dict[str, Any] = json.loads(call("send", "--json", "--milter", spec).stdout)
    return str(shown["verdict"])


class Mta:
    """A milter connection of raw packets, in the middle of a transaction."""

    def __init__(self, spec: str) -> None:
        port, _, host = spec.removeprefix("inet:").partition("@")
        self._socket = socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS)
        self._file = self._socket.makefile("rb")

    def begin(self) -> Self:
        """Negotiate, and open a transaction."""
        self.ask(b"O" + struct.pack(">III", 6, 0x1FF, 0))
        for packet in (b"Cmx\0U", b"Hc\0", b"M<a@x>\0", b"R<b@y>\0"):
            assert self.ask(packet) == b"c"
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def ask(self, packet: bytes) -> bytes:
        """Send a packet and read the answer; empty where the connection is gone."""
        self._socket.sendall(struct.pack(">I", len(packet)) + packet)
        head = self._file.read(4)
        return self._file.read(struct.unpack(">I", head)[0]) if head else b""

    def end(self) -> bytes:
        """End the message; the last answer."""
        assert [self.ask(packet) for packet in (b"T", b"N")] == [b"c", b"c"]
        return self.ask(b"E")


def until(condition: Callable[[], bool], what: str) -> None:
    """Poll something that no log line tells."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"in vain for {what}"
        time.sleep(0.05)


def gone(pid: int) -> bool:
    """Whether no process has this id any more."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.fixture
def asked() -> Iterator[Backend]:
    with backend(TEMPFAIL) as running_backend:
        yield running_backend


def test_tcp_and_unix_are_served_and_the_admin_api_speaks_for_all(asked: Backend, tmp_path: Path) -> None:
    with serving(config(tmp_path / "gw.toml", asked.url, unix=tmp_path / "gw.sock")) as service:
        assert [verdict(spec) for spec in service.specs for _ in range(4)] == ["tempfailed"] * 8
        status, body = service.get("/readyz")
        assert (status, json.loads(body)["listen"]) == (200, service.specs)
        assert [service.metric(name) for name in ("decisions_total", "sessions_total", "workers")] == [8, 8, 2]
        assert service.metric(["webhook_call_duration_seconds_bucket", 'le="+Inf",webhook="policy"}'][0]) > 0
        assert service.pid(1) != service.pid(2)


def test_connections_are_spread(asked: Backend, tmp_path: Path) -> None:
    with serving(config(tmp_path / "gw.toml", asked.url)) as service, ExitStack() as stack:
        for _ in range(24):  # all on one of two with a chance of 1 in 8 million
            stack.enter_context(Mta(service.specs[0])).begin()
        assert json.loads(service.get("/readyz")[1])["connections"] == 24
        os.kill(service.pid(1), signal.SIGKILL)
        service.pid(1, start=2)
        assert 0 < json.loads(service.get("/readyz")[1])["connections"] < 24


def test_a_killed_worker_is_replaced_and_the_others_keep_serving(asked: Backend, tmp_path: Path) -> None:
    with serving(config(tmp_path / "gw.toml", asked.url)) as service, ExitStack() as stack:
        sessions = [stack.enter_context(Mta(service.specs[0])).begin() for _ in range(24)]
        assert service.metric("sessions_total") == 24
        os.kill(service.pid(2), signal.SIGKILL)
        line = service.program.log_line("a worker ended: it is replaced")
        assert (line["worker"], line["ending"]) == (2, "signal 9")
        service.pid(2, start=2)
        assert [verdict(service.specs[0]) for _ in range(4)] == ["tempfailed"] * 4
        lived = [mta for mta in sessions if _lives(mta)]
        assert 0 < len(lived) < 24
        assert service.get("/readyz")[0] == 200
        assert service.metric("sessions_total") == 28, "what a dead worker had counted still counts"


def _lives(mta: Mta) -> bool:
    try:
        return mta.end().startswith(b"y451")
    except OSError:
        return False


def test_readyz_says_that_a_worker_is_missing(asked: Backend, tmp_path: Path) -> None:
    with serving(config(tmp_path / "gw.toml", asked.url)) as service:
        os.kill(service.pid(1), signal.SIGSTOP)
        try:
            assert service.get("/readyz")[0] == 503
        finally:
            os.kill(service.pid(1), signal.SIGCONT)
        until(lambda: service.get("/readyz")[0] == 200, "the worker")


def test_sigterm_lets_open_transactions_end_and_leaves_no_socket(asked: Backend, tmp_path: Path) -> None:
    path = tmp_path / "gw.sock"
    with serving(config(tmp_path / "gw.toml", asked.url, unix=path)) as service, Mta(service.specs[0]) as mta:
        mta.begin()
        service.program.signal(signal.SIGTERM)
        service.program.log_line("stopping")
        until(lambda: not path.exists(), "the removal of the socket")
        assert mta.end().startswith(b"y451")
        assert service.program.wait() == 0
    assert "Traceback" not in service.program.err


def test_sighup_reaches_all_and_brings_new_addresses(asked: Backend, tmp_path: Path) -> None:
    file, path = tmp_path / "gw.toml", tmp_path / "gw.sock"
    with backend() as new, serving(config(file, asked.url)) as service:
        assert [verdict(service.specs[0]) for _ in range(4)] == ["tempfailed"] * 4
        config(file, new.url, unix=path)
        service.program.signal(signal.SIGHUP)
        specs = service.program.log_line("reloaded")["milter"]
        assert len(specs) == 2
        until(lambda: json.loads(service.get("/readyz")[1])["connections"] == 0, "the sessions before")
        assert [verdict(spec) for spec in specs for _ in range(4)] == ["accepted"] * 8


def test_sighup_with_a_faulty_file_reaches_nobody(asked: Backend, tmp_path: Path) -> None:
    file = tmp_path / "gw.toml"
    with serving(config(file, asked.url)) as service:
        file.write_text("lisen = 1\n")
        service.program.signal(signal.SIGHUP)
        service.program.log_line("reload refused: the old configuration stays")
        assert [verdict(service.specs[0]) for _ in range(4)] == ["tempfailed"] * 4
        config(file, asked.url, workers=3)
        service.program.signal(signal.SIGHUP)
        service.program.log_line("reload: changes of workers need a restart")


def test_workers_do_not_outlive_their_parent(asked: Backend, tmp_path: Path) -> None:
    with serving(config(tmp_path / "gw.toml", asked.url)) as service:
        pids = [service.pid(number) for number in (1, 2)]
        service.program.signal(signal.SIGKILL)
        until(lambda: all(map(gone, pids)), "the end of the workers")


def test_workers_do_not_outlive_their_parent_even_where_nobody_reads_the_log(asked: Backend, tmp_path: Path) -> None:
    with serving(config(tmp_path / "gw.toml", asked.url)) as service:
        pids = [service.pid(number) for number in (1, 2)]
    until(lambda: all(map(gone, pids)), "the end of the workers")


def test_a_taken_address_is_told_in_one_line(asked: Backend, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running("run", "--webhook", asked.url, "--workers", "2", "--listen", str(port), "--admin", "") as program:
            assert program.wait() == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in program.err
    assert "Traceback" not in program.err


def test_limits_are_for_all_workers_together(asked: Backend, tmp_path: Path) -> None:
    file = tmp_path / "gw.toml"
    path = config(file, asked.url)
    file.write_text(file.read_text().replace("[limits]\n", "[limits]\nconnections = 2\n"))
    with serving(path) as service, ExitStack() as stack:
        for _ in range(12):
            mta = stack.enter_context(Mta(service.specs[0]))
            with suppress(AssertionError, OSError):  # one too many is hung up on
                mta.begin()
        assert json.loads(service.get("/readyz")[1])["connections"] <= 2
