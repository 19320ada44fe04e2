"""The files of docs/examples: what the gateway sends, what it takes and what it refuses."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from golden_files import generated

from gateway.contract.response import InvalidAnswerError, decode_response
from gateway.contract.schema import request_schema, response_schema
from gateway.contract.words import ACTIONS, Action, Event, Op
from gateway.translate.answer import Judgement, judge
from gateway.translate.change import Limits

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
REQUESTS = sorted((EXAMPLES / "requests").glob("*.json"))
RESPONSES = sorted((EXAMPLES / "responses").glob("*.json"))
INVALID = sorted((EXAMPLES / "responses" / "invalid").glob("*.json"))
REQUEST_SCHEMA = jsonschema.Draft202012Validator(
    request_schema(), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
)
RESPONSE_SCHEMA = jsonschema.Draft202012Validator(response_schema())
SCHEMA_OF = {event: jsonschema.Draft202012Validator(response_schema(event)) for event in Event}


def rows(index: Path) -> dict[str, list[str]]:
    """The tables of an index: the name of a file and the cells behind it, without the marks of Markdown."""
    found: dict[str, list[str]] = {}
    for line in index.read_text().splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        link = re.fullmatch(r"\[(\w+)\]\(([\w/]+)\.json\)", cells[0]) if cells else None
        if link is not None:
            assert Path(link[2]).name == link[1], line
            assert link[2] not in found, f"{link[2]} stands twice in {index}"
            found[link[2]] = cells[1:]
    return found


INDEX = rows(EXAMPLES / "README.md")
REFUSALS = rows(EXAMPLES / "responses" / "invalid" / "README.md")


def told(cell: str) -> list[Event]:
    """The events of a cell of the index."""
    return list(Event) if cell == "every event" else [Event(cell.strip("`"))]


def judged(raw: bytes, event: Event) -> Judgement:
    """What the gateway makes of an answer where everything is agreed with the MTA and allowed."""
    limits = Limits(
        event=event, ops=frozenset(Op), rcpt_params=True, allow=None, context_bytes=64 * 1024, body_shown=True
    )
    return judge(decode_response(raw), limits)


def names(paths: list[Path]) -> list[str]:
    return [path.stem for path in paths]


def test_every_file_stands_in_its_index() -> None:
    assert set(INDEX) == {
        *(f"requests/{name}" for name in names(REQUESTS)),
        *(f"responses/{name}" for name in names(RESPONSES)),
    }
    assert set(REFUSALS) == set(names(INVALID))


async def test_the_files_are_what_the_code_makes() -> None:
    made = await generated()
    stale = [path.name for path, text in made.items() if not path.exists() or path.read_text() != text]
    assert not stale, "the contract has changed: look at the difference that `make examples` makes"
    kept = {found for directory in {path.parent for path in made} for found in directory.glob("*.json")}
    assert kept == set(made)


@pytest.mark.parametrize("path", REQUESTS, ids=names(REQUESTS))
def test_a_request_is_in_the_published_schema(path: Path) -> None:
    REQUEST_SCHEMA.validate(json.loads(path.read_text()))


def test_every_event_has_a_request_of_its_name() -> None:
    for event in Event:
        assert json.loads((EXAMPLES / "requests" / f"{event}.json").read_text())["event"] == event


@pytest.mark.parametrize("path", RESPONSES, ids=names(RESPONSES))
def test_an_answer_is_taken_by_the_gateway_and_by_the_schema(path: Path) -> None:
    for event in told(INDEX[f"responses/{path.stem}"][0]):
        judged(path.read_bytes(), event)
        SCHEMA_OF[event].validate(json.loads(path.read_text()))
    RESPONSE_SCHEMA.validate(json.loads(path.read_text()))


@pytest.mark.parametrize("path", INVALID, ids=names(INVALID))
def test_an_invalid_answer_is_refused_for_the_reason_in_the_index(path: Path) -> None:
    (event,) = told(REFUSALS[path.stem][0])
    with pytest.raises(InvalidAnswerError) as refused:
        judged(path.read_bytes(), event)
    assert str(refused.value) == REFUSALS[path.stem][2]


@pytest.mark.parametrize("path", INVALID, ids=names(INVALID))
def test_the_index_says_whether_the_schema_refuses_an_invalid_answer(path: Path) -> None:
    (event,) = told(REFUSALS[path.stem][0])
    try:
        value = json.loads(path.read_text())
    except json.JSONDecodeError:
        refused = False
    else:
        refused = not SCHEMA_OF[event].is_valid(value)
    assert REFUSALS[path.stem][1] == ("yes" if refused else "no")


def test_every_action_change_and_key_of_an_answer_has_an_example() -> None:
    answers = [json.loads(path.read_text()) for path in RESPONSES]
    assert (
        {answer["action"] for answer in answers if "action" in answer} == set(Action) == set().union(*ACTIONS.values())
    )
    ops: list[Any] = [change for answer in answers for change in answer.get("changes") or ()]
    assert {change["op"] for change in ops} == set(Op)
    keys = {key for answer in answers for key in answer}
    assert keys >= set(response_schema()["$defs"]["Response"]["properties"])
