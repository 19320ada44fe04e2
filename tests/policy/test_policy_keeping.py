"""Section 7 and `next`: what the gateway keeps for a webhook, for how long, and whom it asks then."""

from typing import Any

import pytest
from dialogue import CON, CONTENT, DAT, ENVELOPE, EOH, HEL, MAI, RCP, SUBJECT, body, dialogue
from gateway_harness import ABO, QNC

KEEP = {"context": {"session": {"asn": 64500}, "transaction": {"score": 1.5}}}
NOTHING = {"session": None, "transaction": None}
BOTH = {"session": {"asn": 64500}, "transaction": {"score": 1.5}}
SESSION_ONLY = {"session": {"asn": 64500}, "transaction": None}


async def test_a_context_comes_back_with_the_next_event() -> None:
    async with dialogue({"mail": KEEP}) as talk:
        await talk.mta.pass_on(*ENVELOPE)
        assert talk.backend.only("mail")["context"] == NOTHING
        assert talk.backend.only("rcpt")["context"] == BOTH


UPDATES: list[tuple[dict[str, Any] | None, dict[str, Any]]] = [
    (None, BOTH),
    ({}, BOTH),
    ({"session": None}, {"session": None, "transaction": {"score": 1.5}}),
    ({"transaction": None}, SESSION_ONLY),
    ({"session": None, "transaction": None}, NOTHING),
    ({"session": [1, "a", None, True, {"b": 2.5}]}, {**BOTH, "session": [1, "a", None, True, {"b": 2.5}]}),
    ({"transaction": "caf\u00e9 \U0001f4e8"}, {**BOTH, "transaction": "caf\u00e9 \U0001f4e8"}),
    ({"transaction": False}, {**BOTH, "transaction": False}),
    ({"transaction": 0}, {**BOTH, "transaction": 0}),
]


@pytest.mark.parametrize(("update", "kept"), UPDATES, ids=str)
async def test_absent_keeps_null_clears_a_value_replaces(update: dict[str, Any] | None, kept: dict[str, Any]) -> None:
    async with dialogue({"mail": KEEP, "rcpt": {"context": update}}) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT)
        assert talk.backend.only("data")["context"] == kept


async def test_the_context_of_a_transaction_is_cleared_at_mail() -> None:
    async with dialogue({"rcpt": KEEP}) as talk:
        await talk.mta.pass_on(*ENVELOPE, MAI)
        assert talk.backend.of("mail")[1]["context"] == SESSION_ONLY


async def test_the_context_set_at_helo_for_a_transaction_is_gone_at_mail() -> None:
    async with dialogue({"helo": KEEP}) as talk:
        await talk.mta.pass_on(CON, HEL, MAI)
        assert talk.backend.only("mail")["context"] == SESSION_ONLY


async def test_the_context_of_a_transaction_is_seen_at_its_abort_and_gone_after_it() -> None:
    async with dialogue({"mail": KEEP, "abort": {"context": {"transaction": 2}}}) as talk:
        await talk.mta.pass_on(*ENVELOPE)
        await talk.mta.say(ABO)
        await talk.mta.pass_on(HEL)
        assert talk.backend.only("abort")["context"] == BOTH
        assert talk.backend.of("helo")[1]["context"] == SESSION_ONLY


async def test_the_context_of_a_transaction_is_gone_after_the_end_of_the_message() -> None:
    async with dialogue({"mail": KEEP, "end_of_message": {"context": {"transaction": 2}}}) as talk:
        await talk.mta.pass_on(CON, HEL)
        await talk.mta.mail()
        await talk.mta.pass_on(HEL)
        assert talk.backend.only("end_of_message")["context"] == BOTH
        assert talk.backend.of("helo")[1]["context"] == SESSION_ONLY


async def test_the_context_of_a_session_lives_until_its_end() -> None:
    async with dialogue({"connect": KEEP}) as talk:
        await talk.mta.pass_on(CON, HEL)
        await talk.mta.mail()
        await talk.mta.mail()
        await talk.mta.quit()
        assert (await talk.backend.wait_for("disconnect")).json["context"] == SESSION_ONLY


async def test_the_context_of_a_session_may_come_from_negotiate() -> None:
    async with dialogue({"negotiate": {"context": {"session": 7}}}) as talk:
        await talk.mta.pass_on(CON)
        assert talk.backend.only("connect")["context"]["session"] == 7
        assert talk.backend.only("connect")["session_id"] == talk.backend.only("negotiate")["session_id"]


