"""docs/moving.md: the old filter and the new one do the same, and the new one answers in the contract."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from docs_text import ROOT, Block, blocks
from terminal import answers, clean_environment, free_port, started, wait_until

from gateway.contract.response import Response, decode_response

MOVING = ROOT / "docs" / "moving.md"
REQUESTS = ROOT / "docs" / "examples" / "requests"
DEBIAN_PYTHON = "/usr/bin/python3"
"""The one that has Debian's python3-milter."""
PYTHON = blocks(MOVING, "python")
OLD = PYTHON[0]
FROM_PYMILTER, FROM_MIMEDEFANG, FROM_DEMYJTIFY = PYTHON[1:]
Filter = Callable[[dict[str, Any]], dict[str, Any]]


def unavailable(reason: str) -> None:
    """Skip the test; in CI, where every part must be there, fail it."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def filter_in(block: Block) -> Filter:
    """The function that the block defines; its answers are held against the contract."""
    names: dict[str, Any] = {}
    exec(compile(block.text, block.place, "exec"), names)

    def checked(event: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = names["milter"](event)
        assert isinstance(decode_response(json.dumps(answer).encode()), Response)
        return answer

    return checked


def request(name: str, **changed: Any) -> dict[str, Any]:
    """A request of the corpus with other values."""
    value: dict[str, Any] = json.loads((REQUESTS / f"{name}.json").read_text())
    return value | changed


def requests() -> list[str]:
    return sorted(path.stem for path in REQUESTS.glob("*.json"))


@pytest.mark.parametrize("name", requests())
@pytest.mark.parametrize("block", [FROM_PYMILTER, FROM_DEMYJTIFY], ids=["pymilter", "demyjtify"])
def test_the_new_filter_answers_every_request_of_the_corpus(block: Block, name: str) -> None:
    filter_in(block)(request(name))


def attached(name: str | None) -> dict[str, Any]:
    """A message with this attachment, taken apart."""
    event = request("end_of_message_parsed")
    (attachment,) = event["message"]["parsed"]["attachments"]
    attachment["name"] = name
    return event


def test_the_filter_from_mimedefang_refuses_by_name() -> None:
    assert '`include = ["message.parsed"]`' in MOVING.read_text()
    milter = filter_in(FROM_MIMEDEFANG)
    assert milter(request("rcpt_nobody"))["reply"]["code"] == 550
    assert milter(request("rcpt")) == {}
    assert milter(attached("Invoice.EXE"))["reply"]["code"] == 554
    for name in ("invoice.pdf", "exe", None):
        assert milter(attached(name)) == {"changes": [{"op": "set_header", "name": "X-Filter", "value": "passed"}]}


def test_the_perl_side_is_perl() -> None:
    perl = shutil.which("perl")
    if perl is None:
        unavailable("perl is missing: apt-get install perl")
        return
    (block,) = blocks(MOVING, "perl")
    stubs = "sub re_match_ext; sub action_bounce; sub action_accept; sub action_change_header;\n"
    done = subprocess.run(
        [perl, "-Mstrict", "-wc", "-"],
        input=stubs + block.text,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "- syntax OK\n")


def test_the_filter_from_demyjtify_counts_by_its_context() -> None:
    milter = filter_in(FROM_DEMYJTIFY)
    kept, expected = None, 0
    for name in ("body", "body_second"):
        event = request(name, context={"session": None, "transaction": kept})
        kept, expected = milter(event)["context"]["transaction"], expected + event["data"]["size"]
    answer = milter(request("end_of_message", context={"session": None, "transaction": kept}))
    assert answer["changes"][0]["value"] == str(expected)


def test_the_clojure_side_is_balanced() -> None:
    (block,) = blocks(MOVING, "clojure")
    bare = re.sub(r'"[^"]*"', "", block.text)
    for opening, closing in ("()", "[]", "{}"):
        assert bare.count(opening) == bare.count(closing)


@pytest.fixture
def old(tmp_path: Path) -> Iterator[str]:
    """The SPEC of the filter on pymilter."""
    probe = [DEBIAN_PYTHON, "-c", "import Milter"]
    if (
        not Path(DEBIAN_PYTHON).exists()
        or subprocess.run(probe, capture_output=True, timeout=30, check=False).returncode
    ):
        unavailable("python3-milter is missing: apt-get install python3-milter")
    (tmp_path / "old.py").write_text(OLD.text)
    socket = tmp_path / "socket"
    with started([DEBIAN_PYTHON, "old.py", f"unix:{socket}"], tmp_path, clean_environment()):
        wait_until(socket.exists, "the filter on pymilter")
        yield f"unix:{socket}"


@pytest.fixture
def new(tmp_path: Path) -> Iterator[str]:
    """The SPEC of a gateway with the filter as a web service behind it, started as the document says."""
    assert "`uvicorn filter:app --port 8000`" in MOVING.read_text()
    (tmp_path / "filter.py").write_text(FROM_PYMILTER.text)
    port, milter, admin = free_port(), free_port(), free_port()
    environment = clean_environment(PYTHONPATH=str(ROOT))
    uvicorn = [sys.executable, "-m", "uvicorn", "filter:app", "--port", str(port)]
    run = [sys.executable, "-m", "gateway", "run", "--webhook", f"http://127.0.0.1:{port}/milter"]
    chosen = ["--events", "rcpt,end_of_message", "--listen", str(milter), "--admin", f"127.0.0.1:{admin}"]
    with started(uvicorn, tmp_path, environment), started([*run, *chosen], tmp_path, environment):
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/"), "the filter")
        wait_until(lambda: answers(f"http://127.0.0.1:{admin}/readyz"), "the gateway")
        yield f"inet:{milter}@127.0.0.1"


def sent(milter: str, *recipients: str) -> tuple[int, Any, Any]:
    """What becomes of a mail: exit code, reply, message."""
    named = [word for recipient in recipients for word in ("--rcpt", recipient)]
    command = [sys.executable, "-m", "gateway", "send", "--json", "--milter", milter, *named]
    environment = clean_environment(PYTHONPATH=str(ROOT))
    done = subprocess.run(command, capture_output=True, env=environment, timeout=60, check=False)
    outcome = json.loads(done.stdout)
    return done.returncode, outcome["reply"], outcome["message"]


def test_both_sides_do_the_same(old: str, new: str) -> None:
    mixed = sent(old, "nobody@site.example", "bob@site.example")
    assert mixed == sent(new, "nobody@site.example", "bob@site.example")
    assert mixed[0] == 0
    assert mixed[2]["headers"][-1] == {"name": "X-Known", "value": "1"}
    refused = sent(old, "nobody@site.example")
    assert refused == sent(new, "nobody@site.example")
    assert refused[0] == 10
