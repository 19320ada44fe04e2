"""`send` against milters that somebody else wrote, and against none."""

import json
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_program import (
    PATIENCE_SECONDS,
    call,
    one_line,
    require_program,
    run,
    running,
    started,
    unavailable,
    wait_for_unix_socket,
)

FILTER = Path(__file__).with_name("filter_program.py")
DEBIAN_PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="module")
def libmilter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The SPEC of a filter on libmilter."""
    path = tmp_path_factory.mktemp("filter") / "socket"
    with started(DEBIAN_PYTHON, "-c", "import Milter") as probe:
        if probe.wait():
            unavailable("python3-milter is missing: apt-get install python3-milter")
    with started(DEBIAN_PYTHON, str(FILTER), f"unix:{path}"):
        wait_for_unix_socket(str(path))
        yield f"unix:{path}"


@contextmanager
def crude_server(answer: bytes | None, connected: threading.Event | None = None) -> Iterator[str]:
    """Something that is no milter: it says `answer` and hangs up; with None it stays silent. Gives its SPEC."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        over = threading.Event()

        def serve() -> None:
            peer, _ = listener.accept()
            if connected:
                connected.set()
            with peer:
                if answer is None:
                    over.wait(PATIENCE_SECONDS)
                else:
                    peer.recv(17)  # the whole offer: else closing would reset
                    peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"inet:{listener.getsockname()[1]}@127.0.0.1"
        over.set()
        thread.join()


@pytest.mark.parametrize(
    ("local", "code", "said"),
    [
        ("bob", 0, ["verdict: accepted", "message: unchanged"]),
        ("reject", 10, ["verdict: rejected", "reply: 550 5.7.1 Command rejected"]),
        ("words", 10, ["verdict: rejected", "reply: 550 5.7.1 Nobody is not here / 100% sure"]),
        ("tempfail", 11, ["verdict: tempfailed", "reply: 451 4.7.1 Service unavailable - try again later"]),
        ("late", 11, ["verdict: tempfailed"]),
        ("discard", 12, ["verdict: discarded"]),
        ("hold", 13, ["verdict: quarantined", "quarantine: held by the filter"]),
    ],
)
def test_every_verdict_of_a_libmilter_filter_is_printed_and_is_the_exit_code(
    libmilter: str, local: str, code: int, said: list[str]
) -> None:
    done = call("send", "--milter", libmilter, "--rcpt", f"{local}@site.example")
    assert (done.returncode, done.stderr) == (code, "")
    assert set(said) <= set(done.stdout.splitlines())


def test_changes_of_a_libmilter_filter_are_shown_as_a_diff(libmilter: str) -> None:
    done = call("send", "--milter", libmilter, "--rcpt", "change@site.example")
    verdict = done.stdout.index("verdict:")
    assert done.stdout[verdict:].splitlines() == [
        "verdict: accepted",
        "envelope to: <change@site.example> -> <change@site.example>, <new@site.example>",
        "--- before",
        "+++ after",
        "@@ -1,11 +1,8 @@",
        " From: Ann <ann@client.example>",
        " To: Bob <bob@site.example>",
        "-Subject: Lunch on Friday?",
        "+Subject: changed",
        " Date: Fri, 20 Nov 2026 09:20:03 +0000",
        " Message-ID: <1@client.example>",
        "+X-Filter: seen",
        " ",
        "-Hello Bob,",
        "-",
        "-shall we have lunch on Friday?",
        "-",
        "-Ann",
        "+another body",
    ]


def test_each_event_has_its_line_with_the_answer(libmilter: str) -> None:
    done = call("send", "--milter", libmilter, "--rcpt", "reject@site.example", "--rcpt", "bob@site.example")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0].startswith("negotiate version 6; may change: add_header, ")
    assert "rcpt <reject@site.example> 550 5.7.1 Command rejected" in lines
    assert "rcpt <bob@site.example> continue" in lines
    assert "helo localhost (not wanted)" in lines
    assert "end_of_message accept" in lines