async def test_the_next_session_on_the_same_connection_knows_nothing_of_the_last() -> None:
    async with dialogue({"connect": [KEEP, {}]}) as talk:
        await talk.mta.pass_on(CON, HEL)
        await talk.mta.say(QNC)
        await talk.mta.pass_on(CON)
        first, second = talk.backend.of("connect")
        assert second["context"] == NOTHING
        assert second["session_id"] != first["session_id"]


async def test_each_webhook_has_a_context_of_its_own() -> None:
    async with dialogue({"mail": {"context": {"session": 1}}}, {"mail": {"context": {"session": 2}}}) as talk:
        await talk.mta.pass_on(*ENVELOPE)
        assert [backend.only("rcpt")["context"]["session"] for backend in talk.backends] == [1, 2]


async def test_the_context_beside_a_refusal_is_kept() -> None:
    async with dialogue({"mail": {"action": "reject", "context": {"session": 1}}}) as talk:
        await talk.mta.pass_on(CON, HEL)
        await talk.mta.say(MAI)
        await talk.mta.pass_on(HEL)
        assert talk.backend.of("helo")[1]["context"]["session"] == 1


@pytest.mark.parametrize("scope", ["session", "transaction"])
async def test_a_context_up_to_the_limit_is_kept_and_one_byte_more_is_invalid(scope: str) -> None:
    answers = {"mail": {"context": {scope: "x" * 8}}, "rcpt": {"context": {scope: "y" * 9}}}
    async with dialogue(answers, limits={"context_bytes": "10B"}, webhook={"on_invalid": "continue"}) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT)
        assert talk.backend.only("data")["context"][scope] == "x" * 8
        assert [line["cause"] for line in talk.failures()] == ["invalid"]


# ── next ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_next_narrows_what_is_asked_in_this_transaction() -> None:
    async with dialogue({"mail": {"next": ["end_of_headers", "end_of_message"]}}) as talk:
        await talk.mta.pass_on(CON, HEL)
        await talk.mta.mail()
        assert talk.backend.events[3:] == ["mail", "end_of_headers", "end_of_message"]


async def test_an_empty_next_means_nothing_more_its_abort_included() -> None:
    async with dialogue({"mail": {"next": []}}, {}) as talk:
        await talk.mta.pass_on(*ENVELOPE)
        await talk.mta.say(ABO)
        await talk.backends[1].wait_for("abort")
        assert talk.backends[0].events[3:] == ["mail"]


async def test_a_later_next_narrows_further_and_never_widens() -> None:
    answers = {"mail": {"next": ["rcpt", "data"]}, "rcpt": {"next": ["data", "end_of_headers"]}}
    async with dialogue(answers) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, SUBJECT, EOH)
        assert talk.backend.events[3:] == ["mail", "rcpt", "data"]


async def test_next_holds_for_one_transaction() -> None:
    async with dialogue({"mail": [{"next": []}, {}]}) as talk:
        await talk.mta.pass_on(CON, HEL)
        await talk.mta.say(MAI, ABO)
        await talk.mta.pass_on(MAI, RCP)
        assert talk.backend.events.count("rcpt") == 1


async def test_next_does_not_add_to_the_subscription() -> None:
    async with dialogue({"mail": {"next": ["rcpt", "data"]}}, {}, webhook={"events": ["mail", "data"]}) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT)
        assert talk.backend.events == ["mail", "data"]


async def test_next_leaves_the_end_of_the_session_alone() -> None:
    async with dialogue({"mail": {"next": []}}) as talk:
        await talk.mta.pass_on(*ENVELOPE)
        await talk.mta.quit()
        await talk.backend.wait_for("disconnect")


async def test_next_of_one_webhook_does_not_concern_another() -> None:
    async with dialogue({"mail": {"next": []}}, {}) as talk:
        await talk.mta.pass_on(*ENVELOPE)
        assert [backend.events.count("rcpt") for backend in talk.backends] == [0, 1]


# ── too large ───────────────────────────────────────────────────────────────────────────────────────────────────────

BIG = (DAT, SUBJECT, EOH, body(b"x" * 50), body(b"y" * 50))
SIZE = len(b"Subject: hi\r\n\r\n") + 100


