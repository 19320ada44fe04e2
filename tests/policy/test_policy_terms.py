"""Section 7: what is agreed with the MTA, and what a webhook may want of a connection."""

from typing import Any

import pytest
from dialogue import CON, CONTENT, DAT, ENVELOPE, EOH, HEL, MAI, RCP, SUBJECT, body, connect, dialogue, macros, mail
from gateway_harness import ABO, Answer, P

NO = {
    "connect": 0x1,
    "helo": 0x2,
    "mail": 0x4,
    "rcpt": 0x8,
    "body": 0x10,
    "header": 0x20,
    "end_of_headers": 0x40,
    "unknown": 0x100,
    "data": 0x200,
}
NR = {
    "connect": 0x1000,
    "helo": 0x2000,
    "mail": 0x4000,
    "rcpt": 0x8000,
    "body": 0x80000,
    "header": 0x80,
    "end_of_headers": 0x40000,
    "unknown": 0x20000,
    "data": 0x10000,
}
EVENTS = list(NO)
SKIP, REJECTED_RECIPIENTS, LEADING_SPACE = 0x400, 0x800, 0x100000


def told(steps: int) -> tuple[set[str], set[str]]:
    """What is left out, and what comes without being answered."""
    return {event for event in EVENTS if steps & NO[event]}, {event for event in EVENTS if steps & NR[event]}


CONTENT_EVENTS = {"header", "end_of_headers", "body"}
SUBSCRIPTIONS: list[tuple[dict[str, Any], set[str], set[str]]] = [
    ({}, set(), set()),
    ({"events": ["connect"]}, set(EVENTS) - {"connect"}, set()),
    ({"events": ["helo"]}, set(EVENTS) - {"connect", "helo"}, {"connect"}),
    ({"events": ["mail"]}, {"rcpt", "data", "unknown"} | CONTENT_EVENTS, {"connect", "helo"}),
    ({"events": ["rcpt"]}, {"data", "unknown"} | CONTENT_EVENTS, {"connect", "helo", "mail"}),
    ({"events": ["data"]}, {"unknown"} | CONTENT_EVENTS, {"connect", "helo", "mail", "rcpt"}),
    (
        {"events": ["end_of_message"]},
        {"data", "unknown", "end_of_headers"},
        {"connect", "helo", "mail", "rcpt", "header", "body"},
    ),
    (
        {"events": ["end_of_message"], "include": ["message.headers"]},
        {"data", "unknown", "end_of_headers", "body"},
        {"connect", "helo", "mail", "rcpt", "header"},
    ),
    (
        {"events": ["end_of_message"], "include": ["message.body"]},
        {"data", "unknown", "end_of_headers", "header"},
        {"connect", "helo", "mail", "rcpt", "body"},
    ),
    (
        {"events": ["end_of_message"], "include": [], "format": "multipart"},
        {"data", "unknown", "end_of_headers"},
        {"connect", "helo", "mail", "rcpt", "header", "body"},
    ),
    ({"events": ["end_of_headers"]}, {"data", "unknown", "body"}, {"connect", "helo", "mail", "rcpt", "header"}),
    ({"events": ["abort"]}, {"data", "unknown"} | CONTENT_EVENTS, {"connect", "helo", "rcpt"}),
    ({"events": ["mail", "abort"]}, {"data", "unknown"} | CONTENT_EVENTS, {"connect", "helo", "rcpt"}),
]


@pytest.mark.parametrize(("webhook", "left_out", "unanswered"), SUBSCRIPTIONS, ids=[str(i[0]) for i in SUBSCRIPTIONS])
async def test_what_nobody_subscribes_is_negotiated_away_and_what_is_gathered_is_not_answered(
    webhook: dict[str, Any], left_out: set[str], unanswered: set[str]
) -> None:
    async with dialogue({}, webhook=webhook) as talk:
        assert told(talk.mta.agreed.steps) == (left_out, unanswered)


@pytest.mark.parametrize("webhook", [item[0] for item in SUBSCRIPTIONS], ids=str)
async def test_a_message_passes_with_every_subscription(webhook: dict[str, Any]) -> None:
    async with dialogue({}, webhook=webhook) as talk:
        await talk.mta.pass_on(CON, HEL)
        assert await talk.mta.mail() == [b"a"]
        await talk.mta.pass_on(MAI, RCP)
        await talk.mta.say(ABO)
        assert await talk.mta.mail() == [b"a"]
        await talk.mta.quit()
        subscribed = webhook.get("events")
        await talk.gateway.idle()
        assert subscribed is None or set(talk.backend.events) == set(subscribed)


