"""docs/contract.md shows what is really sent and what is really taken: every block stands for a file of the corpus."""

import base64
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from docs_text import ROOT, Block, blocks

from gateway.contract.response import Response, decode_response
from gateway.contract.words import ACTIONS, TRANSACTION_EVENTS, Action, Event, Op
from gateway.translate.answer import refusal
from gateway.webhook.signature import signature

CONTRACT = ROOT / "docs" / "contract.md"
EXAMPLES = ROOT / "docs" / "examples"
TEXT = CONTRACT.read_text()
BLOCKS = blocks(CONTRACT, "json")


def source(block: Block) -> str:
    """The file of the corpus that the text before the block names last."""
    return re.findall(r"\(examples/((?:requests|responses)/\w+\.json)\)", block.lead)[-1]


def test_every_block_names_its_file() -> None:
    assert len(BLOCKS) > 50
    assert [block.place for block in BLOCKS if "(examples/" not in block.lead] == []


@pytest.mark.parametrize("block", BLOCKS, ids=source)
def test_a_block_is_its_file_or_a_part_of_it(block: Block) -> None:
    shown, whole = json.loads(block.text), json.loads((EXAMPLES / source(block)).read_text())
    if source(block).startswith("responses/"):
        decode_response(block.text.encode())
        assert shown == whole
    else:
        assert shown.get("event") == whole["event"]
        assert is_part(shown, whole)


def is_part(shown: Any, whole: Any) -> bool:
    """Whether each key that is shown has its value in the whole."""
    if isinstance(shown, dict) and isinstance(whole, dict):
        return all(key in whole and is_part(value, whole[key]) for key, value in shown.items())
    return bool(shown == whole)


def test_one_request_is_shown_whole() -> None:
    assert json.loads(BLOCKS[0].text) == json.loads((EXAMPLES / source(BLOCKS[0])).read_text())


def test_every_event_is_shown_under_its_name() -> None:
    headings = re.findall(r"^### (\w+)$", TEXT, re.MULTILINE)
    assert headings == list(Event)
    for event in Event:
        section = TEXT.split(f"### {event}\n")[1].split("\n#")[0]
        assert f'"event": "{event}"' in section, event


def test_every_key_of_an_answer_every_action_and_every_change_is_shown() -> None:
    answers = [json.loads(block.text) for block in BLOCKS if source(block).startswith("responses/")]
    assert {answer["action"] for answer in answers if "action" in answer} == set(Action)
    assert {change["op"] for answer in answers for change in answer.get("changes", ())} == set(Op)
    assert set(Response.__struct_fields__) <= {key for answer in answers for key in answer}


def keys(value: Any, path: str = "") -> Iterator[str]:
    for key, inner in value.items():
        yield f"{path}{key}"
        if isinstance(inner, dict) and key in ("mta", "client", "envelope"):
            yield from keys(inner, f"{key}.")


def test_the_table_explains_every_key_of_a_request() -> None:
    table = TEXT.split("Every key is there")[1].split("\n## ")[0]
    explained: set[str] = set()
    for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE):
        names = re.findall(r"`([^`]+)`", cell)
        parent = names[0].rpartition(".")[0]
        explained |= {f"{parent}{name}" if name.startswith(".") else name for name in names}
    request = json.loads((EXAMPLES / "requests" / "mail_authenticated.json").read_text())
    parents = {"mta", "client", "envelope"}
    assert [key for key in keys(request) if key not in parents | explained] == []
    for name, file in (("auth", "mail_authenticated.json"), ("tls", "helo_tls.json")):
        filled = json.loads((EXAMPLES / "requests" / file).read_text())
        row = next(line for line in table.splitlines() if line.startswith(f"| `{name}` "))
        assert " ".join(filled[name]) in row


def test_the_table_of_actions_is_that_of_the_gateway() -> None:
    section = TEXT.split("## Actions\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ((?:`\w+` ?)+) \| ([\w ,]*?) ?\| (.*?) ?\|$", section, re.MULTILINE)
    said: dict[str, set[str]] = {}
    for events, actions, _ in rows:
        words = set(re.findall(r"\w+", actions)) - {"the", "same", "and"}
        for event in re.findall(r"\w+", events):
            if event in list(Event):
                said[event] = words
    for event in (Event.HEADER, Event.BODY):
        said[event] |= said[Event.MAIL]
    quiet = {event for event in Event if ACTIONS[event] == {Action.CONTINUE}}
    assert {event: words for event, words in said.items() if words} == {
        event.value: {action.value for action in ACTIONS[event]} for event in Event if event not in quiet
    }
    changing = {event for events, _, more in rows if "changes" in more for event in re.findall(r"\w+", events)}
    assert changing == {event.value for event in TRANSACTION_EVENTS}


@pytest.mark.parametrize("action", [Action.REJECT, Action.TEMPFAIL, Action.DISCONNECT])
def test_the_default_replies_are_those_of_the_gateway(action: Action) -> None:
    assert f"| `{action}` | `{refusal(action).text.decode()}` |" in TEXT


def test_the_five_lines_tell_a_genuine_call_from_another() -> None:
    (block,) = blocks(CONTRACT, "python")
    names: dict[str, Any] = {}
    exec(compile(block.text, block.place, "exec"), names)
    genuine = names["genuine"]
    secret, body, now = base64.b64encode(b"0123456789abcdef01234567").decode(), b'{"event":"rcpt"}', int(time.time())
    key = base64.b64decode(secret)

    def headers(at: int, *secrets: bytes) -> dict[str, str]:
        signed = signature(secrets, "019b", at, body)
        return {"webhook-id": "019b", "webhook-timestamp": str(at), "webhook-signature": signed}

    assert genuine(headers(now, key), body, key)
    assert genuine(headers(now, b"another key, being replaced", key), body, key)
    assert not genuine(headers(now, b"another key"), body, key)
    assert not genuine(headers(now, key), body + b" ", key)
    assert not genuine(headers(now - 3600, key), body, key)
