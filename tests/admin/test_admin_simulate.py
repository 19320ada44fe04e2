"""A message tried out over HTTP."""

import asyncio
import base64
from typing import Any

import httpx
import pytest
from admin_client import admin_of
from gateway_harness import Answer, Backend, gateway

RAW = b"From: a@x.test\r\nSubject: hi\r\n\r\nhello\r\n"


async def simulated(backend: Backend, content: bytes = RAW, path: str = "/v1/simulate", **settings: Any) -> Any:
    async with gateway(backend, **settings) as running, admin_of(running) as admin:
        answer = await admin.post(path, content=content)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_mail_that_nobody_minds_comes_out_as_it_went_in(backend: Backend) -> None:
    answer = await simulated(backend)
    assert {key: answer[key] for key in ("verdict", "reply", "changes", "message")} == {
        "verdict": "accepted",
        "reply": None,
        "changes": [],
        "message": {
            "size": len(RAW),
            "headers": [{"name": "From", "value": "a@x.test"}, {"name": "Subject", "value": "hi"}],
            "body": {"text": "hello\r\n"},
        },
    }


async def test_the_query_is_the_envelope_that_the_webhook_sees(backend: Backend) -> None:
    query = "from=ann@x.test&rcpt=bob@y.test&rcpt=cid@y.test&helo=c.test&client=2001:db8::1"
    await simulated(backend, path=f"/v1/simulate?{query}")
    seen = backend.only("end_of_message")
    assert seen["envelope"]["from"]["address"] == "ann@x.test"
    assert [item["address"] for item in seen["envelope"]["to"]] == ["bob@y.test", "cid@y.test"]
    assert (seen["client"]["helo"], seen["client"]["address"]) == ("c.test", "2001:db8::1")


async def test_every_call_says_that_it_is_a_dry_run(backend: Backend) -> None:
    await simulated(backend)
    assert {request.json["dry_run"] for request in backend.requests} == {True}


async def test_every_exchange_is_shown_in_order_with_request_and_response(backend: Backend) -> None:
    backend.answers = {"rcpt": {"annotations": {"score": 1}}}
    exchanges = (await simulated(backend))["exchanges"]
    assert [item["event"] for item in exchanges] == backend.events
    assert [item["request"] for item in exchanges] == [request.json for request in backend.requests]
    rcpt = next(item for item in exchanges if item["event"] == "rcpt")
    assert (rcpt["webhook"], rcpt["status"], rcpt["response"], rcpt["action"]) == (
        "webhook",
        200,
        {"annotations": {"score": 1}},
        "continue",
    )


async def test_a_refusal_is_shown_with_its_reply(backend: Backend) -> None:
    backend.answers = {"end_of_message": {"action": "reject", "reply": {"text": ["No", "100% no"]}}}
    answer = await simulated(backend)
    assert (answer["verdict"], answer["reply"]) == (
        "rejected",
        {"code": 550, "enhanced": "5.7.1", "text": ["No", "100% no"]},
    )


async def test_changes_are_shown_beside_the_message_that_they_make(backend: Backend) -> None:
    changes = [
        {"op": "add_header", "name": "X", "value": "y"},
        {"op": "add_rcpt", "address": "new@y.test"},
        {"op": "quarantine", "reason": "why"},
    ]
    backend.answers = {"end_of_message": {"changes": changes}}
    answer = await simulated(backend)
    assert answer["verdict"] == "quarantined"
    assert answer["changes"] == [{**changes[0], "at": "end"}, *changes[1:]]
    assert answer["message"]["headers"][-1] == {"name": "X", "value": "y"}
    assert answer["envelope"]["to"] == [{"address": "postmaster"}, {"address": "new@y.test"}]


async def test_bytes_that_are_no_text_come_out_exactly(backend: Backend) -> None:
    answer = await simulated(backend, b"Subject:\xff\r\n\r\n\xfe\r\n")
    assert answer["message"]["headers"] == [
        {
            "name": "Subject",
            "value": "�",
            "value_base64": base64.b64encode(b"\xff").decode(),
            "field_base64": base64.b64encode(b"Subject:\xff").decode(),
        }
    ]
    assert answer["message"]["body"] == {"base64": base64.b64encode(b"\xfe\r\n").decode()}


async def test_a_failed_webhook_is_shown_with_the_cause_and_what_was_applied(backend: Backend) -> None:
    backend.answers = {"rcpt": Answer(404, b"no")}
    answer = await simulated(backend)
    failed = next(item for item in answer["exchanges"] if item["event"] == "rcpt")
    assert (answer["verdict"], answer["reply"]["code"]) == ("tempfailed", 451)
    assert failed["action"] is None
    assert "404" in failed["failure"]


