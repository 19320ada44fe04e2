"""`run` as an operator sees it: a process with signals, log lines and an exit code."""

import json
import re
import signal
import socket
import struct
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
from cli_backend import Backend, backend
from cli_program import Program, call, one_line, run, running

REFUSE = {"action": "reject", "reply": {"code": 550, "enhanced": "5.1.1", "text": "not here"}}


@contextmanager
def serving(*args: str) -> Iterator[tuple[Program, str, str | None]]:
    """`run` on free ports; gives the program, its SPEC and the address of its admin API."""
    with running("run", "--listen", "inet:0@127.0.0.1", "--log-format", "json", *args) as program:
        line = program.log_line("listening")
        yield program, line["milter"][0], line.get("admin")


def send(spec: str, *args: str) -> dict[str, Any]:
    """What `send --json` prints."""
    shown: dict[str, Any] = json.loads(call("send", "--json", "--milter", spec, *args).stdout)
    return shown


def config(path: Path, *webhooks: str, name: str = "policy") -> str:
    """A configuration file."""
    tables = [f'[[webhook]]\nname = "{name}"\nurl = "{url}"\nevents = ["rcpt"]\n' for url in webhooks]
    path.write_text('listen = ["inet:0@127.0.0.1"]\n[admin]\nlisten = ""\n' + "".join(tables))
    return str(path)


