"""`snoop` as a process, between `send` and a filter on libmilter that somebody else's library speaks for."""

import json
import os
import pty
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_program import (
    GATEWAY,
    PATIENCE_SECONDS,
    Program,
    call,
    environment,
    one_line,
    require_program,
    running,
    started,
    unavailable,
    wait_for_unix_socket,
)

FILTER = Path(__file__).with_name("filter_program.py")


@pytest.fixture(scope="module")
def libmilter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The SPEC of a filter on libmilter."""
    path = tmp_path_factory.mktemp("filter") / "socket"
    python = require_program("/usr/bin/python3", "python3")
    if subprocess.run([python, "-c", "import Milter"], capture_output=True, check=False).returncode:
        unavailable("python3-milter is missing: apt-get install python3-milter")
    with started(python, str(FILTER), f"unix:{path}"):
        wait_for_unix_socket(str(path))
        yield f"unix:{path}"


@pytest.fixture
def near(tmp_path: Path) -> str:
    """Where the proxy listens."""
    return f"local:{tmp_path}/near"


@contextmanager
def proxy(near: str, to: str, *more: str) -> Iterator[Program]:
    with running("snoop", "--listen", near, "--to", to, *more) as program:
        program.read_until(lambda: "listening" in program.out, "the listener")
        yield program


def stopped(program: Program, number: signal.Signals = signal.SIGTERM) -> list[str]:
    """End it, and give what it printed; each line with its blanks squeezed."""
    program.signal(number)
    assert program.wait() == 0
    return [" ".join(line.split()) for line in program.out.splitlines()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_mail_has_the_same_end_and_the_conversation_is_printed(
    libmilter: str, near: str, number: signal.Signals
) -> None:
    direct = call("send", "--milter", libmilter, "--rcpt", "change@site.example")
    with proxy(near, libmilter) as program:
        through = call("send", "--milter", near, "--rcpt", "change@site.example")
        printed = stopped(program, number)
    assert (through.returncode, through.stdout) == (direct.returncode, direct.stdout)
    lines = [line.partition(" ")[2].partition(" [")[0] for line in printed]
    assert lines[0].startswith(f"listening on unix:{near.partition(':')[2]}, passing on to {libmilter}")
    assert "#1 --> RCPT rcpt <change@site.example>" in lines
    answer = lines.index("#1 --> BODYEOB end_of_message") + 1
    assert lines[answer : answer + 5] == [
        "#1 <-- ADDHEADER add_header X-Filter: seen",
        "#1 <-- CHGHEADER change_header number 1: Subject: changed",
        "#1 <-- ADDRCPT add_rcpt <new@site.example>",
        r"#1 <-- REPLBODY replace_body 14 bytes: another body\r\n",
        "#1 <-- ACCEPT accept",
    ]
    assert lines[-1] == "stopped"
    assert not Path(near.partition(":")[2]).exists()


def test_json_is_one_object_a_line(libmilter: str, near: str) -> None:
    with proxy(near, libmilter, "--json") as program:
        assert call("send", "--milter", near, "--rcpt", "words@site.example").returncode == 10
        program.signal(signal.SIGTERM)
        assert program.wait() == 0
    shown = [json.loads(line) for line in program.out.splitlines()]
    assert [item["event"] for item in shown if item["event"] != "packet"] == [
        "listening",
        "opened",
        "closed",
        "stopped",
    ]
    (refusal,) = [item for item in shown if item.get("command") == "REPLYCODE"]
    assert refusal["data"] == {"code": 550, "enhanced": "5.7.1", "text": ["Nobody is not here", "100% sure"]}
    assert (refusal["connection"], refusal["from"], refusal["name"]) == (1, "milter", "reject")


def test_a_connection_that_is_open_does_not_hold_up_the_end(libmilter: str, near: str) -> None:
    with proxy(near, libmilter) as program, socket.socket(socket.AF_UNIX) as mta:
        mta.connect(near.partition(":")[2])
        mta.sendall(b"\0\0\0\x0d")
        program.read_until(lambda: "opened" in program.out, "the connection")
        assert "closed: the proxy ends" in " ".join(stopped(program))


def printing_nowhere(near: str, to: str, **streams: object) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [*GATEWAY, "snoop", "--listen", near, "--to", to],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment(), **streams,
    )  # type: ignore[call-overload]  # fmt: skip
    wait_for_unix_socket(near.partition(":")[2])
    found: subprocess.Popen[bytes] = process
    return found


def ended(process: "subprocess.Popen[bytes]") -> str:
    process.terminate()
    _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    return said.decode()


def test_mail_passes_where_nobody_reads_what_is_printed(libmilter: str, near: str) -> None:
    theirs, ours = os.pipe()
    process = printing_nowhere(near, libmilter, stdout=ours)
    os.close(ours)
    os.close(theirs)
    assert call("send", "--milter", near, "--rcpt", "change@site.example").returncode == 0
    said = one_line(ended(process))
    assert said == "milter-gateway snoop: lines cannot be written: Broken pipe; mail passes all the same"


def test_mail_passes_where_there_is_no_standard_output(libmilter: str, near: str) -> None:
    process = printing_nowhere(near, libmilter, preexec_fn=lambda: os.close(1))
    assert call("send", "--milter", near, "--rcpt", "change@site.example").returncode == 0
    assert ended(process) == ""


def test_mail_passes_where_the_disk_is_full(libmilter: str, near: str) -> None:
    with Path("/dev/full").open("wb") as full:
        process = printing_nowhere(near, libmilter, stdout=full)
    assert call("send", "--milter", near, "--rcpt", "hold@site.example").returncode == 13
    assert "No space left on device; mail passes all the same" in one_line(ended(process))


def test_mail_passes_where_a_terminal_is_stopped_and_so_does_the_end(libmilter: str, near: str) -> None:
    theirs, ours = os.pipe()  # nobody reads, nobody closes
    process = printing_nowhere(near, libmilter, stdout=ours)
    os.close(ours)
    many = [word for number in range(1000) for word in ("--rcpt", f"{number}@site.example")]
    for more in (many, []):  # more lines than a pipe takes; then another mail
        assert call("send", "--milter", near, "--rcpt", "change@site.example", *more).returncode == 0
    assert ended(process) == ""
    os.close(theirs)


def test_where_the_milter_is_not_there_the_mta_is_closed_and_told_why(tmp_path: Path, near: str) -> None:
    with proxy(near, f"unix:{tmp_path}/none") as program:
        done = call("send", "--milter", near)
        assert done.returncode == 1
        printed = " ".join(stopped(program))
    assert f"the milter at unix:{tmp_path}/none cannot be reached: No such file or directory; closed" in printed


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_a_terminal_gets_colours_unless_its_user_wants_none(
    libmilter: str, near: str, no_color: str, coloured: bool
) -> None:
    theirs, ours = pty.openpty()
    extra = environment(NO_COLOR=no_color, TERM="xterm")
    command = [*GATEWAY, "snoop", "--listen", near, "--to", libmilter]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=ours, stderr=subprocess.PIPE, env=extra)
    os.close(ours)
    wait_for_unix_socket(near.partition(":")[2])
    assert call("send", "--milter", near, "--rcpt", "reject@site.example").returncode == 10
    found = b""
    while found.count(b"closed:") < 2:  # that of waiting for the socket, and that of the mail
        found += os.read(theirs, 65536)
    assert (b"\x1b[31m" in found) is coloured
    assert ended(process) == ""
    os.close(theirs)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--to", "1"], "Missing option '--listen'"),
        (["--listen", "0"], "Missing option '--to'"),
        (["--listen", "nonsense", "--to", "1"], "'nonsense' is not an address: write inet:PORT@HOST"),
        (["--listen", "0", "--to", "unix:"], "the path of the Unix socket is missing"),
        (["--listen", "inet:9@127.0.0.1", "--to", "inet:127.0.0.1:9"], "the proxy would talk to itself"),
        (["--listen", "unix:/no/such/directory/s", "--to", "1"], "cannot listen on unix:/no/such/directory/s"),
        (["--listen", "unix:/tmp/x", "--to", "1", "--socket-mode", "rw"], "'rw' is no mode: write it in octal"),
        (["--listen", "0", "--to", "1", "--timeout", "0"], "Invalid value for '--timeout'"),
    ],
)
def test_a_wrong_use_gets_one_readable_line_and_exit_code_2(arguments: list[str], reason: str) -> None:
    done = call("snoop", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert reason in one_line(done.stderr)


def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = call("snoop", "--listen", f"inet:127.0.0.1:{taken.getsockname()[1]}", "--to", "1")
    assert done.returncode == 2
    assert "Address already in use" in one_line(done.stderr)
