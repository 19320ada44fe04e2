"""`check`: configuration and webhooks, without any mail."""

from pathlib import Path
from typing import Any

import pytest
from cli_backend import backend
from cli_program import call, one_line, run


def test_a_webhook_that_answers_is_ok_with_its_time_and_its_answer() -> None:
    with backend() as asked:
        done = call("check", "--webhook", asked.url, "--events", "rcpt,end_of_message")
    assert (done.returncode, done.stderr) == (0, "")
    line = one_line(done.stdout)
    assert line.startswith("webhook: rcpt: ok, ")
    assert line.endswith(" ms, HTTP 204: continue")


def test_only_the_first_subscribed_event_is_posted_and_says_dry_run() -> None:
    with backend() as asked:
        call("check", "--webhook", asked.url, "--events", "end_of_message,mail")
    assert [(call["event"], call["dry_run"]) for call in asked.calls] == [("mail", True)]


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        ({"action": "reject"}, 0, "HTTP 200: reject 550 5.7.1 Command rejected"),
        ({"changes": [{"op": "add_header", "name": "X", "value": "y"}]}, 0, "HTTP 200: continue, 1 change"),
        ({"warnings": ["old rules"]}, 0, "continue, warning: old rules"),
        (500, 1, "FAILED after"),
        (404, 1, "the backend refuses the request"),
        (302, 1, "redirects are not followed"),
        (b"not json", 1, "HTTP 200, but the answer is invalid:"),
        ({"actoin": "reject"}, 1, "actoin"),
        ({"action": "skip"}, 1, "the action skip cannot be answered at mail"),
        ({"action": "reject", "reply": {"text": "a\nb"}}, 1, "CR, LF or NUL"),
    ],
)
def test_the_line_says_what_was_answered_or_why_it_failed(answer: Any, code: int, said: str) -> None:
    with backend({"mail": answer}) as asked:
        done = call("check", "--webhook", asked.url, "--events", "mail")
    assert said in one_line(done.stdout)
    assert done.returncode == code


def test_every_webhook_gets_its_line_also_after_a_failure(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    with backend() as gone:
        pass
    with backend() as asked:
        file.write_text(
            f'[[webhook]]\nname = "gone"\nurl = "{gone.url}"\nretries = 0\n'
            f'[[webhook]]\nname = "there"\nurl = "{asked.url}"\nevents = ["connect"]\n'
        )
        done = call("check", "-c", str(file))
    first, second = done.stdout.splitlines()
    assert first.startswith("gone: negotiate: FAILED after ")
    assert "cannot connect to 127.0.0.1" in first
    assert second.startswith("there: connect: ok, ")
    assert done.returncode == 1


def test_the_environment_names_the_file_as_for_run(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    with backend() as asked:
        file.write_text(f'[[webhook]]\nname = "there"\nurl = "{asked.url}"\n')
        done = run("check", MILTER_GATEWAY_CONFIG=str(file))
    assert one_line(done.stdout).startswith("there: negotiate: ok, ")
