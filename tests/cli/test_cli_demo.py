"""`demo`: everything in one process."""

import json
import re
import shlex
import signal
import sys
import urllib.error
import urllib.request

import pytest
from cli_program import require_program, run, running, started

EXPECTED = ['"status":"ok"', '"verdict":"accepted"', '"Nobody is not here"', "verdict: rejected"]
"""What the answers to the lines to try hold."""


def test_the_demo_shows_every_verdict_and_ends_after_the_given_number_of_mails() -> None:
    done = run("demo", "--count", "6", "--interval", "0")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.findall(r"^  verdict: (\w+)$", done.stdout, re.MULTILINE) == [
        "accepted",
        "accepted",
        "rejected",
        "tempfailed",
        "accepted",
        "quarantined",
    ]
    assert done.stdout.endswith("the demo ends after 6 mails\n")


def test_the_demo_shows_answers_and_changes() -> None:
    lines = run("demo", "--count", "2", "--interval", "0").stdout.splitlines()
    assert "  +Subject: [demo] Lunch?" in lines
    assert any(line.startswith("  rcpt ") and '"Nobody is not here"' in line for line in lines)
    assert "  envelope to: <nobody@demo.example>, <bob@demo.example> -> <bob@demo.example>" in lines


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_ends_cleanly_when_it_is_told_to(number: signal.Signals) -> None:
    with running("demo", "--interval", "600") as program:
        program.read_until(lambda: "verdict:" in program.out, "a verdict")
        program.signal(number)
        code = program.wait()
    assert (code, program.err) == (0, "")
    assert program.out.endswith("the demo ends after 1 mail\n")


def test_a_reader_who_goes_away_in_the_middle_of_a_mail_ends_the_demo_without_a_traceback() -> None:
    shell = require_program("sh", "dash")
    with started(shell, "-c", f"{_python()} -m gateway demo --interval 0 | head -n 13") as piped:
        assert piped.wait() == 0
    assert piped.err == ""


def test_the_demo_ends_at_once_though_a_page_watches() -> None:
    with running("demo", "--interval", "600") as program:
        program.read_until(lambda: "verdict:" in program.out, "a verdict")
        page = re.findall(r"http://\S+/", program.out)[0]
        with urllib.request.urlopen(f"{page}v1/events") as stream:
            assert stream.readline() == b": live\n"
            program.signal(signal.SIGTERM)
            code = program.wait()
            assert stream.read().strip() == b""
    assert (code, program.err) == (0, "")


def test_two_demos_run_side_by_side() -> None:
    with running("demo", "--interval", "600") as first, running("demo", "--interval", "600") as second:
        addresses = [
            program.read_until(lambda program=program: re.findall(r"inet:\d+@127\.0\.0\.1", program.out), "a SPEC")[0]
            for program in (first, second)
        ]
    assert addresses[0] != addresses[1]


def test_every_line_to_try_works_as_it_is_printed() -> None:
    shell = require_program("sh", "dash")
    require_program("curl", "curl")
    with running("demo", "--interval", "600") as program:
        program.read_until(lambda: "verdict:" in program.out, "a verdict")
        tried = program.out.split("Try in another terminal:\n")[1].split("\n\n")[0].splitlines()
        answers = []
        for line in tried:
            with started(shell, "-c", line.replace("milter-gateway ", f"{_python()} -m gateway ")) as command:
                command.wait()
                answers.append(command.out + command.err)
    assert [next((word for word in EXPECTED if word in answer), answer) for answer in answers] == EXPECTED


def test_the_demo_backend_greylists_no_dry_run() -> None:
    with running("demo", "--interval", "600") as program:
        program.read_until(lambda: "verdict:" in program.out, "a verdict")
        found = re.search(r"admin +(http://\S+)", program.out)
        assert found
        verdicts = [_simulated(found[1]) for _ in range(2)]
    assert all('"verdict":"tempfailed"' in verdict for verdict in verdicts)


def test_the_first_address_is_that_of_the_page() -> None:
    with running("demo", "--interval", "600") as program:
        program.read_until(lambda: "verdict:" in program.out, "a verdict")
        page = re.findall(r"http://\S+", program.out)[0]
        with urllib.request.urlopen(page) as answer:
            assert answer.headers["content-type"] == "text/html; charset=utf-8"


def test_a_switched_rule_holds_from_the_next_mail_on() -> None:
    with running("demo", "--interval", "600") as program:
        program.read_until(lambda: "verdict:" in program.out, "a verdict")
        found = re.search(r"admin +(http://\S+)", program.out)
        assert found
        before = _simulated(found[1])
        rows = _rules(found[1], "greylist", b'{"on": false}')
        assert {row["name"]: row["on"] for row in rows}["greylist"] is False
        assert _rules(found[1]) == rows
        after = _simulated(found[1])
        for name, body in (("nothing", b'{"on": true}'), ("greylist", b'{"on": "maybe"}')):
            with pytest.raises(urllib.error.HTTPError):
                _rules(found[1], name, body)
    assert ('"verdict":"tempfailed"' in before, '"verdict":"accepted"' in after) == (True, True)


def test_broken_and_slow_are_rules_like_others() -> None:
    with running("demo", "--interval", "600") as program:
        program.read_until(lambda: "verdict:" in program.out, "a verdict")
        found = re.search(r"admin +(http://\S+)", program.out)
        assert found
        _rules(found[1], "slow", b'{"on": true}')
        slow = json.loads(_simulated(found[1], "ann"))
        _rules(found[1], "broken", b'{"on": true}')
        _rules(found[1], "slow", b'{"on": false}')
        broken = json.loads(_simulated(found[1], "ann"))
    assert slow["exchanges"][-1]["elapsed_ms"] >= 1000
    assert broken["verdict"] == "tempfailed"
    assert "500" in broken["exchanges"][-1]["failure"]


def _rules(admin: str, name: str = "", body: bytes | None = None) -> list[dict[str, object]]:
    url = f"{admin}/v1/demo/rules" + (f"/{name}" if name else "")
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, body, headers, method="PUT" if body else "GET")
    with urllib.request.urlopen(request) as answer:
        rows: list[dict[str, object]] = json.load(answer)["rules"]
    return rows


def _simulated(admin: str, sender: str = "stranger") -> str:
    url = f"{admin}/v1/simulate?from={sender}@new.example&rcpt=bob@demo.example"
    with urllib.request.urlopen(url, data=b"Subject: hi\r\n\r\nhello\r\n") as answer:
        text: str = answer.read().decode()
    return text


def _python() -> str:
    return shlex.quote(sys.executable)
