"""Section 8: what applies where a webhook gives no usable answer, at which event, and within which time."""

import asyncio
from typing import Any

import pytest
from dialogue import CON, CONTENT, DAT, ENVELOPE, EOH, HEL, MAI, RCP, SUBJECT, body, dialogue
from gateway_harness import ABO, HANG, Answer, P, refused_url, until
from misbehaving import Misbehaving, between, silent

REJECTED = b"y550 5.7.1 Command rejected\0"
BROKEN = Answer(500, b"")
NONSENSE = Answer(200, b"nonsense")
NO_QUARANTINE = 0x1FF & ~0x20
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
    "end_of_message": ((*ENVELOPE, *CONTENT), P(b"E")),
}
SETTINGS = [("on_failure", BROKEN), ("on_invalid", NONSENSE)]


@pytest.mark.parametrize(("setting", "answer"), SETTINGS, ids=["failure", "invalid"])
@pytest.mark.parametrize("event", PATHS)
@pytest.mark.parametrize("policy", ["tempfail", "reject", "continue"])
async def test_the_policy_at_each_event(setting: str, answer: Answer, event: str, policy: str) -> None:
    other = {"on_failure": "on_invalid", "on_invalid": "on_failure"}[setting]
    webhook = {setting: policy, other: "reject" if policy == "tempfail" else "tempfail", "retries": 0}
    async with dialogue({event: answer}, webhook=webhook) as talk:
        before, packet = PATHS[event]
        await talk.mta.pass_on(*before)
        (reply,) = await talk.mta.say(packet)
        session = talk.backend.requests[-1].json["session_id"].encode()
        passed = b"a" if event == "end_of_message" else b"c"
        tempfailed = b"y451 4.7.1 Try again later (session " + session + b")\0"
        assert reply == {"tempfail": tempfailed, "reject": REJECTED, "continue": passed}[policy]


async def test_a_policy_may_differ_by_event() -> None:
    webhook = {"on_failure": {"default": "reject", "rcpt": "tempfail", "mail": "continue"}, "retries": 0}
    answers = {"mail": BROKEN, "rcpt": [BROKEN, {}], "data": BROKEN}
    async with dialogue(answers, webhook=webhook) as talk:
        await talk.mta.pass_on(CON, HEL, MAI)
        replies = await talk.mta.say(RCP, RCP, DAT)
        assert [reply[:4] for reply in replies] == [b"y451", b"c", b"y550"]


@pytest.mark.parametrize(("setting", "answer"), SETTINGS, ids=["failure", "invalid"])
@pytest.mark.parametrize("event", ["mail", "rcpt", "data", "header", "end_of_headers", "body", "end_of_message"])
async def test_quarantine_lets_the_event_pass_and_holds_the_transaction_at_its_end(
    setting: str, answer: Answer, event: str
) -> None:
    async with dialogue({event: [answer, {}]}, webhook={setting: "quarantine", "retries": 0}) as talk:
        await talk.mta.pass_on(*ENVELOPE, *CONTENT)
        hold, final = await talk.mta.end()
        assert hold.startswith(b"qwebhook webhook failed: ")
        assert talk.backend.requests[-1].json["session_id"].encode() in hold
        assert final == b"a"
        assert await talk.mta.mail() == [b"a"]


@pytest.mark.parametrize("event", ["connect", "helo"])
async def test_quarantine_early_in_a_session_holds_every_transaction_of_it(event: str) -> None:
    async with dialogue({event: BROKEN}, webhook={"on_failure": "quarantine", "retries": 0}) as talk:
        await talk.mta.pass_on(CON, HEL)
        for _ in range(2):
            hold, final = await talk.mta.mail()
            assert (hold[:1], final) == (b"q", b"a")


async def test_a_session_that_is_held_is_not_accepted_early() -> None:
    answers = {"connect": BROKEN, "mail": {"action": "accept"}}
    webhook = {"on_failure": "quarantine", "retries": 0, "events": ["connect", "mail"]}
    async with dialogue(answers, webhook=webhook) as talk:
        await talk.mta.pass_on(CON, HEL)
        hold, final = await talk.mta.mail()
        assert (hold[:1], final) == (b"q", b"a")


