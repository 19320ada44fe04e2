"""The published schema says what the gateway enforces."""

import functools
import json
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import validate as validate_openapi

from gateway.contract.openapi import openapi
from gateway.contract.response import InvalidAnswerError, decode_response
from gateway.contract.samples import SAMPLES
from gateway.contract.schema import DATA_OF, MACRO_STAGES, request_schema, response_schema
from gateway.contract.words import Event, Op
from gateway.translate import answer
from gateway.translate.answer import judge
from gateway.translate.change import Limits

MAIL = Event.END_OF_MESSAGE

VALID: list[tuple[Event, Any]] = [
    *((event, {}) for event in Event),
    *((event, {"action": "continue"}) for event in Event),
    *((event, {"action": None, "reply": None, "changes": None, "wants": None}) for event in Event),
    (Event.CONNECT, {"action": "accept"}),
    (Event.HELO, {"action": "disconnect", "reply": {"text": "bye"}}),
    (Event.MAIL, {"action": "discard"}),
    (Event.HEADER, {"action": "skip"}),
    (Event.BODY, {"action": "skip"}),
    (Event.RCPT, {"reply": {"code": 550}}),
    (Event.RCPT, {"reply": {"code": 450, "enhanced": "4.2.0", "text": ["a", "b"]}}),
    (Event.RCPT, {"action": "tempfail", "reply": {"text": "later"}}),
    (Event.RCPT, {"action": "reject", "reply": {}}),
    (Event.RCPT, {"action": "reject", "reply": {"code": None, "enhanced": None, "text": None}}),
    (Event.RCPT, {"action": "reject", "reply": {"text": []}}),
    (Event.UNKNOWN, {"action": "reject"}),
    (MAIL, {"x_mine": {"any": [1, None]}, "x_": 1}),
    (MAIL, {"context": {}}),
    (MAIL, {"context": {"session": None, "transaction": {"a": [1, "b", None, True]}}}),
    (MAIL, {"next": []}),
    (MAIL, {"next": ["abort", "end_of_message"]}),
    (MAIL, {"annotations": {"a": "s", "b": 1, "c": 1.5, "d": True, "e": None}}),
    (MAIL, {"warnings": ["look"]}),
    (Event.NEGOTIATE, {"wants": {"events": ["rcpt"], "changes": ["add_header"], "macros": {"connect": ["j", "{x}"]}}}),
    (Event.NEGOTIATE, {"wants": {"optional_events": ["body"], "optional_changes": None, "macros": {"rcpt": None}}}),
    (MAIL, {"changes": [{"op": "add_header", "name": "X-A", "value": "v"}]}),
    (MAIL, {"changes": [{"op": "add_header", "name": "X-A", "value": "", "at": "start"}]}),
    (MAIL, {"changes": [{"op": "add_header", "name": "X-A", "value": "a\n b\r\n\tc", "at": 0}]}),
    (MAIL, {"changes": [{"op": "add_header", "name_base64": "WA==", "name": None, "value_base64": "/w=="}]}),
    (MAIL, {"changes": [{"op": "set_header", "name": "X-A", "value": "v"}]}),
    (MAIL, {"changes": [{"op": "change_header", "name": "X-A", "nth": 1, "value": "v"}]}),
    (MAIL, {"changes": [{"op": "delete_header", "name": "X-A"}]}),
    (MAIL, {"changes": [{"op": "delete_header", "name": "X-A", "nth": "all"}]}),
    (MAIL, {"changes": [{"op": "delete_header", "name": "X-A", "nth": 2}]}),
    (MAIL, {"changes": [{"op": "replace_body", "text": "b\r\n"}]}),
    (MAIL, {"changes": [{"op": "replace_body", "base64": ""}]}),
    (MAIL, {"changes": [{"op": "replace_message", "text": "A: b\r\n\r\nc"}]}),
    (MAIL, {"changes": [{"op": "add_rcpt", "address": "c@z.test"}]}),
    (MAIL, {"changes": [{"op": "add_rcpt", "address": "<c@z.test>", "params": {"NOTIFY": "NEVER", "X": True}}]}),
    (MAIL, {"changes": [{"op": "delete_rcpt", "address_base64": "Yg=="}]}),
    (MAIL, {"changes": [{"op": "change_from", "address": ""}]}),
    (MAIL, {"changes": [{"op": "change_from", "address": "c@z.test", "params": {"RET": "HDRS", "ENVID": None}}]}),
    (MAIL, {"changes": [{"op": "quarantine", "reason": "why"}]}),
]
"""Answers that both accept."""

