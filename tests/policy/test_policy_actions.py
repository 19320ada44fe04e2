"""Section 6: what each action and each reply does on the wire, alone and with several webhooks."""

import asyncio
from typing import Any

import pytest
from dialogue import (
    CON,
    CONTENT,
    DAT,
    ENVELOPE,
    EOH,
    HEL,
    MAI,
    RCP,
    SUBJECT,
    Dialogue,
    body,
    dialogue,
    macros,
    rcpt,
)
from gateway_harness import ABO, EOM, Answer, P

PATHS: dict[str, tuple[tuple[bytes, ...], bytes]] = {
    "connect": ((), CON),
    "helo": ((CON,), HEL),
    "unknown": ((CON, HEL), P(b"UFOO\0")),
    "mail": ((CON, HEL), MAI),
    "rcpt": ((CON, HEL, MAI), RCP),
    "data": (ENVELOPE, DAT),
    "header": ((*ENVELOPE, DAT), SUBJECT),
    "end_of_headers": ((*ENVELOPE, DAT, SUBJECT), EOH),
    "body": ((*ENVELOPE, DAT, SUBJECT, EOH), body(b"x")),
    "end_of_message": ((*ENVELOPE, *CONTENT), EOM),
}
"""For each event what comes before it, and its packet."""

REJECTED = b"y550 5.7.1 Command rejected\0"
TEMPFAILED = b"y451 4.7.1 Try again later\0"
DISCONNECTED = b"y421 4.7.0 Closing connection\0"
ADD = {"op": "add_header", "name": "X-A", "value": "v"}


async def replies_at(talk: Dialogue, event: str) -> list[bytes]:
    """What is replied at an event, up to which everything passes."""
    before, packet = PATHS[event]
    await talk.mta.pass_on(*before)
    return await talk.mta.say(packet)


@pytest.mark.parametrize("event", PATHS)
@pytest.mark.parametrize(
    ("action", "reply"), [("reject", REJECTED), ("tempfail", TEMPFAILED), ("disconnect", DISCONNECTED)]
)
async def test_a_refusal_is_a_reply_with_the_default_text(event: str, action: str, reply: bytes) -> None:
    async with dialogue({event: {"action": action}}) as talk:
        assert await replies_at(talk, event) == [reply]


@pytest.mark.parametrize("event", PATHS)
async def test_to_go_on_is_continue_and_at_the_end_accept(event: str) -> None:
    async with dialogue({event: {"action": "continue"}}) as talk:
        assert await replies_at(talk, event) == [b"a" if event == "end_of_message" else b"c"]


@pytest.mark.parametrize("event", ["mail", "rcpt", "data", "header", "end_of_headers", "body", "end_of_message"])
async def test_discard_is_discard(event: str) -> None:
    async with dialogue({event: {"action": "discard"}}) as talk:
        assert await replies_at(talk, event) == [b"d"]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(204, b""),
        Answer(200, b""),
        Answer(200, b"", content_type="text/plain"),
        Answer(200, b"{}"),
        Answer(201, b"{}"),
        Answer(299, b'{"action":"continue"}', content_type="Application/JSON; charset=utf-8"),
        Answer(200, b'{"action":null,"reply":null,"changes":null,"next":null,"annotations":null}'),
        Answer(200, b'{"x_mine":{"a":1}}'),
    ],
    ids=lambda answer: f"{answer.status} {answer.body!r}",
)
async def test_an_empty_answer_means_continue(answer: Answer) -> None:
    async with dialogue({"rcpt": answer}) as talk:
        assert await replies_at(talk, "rcpt") == [b"c"]
        assert talk.failures() == []


