"""When two answers are the same, and what is said where they are not."""

import json
from typing import Any

import pytest

from gateway.recording.replay import Outcome, differences, outcome

JSON = "application/json; charset=utf-8"
FORM = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="%s"\r\nContent-Type: %s\r\n\r\n%s\r\n'


def said(answer: Any, kind: str = JSON) -> Outcome:
    return outcome(200, kind, answer if isinstance(answer, bytes) else json.dumps(answer).encode(), None)


def form(message: bytes) -> bytes:
    return PART % (b"response", b"application/json", b"{}") + PART % (b"message", b"message/rfc822", message) + b"--b--"


REJECT = {"action": "reject", "reply": {"code": 550, "enhanced": "5.1.1", "text": "No Bob"}}


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (said(b""), said({})),
        (said({"action": "continue", "changes": [], "reply": None}), said({})),
        (said(b"", ""), outcome(204, "", b"", None)),
        (said(REJECT), said(REJECT | {"x_own": 1})),
        (said({"reply": {"code": 550}}), said({"action": "reject", "reply": {"code": 550}})),
        (said(form(b"A: b\r\n\r\n"), FORM), said(form(b"A: b\r\n\r\n"), FORM)),
        (outcome(503, "", b"", "HTTP 503"), outcome(503, "", b"", "HTTP 503 again")),
        (outcome(200, "text/html", b"<p>", "the content type is wrong"), said(b"<p>", "text/html")),
        (outcome(200, JSON, b"nonsense", "no JSON"), said(b"nonsense")),
        (outcome(200, "text/html", b"", "an answer that was not kept"), said(b"<p>", "text/html")),
    ],
)
def test_answers_that_mean_the_same_are_the_same(before: Outcome, now: Outcome) -> None:
    assert differences(before, now) == []


@pytest.mark.parametrize(
    ("before", "now", "lines"),
    [
        (said({}), said(REJECT), ["continue -> reject", f"reply: nothing -> {json.dumps(REJECT['reply'])}"]),
        (said({}), outcome(503, "", b"", "HTTP 503"), ["continue -> a failure (503)"]),
        (outcome(None, "", b"", "no connection"), said({}), ["a failure (no answer) -> continue"]),
        (said({}), said(b"{}", "text/html"), ["continue -> an invalid answer"]),
        (said({}), said({"action": "frobnicate"}), ["continue -> an invalid answer"]),
        (said({}), said({"next": []}), ["next: nothing -> []"]),
        (said({}), said({"context": {"session": None}}), ['context: nothing -> {"session":null}']),
        (said(form(b"a"), FORM), said(form(b"b"), FORM), ["message: b'a' -> b'b'"]),
    ],
)
def test_what_differs_is_one_line_each(before: Outcome, now: Outcome, lines: list[str]) -> None:
    assert [line.replace(" ", "") for line in differences(before, now)] == [line.replace(" ", "") for line in lines]


@pytest.mark.parametrize(
    ("before", "now", "count"),
    [
        (REJECT, {"action": "reject", "reply": {"code": 550, "enhanced": "5.1.1", "text": "Qz Xyz"}}, 0),
        (REJECT, {"action": "reject", "reply": {"code": 554, "enhanced": "5.1.1", "text": "Qz Xyz"}}, 1),
        ({"warnings": ["a"], "annotations": {"a": 1}}, {"warnings": ["b"], "annotations": {"b": 2}}, 0),
        ({"warnings": ["a"]}, {}, 1),
        ({"next": ["rcpt"]}, {"next": ["data"]}, 1),
        (
            {"changes": [{"op": "add_header", "name": "X", "value": "a"}]},
            {"changes": [{"op": "add_header", "name": "X", "value": "b"}]},
            0,
        ),
        (
            {"changes": [{"op": "add_header", "name": "X", "value": "a"}]},
            {"changes": [{"op": "add_header", "name": "Y", "value": "a"}]},
            1,
        ),
        ({"changes": [{"op": "add_rcpt", "address": "a@b"}]}, {"changes": [{"op": "add_rcpt", "address": "c@d"}]}, 0),
    ],
)
def test_where_one_has_pseudonyms_texts_do_not_count(before: Any, now: Any, count: int) -> None:
    assert len(differences(said(before), said(now), texts=False)) == count
