"""`run --record` and `replay`, as processes, with a real filter in between."""

import gzip
import json
import os
import pty
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from cli_backend import Backend, backend
from cli_program import GATEWAY, call, environment, one_line, run, running
from published import check_answer, check_request

from gateway.contract.words import Event

ADD = {"changes": [{"op": "add_header", "name": "X", "value": "1"}]}


def record(filter_: Backend, path: Path, *more: str) -> None:
    """Two mails through a gateway that records."""
    arguments = ["run", "--webhook", filter_.url, "--listen", "inet:0@127.0.0.1", "--admin", "", "--log-format", "json"]
    with running(*arguments, "--record", str(path), *more) as program:
        spec = program.log_line("listening")["milter"][0]
        for _ in range(2):
            assert call("send", "--milter", spec, "--rcpt", "bob@site.example").returncode == 0
        program.stop()


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "mail.jsonl"
    with backend({"end_of_message": ADD}) as filter_:
        record(filter_, path)
    return path


def test_the_same_filter_answers_the_same(recording: Path) -> None:
    with backend({"end_of_message": ADD}) as filter_:
        done = run("replay", str(recording), "--webhook", filter_.url)
        calls = list(filter_.calls)
    count = len(recording.read_text().splitlines())
    assert done.returncode == 0, done.stderr
    assert one_line(done.stdout) == f"{count} replayed, {count} the same, 0 different"
    lines = [json.loads(line) for line in recording.read_text().splitlines()]
    assert sorted(item["id"] for item in calls) == sorted(line["id"] for line in lines)
    assert {item["dry_run"] for item in calls} == {False}


@pytest.mark.parametrize("redacted", [False, True])
def test_what_is_recorded_is_as_published(tmp_path: Path, redacted: bool) -> None:
    path = tmp_path / "mail.jsonl"
    answers = {
        "negotiate": {"wants": {"optional_changes": ["add_header"]}},
        "connect": {"context": {"session": {"seen": True}}},
        "rcpt": {"annotations": {"known": True}},
        "end_of_message": ADD,
    }
    with backend(answers) as filter_:
        record(filter_, path, *(["--redact"] if redacted else []))
    exchanges = [json.loads(line) for line in path.read_text().splitlines()]
    assert {item["event"] for item in exchanges} == set(Event) - {"abort", "unknown"}
    for item in exchanges:
        check_request(item["request"])
        check_answer(item["event"], json.dumps(item["response"]).encode() if item["response"] else b"")


def test_what_differs_is_printed_and_the_exit_code_says_so(recording: Path) -> None:
    answers: dict[str, Any] = {"end_of_message": {}, "rcpt": {"action": "reject", "reply": {"text": "no\x1b[2J"}}}
    with backend(answers) as filter_:
        done = run("replay", str(recording), "--webhook", filter_.url)
    assert done.returncode == 1
    assert done.stdout.count("continue -> reject") == 2
    assert "changes: [" in done.stdout
    assert "-> nothing" in done.stdout
    assert "4 different" in done.stdout.splitlines()[-1]
    assert "\x1b" not in done.stdout


def test_json_is_one_object_for_each_exchange(recording: Path) -> None:
    with backend({"end_of_message": 503}) as filter_:
        done = run("replay", str(recording), "--webhook", filter_.url, "--json")
    shown = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert {item["event"] for item in shown if not item["same"]} == {"end_of_message"}
    assert all("503" in item["failure"] for item in shown if not item["same"])


def test_a_terminal_sees_how_far_it_is(recording: Path) -> None:
    ours, theirs = pty.openpty()
    with backend({"end_of_message": ADD}) as filter_:
        command = [*GATEWAY, "replay", str(recording), "--webhook", filter_.url]
        done = subprocess.run(
            command, stderr=theirs, stdout=subprocess.PIPE, env=environment(), timeout=30, check=False
        )
    os.close(theirs)
    assert done.returncode == 0
    assert b"100%" in os.read(ours, 65536)
    os.close(ours)


def test_with_pseudonyms_nothing_of_the_mail_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mail.jsonl"
    with backend({"end_of_message": ADD}) as filter_:
        record(filter_, path, "--redact")
        assert "bob@site.example" not in path.read_text()
        assert run("replay", str(path), "--webhook", filter_.url).stdout.endswith("different\n")


def test_a_redacted_recording_is_compared_by_what_pseudonyms_leave(tmp_path: Path) -> None:
    path = tmp_path / "mail.jsonl"
    answers: dict[str, Any] = {"end_of_message": ADD, "rcpt": {"annotations": {"seen": "bob"}}}
    with backend(answers) as filter_:
        record(filter_, path, "--redact")
        same = run("replay", str(path), "--webhook", filter_.url)
        filter_.answers["end_of_message"] = {"changes": [{"op": "delete_header", "name": "X"}]}
        different = run("replay", str(path), "--webhook", filter_.url)
    count = len(path.read_text().splitlines())
    assert (same.returncode, one_line(same.stdout)) == (0, f"{count} replayed, {count} the same, 0 different")
    assert "is redacted: actions, codes and kinds of changes were compared, texts were not" in one_line(same.stderr)
    assert different.returncode == 1
    assert '[{"op":"add_header","name":"X"}] -> [{"op":"delete_header","name":"X"}]' in different.stdout