REPLIES: list[tuple[dict[str, Any], bytes]] = [
    ({"reply": {"code": 554}}, b"y554 5.7.1 Command rejected\0"),
    ({"reply": {"code": 450}}, b"y450 4.7.1 Try again later\0"),
    ({"reply": {"code": 421}}, b"y421 4.7.1 Try again later\0"),
    ({"action": "reject", "reply": {"text": "No"}}, b"y550 5.7.1 No\0"),
    ({"action": "tempfail", "reply": {"enhanced": "4.2.1"}}, b"y451 4.2.1 Try again later\0"),
    ({"action": "disconnect", "reply": {"text": "bye"}}, b"y421 4.7.0 bye\0"),
    ({"reply": {"code": 550, "enhanced": "5.1.1", "text": "No"}}, b"y550 5.1.1 No\0"),
    ({"reply": {"code": 550, "text": ["one", "two"]}}, b"y550-5.7.1 one\r\n550 5.7.1 two\0"),
    ({"reply": {"code": 550, "text": ["100% sure"]}}, b"y550 5.7.1 100%% sure\0"),
    ({"reply": {"code": 550, "text": "caf\u00e9"}}, b"y550 5.7.1 caf?\0"),
    ({"reply": {"code": 550, "text": []}}, b"y550 5.7.1 Command rejected\0"),
    (
        {"reply": {"code": 550, "text": "%" * 981}},
        b"y550-5.7.1 " + b"%%" * 980 + b"\r\n550 5.7.1 %%\0",
    ),
    (
        {"reply": {"code": 550, "text": ["x"] * 40}},
        b"y" + b"550-5.7.1 x\r\n" * 31 + b"550 5.7.1 x\0",
    ),
    (
        {
            "action": "reject",
            "reply": {"code": 550, "enhanced": "5.7.1", "text": ["Not here", "See https://site.example/why"]},
        },
        b"y550-5.7.1 Not here\r\n550 5.7.1 See https://site.example/why\0",
    ),
]


@pytest.mark.parametrize(("answer", "reply"), REPLIES, ids=[str(item[0])[:60] for item in REPLIES])
async def test_the_reply_on_the_wire(answer: dict[str, Any], reply: bytes) -> None:
    async with dialogue({"mail": answer}) as talk:
        assert await replies_at(talk, "mail") == [reply]


# ── what comes after ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_refusal_at_rcpt_hits_this_recipient_alone() -> None:
    async with dialogue({"rcpt": [{"action": "reject"}, {}]}) as talk:
        await talk.mta.pass_on(CON, HEL, MAI)
        assert await talk.mta.say(RCP) == [REJECTED]
        await talk.mta.pass_on(rcpt(b"<c@y.test>"), *CONTENT)
        assert await talk.mta.end() == [b"a"]


async def test_a_discard_at_rcpt_ends_the_whole_transaction() -> None:
    async with dialogue({"rcpt": {"action": "discard"}}) as talk:
        assert await replies_at(talk, "rcpt") == [b"d"]
        await talk.mta.pass_on(MAI)
        first, second = (item["transaction_id"] for item in talk.backend.of("mail"))
        assert first != second


async def test_after_a_refusal_of_a_message_the_session_goes_on() -> None:
    async with dialogue({"end_of_message": [{"action": "reject"}, {}]}) as talk:
        assert await replies_at(talk, "end_of_message") == [REJECTED]
        assert await talk.mta.mail() == [b"a"]


async def test_data_may_be_tried_again_after_it_was_refused() -> None:
    async with dialogue({"data": [{"action": "tempfail"}, {}]}) as talk:
        assert await replies_at(talk, "data") == [TEMPFAILED]
        await talk.mta.pass_on(*CONTENT)
        assert await talk.mta.end() == [b"a"]


async def test_data_tried_again_does_not_change_the_mail_twice() -> None:
    mine = {"op": "add_header", "name": "X-M", "value": "m"}
    answers = {"mail": {"changes": [mine]}, "data": {"changes": [ADD]}}
    async with dialogue(answers, {"data": [{"action": "tempfail"}, {}]}) as talk:
        assert await replies_at(talk, "data") == [TEMPFAILED]
        await talk.mta.pass_on(*CONTENT)
        assert await talk.mta.end() == [b"hX-M\0 m\0", b"hX-A\0 v\0", b"a"]


async def test_a_refused_unknown_command_leaves_the_transaction_open() -> None:
    async with dialogue({"unknown": {"action": "reject"}}) as talk:
        await talk.mta.pass_on(*ENVELOPE)
        assert await talk.mta.say(P(b"UFOO\0")) == [REJECTED]
        await talk.mta.pass_on(*CONTENT)
        assert await talk.mta.end() == [b"a"]


@pytest.mark.parametrize("event", ["connect", "helo"])
async def test_accept_early_in_the_session_is_accept_where_nobody_wants_more(event: str) -> None:
    async with dialogue({event: {"action": "accept"}}) as talk:
        assert await replies_at(talk, event) == [b"a"]
        await talk.mta.quit()
        await talk.gateway.idle()
        assert "disconnect" not in talk.backend.events