@pytest.mark.parametrize(
    ("on_too_large", "shown"),
    [("truncate", {"text": "x" * 50 + "y" * 35}), ("headers", None)],
)
async def test_a_message_over_the_limit_is_shown_in_part(on_too_large: str, shown: dict[str, str] | None) -> None:
    async with dialogue({}, webhook={"on_too_large": on_too_large}, limits={"message_bytes": "100B"}) as talk:
        assert await talk.mta.say(*ENVELOPE, *BIG) == [b"c"] * 9
        assert await talk.mta.end() == [b"a"]
        request = talk.backend.only("end_of_message")
        assert request["data"] == {"size": SIZE, "truncated": True}
        assert request["message"].get("body") == shown
        assert request["message"]["headers"] == [{"name": "Subject", "value": "hi"}]


async def test_a_message_over_the_limit_passes_unasked_with_continue() -> None:
    webhook = {"on_too_large": "continue"}
    async with dialogue(
        {"end_of_message": {"action": "reject"}}, webhook=webhook, limits={"message_bytes": "9B"}
    ) as talk:
        await talk.mta.pass_on(*ENVELOPE, *BIG)
        assert await talk.mta.end() == [b"a"]
        assert "end_of_message" not in talk.backend.events
        assert talk.warnings()


async def test_a_message_over_the_limit_is_tempfailed_by_default() -> None:
    async with dialogue({}, limits={"message_bytes": "100B"}) as talk:
        await talk.mta.pass_on(*ENVELOPE, *BIG)
        (reply,) = await talk.mta.end()
        assert reply.startswith(b"y451 4.7.1 ")
        assert "end_of_message" not in talk.backend.events


async def test_a_message_at_the_limit_is_not_too_large() -> None:
    async with dialogue({}, limits={"message_bytes": f"{SIZE}B"}) as talk:
        await talk.mta.pass_on(*ENVELOPE, *BIG)
        assert await talk.mta.end() == [b"a"]
        assert talk.backend.only("end_of_message")["data"] == {"size": SIZE, "truncated": False}


@pytest.mark.parametrize("op", ["replace_body", "replace_message"])
async def test_a_truncated_message_cannot_be_replaced(op: str) -> None:
    answers = {"end_of_message": {"changes": [{"op": op, "text": "a: b\r\n\r\nc"}]}}
    async with dialogue(answers, webhook={"on_too_large": "truncate"}, limits={"message_bytes": "100B"}) as talk:
        await talk.mta.pass_on(*ENVELOPE, *BIG)
        (reply,) = await talk.mta.end()
        assert reply.startswith(b"y451 ")


async def test_too_many_fields_make_a_message_too_large() -> None:
    webhook = {"on_too_large": "truncate"}
    async with dialogue({}, webhook=webhook, limits={"headers": 2}) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, SUBJECT, SUBJECT, SUBJECT, EOH)
        assert await talk.mta.end() == [b"a"]
        request = talk.backend.only("end_of_message")
        assert len(request["message"]["headers"]) == 2
        assert request["data"]["truncated"] is True


@pytest.mark.parametrize("on_too_large", ["truncate", "headers"])
async def test_a_multipart_request_of_a_message_over_the_limit_says_so(on_too_large: str) -> None:
    webhook = {"on_too_large": on_too_large, "format": "multipart"}
    async with dialogue({}, webhook=webhook, limits={"message_bytes": "100B"}) as talk:
        await talk.mta.pass_on(*ENVELOPE, *BIG)
        assert await talk.mta.end() == [b"a"]
        raw = talk.backend.requests[-1].raw
        assert b'"truncated":true' in raw
        assert (b"x" * 50 in raw) is (on_too_large == "truncate")


# ── too many recipients ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_recipients_beyond_the_limit_are_tempfailed_unasked_and_the_others_get_their_mail() -> None:
    async with dialogue({}, limits={"recipients": 2}) as talk:
        await talk.mta.pass_on(*ENVELOPE, RCP)
        for _ in range(2):
            (reply,) = await talk.mta.say(RCP)
            assert reply.startswith(b"y452 4.5.3 ")
        await talk.mta.pass_on(*CONTENT)
        assert await talk.mta.end() == [b"a"]
        assert talk.backend.events.count("rcpt") == 2
        assert len(talk.backend.only("end_of_message")["envelope"]["to"]) == 2


async def test_where_the_mta_does_not_wait_at_rcpt_the_message_is_tempfailed_at_its_end() -> None:
    async with dialogue({}, limits={"recipients": 1}, webhook={"events": ["end_of_message"]}) as talk:
        await talk.mta.pass_on(*ENVELOPE, RCP, *CONTENT)
        (reply,) = await talk.mta.end()
        assert reply.startswith(b"y452 4.5.3 ")