_HEADER = {"op": "add_header", "name": "X-A", "value": "v"}


def _change(op: str, **fields: Any) -> tuple[Event, Any]:
    return MAIL, {"changes": [{"op": op, **fields}]}


INVALID: list[tuple[Event, Any]] = [
    # unknown keys, anywhere
    (MAIL, {"acton": "reject"}),
    (MAIL, {"X_mine": 1}),
    (MAIL, {"xmine": None}),
    (MAIL, {"reply": {"code": 550, "message": "no"}}),
    (MAIL, {"reply": {"code": 550, "x_a": 1}}),
    (MAIL, {"context": {"mail": 1}}),
    _change("add_header", name="X", value="v", x_a=1),
    _change("quarantine", reason="r", text="t"),
    (Event.NEGOTIATE, {"wants": {"event": ["rcpt"]}}),
    # unknown words
    (MAIL, {"action": "allow"}),
    (MAIL, {"action": "Reject"}),
    (MAIL, {"action": ""}),
    _change("remove_header", name="X"),
    (MAIL, {"changes": [{"name": "X", "value": "v"}]}),
    (MAIL, {"changes": [{**_HEADER, "op": None}]}),
    (MAIL, {"next": ["eom"]}),
    (Event.NEGOTIATE, {"wants": {"events": ["eom"]}}),
    (Event.NEGOTIATE, {"wants": {"changes": ["add"]}}),
    (Event.NEGOTIATE, {"wants": {"macros": {"eom": ["j"]}}}),
    (Event.NEGOTIATE, {"wants": {"macros": {"connect": ["a b"]}}}),
    (Event.NEGOTIATE, {"wants": {"macros": {"connect": ["a,b"]}}}),
    (Event.NEGOTIATE, {"wants": {"macros": {"connect": [""]}}}),
    # wrong types
    (MAIL, []),
    (MAIL, "continue"),
    (MAIL, None),
    (MAIL, {"action": 1}),
    (MAIL, {"action": ["reject"]}),
    (MAIL, {"reply": "550 no"}),
    (MAIL, {"reply": {"code": "550"}}),
    (MAIL, {"reply": {"code": 550.5}}),
    (MAIL, {"reply": {"code": True}}),
    (MAIL, {"reply": {"code": 550, "text": 1}}),
    (MAIL, {"reply": {"code": 550, "text": [None]}}),
    (MAIL, {"reply": {"code": 550, "enhanced": 5.71}}),
    (MAIL, {"changes": {}}),
    (MAIL, {"changes": ["add_header"]}),
    (MAIL, {"changes": [None]}),
    (MAIL, {"context": 1}),
    (MAIL, {"context": []}),
    (MAIL, {"next": "rcpt"}),
    (MAIL, {"next": {"rcpt": True}}),
    (MAIL, {"annotations": {"a": []}}),
    (MAIL, {"annotations": {"a": {}}}),
    (MAIL, {"annotations": []}),
    (MAIL, {"warnings": "look"}),
    (MAIL, {"warnings": [1]}),
    _change("add_header", name="X", value=1),
    _change("add_header", name="X", value="v", at="top"),
    _change("add_header", name="X", value="v", at=-1),
    _change("add_header", name="X", value="v", at="1"),
    _change("change_header", name="X", value="v", nth="1"),
    _change("change_header", name="X", value="v", nth=0),
    _change("change_header", name="X", value="v", nth="all"),
    _change("change_header", name="X", value="v", nth=None),
    _change("change_header", name="X", value="v"),
    _change("delete_header", name="X", nth=0),
    _change("delete_header", name="X", nth="first"),
    _change("replace_body", text=["a"]),
    _change("add_rcpt", address=["c@z.test"]),
    _change("add_rcpt", address="c@z.test", params=["NOTIFY=NEVER"]),
    # an action or changes that are not listed for the event
    *((event, {"action": "accept"}) for event in (Event.UNKNOWN, Event.ABORT, Event.DISCONNECT, Event.NEGOTIATE)),
    *((event, {"action": "reject"}) for event in (Event.ABORT, Event.DISCONNECT, Event.NEGOTIATE)),
    *((event, {"reply": {"code": 550}}) for event in (Event.ABORT, Event.DISCONNECT, Event.NEGOTIATE)),
    *((event, {"action": "discard"}) for event in (Event.CONNECT, Event.HELO, Event.UNKNOWN)),
    *((event, {"action": "skip"}) for event in Event if event not in (Event.HEADER, Event.BODY)),
    *(
        (event, {"changes": [_HEADER]})
        for event in (Event.NEGOTIATE, Event.CONNECT, Event.HELO, Event.ABORT, Event.UNKNOWN, Event.DISCONNECT)
    ),
    *((event, {"wants": {}}) for event in Event if event is not Event.NEGOTIATE),
    # replies
    *((Event.BODY, {"action": action, "reply": {"text": "a"}}) for action in ("continue", "accept", "discard", "skip")),
    *((Event.BODY, {"action": action, "reply": {}}) for action in ("continue", "accept", "discard", "skip")),
    (MAIL, {"reply": {}}),
    (MAIL, {"reply": {"text": "no"}}),
    (MAIL, {"reply": {"enhanced": "5.7.1"}}),
    (MAIL, {"reply": {"code": 250}}),
    (MAIL, {"reply": {"code": 399}}),
    (MAIL, {"reply": {"code": 600}}),
    (MAIL, {"reply": {"code": 55}}),
    (MAIL, {"action": "reject", "reply": {"code": 451}}),
    (MAIL, {"action": "tempfail", "reply": {"code": 550}}),
    (MAIL, {"action": "disconnect", "reply": {"code": 554}}),
    (MAIL, {"action": "disconnect", "reply": {"code": 451}}),
    (MAIL, {"reply": {"code": 550, "enhanced": "4.7.1"}}),
    (MAIL, {"reply": {"code": 450, "enhanced": "5.7.1"}}),
    (MAIL, {"action": "reject", "reply": {"enhanced": "4.7.1"}}),
    (MAIL, {"reply": {"code": 550, "enhanced": "2.7.1"}}),
    (MAIL, {"reply": {"code": 550, "enhanced": "5.7"}}),
    (MAIL, {"reply": {"code": 550, "enhanced": "5.7.1 "}}),
    (MAIL, {"reply": {"code": 550, "enhanced": "5.7.1\n"}}),
    (MAIL, {"reply": {"code": 550, "enhanced": "5.1234.1"}}),
    (MAIL, {"reply": {"code": 550, "enhanced": "5.\u0667.1"}}),
    (MAIL, {"reply": {"code": 550, "enhanced": ""}}),
    (MAIL, {"reply": {"code": 550, "text": "a\r\nb"}}),
    (MAIL, {"reply": {"code": 550, "text": "a\n"}}),
    (MAIL, {"reply": {"code": 550, "text": ["a", "b\r"]}}),
    (MAIL, {"reply": {"code": 550, "text": "a\0b"}}),
    # changes that the wire cannot carry
    *(
        _change("add_header", name=name, value="v")
        for name in ("", "X Y", "X:Y", "X\nY", "X\n", "X\0", "X\u00e9", "X\x7f")
    ),
    *(
        _change("set_header", name="X", value=value)
        for value in ("a\0b", "a\rb", "a\r", "a\nInjected: x", "a\r\nb", "a\n", "a\r\n", "a\n\n b", "\n b\n")
    ),
    _change("add_header", name="X"),
    _change("add_header", value="v"),
    _change("add_header", name="X", value=None),
    _change("add_header", name="X", name_base64="WA==", value="v"),
    _change("add_header", name="X", value="v", value_base64="dg=="),
    _change("replace_body"),
    _change("replace_body", text="a", base64="YQ=="),
    _change("replace_message"),
    _change("quarantine"),
    _change("quarantine", reason="a", reason_base64="YQ=="),
    *(_change("quarantine", reason=reason) for reason in ("a\0", "a\rb", "a\n")),
    _change("delete_rcpt"),
    _change("delete_rcpt", address="a", address_base64="YQ=="),
    *(_change("add_rcpt", address=address) for address in ("a\0@b", "a\r@b", "a@b\n")),
    *(_change("add_rcpt", address="a@b", params={key: True}) for key in ("", "A B", "A=B", "A_B", "A\n", "\u00c4")),
    *(
        _change("change_from", address="a@b", params={"A": value})
        for value in (False, 1, "a b", "a=b", "a\n", "\u00e9", "a\x7f", [], {})
    ),
]
"""Answers that schema and gateway both refuse."""