async def test_the_subscriptions_of_all_webhooks_count_together() -> None:
    webhooks: list[dict[str, Any]] = [{"events": ["rcpt"]}, {"events": ["end_of_message"], "include": []}]
    async with dialogue({}, {}, webhooks=webhooks) as talk:
        left_out, unanswered = told(talk.mta.agreed.steps)
        assert left_out == {"data", "unknown"} | CONTENT_EVENTS
        assert unanswered == {"connect", "helo", "mail"}


async def test_skip_is_asked_for_where_chunks_are_judged_and_refused_recipients_where_they_are_wanted() -> None:
    async with dialogue({}, webhook={"events": ["rcpt"]}) as talk:
        assert not talk.mta.agreed.steps & (SKIP | REJECTED_RECIPIENTS)
    async with dialogue({}, webhook={"events": ["rcpt", "body"], "rejected_recipients": True}) as talk:
        assert talk.mta.agreed.steps & (SKIP | REJECTED_RECIPIENTS) == SKIP | REJECTED_RECIPIENTS


@pytest.mark.parametrize("offered", [0, 0x7F, 0x1FFFFF, 0x1FFFFF & ~LEADING_SPACE, 0xFF3FF])
async def test_never_more_steps_are_agreed_than_were_offered(offered: int) -> None:
    async with dialogue({}, webhook={"events": ["end_of_message"]}, steps=offered) as talk:
        assert talk.mta.agreed.steps & ~offered == 0
        await talk.mta.pass_on(CON, HEL)
        assert await talk.mta.mail() == [b"a"]


ACTIONS: list[tuple[dict[str, Any], int]] = [
    ({}, 0x1FF),
    ({"allow": ["reject"]}, 0x100),
    ({"allow": ["add_header"]}, 0x101),
    ({"allow": ["set_header"]}, 0x111),
    ({"allow": ["delete_header"]}, 0x110),
    ({"allow": ["replace_body"]}, 0x102),
    ({"allow": ["replace_message"]}, 0x113),
    ({"allow": ["add_rcpt"]}, 0x184),
    ({"allow": ["delete_rcpt"]}, 0x108),
    ({"allow": ["change_from"]}, 0x140),
    ({"allow": ["quarantine"]}, 0x120),
    ({"allow": [], "on_failure": "quarantine"}, 0x120),
    ({"allow": [], "on_invalid": "quarantine"}, 0x120),
]


@pytest.mark.parametrize(("webhook", "actions"), ACTIONS, ids=[str(item[0]) for item in ACTIONS])
async def test_the_actions_asked_for_are_those_that_may_be_needed(webhook: dict[str, Any], actions: int) -> None:
    async with dialogue({}, webhook=webhook) as talk:
        assert talk.mta.agreed.actions == actions


OFFERS = [
    (0x1FF, {"add_header", "set_header", "change_header", "replace_message", "add_rcpt", "quarantine"}, set()),
    (0x021, {"add_header", "quarantine"}, {"set_header", "change_header", "replace_message", "replace_body"}),
    (0x010, {"change_header", "delete_header"}, {"set_header", "add_header", "replace_message"}),
    (0x013, {"replace_message", "set_header", "replace_body"}, {"add_rcpt", "change_from", "quarantine"}),
    (0x000, set(), {"add_header", "quarantine"}),
]


@pytest.mark.parametrize(("offered", "there", "missing"), OFFERS, ids=[hex(item[0]) for item in OFFERS])
async def test_a_webhook_is_told_which_changes_were_agreed(offered: int, there: set[str], missing: set[str]) -> None:
    async with dialogue({}, actions=offered) as talk:
        await talk.mta.pass_on(CON)
        changes = set(talk.backend.only("connect")["mta"]["changes"])
        assert there <= changes
        assert not missing & changes
        assert talk.backend.only("negotiate")["data"]["changes"] == talk.backend.only("connect")["mta"]["changes"]


@pytest.mark.parametrize(("version", "missing"), [(2, {"data", "unknown"}), (3, {"data"}), (6, set())])
async def test_a_webhook_is_told_which_events_were_agreed(version: int, missing: set[str]) -> None:
    async with dialogue({}, version=version, steps=0x7F) as talk:
        await talk.mta.pass_on(CON)
        request = talk.backend.only("connect")
        assert {"data", "unknown"} - set(request["mta"]["events"]) == missing
        assert request["mta"]["milter_version"] == version
        assert talk.backend.only("negotiate")["data"]["milter_version"] == version