@pytest.mark.parametrize("event", ["mail", "rcpt", "data", "header", "end_of_headers", "body"])
async def test_accept_in_a_transaction_is_accept_where_nobody_wants_more(event: str) -> None:
    async with dialogue({event: {"action": "accept"}}) as talk:
        assert await replies_at(talk, event) == [b"a"]


@pytest.mark.parametrize("event", ["connect", "mail", "rcpt", "data", "header", "end_of_headers", "body"])
async def test_accept_of_one_webhook_is_continue_while_another_wants_more(event: str) -> None:
    async with dialogue({event: {"action": "accept"}}, {}) as talk:
        assert await replies_at(talk, event) == [b"c"]


async def test_accept_at_helo_is_continue_while_another_wants_the_helo_after_starttls() -> None:
    webhooks: list[dict[str, Any]] = [{}, {"events": ["helo"]}]
    async with dialogue({"helo": {"action": "accept"}}, {}, webhooks=webhooks) as talk:
        assert await replies_at(talk, "helo") == [b"c"]
        await talk.mta.pass_on(HEL)
        assert talk.backends[1].events == ["helo", "helo"]


async def test_an_accepting_webhook_gets_no_more_of_the_transaction_its_abort_included_while_others_do() -> None:
    async with dialogue({"mail": {"action": "accept"}}, {}) as talk:
        await talk.mta.pass_on(*ENVELOPE)
        await talk.mta.say(ABO)
        await talk.backends[1].wait_for("abort")
        assert talk.backends[0].events == ["negotiate", "connect", "helo", "mail"]
        assert talk.backends[1].events == ["negotiate", "connect", "helo", "mail", "rcpt", "abort"]


async def test_an_accepting_webhook_is_asked_again_in_the_next_transaction() -> None:
    async with dialogue({"mail": {"action": "accept"}}, {}) as talk:
        await talk.mta.pass_on(CON, HEL)
        await talk.mta.mail()
        await talk.mta.pass_on(MAI)
        assert talk.backend.events.count("mail") == 2


async def test_a_webhook_that_accepts_the_session_is_not_asked_again_and_not_told_of_its_end() -> None:
    async with dialogue({"connect": {"action": "accept"}}, {}) as talk:
        await talk.mta.pass_on(CON, HEL)
        await talk.mta.mail()
        await talk.mta.quit()
        await talk.backends[1].wait_for("disconnect")
        assert talk.backends[0].events == ["negotiate", "connect"]


async def test_accept_at_the_end_still_asks_the_others() -> None:
    async with dialogue({"end_of_message": {"action": "accept"}}, {"end_of_message": {"action": "reject"}}) as talk:
        assert await replies_at(talk, "end_of_message") == [REJECTED]


async def test_accept_is_continue_while_a_change_is_held() -> None:
    answers = {"mail": {"changes": [ADD]}, "rcpt": {"action": "accept"}}
    async with dialogue(answers) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, SUBJECT, EOH)
        assert await talk.mta.end() == [b"hX-A\0 v\0", b"a"]


async def test_the_changes_of_an_accepting_answer_are_held() -> None:
    async with dialogue({"mail": {"action": "accept", "changes": [ADD]}}) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, SUBJECT, EOH)
        assert await talk.mta.end() == [b"hX-A\0 v\0", b"a"]


async def test_skip_at_a_header_is_continue_and_no_more_headers_are_posted() -> None:
    async with dialogue({"header": {"action": "skip"}}) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, SUBJECT, SUBJECT, SUBJECT, EOH)
        await talk.mta.end()
        assert talk.backend.events.count("header") == 1
        assert talk.backend.only("end_of_message")["message"]["headers"] == [{"name": "Subject", "value": "hi"}] * 3


async def test_skip_is_for_one_transaction() -> None:
    async with dialogue({"header": {"action": "skip"}}) as talk:
        await talk.mta.pass_on(CON, HEL)
        await talk.mta.mail()
        await talk.mta.mail()
        assert talk.backend.events.count("header") == 2


async def test_skip_at_the_body_is_continue_where_the_end_needs_the_whole_body() -> None:
    async with dialogue({"body": {"action": "skip"}}) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, SUBJECT, EOH, body(b"one"), body(b"two"))
        assert await talk.mta.end() == [b"a"]
        assert talk.backend.events.count("body") == 1
        assert talk.backend.only("end_of_message")["message"]["body"] == {"text": "onetwo"}