INVALID_BEYOND_SCHEMA: list[tuple[Event, Any]] = [
    *(_change("add_rcpt", address=address) for address in ("", "<>", "a<b", "a>b", "<<a@b>>", "<a@b", 'a"<"@b"<')),
    _change("delete_rcpt", address="a<b@c"),
    _change("add_header", name="X", value_base64="!!!!"),
    _change("add_header", name="X", value_base64="YQ"),
    _change("add_header", name="X", value_base64="YQ==\n"),
    _change("add_header", name="X", value_base64="\u00e9"),
    _change("add_header", name_base64="WCBZ", value="v"),
    _change("add_header", name="X", value_base64="YQpi"),
    _change("add_rcpt", address_base64="YQpi"),
    _change("quarantine", reason_base64="YQpi"),
    _change("add_header", name="X", value="v" * 65_530),
    _change("add_header", name="X" * 65_530, value="v"),
    _change("add_rcpt", address="a" * 65_530),
    _change("change_from", address="a", params={"A": "b" * 65_530}),
    _change("quarantine", reason="r" * 65_530),
    _change("replace_message", text="no colon\r\n\r\nbody"),
    _change("replace_message", text=" folded first\r\n\r\nbody"),
    _change("replace_message", text="X Y: v\r\n\r\nbody"),
    _change("replace_message", text="X: " + "v" * 65_530 + "\r\n\r\nbody"),
    _change("replace_body", base64="a"),
    (MAIL, {"context": {"session": "s" * 70_000}}),
    (MAIL, {"context": {"transaction": "s" * 70_000}}),
]
"""What no schema can say."""