async def test_an_invalid_answer_is_shown_as_it_came(backend: Backend) -> None:
    backend.answers = {"rcpt": {"actoin": "reject"}}
    exchanges = (await simulated(backend))["exchanges"]
    failed = next(item for item in exchanges if item["event"] == "rcpt")
    assert (failed["status"], failed["response"]) == (200, {"actoin": "reject"})
    assert "actoin" in failed["failure"]


async def test_one_of_several_webhooks_can_be_tried_alone(backend: Backend) -> None:
    async with Backend() as other, gateway(backend, other) as running, admin_of(running) as admin:
        await admin.post("/v1/simulate?webhook=webhook2", content=RAW)
        assert (backend.requests, other.events[-2:]) == ([], ["end_of_message", "disconnect"])


@pytest.mark.parametrize(
    ("query", "status", "detail"),
    [
        ("webhook=nobody", 404, "no webhook is called 'nobody'"),
        ("client=mail.example", 422, "the client 'mail.example' is no IP address"),
        ("from=a%00b", 422, "the sender contains CR, LF or NUL"),
        ("rcpt=a%0D%0ARCPT", 422, "contains CR, LF or NUL"),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused_in_words(
    backend: Backend, query: str, status: int, detail: str
) -> None:
    async with gateway(backend) as running, admin_of(running) as admin:
        answer = await admin.post(f"/v1/simulate?{query}", content=RAW)
    assert answer.status_code == status
    assert detail in answer.json()["detail"]


@pytest.mark.parametrize("file", [(None, RAW), ("mail.eml", RAW)], ids=["field", "file"])
@pytest.mark.parametrize("extra", [{}, {"comment": (None, b"not the message")}], ids=["alone", "beside others"])
async def test_a_form_brings_the_message_in_its_part(
    backend: Backend, file: tuple[str | None, bytes], extra: dict[str, Any]
) -> None:
    async with gateway(backend) as running, admin_of(running) as admin:
        answer = await admin.post("/v1/simulate", files={**extra, "message": file})
    assert answer.json()["message"]["body"] == {"text": "hello\r\n"}


@pytest.mark.parametrize("name", [None, "mail.eml"])
async def test_a_form_brings_bytes_that_are_no_text_exactly(backend: Backend, name: str | None) -> None:
    async with gateway(backend) as running, admin_of(running) as admin:
        answer = await admin.post("/v1/simulate", files={"message": (name, b"\n\xe9\xff\r\n")})
    assert answer.json()["message"]["body"] == {"base64": base64.b64encode(b"\xe9\xff\r\n").decode()}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"x"),
        ("multipart/form-data; boundary=b", b"--b--\r\n"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\ncontent-disposition: form-data; name="other"\r\n\r\nx\r\n--b--\r\n',
        ),
        ("multipart/form-data; boundary=b", b'--b\r\ncontent-disposition: form-data; name="message"\r\n\r\nx\r\n'),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\ncontent-disposition: form-data; name="message"\r\n\r\nx\r\n' * 2 + b"--b--\r\n",
        ),
    ],
)
async def test_a_form_without_exactly_one_message_is_refused(backend: Backend, content_type: str, body: bytes) -> None:
    async with gateway(backend) as running, admin_of(running) as admin:
        answer = await admin.post("/v1/simulate", content=body, headers={"content-type": content_type})
    assert (answer.status_code, list(answer.json())) == (422, ["detail"])


@pytest.mark.parametrize("as_form", [False, True])
@pytest.mark.parametrize(("size", "status"), [(2000, 200), (2001, 413), (200_000, 413)])
async def test_a_message_beyond_the_limit_is_refused(backend: Backend, as_form: bool, size: int, status: int) -> None:
    raw = RAW.ljust(size, b"x")
    async with gateway(backend, limits={"message_bytes": "2000B"}) as running, admin_of(running) as admin:
        sent: dict[str, Any] = {"files": {"message": ("m", raw)}} if as_form else {"content": raw}
        answer = await admin.post("/v1/simulate", **sent)
    assert answer.status_code == status


async def test_a_simulation_leaves_no_connection_behind(backend: Backend) -> None:
    async with gateway(backend) as running, admin_of(running) as admin:
        await admin.post("/v1/simulate", content=RAW)
        assert running.service.connections == 0


async def test_many_simulations_at_once_do_not_mix(backend: Backend) -> None:
    backend.answers = {"rcpt": lambda seen: {"action": "reject", "reply": {"text": seen.json["data"]["address"]}}}
    async with gateway(backend) as running, admin_of(running) as admin:

        async def one(number: int) -> httpx.Response:
            return await admin.post(f"/v1/simulate?rcpt=r{number}@y.test", content=RAW)

        answers = await asyncio.gather(*map(one, range(20)))
    assert [answer.json()["reply"]["text"] for answer in answers] == [[f"r{number}@y.test"] for number in range(20)]