@pytest.mark.parametrize("event", PATHS)
async def test_quarantine_is_tempfail_where_the_mta_does_not_offer_it(event: str) -> None:
    webhook = {"on_failure": "quarantine", "retries": 0}
    async with dialogue({event: BROKEN}, webhook=webhook, actions=NO_QUARANTINE) as talk:
        before, packet = PATHS[event]
        await talk.mta.pass_on(*before)
        assert (await talk.mta.say(packet))[0].startswith(b"y451 4.7.1 ")
        assert [line["applied"] for line in talk.failures()] == ["tempfail"]


async def test_a_refusal_of_another_webhook_ends_what_was_to_be_held() -> None:
    webhooks: list[dict[str, Any]] = [{"on_failure": "quarantine", "retries": 0}, {}]
    answers = ({"mail": BROKEN}, {"end_of_message": {"action": "reject"}})
    async with dialogue(*answers, webhooks=webhooks) as talk:
        await talk.mta.pass_on(*ENVELOPE, *CONTENT)
        assert await talk.mta.end() == [REJECTED]


@pytest.mark.parametrize("event", ["abort", "disconnect", "negotiate"])
async def test_a_failed_report_changes_nothing(event: str) -> None:
    async with dialogue({event: BROKEN}, webhook={"on_failure": "reject", "retries": 0}) as talk:
        await talk.mta.pass_on(*ENVELOPE)
        await talk.mta.say(ABO)
        assert await talk.mta.mail() == [b"a"]
        await talk.mta.quit()
        await talk.gateway.idle()
        assert [line["applied"] for line in talk.failures()] == ["continue"]


async def test_a_failing_webhook_does_not_keep_the_next_from_being_asked_where_it_is_let_pass() -> None:
    async with between(refused_url(), {}, on_failure="continue") as talk:
        await talk.mta.pass_on(CON, HEL, MAI)
        assert talk.backend.only("mail")["previous"] == [{"webhook": "bad", "action": "continue", "annotations": {}}]


async def test_a_failing_webhook_ends_the_event_where_it_refuses() -> None:
    async with between(refused_url(), {}) as talk:
        await talk.mta.pass_on(CON, HEL)
        await talk.mta.say(MAI)
        assert "mail" not in talk.backend.events


async def test_the_changes_of_an_earlier_webhook_survive_the_failure_of_a_later_one_that_is_let_pass() -> None:
    add = {"end_of_message": {"changes": [{"op": "add_header", "name": "X-A", "value": "v"}]}}
    webhooks: list[dict[str, Any]] = [{}, {"on_failure": "continue", "retries": 0}]
    async with dialogue(add, {"end_of_message": BROKEN}, webhooks=webhooks) as talk:
        await talk.mta.pass_on(*ENVELOPE, *CONTENT)
        assert await talk.mta.end() == [b"hX-A\0 v\0", b"a"]