@pytest.mark.parametrize(
    ("change", "offered"),
    [
        ({"op": "add_header", "name": "X", "value": "v"}, 0x1FE),
        ({"op": "set_header", "name": "X", "value": "v"}, 0x1EF),
        ({"op": "change_header", "name": "X", "value": "v", "nth": 1}, 0x1EF),
        ({"op": "delete_header", "name": "X"}, 0x1EF),
        ({"op": "replace_body", "text": "b"}, 0x1FD),
        ({"op": "replace_message", "text": "a: b\r\n\r\nc"}, 0x1FD),
        ({"op": "add_rcpt", "address": "c@z"}, 0x17B),
        ({"op": "add_rcpt", "address": "c@z", "params": {"A": True}}, 0x17F),
        ({"op": "delete_rcpt", "address": "c@z"}, 0x1F7),
        ({"op": "change_from", "address": "c@z"}, 0x1BF),
        ({"op": "quarantine", "reason": "r"}, 0x1DF),
    ],
    ids=lambda value: value["op"] if isinstance(value, dict) else hex(value),
)
async def test_a_change_that_was_not_agreed_makes_the_answer_invalid(change: dict[str, Any], offered: int) -> None:
    add = {"op": "add_header", "name": "X-First", "value": "v"}
    changes = [change] if change["op"] == "add_header" else [add, change]
    async with dialogue({"end_of_message": {"changes": changes}}, actions=offered) as talk:
        await talk.mta.pass_on(*ENVELOPE, *CONTENT)
        (reply,) = await talk.mta.end()
        assert reply.startswith(b"y451 4.7.1 ")
        assert [line["cause"] for line in talk.failures()] == ["invalid"]


# ── wants ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_wants_narrow_the_subscription_and_the_changes() -> None:
    wants = {"events": ["rcpt"], "optional_events": ["data"], "changes": ["add_header"], "optional_changes": []}
    async with dialogue({"negotiate": {"wants": wants}}) as talk:
        await talk.mta.pass_on(CON, HEL)
        assert await talk.mta.mail() == [b"a"]
        assert talk.backend.events == ["negotiate", "rcpt", "data"]
        mta = talk.backend.only("rcpt")["mta"]
        assert (mta["events"], mta["changes"]) == (["rcpt", "data"], ["add_header"])
        assert talk.mta.agreed.actions == 0x101
        assert told(talk.mta.agreed.steps)[0] == {"unknown"} | CONTENT_EVENTS


async def test_without_events_in_wants_the_subscription_stays() -> None:
    async with dialogue(
        {"negotiate": {"wants": {"changes": ["add_header"]}}}, webhook={"events": ["negotiate", "rcpt"]}
    ) as talk:
        await talk.mta.pass_on(*ENVELOPE)
        assert talk.backend.events == ["negotiate", "rcpt"]


async def test_an_optional_wish_that_the_mta_does_not_offer_is_no_failure() -> None:
    wants = {"events": ["rcpt"], "optional_events": ["data"], "optional_changes": ["change_from", "add_header"]}
    async with dialogue({"negotiate": {"wants": wants}}, version=2, actions=0x3F, steps=0x7F) as talk:
        await talk.mta.pass_on(*ENVELOPE)
        assert talk.backend.only("rcpt")["mta"]["changes"] == ["add_header"]
        assert talk.failures() == talk.warnings() == []


@pytest.mark.parametrize(
    ("wants", "missing"),
    [
        ({"events": ["rcpt", "data"]}, "data"),
        ({"changes": ["change_from"]}, "change_from"),
        ({"events": ["unknown"], "changes": ["change_from"]}, "unknown, change_from"),
    ],
    ids=str,
)
async def test_a_missing_requirement_is_logged_by_name_and_every_later_call_fails_unsent(
    wants: dict[str, Any], missing: str
) -> None:
    webhook = {
        "events": ["negotiate", "mail", "rcpt", "data", "unknown"],
        "on_failure": {"default": "reject", "mail": "continue"},
    }
    async with dialogue({"negotiate": {"wants": wants}}, webhook=webhook, version=2, actions=0x3F, steps=0x7F) as talk:
        assert [missing in line["text"] for line in talk.warnings()] == [True]
        await talk.mta.pass_on(CON, HEL, MAI)
        assert await talk.mta.say(RCP, RCP) == [b"y550 5.7.1 Command rejected\0"] * 2
        assert talk.backend.events == ["negotiate"]
        assert [line["cause"] for line in talk.failures()] == ["unmet_requirement"] * 3