def test_a_compressed_recording_is_read_as_well(recording: Path, tmp_path: Path) -> None:
    path = tmp_path / "mail.jsonl.gz"
    path.write_bytes(gzip.compress(recording.read_bytes()))
    with backend({"end_of_message": ADD}) as filter_:
        assert run("replay", str(path), "--webhook", filter_.url).returncode == 0
        path.write_bytes(path.read_bytes()[:-20])
        done = run("replay", str(path), "--webhook", filter_.url)
    assert done.returncode == 2
    assert "this cannot be decompressed" in one_line(done.stderr)


def identity(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012}"


def test_a_recording_is_replayed_in_its_order_and_every_exchange_is_asked_even_where_all_fail(
    recording: Path, tmp_path: Path
) -> None:
    """More exchanges than are read ahead, of many sessions; a filter that always fails opens no circuit."""
    many = tmp_path / "many.jsonl"
    lines = [json.loads(line) for line in recording.read_text().splitlines()]
    with many.open("w") as file:
        for number in range(200):
            line = lines[number % len(lines)]
            request = line["request"] | {"id": identity(number)}
            file.write(
                json.dumps(line | {"id": identity(number), "session_id": f"s{number % 7}", "request": request}) + "\n"
            )
    with backend(dict.fromkeys({line["event"] for line in lines}, 503)) as filter_:
        done = run("replay", str(many), "--webhook", filter_.url, "--json")
        calls = [item["id"] for item in filter_.calls]
    shown = [json.loads(line) for line in done.stdout.splitlines()]
    assert [item["id"] for item in shown] == [identity(number) for number in range(200)]
    assert {item["status"] for item in shown} == {503}
    assert sorted(calls) == [item["id"] for item in shown]
    for session in range(7):
        of_session = [call for call in calls if int(call[-12:]) % 7 == session]
        assert of_session == sorted(of_session)


def test_a_long_difference_is_printed_in_part(recording: Path) -> None:
    much = {"changes": [{"op": "replace_body", "text": "new" * 10_000}]}
    with backend({"end_of_message": much}) as filter_:
        done = run("replay", str(recording), "--webhook", filter_.url)
    (line, _) = [line for line in done.stdout.splitlines() if "changes:" in line]
    assert len(line) < 1000
    assert line.endswith("… (30033 characters)")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["replay", "none.jsonl", "--webhook", "http://127.0.0.1:1/"], "No such file"),
        (["replay", "broken", "--webhook", "http://127.0.0.1:1/"], "broken:1: this is no recorded exchange"),
        (["replay", "empty", "--webhook", "http://127.0.0.1:1/"], "no exchange with a body is in it"),
        (["replay", "broken"], "Missing option '--webhook'"),
        (["run", "--redact", "--webhook", "http://127.0.0.1:1/"], "--redact is for --record FILE"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], reason: str
) -> None:
    (tmp_path / "broken").write_text("{}\n")
    (tmp_path / "empty").write_text("")
    monkeypatch.chdir(tmp_path)
    done = call(*arguments)
    assert done.returncode == 2
    assert reason in one_line(done.stderr)


def test_a_recording_that_cannot_be_written_is_said_before_any_mail_comes(tmp_path: Path) -> None:
    done = run("run", "--record", str(tmp_path / "no" / "file"), "--webhook", "http://127.0.0.1:1/")
    assert done.returncode == 2
    assert "the recording cannot be written" in one_line(done.stderr)


def test_a_url_that_is_none_is_refused(recording: Path) -> None:
    done = call("replay", str(recording), "--webhook", "ftp://x/")
    assert done.returncode == 2
    assert "expected http://host/path" in one_line(done.stderr)


def test_what_workers_see_reaches_the_inspector_and_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mail.jsonl"
    with backend({"end_of_message": ADD}) as filter_:
        more = ("--workers", "2", "--record", str(path), "--admin", "127.0.0.1:0", "--log-format", "json")
        with running("run", "--webhook", filter_.url, "--listen", "inet:0@127.0.0.1", *more) as program:
            line = program.log_line("listening")
            for _ in range(4):
                assert call("send", "--milter", line["milter"][0]).returncode == 0

            def verdicts() -> list[str] | None:
                with urllib.request.urlopen(line["admin"] + "/v1/sessions", timeout=30) as answer:
                    sessions = json.load(answer)["sessions"]
                found = [row["verdict"] for item in sessions for row in item["transactions"]]
                return found if found.count("accepted") == 4 else None

            assert program.read_until(verdicts, "four transactions") == ["accepted"] * 4
            with urllib.request.urlopen(line["admin"] + "/v1/exchanges?event=end_of_message", timeout=30) as answer:
                (first, *_) = json.load(answer)["exchanges"]
            with urllib.request.urlopen(line["admin"] + f"/v1/exchanges/{first['id']}", timeout=30) as answer:
                whole = json.load(answer)
            assert whole["response"] == ADD
            assert whole["request"]["event"] == "end_of_message"
            assert whole["tries"][0]["status"] == 200
            program.stop()
    assert sum(json.loads(text)["event"] == "end_of_message" for text in path.read_text().splitlines()) == 4
