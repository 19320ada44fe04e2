"""Whatever a backend answers, the gateway comes to a judgement or says that the answer is invalid."""

import json
from typing import Any

import jsonschema
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.contract.response import InvalidAnswerError, decode_response
from gateway.contract.schema import response_schema
from gateway.contract.words import Action, Event, Op
from gateway.mail import changes as c
from gateway.milter.codec import encode_reply
from gateway.translate.answer import Judgement, judge
from gateway.translate.change import Limits
from gateway.translate.form import split_answer

SCHEMA = jsonschema.Draft202012Validator(response_schema())
ops = frozenset(Op)

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.sampled_from(["", "5.7.1", "YQ=="])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
texts = st.text(max_size=12) | st.sampled_from(["X-A", "a@b", "<a@b>", "a\n b", "\ud800", "\0", ""])
keys = ("name", "value", "address", "reason", "text", "base64", "params", "at", "nth")
changes = st.builds(
    lambda op, fields: {"op": op, **fields},
    st.sampled_from([*Op, "other"]),
    st.dictionaries(
        st.sampled_from([*keys, "name_base64", "value_base64", "address_base64", "reason_base64", "x_a"]),
        texts | values,
        max_size=4,
    ),
)
answers = st.fixed_dictionaries(
    {},
    optional={
        "action": st.sampled_from([*Action, "other", None]) | values,
        "reply": st.fixed_dictionaries(
            {}, optional={"code": st.integers(390, 610) | values, "enhanced": texts | values, "text": texts | values}
        )
        | values,
        "changes": st.lists(changes | values, max_size=3) | values,
        "context": st.fixed_dictionaries({}, optional={"session": values, "transaction": values}) | values,
        "next": st.lists(st.sampled_from([*Event]) | texts, max_size=3) | values,
        "annotations": st.dictionaries(texts, values, max_size=3) | values,
        "warnings": st.lists(texts | values, max_size=3) | values,
        "wants": st.dictionaries(st.sampled_from(["events", "changes", "macros", "other"]), values, max_size=2),
        "x_mine": values,
        "other": values,
    },
)


def judged(body: bytes, event: Event, message: bytes | None = None) -> Judgement | None:
    """The judgement, or None where the answer is invalid; nothing else may be raised."""
    limits = Limits(event, ops, rcpt_params=True, allow=None, context_bytes=65536, body_shown=True)
    try:
        return judge(decode_response(body), limits, message)
    except InvalidAnswerError as error:
        assert str(error)
        return None


def check_fit_for_the_wire(judgement: Judgement) -> None:
    """What a judgement holds can be sent: no byte of it begins a line, a string or a packet of its own."""
    if judgement.reply is not None:
        packet = encode_reply(judgement.reply)
        assert len(packet) <= 4 + 65536
        assert packet.isascii()
        assert packet[5:].count(b"\0") == 1
        lines = judgement.reply.text.split(b"\r\n")
        assert all(line[:3] == lines[0][:3] and b"\r" not in line and b"\n" not in line for line in lines)
    for change in judgement.changes:
        match change:
            case c.AddField() | c.SetField() | c.ChangeField():
                assert b"\0" not in change.value
                assert b"\r" not in change.value
                assert all(line[:1] in (b" ", b"\t") for line in change.value.split(b"\n")[1:])
                assert change.name
            case c.AddRecipient() | c.DeleteRecipient() | c.ChangeSender():
                assert not set(change.address) & set(b"\0\r\n")
            case c.Hold():
                assert not set(change.reason) & set(b"\0\r\n")
            case _:
                pass


events = st.sampled_from([*Event])


@given(answers, events)
@settings(max_examples=400)
@example({"reply": {"code": 550, "text": "caf\u00e9 %"}}, Event.RCPT)
def test_an_answer_that_looks_like_one_is_judged_or_invalid(answer: dict[str, Any], event: Event) -> None:
    judgement = judged(json.dumps(answer).encode(), event)
    if judgement is not None:
        check_fit_for_the_wire(judgement)


@given(answers)
@settings(max_examples=200)
def test_what_the_schema_refuses_the_gateway_refuses(answer: dict[str, Any]) -> None:
    body = json.dumps(answer).encode()
    if not SCHEMA.is_valid(answer):
        assert all(judged(body, event) is None for event in (Event.NEGOTIATE, Event.END_OF_MESSAGE, Event.BODY))


@given(values, events)
def test_any_json_is_judged_or_invalid(value: Any, event: Event) -> None:
    judged(json.dumps(value).encode(), event)


@given(st.binary(max_size=200), events)
def test_any_bytes_are_judged_or_invalid(body: bytes, event: Event) -> None:
    judged(body, event)


@given(st.lists(st.integers(0, 300), max_size=3), st.binary(max_size=3))
def test_a_damaged_answer_is_judged_or_invalid(cuts: list[int], noise: bytes) -> None:
    body = json.dumps(
        {
            "action": "reject",
            "reply": {"code": 550, "enhanced": "5.7.1", "text": ["a", "b"]},
            "changes": [{"op": "add_header", "name": "X", "value": "caf\u00e9", "at": 0}],
            "context": {"session": {"a": [1, 2.5, None]}, "transaction": None},
            "x_mine": ["\U0001f4e8"],
        },
        ensure_ascii=False,
    ).encode()
    for cut in cuts:
        body = body[:cut] + noise + body[cut + 1 :]
    judged(body, Event.END_OF_MESSAGE)


FORM = (
    b'--b\r\ncontent-disposition: form-data; name="response"\r\ncontent-type: application/json\r\n\r\n{}\r\n'
    b'--b\r\ncontent-disposition: form-data; name="message"; filename="m"\r\ncontent-type: message/rfc822\r\n\r\n'
    b"Subject: a\r\n\r\nbody\r\n\r\n--b--\r\n"
)


def judged_form(content_type: str, body: bytes) -> None:
    """Read a multipart answer; nothing but InvalidAnswerError may be raised."""
    try:
        encoded, message = split_answer(content_type, body)
    except InvalidAnswerError as error:
        assert str(error)
        return
    judged(encoded, Event.END_OF_MESSAGE, message)


@given(st.lists(st.tuples(st.integers(0, len(FORM)), st.binary(max_size=4)), max_size=4))
@settings(max_examples=400)
def test_a_damaged_form_is_judged_or_invalid(edits: list[tuple[int, bytes]]) -> None:
    body = FORM
    for at, noise in edits:
        body = body[:at] + noise + body[at + len(noise) :]
    judged_form("multipart/form-data; boundary=b", body)


@given(st.integers(0, len(FORM)), st.integers(0, len(FORM)))
def test_a_form_with_a_hole_is_judged_or_invalid(start: int, end: int) -> None:
    judged_form("multipart/form-data; boundary=b", FORM[:start] + FORM[end:])


@given(st.text(st.characters(max_codepoint=255), max_size=30), st.binary(max_size=100))
def test_any_boundary_and_any_bytes_are_judged_or_invalid(parameters: str, body: bytes) -> None:
    judged_form(f"multipart/form-data; {parameters}", body)
    judged_form(f"multipart/form-data; boundary={parameters}", body)


@given(st.sampled_from([b"content-disposition: form-data", b"x: y", b"", b":", b"content-transfer-encoding: base64"]))
def test_a_part_without_a_name_is_invalid_and_nothing_worse(head: bytes) -> None:
    judged_form("multipart/form-data; boundary=b", b"--b\r\n" + head + b"\r\n\r\n{}\r\n--b--\r\n")