def everything_agreed(event: Event, **changed: Any) -> Limits:
    """Nothing but the contract limits the answer."""
    fields: dict[str, Any] = {
        "event": event,
        "ops": frozenset(Op),
        "rcpt_params": True,
        "allow": None,
        "context_bytes": 65536,
        "body_shown": True,
        **changed,
    }
    return Limits(**fields)


def judged(event: Event, value: Any, **changed: Any) -> answer.Judgement:
    """What the gateway makes of an answer."""
    return judge(decode_response(json.dumps(value).encode()), everything_agreed(event, **changed))


def _names(cases: list[tuple[Event, Any]]) -> list[str]:
    return [f"{event}-{json.dumps(value)[:60]}" for event, value in cases]


@functools.cache
def schema_of(event: Event) -> jsonschema.Draft202012Validator:
    """The published schema of the answers to an event."""
    return jsonschema.Draft202012Validator(response_schema(event))


@pytest.mark.parametrize(("event", "value"), VALID, ids=_names(VALID))
def test_a_valid_answer_is_accepted_by_the_gateway(event: Event, value: Any) -> None:
    judged(event, value)


@pytest.mark.parametrize(("event", "value"), VALID, ids=_names(VALID))
def test_a_valid_answer_is_accepted_by_the_schema(event: Event, value: Any) -> None:
    schema_of(event).validate(value)


BAD = [*INVALID, *INVALID_BEYOND_SCHEMA]


@pytest.mark.parametrize(("event", "value"), BAD, ids=_names(BAD))
def test_an_invalid_answer_is_refused_by_the_gateway(event: Event, value: Any) -> None:
    with pytest.raises(InvalidAnswerError):
        judged(event, value)