def test_a_webhook_alone_is_enough_to_filter_mail() -> None:
    with backend({"rcpt": REFUSE}) as asked, serving("--webhook", asked.url, "--admin", "") as (_, spec, admin):
        shown = send(spec, "--rcpt", "bob@site.example")
    assert (shown["verdict"], shown["reply"]) == ("rejected", {"code": 550, "enhanced": "5.1.1", "text": ["not here"]})
    assert (asked.calls[0]["dry_run"], admin) == (False, None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_exit_code_0_when_it_is_told_to(number: signal.Signals) -> None:
    with backend() as asked, serving("--webhook", asked.url, "--admin", "127.0.0.1:0") as (program, _, _admin):
        program.signal(number)
        code = program.wait()
    assert (code, program.out) == (0, "")
    assert program.log_line("stopped")
    assert "Traceback" not in program.err


def test_an_open_transaction_may_end_after_sigterm() -> None:
    with (
        backend({"end_of_message": {"action": "tempfail"}}) as asked,
        serving("--webhook", asked.url, "--events", "end_of_message", "--admin", "") as (program, spec, _),
        _Mta(spec) as mta,
    ):
        mta.say(b"O" + struct.pack(">III", 6, 0x1FF, 0))
        mta.hear()
        for packet in (b"Cmx\0U", b"Hc\0", b"M<a@x>\0", b"R<b@y>\0"):
            mta.say(packet)
            assert mta.hear() == b"c"
        program.signal(signal.SIGTERM)
        program.log_line("stopping")
        for packet in (b"T", b"N"):
            mta.say(packet)
            assert mta.hear() == b"c"
        mta.say(b"E")
        assert mta.hear() == b"y451 4.7.1 Try again later\0"
        assert program.wait() == 0


def test_a_taken_port_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("run", "--webhook", "http://127.0.0.1:9/", "--listen", str(port), "--admin", "")
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in one_line(done.stderr)


def test_a_taken_admin_port_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("run", "--webhook", "http://127.0.0.1:9/", "--listen", "inet:0@127.0.0.1", "--admin", address)
    assert done.returncode == 2
    assert "cannot listen on admin address" in one_line(done.stderr)


def test_the_admin_api_is_where_the_log_line_says() -> None:
    with (
        backend() as asked,
        serving("--webhook", asked.url, "--admin", "127.0.0.1:0") as (_, spec, admin),
        urllib.request.urlopen(f"{admin}/readyz") as answer,
    ):
        assert json.load(answer)["listen"] == [spec]


def test_sighup_takes_a_new_configuration_for_new_sessions(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    with (
        backend() as old,
        backend({"rcpt": REFUSE}) as new,
        running("run", "-c", config(file, old.url), "--log-format", "json") as program,
    ):
        spec = program.log_line("listening")["milter"][0]
        before = send(spec)["verdict"]
        config(file, new.url, name="renewed")
        program.signal(signal.SIGHUP)
        webhooks = program.log_line("reloaded")["webhooks"]
        after = send(spec)["verdict"]
    assert (before, after, webhooks) == ("accepted", "rejected", ["renewed"])


@pytest.mark.parametrize("fault", ['lisen = "x"\n', "no toml at all\n", 'listen = ["unix:/nonexistent/dir/s"]\n'])
def test_sighup_with_a_faulty_file_keeps_the_old_configuration_and_says_why(tmp_path: Path, fault: str) -> None:
    file = tmp_path / "gateway.toml"
    with (
        backend({"rcpt": REFUSE}) as asked,
        running("run", "-c", config(file, asked.url), "--log-format", "json") as program,
    ):
        spec = program.log_line("listening")["milter"][0]
        good = file.read_text()
        file.write_text(fault + re.sub(r"^listen = \[.*\n", "", good) if "listen" in fault else fault + good)
        program.signal(signal.SIGHUP)
        refused = program.log_line("reload refused: the old configuration stays")
        verdict = send(spec)["verdict"]
    assert (verdict, refused["level"]) == ("rejected", "error")
    assert refused["reason"]


def test_sighup_after_a_faulty_file_still_takes_a_good_one(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    with backend() as asked, running("run", "-c", config(file, asked.url), "--log-format", "json") as program:
        program.log_line("listening")
        file.write_text("lisen = 1\n")
        program.signal(signal.SIGHUP)
        program.log_line("reload refused: the old configuration stays")
        config(file, asked.url)
        program.signal(signal.SIGHUP)
        assert program.log_line("reloaded")["webhooks"] == ["policy"]


MAILS = [
    b"Subject: plain\r\n\r\nhello\r\n",
    b"Subject:\xff\n folded\n\n\xfe\n",
    b"",
]
ANSWERS: list[dict[str, Any]] = [
    {},
    {"rcpt": REFUSE},
    {"mail": {"action": "discard"}},
    {"end_of_message": {"action": "tempfail"}},
    {"end_of_message": 500},
    {
        "end_of_message": {
            "changes": [
                {"op": "add_header", "name": "X", "value": "y", "at": "start"},
                {"op": "set_header", "name": "Subject", "value": "new"},
                {"op": "replace_body", "base64": "AP8="},
                {"op": "add_rcpt", "address": "new@site.example"},
                {"op": "delete_rcpt", "address": "bob@site.example"},
                {"op": "change_from", "address": ""},
                {"op": "quarantine", "reason": "why"},
            ]
        }
    },
]


@pytest.fixture(scope="module")
def service() -> Iterator[tuple[Backend, str, str]]:
    """A backend, and the SPEC and the admin address of a gateway before it."""
    with backend() as asked, serving("--webhook", asked.url, "--admin", "127.0.0.1:0") as (_, spec, admin):
        assert admin is not None
        yield asked, spec, admin


@pytest.mark.parametrize("answers", ANSWERS)
@pytest.mark.parametrize("raw", MAILS)
def test_simulate_and_send_agree_on_every_mail(
    service: tuple[Backend, str, str], tmp_path: Path, raw: bytes, answers: dict[str, Any]
) -> None:
    asked, spec, admin = service
    asked.answers = answers
    (tmp_path / "mail.eml").write_bytes(raw)
    sent = send(spec, str(tmp_path / "mail.eml"), "--from", "ann@x.test", "--rcpt", "bob@site.example")
    query = "from=ann@x.test&rcpt=bob@site.example"
    with urllib.request.urlopen(f"{admin}/v1/simulate?{query}", data=raw) as answer:
        simulated = json.load(answer)
    assert simulated.pop("exchanges")
    assert simulated.pop("session_id") and simulated.pop("transaction_id")  # where to look it up; `send` cannot know
    assert _without_session_ids(simulated) == _without_session_ids(sent)


def _without_session_ids(shown: dict[str, Any]) -> Any:
    return json.loads(re.sub(r"session [0-9a-f-]{36}", "session ID", json.dumps(shown)))


class _Mta:
    """A milter client of raw packets."""

    def __init__(self, spec: str) -> None:
        port, _, host = spec.removeprefix("inet:").partition("@")
        self._socket = socket.create_connection((host, int(port)), timeout=30)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def say(self, packet: bytes) -> None:
        self._socket.sendall(struct.pack(">I", len(packet)) + packet)

    def hear(self) -> bytes:
        (length,) = struct.unpack(">I", self._file.read(4))
        return self._file.read(length)
