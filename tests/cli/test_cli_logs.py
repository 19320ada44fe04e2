"""How log lines look."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from cli_backend import backend
from cli_program import GATEWAY, PATIENCE_SECONDS, call, environment, wait_for_unix_socket

from gateway.cli.logs import set_up_logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def log_of_a_failure(form: str, capsys: pytest.CaptureFixture[str]) -> str:
    set_up_logs(form)
    what_the_mail_says = "confidential"
    try:
        raise RuntimeError("a bug")
    except RuntimeError as error:
        structlog.get_logger("gateway").error(
            "internal error", session="s1", size=len(what_the_mail_says), exc_info=error
        )
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_traceback_in_the_log_shows_no_variables(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = log_of_a_failure(form, capsys)
    assert "RuntimeError: a bug" in said
    assert "confidential" not in said


def test_json_is_one_object_in_one_line_also_with_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    line = json.loads(log_of_a_failure("json", capsys))
    assert (line["event"], line["level"], line["session"]) == ("internal error", "error", "s1")


def test_what_is_not_known_is_left_out_and_the_event_has_its_name_of_the_contract(
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_up_logs("json")
    structlog.get_logger("gateway").info("decided", event_name="rcpt", webhook=None)
    line = json.loads(capsys.readouterr().err)
    assert (line["milter_event"], "webhook" in line) == ("rcpt", False)


def test_debug_lines_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs("json")
    structlog.get_logger("gateway").debug("probe")
    structlog.get_logger("gateway").info("decision")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["decision"]


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("form", ["json", "text"])
def test_a_log_that_cannot_be_written_does_not_stop_the_mail(form: str, workers: str, tmp_path: Path) -> None:
    path = tmp_path / "gw.sock"
    with backend() as asked, Path("/dev/full").open("wb") as full:
        options = ["--webhook", asked.url, "--listen", f"unix:{path}", "--admin", "", "--workers", workers]
        command = [*GATEWAY, "run", "--log-format", form, *options]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=full, env=environment())
        try:
            wait_for_unix_socket(str(path))
            for _ in range(3):
                shown = json.loads(call("send", "--json", "--milter", f"unix:{path}").stdout)
                assert shown["verdict"] == "accepted"
        finally:
            process.terminate()
            assert process.wait(PATIENCE_SECONDS) == 0
    assert "end_of_message" in [each["event"] for each in asked.calls]