async def test_a_missing_requirement_of_one_webhook_does_not_concern_another() -> None:
    answers = {"negotiate": {"wants": {"changes": ["change_from"]}}}
    async with dialogue(answers, {}, webhook={"on_failure": "continue"}, actions=0x3F) as talk:
        await talk.mta.pass_on(*ENVELOPE)
        assert talk.backends[1].events == ["negotiate", "connect", "helo", "mail", "rcpt"]


@pytest.mark.parametrize(
    "answer",
    [Answer(404, b""), Answer(200, b"no json"), {"wants": {"event": ["rcpt"]}}, {"action": "reject"}],
    ids=["failed", "no json", "misspelt", "an action"],
)
async def test_a_negotiate_without_a_valid_answer_counts_as_no_wants(answer: Any) -> None:
    async with dialogue({"negotiate": answer}, webhook={"on_failure": "reject", "on_invalid": "reject"}) as talk:
        assert await talk.mta.say(CON) == [b"c"]
        assert talk.backend.only("connect")["mta"]["events"][:3] == ["connect", "helo", "mail"]
        assert len(talk.failures()) == 1


async def test_wanted_and_configured_macros_are_asked_for_beside_the_defaults_of_both_mtas() -> None:
    answers = {"negotiate": {"wants": {"macros": {"connect": ["client_connections"], "mail": ["{verify}", "b"]}}}}
    async with dialogue(answers, macros={"connect": ["{client_ptr}"], "end_of_message": ["{mine}"]}) as talk:
        lists = {stage: set(names) for stage, names in talk.mta.agreed.lists.items()}
        assert lists[0] >= {b"j", b"_", b"v", b"{daemon_name}", b"{if_addr}", b"{daemon_addr}", b"{client_ptr}"}
        assert b"{client_connections}" in lists[0]
        assert lists[1] >= {b"{tls_version}", b"{cipher}", b"{cipher_bits}", b"{cert_subject}", b"{cert_issuer}"}
        assert lists[2] >= {b"i", b"{auth_type}", b"{auth_authen}", b"{auth_author}", b"{mail_addr}", b"{verify}", b"b"}
        assert lists[3] >= {b"i", b"{rcpt_mailer}", b"{rcpt_host}", b"{rcpt_addr}"}
        assert lists[4] >= {b"i"}
        assert lists[5] >= {b"i", b"{msg_id}", b"{mine}"}
        assert lists[6] >= {b"i"}


async def test_no_stage_is_asked_for_more_macros_than_sendmail_takes() -> None:
    many = [f"{{m{number}}}" for number in range(100)]
    async with dialogue({"negotiate": {"wants": {"macros": {"connect": many}}}}) as talk:
        assert len(talk.mta.agreed.lists[0]) == 50


async def test_macro_lists_are_sent_only_where_the_mta_takes_them() -> None:
    async with dialogue({}, actions=0xFF) as talk:
        assert talk.mta.agreed.lists == {}


# ── when ────────────────────────────────────────────────────────────────────────────────────────────────────────────

AUTH = macros(b"M", {"{auth_type}": "PLAIN", "{auth_authen}": "Ann"})
TLS = macros(b"H", {"{tls_version}": "TLSv1.3"})
DAEMON = macros(b"C", {"{daemon_name}": "smtpd"})
V6 = connect(b"six", b"2001:db8::1", 25, b"6")

