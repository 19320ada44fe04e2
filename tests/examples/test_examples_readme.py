"""The README keeps what it promises: each line of it is run as it stands, on another port."""

import json
import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest
from all_known import KNOWN
from example_processes import Filter, require
from jsonschema import Draft202012Validator
from known import Need
from readme_text import EXAMPLES, README, ROOT, ROWS

from gateway.contract.schema import response_schema
from gateway.contract.words import Event
from gateway.milter import messages as m
from gateway.mta.mail import Mail

FILES = sorted(path for path in EXAMPLES.iterdir() if path.is_file() and path.suffix not in (".md", ".txt"))
TOO_LONG = 60
OF_OURS = re.compile(r"^\s*(from|import|use|require|include)\b.*\b(gateway|webhook_examples)\b", re.MULTILINE)
OF_A_NEIGHBOUR = re.compile(
    r"""^\s*(?:import\b.*|from\b.*|require_relative\b.*|require\b.*)["'(]\.{0,2}/""", re.MULTILINE
)
CORPUS = ROOT / "docs" / "examples" / "requests"
SCHEMA = Draft202012Validator(response_schema())

NO_SUBJECT = b"From: ann@client.example\r\nTo: bob@site.example\r\n\r\nhello\r\n"
ODD_MAILS = {
    "null sender": Mail(NO_SUBJECT, ""),
    "no header": Mail(b"\r\nhello\r\n", "odd@client.example"),
    "no body": Mail(b"Subject: nothing\r\n", "odd@client.example"),
    "not UTF-8": Mail(
        b"From: J\xf6rg <joerg@client.example>\r\nSubject: Caf\xe9\r\n and\r\n\tdinner\r\n\r\ncaf\xe9 \0\r\n",
        "j\udcf6rg@client.example",
        ("bob@site.example", "postmaster"),
        client="2001:db8::25",
    ),
    "broken MIME": Mail(
        b'Content-Type: multipart/mixed; boundary="cut\r\nContent-Type: ;=\r\nContent-Transfer-Encoding: base64\r\n'
        b"DKIM-Signature: \r\n\r\n--cut\r\nContent-Disposition: attachment; filename*=x'\r\n\r\n====\r\n",
        "odd@client.example",
    ),
}


def test_the_tables_have_a_row_for_each_example() -> None:
    assert sorted(ROWS) == [path.name for path in FILES]
    assert sorted(KNOWN) == sorted(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_the_curl_line_gets_the_answer_that_its_question_asks_for(
    name: str, filter_of: Callable[[str], Filter]
) -> None:
    answer = filter_of(name).curl(ROWS[name].curl)
    assert answer == KNOWN[name].answer
    SCHEMA.validate(answer)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if not row.settings])
def test_every_request_of_the_corpus_gets_a_valid_answer(name: str, filter_of: Callable[[str], Filter]) -> None:
    running, events = filter_of(name), ROWS[name].events
    for file in sorted(CORPUS.glob("*.json")):
        rehearsal = {**json.loads(file.read_bytes()), "dry_run": True}
        event = Event(rehearsal["event"])
        if event is Event.END_OF_MESSAGE and "headers" not in rehearsal["message"]:
            continue  # made by another `include` than that of an example without settings
        if events == "all" or event in events.split(","):
            answer = httpx.post(f"http://127.0.0.1:{running.port}/milter", json=rehearsal, timeout=20)
            assert answer.status_code == 200, file.name
            Draft202012Validator(response_schema(event)).validate(answer.json())


@pytest.mark.parametrize("name", ROWS)
async def test_odd_mail_makes_no_example_fail(name: str, filter_of: Callable[[str], Filter]) -> None:
    for odd in ODD_MAILS.values():
        await filter_of(name).play(odd)  # fails where the gateway complains of an answer, or of none


@pytest.mark.parametrize("name", ROWS)
def test_an_example_listens_on_loopback_alone(name: str, filter_of: Callable[[str], Filter]) -> None:
    port = filter_of(name).port
    with pytest.raises(ConnectionRefusedError):  # who listens on every address, listens on this one too
        socket.create_connection(("127.0.0.2", port), timeout=20).close()


def test_the_greylist_forgets_the_curl_line_which_is_a_dry_run(filter_of: Callable[[str], Filter]) -> None:
    running = filter_of("greylist.py")
    running.curl(ROWS["greylist.py"].curl)

    with closing(sqlite3.connect(running.directory / "greylist.sqlite3")) as database:
        seen = database.execute("SELECT sender FROM seen").fetchall()
    assert ("ann@client.example",) not in seen


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_example_is_short_enough_to_be_read_at_once(path: Path) -> None:
    assert len(path.read_text().splitlines()) < TOO_LONG


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_example_knows_nothing_of_the_gateway_but_its_json(path: Path) -> None:
    source = path.read_text()
    assert not OF_OURS.search(source)
    assert not OF_A_NEIGHBOUR.search(source)


def test_the_example_of_the_standard_library_loads_without_any_package() -> None:
    load = f"import runpy; runpy.run_path({str(EXAMPLES / 'stdlib_only.py')!r})"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", load], capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("shell", ["dash", "bash --posix"])
def test_the_shell_example_parses_in_any_posix_shell(shell: str) -> None:
    program = shell.partition(" ")[0]
    require(Need(program, program))
    command = [*shell.split(), "-n", str(EXAMPLES / "shell.sh")]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("name", ROWS)
def test_an_example_outlives_a_call_that_the_gateway_breaks_off(name: str, filter_of: Callable[[str], Filter]) -> None:
    running = filter_of(name)
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as peer:
        peer.sendall(b"POST /milter HTTP/1.1\r\nHost: example\r\nContent-Length: 100\r\n\r\n{")
    assert running.curl(ROWS[name].curl) == KNOWN[name].answer


@pytest.mark.parametrize("name", ROWS)
def test_an_example_is_not_held_up_by_connections_that_wait(name: str, filter_of: Callable[[str], Filter]) -> None:
    running = filter_of(name)
    with ExitStack() as waiting:
        for _ in range(20):  # the gateway keeps connections for the next call
            waiting.enter_context(socket.create_connection(("127.0.0.1", running.port), timeout=20))
        assert running.curl(ROWS[name].curl) == KNOWN[name].answer


async def test_mail_is_put_off_while_an_example_is_not_running(start_filter: Callable[..., Filter]) -> None:
    running = start_filter("stdlib_only.py")
    running.example.terminate()
    running.example.wait()
    played = await running.play(Mail(b"Subject: hello\r\n\r\nhello\r\n"), complaints=True)
    assert isinstance(played.reply, m.ReplyCode)
    assert played.reply.text.startswith(b"451 ")


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    missing = [target for target in re.findall(r"\]\(([^)]+)\)", README) if not (EXAMPLES / target).is_file()]
    assert missing == []