def test_json_is_one_object_with_the_same_facts(libmilter: str) -> None:
    done = call("send", "--json", "--milter", libmilter, "--rcpt", "change@site.example", "--from", "")
    shown = json.loads(one_line(done.stdout))
    assert set(shown) == {"verdict", "reply", "refused", "changes", "envelope", "message"}
    assert (shown["verdict"], shown["reply"]) == ("accepted", None)
    assert [change["op"] for change in shown["changes"]] == [
        "add_header",
        "change_header",
        "add_rcpt",
        "replace_body",
    ]
    assert shown["envelope"]["from"] == {"address": ""}
    assert shown["message"]["body"] == {"text": "another body\r\n"}


@pytest.mark.parametrize("from_stdin", [True, False])
def test_bytes_that_are_no_text_are_shown_as_escapes_and_cannot_drive_the_terminal(
    libmilter: str, tmp_path: Path, from_stdin: bool
) -> None:
    raw = b"Subject: \xe9\x1b[31m\n\nbody\n"
    (tmp_path / "mail.eml").write_bytes(raw)
    file = "-" if from_stdin else str(tmp_path / "mail.eml")
    done = run("send", file, "--milter", libmilter, "--rcpt", "change@site.example", stdin=raw)
    assert "-Subject: \\xe9\\x1b[31m" in done.stdout.splitlines()
    assert "\x1b" not in done.stdout


def test_opendkim_signs_the_mail(tmp_path: Path) -> None:
    opendkim = require_program("opendkim", "opendkim")
    openssl = require_program("openssl", "openssl")
    key = tmp_path / "key.pem"
    with started(openssl, "genrsa", "-out", str(key), "2048") as making:
        assert making.wait() == 0, making.err
    key.chmod(0o600)
    socket_path, config = tmp_path / "socket", tmp_path / "opendkim.conf"
    config.write_text(
        f"Mode s\nSocket local:{socket_path}\nDomain client.example\nSelector test\nKeyFile {key}\n"
        "Syslog no\nRequireSafeKeys no\n"
    )
    with started(opendkim, "-f", "-x", str(config)):
        wait_for_unix_socket(str(socket_path))
        done = call("send", "--milter", f"local:{socket_path}")
    assert done.returncode == 0
    assert any(line.startswith("+DKIM-Signature: v=1; a=rsa-sha256;") for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"220 mail.example ESMTP\r\n", "the milter broke the protocol: frame length"),
        (b"", "the milter closed the connection without an answer"),
        (b"\0\0\0\1c", "the milter answered the negotiation with Continue"),
        (None, "the milter did not answer within 0.3 s"),
    ],
)
def test_what_is_no_milter_is_told_in_one_line(answer: bytes | None, said: str) -> None:
    with crude_server(answer) as spec:
        done = call("send", "--milter", spec, "--timeout", "0.3")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{spec}: {said}" in one_line(done.stderr)


def test_an_interrupted_send_ends_without_a_traceback() -> None:
    connected = threading.Event()
    with crude_server(None, connected) as spec, running("send", "--milter", spec) as program:
        assert connected.wait(PATIENCE_SECONDS)
        program.signal(signal.SIGINT)
        code = program.wait()
    assert (code, program.err.strip()) == (130, "")


def refused_spec() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"inet:{taken.getsockname()[1]}@127.0.0.1"


def test_a_refused_connection_is_told_in_one_line() -> None:
    spec = refused_spec()
    done = call("send", "--milter", spec)
    assert (done.returncode, done.stdout) == (1, "")
    assert one_line(done.stderr) == f"milter-gateway: cannot connect to {spec}: Connection refused"


def test_a_missing_unix_socket_is_told_in_one_line(tmp_path: Path) -> None:
    done = call("send", "--milter", f"unix:{tmp_path}/none")
    assert done.returncode == 1
    assert one_line(done.stderr).endswith(f"cannot connect to unix:{tmp_path}/none: No such file or directory")


def test_an_error_has_its_json_too() -> None:
    done = call("send", "--json", "--milter", refused_spec())
    shown = json.loads(one_line(done.stdout))
    assert (done.returncode, shown["verdict"], shown["message"]) == (1, "error", None)
    assert shown["error"].endswith("Connection refused")