WHEN: list[tuple[dict[str, Any], tuple[bytes, ...], list[str]]] = [
    ({"client": ["192.0.2.0/24"]}, (CON, HEL), ["connect", "helo"]),
    ({"client": ["198.51.100.0/24"]}, (CON, HEL), []),
    ({"client": ["!192.0.2.0/24"]}, (CON, HEL), []),
    ({"client": ["!198.51.100.0/24"]}, (CON, HEL), ["connect", "helo"]),
    ({"client": ["192.0.0.0/8", "!192.0.2.0/24"]}, (CON, HEL), []),
    ({"client": ["2001:db8::/32"]}, (V6, HEL), ["connect", "helo"]),
    ({"client": ["192.0.2.0/24"]}, (V6, HEL), []),
    ({"client": ["192.0.2.0/24"]}, (P(b"Clocal\0U"), HEL), []),
    ({"client": ["!192.0.2.0/24"]}, (P(b"Clocal\0U"), HEL), ["connect", "helo"]),
    ({"authenticated": False}, (CON, HEL, MAI, RCP), ["mail", "rcpt"]),
    ({"authenticated": True}, (CON, HEL, MAI, RCP), []),
    ({"authenticated": True}, (CON, HEL, AUTH, MAI, RCP), ["mail", "rcpt"]),
    ({"authenticated": False}, (CON, HEL, AUTH, MAI, RCP), []),
    ({"auth_user": ["ann"]}, (CON, HEL, AUTH, MAI, RCP), ["mail", "rcpt"]),
    ({"auth_user": ["bob"]}, (CON, HEL, AUTH, MAI, RCP), []),
    ({"auth_user": ["!bob"]}, (CON, HEL, AUTH, MAI, RCP), ["mail", "rcpt"]),
    ({"auth_user": ["ann"]}, (CON, HEL, MAI), []),
    ({"auth_user": ["!bob"]}, (CON, HEL, MAI), ["mail"]),
    ({"from_domain": ["X.test"]}, (CON, HEL, MAI, RCP), ["mail", "rcpt"]),
    ({"from_domain": ["y.test"]}, (CON, HEL, MAI, RCP), []),
    ({"from_domain": ["x.test"]}, (CON, HEL, mail(b"<>"), RCP), []),
    ({"from_domain": ["!x.test"]}, (CON, HEL, mail(b"<>"), RCP), ["mail", "rcpt"]),
    ({"rcpt_domain": ["y.test"]}, (CON, HEL, MAI, RCP, DAT), ["rcpt", "data"]),
    ({"rcpt_domain": ["z.test"]}, (CON, HEL, MAI, RCP, DAT), []),
    ({"rcpt_domain": ["z.test"]}, (CON, HEL, MAI, RCP, P(b"R<c@Z.test>\0"), DAT), ["rcpt", "data"]),
    ({"rcpt_domain": ["!y.test"]}, (CON, HEL, MAI, RCP, DAT), []),
    ({"rcpt_domain": ["!y.test"]}, (CON, HEL, MAI, RCP, P(b"R<c@z.test>\0"), RCP, DAT), ["rcpt", "data"]),
    ({"helo": ["C.test"]}, (CON, HEL, MAI), ["helo", "mail"]),
    ({"helo": ["!c.test"]}, (CON, HEL, MAI), []),
    ({"daemon": ["smtpd"]}, (DAEMON, CON, HEL), ["connect", "helo"]),
    ({"daemon": ["submission"]}, (DAEMON, CON, HEL), []),
    ({"daemon": ["smtpd"]}, (CON, HEL), []),
    ({"tls": True}, (CON, TLS, HEL, MAI), ["helo", "mail"]),
    ({"tls": True}, (CON, HEL, MAI), []),
    ({"tls": False}, (CON, HEL, MAI), ["helo", "mail"]),
    ({"tls": False}, (CON, TLS, HEL, MAI), []),
    ({"tls": True, "authenticated": True}, (CON, TLS, HEL, MAI), []),
    ({"tls": True, "authenticated": True}, (CON, TLS, HEL, AUTH, MAI), ["mail"]),
]


@pytest.mark.parametrize(("when", "packets", "posted"), WHEN, ids=[f"{n} {item[0]}" for n, item in enumerate(WHEN)])
async def test_a_webhook_is_asked_when_all_its_conditions_hold(
    when: dict[str, Any], packets: tuple[bytes, ...], posted: list[str]
) -> None:
    events = ["connect", "helo", "mail", "rcpt", "data"]
    async with dialogue({}, {}, webhooks=[{"events": events, "when": when}, {}]) as talk:
        await talk.mta.pass_on(*packets)
        assert talk.backend.events == posted


async def test_a_webhook_that_is_not_concerned_does_not_stop_the_mail() -> None:
    webhook = {"when": {"rcpt_domain": ["elsewhere.test"]}}
    async with dialogue({"end_of_message": {"action": "reject"}}, webhook=webhook) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, SUBJECT, EOH, body(b"x"))
        assert await talk.mta.end() == [b"a"]