async def test_skip_at_the_body_is_skip_where_nobody_needs_more_of_it() -> None:
    async with dialogue({"body": {"action": "skip"}}, webhook={"events": ["body"]}) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, SUBJECT, EOH)
        assert await talk.mta.say(body(b"one")) == [b"s"]
        assert await talk.mta.end() == [b"a"]


async def test_skip_at_the_body_is_continue_where_another_webhook_needs_more_of_it() -> None:
    async with dialogue({"body": {"action": "skip"}}, {}, webhook={"events": ["body"]}) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, SUBJECT, EOH, body(b"one"), body(b"two"))
        assert [backend.events.count("body") for backend in talk.backends] == [1, 2]


async def test_skip_is_continue_where_the_mta_does_not_know_it() -> None:
    async with dialogue({"body": {"action": "skip"}}, webhook={"events": ["body"]}, steps=0x1FFFFF & ~0x400) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, SUBJECT, EOH, body(b"one"), body(b"two"))
        assert talk.backend.events == ["body"]


# ── several webhooks ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("action", ["reject", "tempfail", "discard", "disconnect"])
async def test_the_first_refusal_ends_the_event(action: str) -> None:
    async with dialogue({}, {"mail": {"action": action}}, {}) as talk:
        await replies_at(talk, "mail")
        assert [backend.events.count("mail") for backend in talk.backends] == [1, 1, 0]


async def test_webhooks_are_asked_in_order_one_after_the_other() -> None:
    order: list[str] = []

    def teller(name: str) -> Any:
        async def tell(_: Any) -> dict[str, Any]:
            order.append(f"{name} begins")
            for _step in range(3):
                await asyncio.sleep(0)
            order.append(f"{name} ends")
            return {}

        return tell

    async with dialogue({"mail": teller("first")}, {"mail": teller("second")}) as talk:
        await talk.mta.pass_on(CON, HEL, MAI)
    assert order == ["first begins", "first ends", "second begins", "second ends"]


async def test_previous_has_the_answers_of_earlier_webhooks_with_their_annotations_of_this_transaction() -> None:
    first = {"mail": {"annotations": {"a": 1}}, "rcpt": {"action": "accept", "annotations": {"b": True, "c": None}}}
    async with dialogue(first, {"rcpt": {"annotations": {"d": "x"}}}, {}) as talk:
        await talk.mta.pass_on(*ENVELOPE)
        assert talk.backends[0].only("rcpt")["previous"] == []
        assert talk.backends[2].only("rcpt")["previous"] == [
            {"webhook": "webhook", "action": "accept", "annotations": {"a": 1, "b": True}},
            {"webhook": "webhook2", "action": "continue", "annotations": {"d": "x"}},
        ]


async def test_previous_names_only_those_who_were_asked_at_this_event() -> None:
    webhooks: list[dict[str, Any]] = [{"events": ["mail"]}, {"events": ["rcpt"]}]
    async with dialogue({}, {}, webhooks=webhooks) as talk:
        await talk.mta.pass_on(*ENVELOPE)
        assert talk.backends[1].only("rcpt")["previous"] == []


async def test_annotations_of_one_transaction_are_not_those_of_the_next() -> None:
    async with dialogue({"mail": [{"annotations": {"a": 1}}, {}]}, {}) as talk:
        await talk.mta.pass_on(CON, HEL)
        await talk.mta.mail()
        await talk.mta.pass_on(MAI)
        shown = [item["previous"][0]["annotations"] for item in talk.backends[1].of("mail")]
        assert shown == [{"a": 1}, {}]


async def test_annotations_and_warnings_are_logged() -> None:
    answers = {"mail": {"annotations": {"spf": "pass"}, "warnings": ["look here"]}}
    async with dialogue(answers) as talk:
        await talk.mta.pass_on(CON, HEL, macros(b"M", {"i": "4Q1"}), MAI)
        (noted,) = [line for line in talk.gateway.log if line["event"] == "annotations"]
        session = talk.backend.only("mail")["session_id"]
        assert (noted["annotations"], noted["session"], noted["queue_id"]) == ({"spf": "pass"}, session, "4Q1")
        assert [(line["webhook"], line["text"], line["session"]) for line in talk.warnings()] == [
            ("webhook", "look here", session)
        ]


