"""What the command line says to those who mistype, and how it ends."""

import subprocess
from pathlib import Path

import pytest
from cli_program import GATEWAY, PATIENCE_SECONDS, call, environment, one_line, run

from gateway.version import VERSION

COMMANDS = ("run", "demo", "check", "send", "snoop", "sample", "schema", "replay")


def test_the_version_is_printed() -> None:
    assert run("--version").stdout == f"milter-gateway, version {VERSION}\n"


def test_no_command_at_all_prints_the_help() -> None:
    done = run()
    assert done.returncode == 2
    assert all(f"\n  {name} " in done.stderr for name in COMMANDS)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["run", "--frobnicate"], "No such option"),
        (["run"], "configuration:webhook: at least one is needed: a [[webhook]] table in the file, or --webhook URL"),
        (["check"], "configuration:webhook: at least one is needed"),
        (["run", "-c", "missing.toml"], "missing.toml: cannot be read: No such file or directory"),
        (["run", "--webhook", "nonsense"], "flag --webhook:webhook[webhook].url:"),
        (["run", "--webhook", "http://b.example", "--events", "rcpt,foo"], "flag --events:webhook[webhook].events[1]:"),
        (["run", "--webhook", "http://b.example", "--listen", "nonsense"], "flag --listen:listen[0]:"),
        (["run", "--webhook", "http://b.example", "--listen", "inet:0@0.0.0.0"], "limits.peers: is required"),
        (["run", "--webhook", "http://b.example", "--log-format", "xml"], "'xml' is not one of 'json', 'text'"),
        (["send", "missing.eml"], "'missing.eml': No such file or directory"),
        (["send", "--milter", "nonsense"], "'nonsense' is not an address: write inet:PORT@HOST"),
        (["send", "--client", "mail.example"], "the client 'mail.example' is no IP address"),
        (["send", "--macro", "novalue"], "write NAME=VALUE"),
        (["send", "--rcpt", "a\nb"], "contains CR, LF or NUL"),
        (["sample"], "Missing argument 'EVENT'"),
        (["sample", "outcome"], "'outcome' is not one of 'negotiate', 'connect',"),
        (["sample", "rcpt", "--set", "data.address=x@y"], "'x@y' is not JSON; a text needs double quotes"),
        (["sample", "rcpt", "--set", "data.address"], "write PATH=JSON"),
        (["sample", "rcpt", "--set", "data.adress=1"], "there is no 'adress'; there are address, params, index"),
        (["sample", "rcpt", "--set", "envelope.to.1.address=1"], "'1' is no index of a list with 1 entries"),
        (["sample", "rcpt", "--set", "envelope.to.-1=1"], "'-1' is no index of a list with 1 entries"),
        (["sample", "rcpt", "--set", f"envelope.to.{'9' * 5000}=1"], "is no index of a list with 1 entries"),
        (["sample", "rcpt", "--set", "macros.\udcff=1"], "write PATH=JSON"),
        (["sample", "rcpt", "--set", "message.size=1"], "what should hold 'size' is null here"),
        (["sample", "rcpt", "--set", "data.address.x=1"], "what should hold 'x' is a single value"),
        (["schema", "nonsense"], "'nonsense' is not one of 'request', 'response', 'openapi'"),
        (["demo", "--count", "0"], "Invalid value for '--count'"),
    ],
)
def test_a_wrong_use_gets_one_readable_line_and_exit_code_2(args: list[str], said: str) -> None:
    done = call(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in one_line(done.stderr)


def test_every_fault_of_a_configuration_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text('lisen = 1\n[limits]\nconnections = 0\n[[webhook]]\nname = "a"\nurl = "ftp://x"\n')
    done = run("check", "-c", str(file))
    lines = done.stderr.splitlines()
    assert done.returncode == 2
    assert [line.removeprefix(f"{file}:").split(":")[0] for line in lines] == [
        "limits.connections",
        "webhook[a].url",
        "lisen",
    ]


def test_events_without_a_webhook_are_a_fault_of_the_flag() -> None:
    done = run("run", "--events", "rcpt")
    assert done.returncode == 2
    assert "flag --events: needs --webhook beside it" in done.stderr.splitlines()


def test_a_tls_file_that_is_none_is_a_configuration_fault(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    file = tmp_path / "gateway.toml"
    file.write_text(f'[[webhook]]\nname = "a"\nurl = "https://x.example"\ntls.ca_file = "{tmp_path}/ca.pem"\n')
    done = run("check", "-c", str(file))
    assert done.returncode == 2
    assert "ca_file" in one_line(done.stderr)


@pytest.mark.parametrize("args", [("schema", "openapi"), ("sample", "rcpt"), ("demo", "--interval", "0")])
def test_a_reader_who_goes_away_gets_no_traceback(args: tuple[str, ...]) -> None:
    process = subprocess.Popen([*GATEWAY, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr:
        said = process.stderr.read()
    assert (process.wait(PATIENCE_SECONDS), said) == (1, b"")


def test_a_full_disk_is_told_in_one_line() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*GATEWAY, "schema", "openapi"],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=PATIENCE_SECONDS,
            env=environment(),
            check=False,
        )
    assert done.returncode == 1
    assert "No space left on device" in one_line(done.stderr.decode())


def test_a_terminal_without_all_characters_gets_escapes() -> None:
    done = run("demo", "--count", "1", "--interval", "0", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
