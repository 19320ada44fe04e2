"""The README keeps what it promises: each line of it is run as it stands, on another port."""

import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from example_processes import Filter, require
from readme_text import EXAMPLES, README, ROWS

from gateway.milter import messages as m
from gateway.mta.mail import Mail

FILES = sorted(path for path in EXAMPLES.iterdir() if path.suffix in (".py", ".sh", ".mjs"))
LONGEST = 60

ANSWERS: dict[str, object] = {
    "accept_all.py": {},
    "reject_recipient.py": {
        "action": "reject",
        "reply": {"code": 550, "enhanced": "5.1.1", "text": "No mailbox of this name here"},
    },
    "tag_subject.py": {"changes": [{"op": "set_header", "name": "Subject", "value": "[EXTERNAL] Lunch?"}]},
    "disclaimer.py": {
        "changes": [
            {
                "op": "replace_body",
                "text": "hello\r\n\r\n-- \r\nThis mail is confidential. If it is not for you, please delete it.\r\n",
            }
        ]
    },
    "greylist.py": {
        "action": "tempfail",
        "reply": {"code": 451, "enhanced": "4.7.1", "text": "Greylisted, please try again"},
    },
    "stdlib_only.py": {
        "action": "reject",
        "reply": {"code": 554, "enhanced": "5.7.1", "text": "We take no programs by mail"},
    },
    "shell.sh": {
        "action": "reject",
        "reply": {"code": 550, "enhanced": "5.7.1", "text": "Your domain is not welcome here"},
    },
    "node.mjs": {"context": {"transaction": {"bytes": 100}}},
}


def test_the_table_has_a_row_for_each_example() -> None:
    assert sorted(ROWS) == [path.name for path in FILES]


@pytest.mark.parametrize("name", ROWS)
def test_the_curl_line_gets_the_answer_that_its_question_asks_for(
    name: str, filter_of: Callable[[str], Filter]
) -> None:
    assert filter_of(name).curl(ROWS[name].curl) == ANSWERS[name]


def test_the_greylist_forgets_the_curl_line_which_is_a_dry_run(filter_of: Callable[[str], Filter]) -> None:
    running = filter_of("greylist.py")
    running.curl(ROWS["greylist.py"].curl)

    with closing(sqlite3.connect(running.directory / "greylist.sqlite3")) as database:
        seen = database.execute("SELECT sender FROM seen").fetchall()
    assert ("ann@client.example",) not in seen


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_example_is_short_enough_to_be_read_at_once(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_example_knows_nothing_of_the_gateway_but_its_json(path: Path) -> None:
    source = path.read_text()
    assert not re.search(r"^\s*(from|import)\s+(gateway|webhook_examples)\b", source, re.MULTILINE)


def test_the_example_of_the_standard_library_loads_without_any_package() -> None:
    load = f"import runpy; runpy.run_path({str(EXAMPLES / 'stdlib_only.py')!r})"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", load], capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("shell", ["dash", "bash --posix"])
def test_the_shell_example_parses_in_any_posix_shell(shell: str) -> None:
    require(shell.partition(" ")[0])
    command = [*shell.split(), "-n", str(EXAMPLES / "shell.sh")]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("name", ROWS)
def test_an_example_outlives_a_call_that_the_gateway_breaks_off(name: str, filter_of: Callable[[str], Filter]) -> None:
    running = filter_of(name)
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as peer:
        peer.sendall(b"POST /milter HTTP/1.1\r\nHost: example\r\nContent-Length: 100\r\n\r\n{")
    assert running.curl(ROWS[name].curl) == ANSWERS[name]


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