# ── time ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def elapsed(waiting: Any) -> tuple[Any, float]:
    """The result, and how long it took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    return await waiting, loop.time() - began


async def test_the_timeout_of_a_webhook_is_for_one_call() -> None:
    async with dialogue({"mail": HANG}, webhook={"timeout": "200ms"}) as talk:
        await talk.mta.pass_on(CON, HEL)
        (reply,), seconds = await elapsed(talk.mta.say(MAI))
        assert reply.startswith(b"y451 ")
        assert 0.15 < seconds < 2
        assert [line["cause"] for line in talk.failures()] == ["timeout"]


async def test_the_end_of_a_message_has_a_timeout_of_its_own() -> None:
    webhook = {"timeout": "8s", "timeout_end_of_message": "200ms"}
    async with dialogue({"end_of_message": HANG}, webhook=webhook) as talk:
        await talk.mta.pass_on(*ENVELOPE, *CONTENT)
        (reply,), seconds = await elapsed(talk.mta.end())
        assert reply.startswith(b"y451 ")
        assert 0.15 < seconds < 2


async def test_the_deadline_of_an_event_is_for_all_webhooks_together_and_those_not_reached_fail() -> None:
    limits = {"command_deadline": "300ms"}
    webhook = {"timeout": "250ms", "on_failure": "continue"}
    async with dialogue({"mail": HANG}, {"mail": HANG}, {}, webhook=webhook, limits=limits) as talk:
        await talk.mta.pass_on(CON, HEL)
        (reply,), seconds = await elapsed(talk.mta.say(MAI))
        assert reply == b"c"
        assert 0.25 < seconds < 2
        assert [(line["webhook"], line["cause"]) for line in talk.failures()] == [
            ("webhook", "timeout"),
            ("webhook2", "timeout"),
            ("webhook3", "timeout"),
        ]
        assert "mail" not in talk.backends[2].events


async def test_a_webhook_is_told_how_long_the_gateway_waits() -> None:
    limits = {"command_deadline": "1s"}
    async with dialogue({}, webhook={"timeout": "8s", "timeout_end_of_message": "20s"}, limits=limits) as talk:
        await talk.mta.pass_on(*ENVELOPE, *CONTENT)
        await talk.mta.end()
        told = {item.event: int(item.headers["milter-deadline-ms"]) for item in talk.backend.requests}
        assert 0 < told["mail"] <= 1000
        assert 1000 < told["end_of_message"] <= 20_000


async def test_progress_goes_out_while_the_end_of_a_message_waits() -> None:
    release = asyncio.Event()

    async def late(_: Any) -> dict[str, Any]:
        await release.wait()
        return {"changes": [{"op": "replace_body", "text": "b"}]}

    async with dialogue({"end_of_message": late}, timing={"progress_seconds": 0.03}) as talk:
        await talk.mta.pass_on(*ENVELOPE, *CONTENT)
        await talk.mta.peer.send(P(b"E"))
        for _ in range(3):
            assert await talk.mta.peer.packet() == b"p"
        release.set()
        packets = await talk.mta.peer.packets_until_reply()
        assert [packet for packet in packets if packet != b"p"] == [b"bb", b"a"]
        assert packets[-2:] == [b"bb", b"a"]


@pytest.mark.parametrize("event", [event for event in PATHS if event != "end_of_message"])
async def test_progress_goes_out_at_no_other_event(event: str) -> None:
    webhook = {"timeout": "120ms"}
    async with dialogue({event: HANG}, webhook=webhook, timing={"progress_seconds": 0.02}) as talk:
        before, packet = PATHS[event]
        await talk.mta.pass_on(*before)
        assert [reply[:4] for reply in await talk.mta.say(packet)] == [b"y451"]


async def test_the_mta_going_away_cancels_the_call() -> None:
    async with dialogue({"mail": HANG}) as talk:
        await talk.mta.pass_on(CON, HEL)
        await talk.mta.peer.send(MAI)
        waiting = await talk.backend.wait_for("mail")
        await talk.mta.peer.hang_up()
        await asyncio.wait_for(waiting.gone.wait(), 5)


async def test_an_abort_of_the_mta_cancels_the_call_and_the_session_goes_on() -> None:
    async with dialogue({"rcpt": [HANG, {}]}) as talk:
        await talk.mta.pass_on(CON, HEL, MAI)
        await talk.mta.peer.send(RCP)
        waiting = await talk.backend.wait_for("rcpt")
        await talk.mta.peer.send(ABO)
        await asyncio.wait_for(waiting.gone.wait(), 5)
        await talk.mta.pass_on(MAI, RCP)
        assert talk.backend.only("abort")["data"] == {"after": "rcpt"}


async def test_calls_that_hang_do_not_hold_up_other_sessions() -> None:
    async with Misbehaving(silent).running() as bad, between(bad.url, events=["mail"], timeout="5s") as talk:
        await talk.mta.pass_on(CON, HEL)
        await talk.mta.peer.send(MAI)
        async with talk.gateway.peer() as second:
            _, seconds = await elapsed(second.negotiate())
            assert seconds < 2


async def test_a_hang_up_during_a_call_does_not_hold_up_a_stopping_gateway() -> None:
    async with Misbehaving(silent).running() as bad, between(bad.url, events=["mail"], timeout="60s") as talk:
        await talk.mta.pass_on(CON, HEL)
        await talk.mta.peer.send(MAI)
        await until(lambda: bad.lines, "the backend is not asked")
        await talk.mta.peer.hang_up()
        _, seconds = await elapsed(talk.gateway.service.stop())
        assert seconds < 2