@pytest.mark.parametrize(("event", "value"), INVALID, ids=_names(INVALID))
def test_an_invalid_answer_is_refused_by_the_schema(event: Event, value: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        schema_of(event).validate(value)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{}}",
        b"{} {}",
        b"\xef\xbb\xbf{}",
        b" ",
        b"nul",
        b"{'action': 'reject'}",
        b'{"action": "reject",}',
        b'{"action": reject}',
        b'{"warnings": ["\xff"]}',
        b'{"warnings": ["\xed\xa0\x80"]}',
        b'{"warnings": ["\\ud800"]}',
        b'{"warnings": ["\\ud800\\u0041"]}',
        b'{"context": {"session": "\xff"}}',
        b'{"context": {"session": "\\ud800"}}',
        b'{"context": {"session": {"\\udfff": 1}}}',
        b'{"context": {"session": NaN}}',
        b'{"context": {"session": 01}}',
        b'{"context": {"session": 1e999}}',
        b'{"annotations": {"a": Infinity}}',
        b'{"x_mine": "\xff"}',
        b'{"x_mine": "\\ud800"}',
        b'{"x_mine": tru}',
        b'{"context": {"session": ' + b"[" * 10_000 + b"]" * 10_000 + b"}}",
        b"[" * 100_000,
        b'{"x_a":' * 10_000,
        b"\x00",
        b"<html>",
    ],
    ids=lambda body: repr(body[:40]),
)
def test_bytes_that_are_no_json_are_an_invalid_answer(body: bytes) -> None:
    with pytest.raises(InvalidAnswerError):
        judge(decode_response(body), everything_agreed(MAIL))


def test_a_key_of_ones_own_may_be_spelled_with_escapes() -> None:
    response = decode_response(b'{"\\u0078_mine": 1, "action": "reject"}')
    assert judge(response, everything_agreed(MAIL)).action == "reject"


def test_an_empty_body_is_the_empty_answer() -> None:
    assert judge(decode_response(b""), everything_agreed(MAIL)) == judged(MAIL, {})


def test_every_event_has_its_data_in_the_request_schema() -> None:
    branches = request_schema()["$defs"]["Request"]["oneOf"]
    assert [branch["properties"]["event"]["const"] for branch in branches] == [str(event) for event in Event]
    assert set(DATA_OF) == set(Event)


@pytest.mark.parametrize("schema", [request_schema(), response_schema()], ids=["request", "response"])
def test_every_field_is_described(schema: dict[str, Any]) -> None:
    for name, definition in schema["$defs"].items():
        undescribed = [key for key, value in definition.get("properties", {}).items() if not value.get("description")]
        assert not undescribed, name


@pytest.mark.parametrize("schema", [request_schema(), response_schema()], ids=["request", "response"])
def test_every_field_has_an_example_that_it_takes_itself(schema: dict[str, Any]) -> None:
    for name, definition in schema["$defs"].items():
        assert definition["title"], name
        assert definition.get("description") or "enum" in definition, name
        for key, value in definition.get("properties", {}).items():
            (example,) = value["examples"]
            jsonschema.Draft202012Validator({**value, "$defs": schema["$defs"]}).validate(example)
            assert example is not None or key in ("transaction", "session"), (name, key)


def test_no_example_stands_for_a_field_that_is_not_there() -> None:
    definitions = {**request_schema()["$defs"], **response_schema()["$defs"]}
    for name, fields in SAMPLES.items():
        assert set(fields) <= set(definitions[name]["properties"]), name


def test_the_examples_of_an_answer_are_taken_by_the_gateway() -> None:
    fields = response_schema()["$defs"]["Response"]["properties"]
    for key, value in fields.items():
        event = Event.NEGOTIATE if key == "wants" else MAIL
        answer = {key: value["examples"][0]}
        judged(event, answer if key != "reply" else {**answer, "action": "reject"})


def test_the_schema_knows_the_stages_for_which_macros_can_be_asked() -> None:
    assert MACRO_STAGES == answer.MACRO_STAGES


@pytest.mark.parametrize("schema", [request_schema(), response_schema(), response_schema(MAIL)])
def test_the_schemas_are_json_schema_2020_12(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)


def test_the_openapi_document_is_valid() -> None:
    validate_openapi(openapi())


def test_the_openapi_document_has_a_webhook_for_every_event_with_its_header_fields() -> None:
    document = openapi()
    assert list(document["webhooks"]) == [str(event) for event in Event]
    for path in document["webhooks"].values():
        assert [item["$ref"].rpartition("/")[2] for item in path["post"]["parameters"]] == [
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature",
            "milter-event",
            "milter-session",
            "milter-attempt",
            "milter-deadline-ms",
            "traceparent",
        ]
        assert list(path["post"]["responses"]) == ["200", "204"]


def test_the_openapi_document_is_self_contained() -> None:
    document = json.dumps(openapi())
    assert "#/$defs/" not in document