@pytest.mark.parametrize("event", ["connect", "disconnect"])
async def test_annotations_outside_a_transaction_are_logged(event: str) -> None:
    async with dialogue({event: {"annotations": {"asn": 64500}}}) as talk:
        await talk.mta.pass_on(CON)
        await talk.mta.quit()
        await talk.gateway.idle()
        assert [line["annotations"] for line in talk.gateway.log if line["event"] == "annotations"] == [{"asn": 64500}]


async def test_each_webhook_sees_the_message_with_the_changes_of_the_earlier_ones() -> None:
    first = {
        "end_of_message": {
            "changes": [
                ADD,
                {"op": "replace_body", "text": "other\r\n"},
                {"op": "delete_rcpt", "address": "b@y.test"},
                {"op": "add_rcpt", "address": "c@z.test", "params": {"NOTIFY": "NEVER"}},
                {"op": "change_from", "address": ""},
            ]
        }
    }
    async with dialogue(first, {}) as talk:
        await talk.mta.pass_on(*ENVELOPE, *CONTENT)
        edits = await talk.mta.end()
        request = talk.backends[1].only("end_of_message")
        assert request["message"]["headers"] == [{"name": "Subject", "value": "hi"}, {"name": "X-A", "value": "v"}]
        assert request["message"]["body"] == {"text": "other\r\n"}
        assert request["message"]["size"] == len(b"Subject: hi\r\nX-A: v\r\n\r\nother\r\n")
        assert request["envelope"] == {
            "from": {"address": "", "params": {}},
            "to": [{"address": "c@z.test", "params": {"NOTIFY": "NEVER"}}],
        }
        assert edits == [
            b"hX-A\0 v\0",
            b"e<>\0",
            b"-<b@y.test>\0",
            b"2<c@z.test>\0NOTIFY=NEVER\0",
            b"bother\r\n",
            b"a",
        ]


# ── held changes ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("event", ["mail", "rcpt", "data", "header", "end_of_headers", "body"])
async def test_a_change_answered_early_is_applied_at_the_end_and_shown_there(event: str) -> None:
    async with dialogue({event: {"changes": [ADD]}}) as talk:
        await talk.mta.pass_on(*ENVELOPE, *CONTENT)
        assert await talk.mta.end() == [b"hX-A\0 v\0", b"a"]
        assert talk.backend.only("end_of_message")["message"]["headers"][-1] == {"name": "X-A", "value": "v"}


async def test_a_change_answered_at_a_recipient_falls_with_it() -> None:
    async with dialogue({"rcpt": [{"changes": [ADD]}, {}]}, {"rcpt": [{"action": "reject"}, {}]}) as talk:
        await talk.mta.pass_on(CON, HEL, MAI)
        await talk.mta.say(RCP)
        await talk.mta.pass_on(rcpt(b"<c@y.test>"), *CONTENT)
        assert await talk.mta.end() == [b"a"]


async def test_a_change_answered_at_another_recipient_stays() -> None:
    async with dialogue({"rcpt": [{"changes": [ADD]}, {"action": "reject"}]}) as talk:
        await talk.mta.pass_on(*ENVELOPE)
        assert await talk.mta.say(rcpt(b"<c@y.test>")) == [REJECTED]
        await talk.mta.pass_on(*CONTENT)
        assert await talk.mta.end() == [b"hX-A\0 v\0", b"a"]


@pytest.mark.parametrize("ending", [(ABO,), ()], ids=["abort", "new mail"])
async def test_held_changes_are_dropped_with_the_transaction(ending: tuple[bytes, ...]) -> None:
    async with dialogue({"mail": [{"changes": [ADD]}, {}]}) as talk:
        await talk.mta.pass_on(*ENVELOPE)
        await talk.mta.say(*ending)
        assert await talk.mta.mail() == [b"a"]


async def test_the_changes_beside_a_refusal_are_dropped() -> None:
    async with dialogue({"end_of_message": {"action": "reject", "changes": [ADD]}}) as talk:
        assert await replies_at(talk, "end_of_message") == [REJECTED]


async def test_the_changes_of_an_earlier_webhook_are_dropped_by_a_later_refusal() -> None:
    async with dialogue({"end_of_message": {"changes": [ADD]}}, {"end_of_message": {"action": "discard"}}) as talk:
        assert await replies_at(talk, "end_of_message") == [b"d"]


async def test_held_changes_come_first_and_in_order_of_arrival() -> None:
    def setting(value: str) -> dict[str, Any]:
        return {"changes": [{"op": "set_header", "name": "Subject", "value": value}]}

    async with dialogue({"mail": setting("one"), "rcpt": setting("two"), "end_of_message": {}}) as talk:
        await talk.mta.pass_on(*ENVELOPE, *CONTENT)
        assert await talk.mta.end() == [b"m\0\0\0\x01Subject\0 two\0", b"a"]


async def test_without_the_leading_space_agreed_the_wire_has_none() -> None:
    async with dialogue({"mail": {"changes": [ADD]}}, steps=0x1FFFFF & ~0x100000) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, EOH)
        assert await talk.mta.end() == [b"hX-A\0v\0", b"a"]


async def test_the_message_of_a_multipart_answer_replaces_the_message() -> None:
    form = (
        b'--b\r\nContent-Disposition: form-data; name="response"\r\n\r\n'
        b'{"changes":[{"op":"quarantine","reason":"why"}]}\r\n'
        b'--b\r\nContent-Disposition: form-data; name="message"; filename="m.eml"\r\n'
        b"Content-Type: message/rfc822\r\n\r\nSubject: new\r\nX-A: v\r\n\r\nother\xff\r\n\r\n--b--\r\n"
    )
    answer = Answer(200, form, content_type="multipart/form-data; boundary=b")
    async with dialogue({"end_of_message": answer}) as talk:
        await talk.mta.pass_on(*ENVELOPE, *CONTENT)
        assert await talk.mta.end() == [
            b"m\0\0\0\x01Subject\0 new\0",
            b"hX-A\0 v\0",
            b"qwhy\0",
            b"bother\xff\r\n",
            b"a",
        ]


@pytest.mark.parametrize("spool_above", ["1MiB", "1B"])
async def test_an_identical_message_changes_nothing(spool_above: str) -> None:
    text = "Subject: hi\r\n\r\nbody\r\n"
    async with dialogue(
        {"end_of_message": {"changes": [{"op": "replace_message", "text": text}]}}, limits={"spool_above": spool_above}
    ) as talk:
        await talk.mta.pass_on(*ENVELOPE, *CONTENT)
        assert await talk.mta.end() == [b"a"]


# ── allow ───────────────────────────────────────────────────────────────────────────────────────────────────────────

ALLOWED = [
    (["reject"], {"action": "reject"}, b"y550 5.7.1 Command rejected\0"),
    (["reject"], {"reply": {"code": 550}}, b"y550 5.7.1 Command rejected\0"),
    (["add_header"], {"action": "continue"}, b"a"),
    (["add_header"], {"action": "accept"}, b"a"),
    ([], {}, b"a"),
]


@pytest.mark.parametrize(("allow", "answer", "reply"), ALLOWED, ids=str)
async def test_what_is_allowed_counts(allow: list[str], answer: dict[str, Any], reply: bytes) -> None:
    async with dialogue({"end_of_message": answer}, webhook={"allow": allow}) as talk:
        assert await replies_at(talk, "end_of_message") == [reply]


FORBIDDEN = [
    (["tempfail"], {"action": "reject"}),
    (["tempfail"], {"reply": {"code": 550}}),
    (["reject"], {"action": "discard"}),
    (["reject"], {"action": "disconnect"}),
    (["reject"], {"changes": [ADD]}),
    ([], {"action": "tempfail"}),
]


@pytest.mark.parametrize(("allow", "answer"), FORBIDDEN, ids=str)
async def test_what_is_not_allowed_is_an_invalid_answer(allow: list[str], answer: dict[str, Any]) -> None:
    async with dialogue({"end_of_message": answer}, webhook={"allow": allow}) as talk:
        (reply,) = await replies_at(talk, "end_of_message")
        assert reply.startswith(b"y451 4.7.1 ")
        assert [(line["cause"], line["webhook"]) for line in talk.failures()] == [("invalid", "webhook")]


async def test_changes_that_are_not_allowed_are_not_offered_to_the_webhook() -> None:
    async with dialogue({}, webhook={"allow": ["reject", "add_header"]}) as talk:
        await talk.mta.pass_on(CON)
        assert talk.backend.only("connect")["mta"]["changes"] == ["add_header"]
