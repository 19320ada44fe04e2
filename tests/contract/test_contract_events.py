"""Section 3 and 4: every event is posted with exactly these fields, through the real gateway."""

import re
import uuid
from datetime import UTC, datetime, timedelta
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
    connect,
    dialogue,
    header,
    json_of,
    macros,
    mail,
    parts_of,
    rcpt,
)
from gateway_harness import ABO, EOM, QUI, P, until

from gateway.version import VERSION

EVENTS = [
    "negotiate",
    "connect",
    "helo",
    "mail",
    "rcpt",
    "data",
    "header",
    "end_of_headers",
    "body",
    "end_of_message",
    "abort",
    "unknown",
    "disconnect",
]
OPS = [
    "add_header",
    "set_header",
    "change_header",
    "delete_header",
    "replace_body",
    "replace_message",
    "add_rcpt",
    "delete_rcpt",
    "change_from",
    "quarantine",
]
TOP_KEYS = {
    "version",
    "id",
    "event",
    "time",
    "webhook",
    "dry_run",
    "session_id",
    "transaction_id",
    "queue_id",
    "mta",
    "client",
    "tls",
    "auth",
    "envelope",
    "data",
    "message",
    "macros",
    "previous",
    "context",
}


async def say_everything(talk: Dialogue) -> None:
    """A session in which every event happens."""
    mta = talk.mta
    await mta.pass_on(macros(b"C", {"j": "mx1.site.example"}), CON, HEL, P(b"UFOO bar\0"))
    await mta.pass_on(MAI, RCP, *CONTENT)
    assert await mta.end() == [b"a"]
    await mta.pass_on(MAI, RCP)
    await mta.say(ABO)
    await mta.quit()
    await talk.backend.wait_for("disconnect")


async def test_every_event_is_posted_in_the_order_of_time() -> None:
    async with dialogue({}) as talk:
        await say_everything(talk)
        assert talk.backend.events == [
            "negotiate",
            "connect",
            "helo",
            "unknown",
            "mail",
            "rcpt",
            "data",
            "header",
            "end_of_headers",
            "body",
            "end_of_message",
            "mail",
            "rcpt",
            "abort",
            "disconnect",
        ]


async def test_every_event_has_exactly_the_keys_of_the_contract() -> None:
    async with dialogue({}) as talk:
        await say_everything(talk)
        for request in talk.backend.requests:
            assert set(request.json) == TOP_KEYS, request.event
            assert set(request.json["mta"]) == {
                "name",
                "software",
                "daemon",
                "address",
                "port",
                "milter_version",
                "events",
                "changes",
            }
            assert set(request.json["client"]) == {"name", "address", "port", "family", "helo"}
            assert set(request.json["envelope"]) == {"from", "to"}
            assert set(request.json["context"]) == {"session", "transaction"}


DATA: dict[str, Any] = {
    "negotiate": {"milter_version": 6, "events": EVENTS[1:], "changes": OPS},
    "connect": {"name": "mx.test", "address": "192.0.2.1", "port": 25, "family": "inet"},
    "helo": {"name": "c.test"},
    "unknown": {"command": "FOO bar"},
    "mail": {"address": "a@x.test", "params": {}},
    "rcpt": {"address": "b@y.test", "params": {}, "index": 0},
    "data": {},
    "header": {"index": 0, "name": "Subject", "value": "hi"},
    "end_of_headers": {"count": 1},
    "body": {"offset": 0, "size": 6, "text": "body\r\n"},
    "end_of_message": {"size": 21, "truncated": False},
    "abort": {"after": "rcpt"},
}


@pytest.mark.parametrize("event", DATA)
async def test_the_data_of_an_event(event: str) -> None:
    async with dialogue({}) as talk:
        await say_everything(talk)
        assert talk.backend.data(event)[0] == DATA[event]


async def test_the_data_of_disconnect() -> None:
    async with dialogue({}) as talk:
        await say_everything(talk)
        data = talk.backend.only("disconnect")["data"]
        assert set(data) == {"cause", "transactions", "duration_ms"}
        assert (data["cause"], data["transactions"]) == ("quit", 2)
        assert 0 <= data["duration_ms"] < 60_000


async def test_a_hang_up_is_a_disconnect_by_eof() -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(CON)
        await talk.mta.peer.hang_up()
        assert (await talk.backend.wait_for("disconnect")).json["data"]["cause"] == "eof"


async def test_a_protocol_violation_is_a_disconnect_by_error() -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(CON)
        await talk.mta.peer.send(P(b"z"))
        assert (await talk.backend.wait_for("disconnect")).json["data"]["cause"] == "error"


async def test_a_stopping_gateway_is_a_disconnect_by_shutdown() -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(CON)
        await talk.gateway.service.stop()
        assert talk.backend.only("disconnect")["data"]["cause"] == "shutdown"


async def test_the_header_fields_of_every_call() -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(CON)
        request = talk.backend.requests[-1]
        fields = request.headers
        assert request.method == "POST"
        assert fields["content-type"] == "application/json"
        assert fields["webhook-id"] == request.json["id"]
        assert abs(int(fields["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 60
        assert fields["milter-event"] == "connect"
        assert fields["milter-session"] == request.json["session_id"]
        assert fields["milter-attempt"] == "1"
        assert 0 < int(fields["milter-deadline-ms"]) <= 8000
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", fields["traceparent"])
        assert fields["user-agent"] == f"milter-gateway/{VERSION}"
        assert "webhook-signature" not in fields


async def test_each_call_has_an_id_of_its_own_and_a_session_keeps_its_id() -> None:
    async with dialogue({}) as talk:
        await say_everything(talk)
        requests = [request.json for request in talk.backend.requests]
        assert len({request["id"] for request in requests}) == len(requests)
        assert len({request["session_id"] for request in requests}) == 1
        assert all(uuid.UUID(request["id"]).version == 7 for request in requests)


async def test_each_transaction_has_an_id_and_nothing_outside_one_has() -> None:
    async with dialogue({}) as talk:
        await say_everything(talk)
        ids = {event: [item["transaction_id"] for item in talk.backend.of(event)] for event in EVENTS}
        first, second = ids["mail"]
        assert first != second
        assert ids["end_of_message"] == [first]
        assert ids["rcpt"] == [first, second]
        assert ids["abort"] == [second]
        assert {*ids["connect"], *ids["helo"], *ids["unknown"], *ids["negotiate"], *ids["disconnect"]} == {None}


async def test_the_time_is_utc_in_milliseconds() -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(CON)
        time = talk.backend.only("connect")["time"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)
        assert abs(datetime.fromisoformat(time) - datetime.now(UTC)) < timedelta(minutes=1)


async def test_constant_facts() -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(CON)
        request = talk.backend.only("connect")
        facts = {key: request[key] for key in ("version", "event", "webhook", "dry_run", "tls", "auth", "message")}
        assert facts == {
            "version": 1,
            "event": "connect",
            "webhook": "webhook",
            "dry_run": False,
            "tls": None,
            "auth": None,
            "message": None,
        }
        assert request["previous"] == []
        assert request["context"] == {"session": None, "transaction": None}
        assert request["envelope"] == {"from": None, "to": []}


# ── the MTA, the client ─────────────────────────────────────────────────────────────────────────────────────────────

POSTFIX = {
    "j": "mx1.site.example",
    "v": "Postfix 3.9.1",
    "{daemon_name}": "smtpd",
    "{daemon_addr}": "198.51.100.5",
    "{daemon_port}": "25",
    "_": "out [192.0.2.25]",
}


async def test_facts_of_the_mta() -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(macros(b"C", POSTFIX), CON)
        assert talk.backend.only("connect")["mta"] == {
            "name": "mx1.site.example",
            "software": "Postfix 3.9.1",
            "daemon": "smtpd",
            "address": "198.51.100.5",
            "port": 25,
            "milter_version": 6,
            "events": EVENTS[1:],
            "changes": OPS,
        }


async def test_what_the_mta_does_not_say_is_null() -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(CON)
        mta = talk.backend.only("connect")["mta"]
        assert [mta[key] for key in ("name", "software", "daemon", "address", "port")] == [None] * 5


async def test_the_address_of_the_mta_comes_without_its_prefix_and_port_zero_is_null() -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(macros(b"C", {"{daemon_addr}": "IPv6:2001:db8::1", "{daemon_port}": "0"}), CON)
        mta = talk.backend.only("connect")["mta"]
        assert (mta["address"], mta["port"]) == ("2001:db8::1", None)


async def test_sendmail_tells_the_interface() -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(macros(b"C", {"{if_addr}": "[198.51.100.7]"}), CON)
        assert talk.backend.only("connect")["mta"]["address"] == "198.51.100.7"


CLIENTS = [
    (connect(), {"name": "mx.test", "address": "192.0.2.1", "port": 25, "family": "inet"}),
    (connect(b"unknown", port=0), {"name": "unknown", "address": "192.0.2.1", "port": None, "family": "inet"}),
    (connect(b"[192.0.2.1]"), {"name": "[192.0.2.1]", "address": "192.0.2.1", "port": 25, "family": "inet"}),
    (
        connect(b"[IPv6:0:0:0:0:0:0:0:1]", b"IPv6:0:0:0:0:0:0:0:1", 32948, b"6"),
        {"name": "[IPv6:0:0:0:0:0:0:0:1]", "address": "::1", "port": 32948, "family": "inet6"},
    ),
    (connect(b"a", b"[2001:db8::1]", 5, b"6"), {"name": "a", "address": "2001:db8::1", "port": 5, "family": "inet6"}),
    (connect(b"l", b"/run/s", 0, b"L"), {"name": "l", "address": "/run/s", "port": None, "family": "unix"}),
    (P(b"Clocalhost\0U"), {"name": "localhost", "address": None, "port": None, "family": "unknown"}),
]


@pytest.mark.parametrize(("packet", "facts"), CLIENTS, ids=[str(item[1]["name"]) for item in CLIENTS])
async def test_facts_of_the_client(packet: bytes, facts: dict[str, Any]) -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(packet)
        request = talk.backend.only("connect")
        assert request["data"] == facts
        assert request["client"] == {**facts, "helo": None}


async def test_the_client_is_known_later_with_its_helo() -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(*ENVELOPE)
        assert talk.backend.only("rcpt")["client"] == {
            "name": "mx.test",
            "address": "192.0.2.1",
            "port": 25,
            "family": "inet",
            "helo": "c.test",
        }


TLS = {
    "{tls_version}": "TLSv1.3",
    "{cipher}": "TLS_AES_256_GCM_SHA384",
    "{cipher_bits}": "256",
    "{cert_subject}": b"/CN=caf\xe9",
}


async def test_tls_is_known_from_helo_on() -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(CON, macros(b"H", TLS), HEL, MAI)
        assert talk.backend.only("mail")["tls"] == {
            "version": "TLSv1.3",
            "cipher": "TLS_AES_256_GCM_SHA384",
            "bits": 256,
            "cert_subject": "/CN=caf\ufffd",
            "cert_subject_base64": "L0NOPWNhZuk=",
            "cert_issuer": None,
        }


async def test_a_helo_before_starttls_has_no_tls() -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(CON, HEL, macros(b"H", TLS), HEL)
        assert [item["tls"] is None for item in talk.backend.of("helo")] == [True, False]


AUTH = {"{auth_type}": "PLAIN", "{auth_authen}": "ann"}


async def test_auth_is_known_from_mail_on_and_stays() -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(CON, HEL, macros(b"M", AUTH), MAI, RCP)
        expected = {"mechanism": "PLAIN", "user": "ann", "author": None}
        assert [talk.backend.only(event)["auth"] for event in ("helo", "mail", "rcpt")] == [None, expected, expected]


# ── the envelope ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("spelled", "address"),
    [
        (b"<a@x.test>", "a@x.test"),
        (b"a@x.test", "a@x.test"),
        (b"<>", ""),
        (b"", ""),
        (b'<"a b"@x.test>', '"a b"@x.test'),
        (b"<<a@x.test>>", "<a@x.test>"),
        (b"<@r.test:u@d.test>", "@r.test:u@d.test"),
        ("<\u00e9@x.test>".encode(), "\u00e9@x.test"),
    ],
)
async def test_a_sender_comes_without_one_pair_of_brackets(spelled: bytes, address: str) -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(CON, HEL, mail(spelled))
        request = talk.backend.only("mail")
        assert request["data"] == {"address": address, "params": {}}
        assert request["envelope"]["from"] == {"address": address, "params": {}}


async def test_an_address_that_is_no_utf8_has_its_bytes_beside() -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(CON, HEL, mail(b"<\xff@x>"))
        assert talk.backend.only("mail")["data"] == {
            "address": "\ufffd@x",
            "address_base64": "/0B4",
            "params": {},
        }


PARAMS = [
    ((b"SIZE=81", b"BODY=8BITMIME"), {"SIZE": "81", "BODY": "8BITMIME"}),
    ((b"SIZE=81 BODY=8BITMIME",), {"SIZE": "81", "BODY": "8BITMIME"}),
    ((b"size=81", b"smtputf8"), {"SIZE": "81", "SMTPUTF8": True}),
    ((b"AUTH=a=b",), {"AUTH": "a=b"}),
    ((b"X=",), {"X": ""}),
    ((b"X=\xff",), {"X": "\ufffd", "X_base64": "/w=="}),
]


@pytest.mark.parametrize(("params", "shown"), PARAMS, ids=[str(item[1]) for item in PARAMS])
async def test_parameters(params: tuple[bytes, ...], shown: dict[str, Any]) -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(CON, HEL, mail(b"<a@x>", *params), rcpt(b"<b@y>", *params))
        assert talk.backend.only("mail")["data"]["params"] == shown
        assert talk.backend.only("rcpt")["data"]["params"] == shown
        assert talk.backend.only("rcpt")["envelope"]["to"] == [{"address": "b@y", "params": shown}]


async def test_the_recipient_in_question_is_the_last_and_a_refused_one_is_gone() -> None:
    answers = {"rcpt": [{}, {"action": "reject"}, {}]}
    async with dialogue(answers) as talk:
        await talk.mta.pass_on(CON, HEL, MAI)
        for address in (b"<one@y>", b"<two@y>", b"<three@y>"):
            await talk.mta.say(rcpt(address))
        await talk.mta.pass_on(*CONTENT)
        await talk.mta.end()
        shown = [[to["address"] for to in item["envelope"]["to"]] for item in talk.backend.of("rcpt")]
        assert shown == [["one@y"], ["one@y", "two@y"], ["one@y", "three@y"]]
        final = talk.backend.only("end_of_message")["envelope"]["to"]
        assert [to["address"] for to in final] == ["one@y", "three@y"]


async def test_the_index_counts_all_recipients_of_the_transaction_and_begins_anew() -> None:
    async with dialogue({"rcpt": {"action": "reject"}}) as talk:
        await talk.mta.pass_on(CON, HEL, MAI)
        await talk.mta.say(RCP, RCP, RCP)
        await talk.mta.say(ABO)
        await talk.mta.pass_on(MAI)
        await talk.mta.say(RCP)
        assert [data["index"] for data in talk.backend.data("rcpt")] == [0, 1, 2, 0]


async def test_a_recipient_that_the_mta_refused_is_posted_where_it_is_asked_for() -> None:
    async with dialogue({"rcpt": {"action": "reject"}}, webhook={"rejected_recipients": True}) as talk:
        await talk.mta.pass_on(CON, HEL, MAI)
        refused = macros(b"R", {"{rcpt_mailer}": "error", "{rcpt_host}": "5.1.1", "{rcpt_addr}": "no user"})
        await talk.mta.pass_on(refused, RCP)
        assert talk.backend.only("rcpt")["data"] == {
            "address": "b@y.test",
            "params": {},
            "index": 0,
            "rejected_by_mta": True,
        }


REFUSED = macros(b"R", {"{rcpt_mailer}": "error", "{rcpt_host}": "5.1.1", "{rcpt_addr}": "no user"})


@pytest.mark.parametrize("action", ["reject", "tempfail", "discard", "disconnect", "accept"])
async def test_a_verdict_on_a_recipient_that_the_mta_refused_is_ignored(action: str) -> None:
    async with dialogue({"rcpt": [{"action": action}, {}]}, webhook={"rejected_recipients": True}) as talk:
        await talk.mta.pass_on(CON, HEL, MAI, REFUSED, RCP, rcpt(b"<c@y>"), *CONTENT)
        assert await talk.mta.end() == [b"a"]
        assert talk.backend.only("end_of_message")["envelope"]["to"] == [{"address": "c@y", "params": {}}]


async def test_changes_answered_to_a_recipient_that_the_mta_refused_fall() -> None:
    add = {"changes": [{"op": "add_header", "name": "X", "value": "v"}]}
    async with dialogue({"rcpt": [add, {}]}, webhook={"rejected_recipients": True}) as talk:
        await talk.mta.pass_on(CON, HEL, MAI, REFUSED, RCP, rcpt(b"<c@y>"), *CONTENT)
        assert await talk.mta.end() == [b"a"]


async def test_without_the_setting_a_recipient_that_the_mta_refused_is_not_posted() -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(CON, HEL, MAI, REFUSED, RCP)
        assert talk.backend.of("rcpt") == []


# ── macros and the queue id ─────────────────────────────────────────────────────────────────────────────────────────


async def test_macros_of_one_letter_are_bare_and_longer_ones_in_braces() -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(macros(b"C", {"j": "mx", "{client_addr}": "192.0.2.25", "naked": "n", "{v}": "P"}), CON)
        assert talk.backend.only("connect")["macros"] == {
            "j": "mx",
            "{client_addr}": "192.0.2.25",
            "{naked}": "n",
            "v": "P",
        }


async def test_a_macro_that_is_no_utf8_has_its_bytes_beside() -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(macros(b"C", {"{xy}": b"\xff"}), CON)
        assert talk.backend.only("connect")["macros"] == {"{xy}": "\ufffd", "{xy}_base64": "/w=="}


async def test_macros_of_earlier_stages_stay_in_scope_and_later_ones_hide_them() -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(macros(b"C", {"j": "mx", "{xy}": "c"}), CON, HEL, macros(b"M", {"{xy}": "m"}), MAI)
        assert talk.backend.only("mail")["macros"] == {"j": "mx", "{xy}": "m"}


async def test_macros_of_a_recipient_are_seen_at_that_recipient_alone() -> None:
    async with dialogue({}) as talk:
        first, second = (macros(b"R", {"{rcpt_addr}": name}) for name in ("r1", "r2"))
        await talk.mta.pass_on(CON, HEL, MAI, first, RCP, second, RCP, *CONTENT)
        await talk.mta.end()
        assert [item["macros"] for item in talk.backend.of("rcpt")] == [{"{rcpt_addr}": "r1"}, {"{rcpt_addr}": "r2"}]
        assert talk.backend.only("end_of_message")["macros"] == {}


async def test_the_queue_id_is_null_until_the_mta_says_it_and_stays_then() -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(CON, HEL, MAI, RCP, macros(b"R", {"i": "4Q1"}), RCP, *CONTENT)
        await talk.mta.end()
        assert [item["queue_id"] for item in talk.backend.of("rcpt")] == [None, "4Q1"]
        assert [talk.backend.only(event)["queue_id"] for event in ("data", "body", "end_of_message")] == ["4Q1"] * 3


async def test_the_queue_id_of_one_message_is_not_that_of_the_next() -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(CON, HEL, macros(b"M", {"i": "4Q1"}))
        await talk.mta.mail()
        await talk.mta.pass_on(P(b"DM"), MAI)
        assert [item["queue_id"] for item in talk.backend.of("mail")] == ["4Q1", None]


async def test_a_queue_id_in_braces_counts_as_well() -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(CON, HEL, macros(b"M", {"{i}": "4Q1"}), MAI)
        assert talk.backend.only("mail")["queue_id"] == "4Q1"


# ── the message ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def message_of(talk: Dialogue, *content: bytes) -> dict[str, Any]:
    """The end_of_message request for this content."""
    await talk.mta.pass_on(*ENVELOPE, DAT, *content)
    await talk.mta.end()
    return talk.backend.only("end_of_message")


async def test_the_message_is_null_until_the_headers_are_complete() -> None:
    async with dialogue({}) as talk:
        await message_of(talk, SUBJECT, EOH, body(b"x\r\n"))
        shown = {event: talk.backend.only(event)["message"] is None for event in ("data", "header", "end_of_headers")}
        assert shown == {"data": True, "header": True, "end_of_headers": False}


async def test_the_message_at_its_end() -> None:
    async with dialogue({}) as talk:
        request = await message_of(
            talk, header(b"From", b" Ann <ann@client.example>"), header(b"X", b" a\n b\n\tc"), EOH, body(b"hello\r\n")
        )
        assert request["message"] == {
            "size": len(b"From: Ann <ann@client.example>\r\nX: a\r\n b\r\n\tc\r\n\r\nhello\r\n"),
            "headers": [
                {"name": "From", "value": "Ann <ann@client.example>"},
                {"name": "X", "value": "a\n b\n\tc"},
            ],
            "body": {"text": "hello\r\n"},
        }
        assert request["data"] == {"size": request["message"]["size"], "truncated": False}


async def test_the_message_at_the_end_of_headers_has_no_body() -> None:
    async with dialogue({}) as talk:
        await message_of(talk, SUBJECT, EOH, body(b"x\r\n"))
        assert talk.backend.only("end_of_headers")["message"] == {
            "size": None,
            "headers": [{"name": "Subject", "value": "hi"}],
        }


FIELDS = [
    (b" two", {"value": "two"}),
    (b"  two", {"value": " two"}),
    (b"\tt", {"value": "\tt", "field_base64": "WDoJdA=="}),
    (b"none", {"value": "none", "field_base64": "WDpub25l"}),
    (b"", {"value": "", "field_base64": "WDo="}),
    (b" ", {"value": ""}),
    (b" \xe9", {"value": "\ufffd", "value_base64": "6Q=="}),
    (b"\xe9", {"value": "\ufffd", "value_base64": "6Q==", "field_base64": "WDrp"}),
]


@pytest.mark.parametrize(("raw", "shown"), FIELDS, ids=[repr(item[0]) for item in FIELDS])
async def test_the_value_of_a_field(raw: bytes, shown: dict[str, Any]) -> None:
    async with dialogue({}) as talk:
        request = await message_of(talk, header(b"X", raw), EOH)
        assert request["message"]["headers"] == [{"name": "X", **shown}]
        assert talk.backend.only("header")["data"] == {"index": 0, "name": "X", **shown}


async def test_without_the_leading_space_agreed_the_value_is_what_came() -> None:
    async with dialogue({}, steps=0x1FFFFF & ~0x100000) as talk:
        request = await message_of(talk, header(b"X", b"two"), header(b"Y", b" two"), EOH)
        assert request["message"]["headers"] == [{"name": "X", "value": "two"}, {"name": "Y", "value": " two"}]


BODIES = [
    (b"hello\r\n", {"text": "hello\r\n"}),
    ("caf\u00e9 \U0001f4e8\r\n".encode(), {"text": "caf\u00e9 \U0001f4e8\r\n"}),
    (b"a\0b", {"base64": "YQBi"}),
    (b"\xff", {"base64": "/w=="}),
    (b"\xed\xa0\x80", {"base64": "7aCA"}),
    (b'\x01\x1f\x7f\\"', {"text": '\x01\x1f\x7f\\"'}),
]


@pytest.mark.parametrize(("raw", "shown"), BODIES, ids=[repr(item[0]) for item in BODIES])
@pytest.mark.parametrize("spool_above", ["1MiB", "1B"])
async def test_the_body_is_text_or_base64(raw: bytes, shown: dict[str, str], spool_above: str) -> None:
    async with dialogue({}, limits={"spool_above": spool_above}) as talk:
        request = await message_of(talk, EOH, body(raw))
        assert request["message"]["body"] == shown
        data = talk.backend.only("body")["data"]
        assert data == {"offset": 0, "size": len(raw), **shown}


async def test_a_message_without_a_body_has_an_empty_one() -> None:
    async with dialogue({}) as talk:
        assert (await message_of(talk, EOH))["message"] == {"size": 2, "headers": [], "body": {"text": ""}}


async def test_chunks_of_the_body_come_with_their_offset_and_the_body_is_whole() -> None:
    async with dialogue({}) as talk:
        request = await message_of(talk, EOH, body(b"caf\xc3"), body(b"\xa9\r"), body(b"\n"))
        assert talk.backend.data("body") == [
            {"offset": 0, "size": 4, "base64": "Y2Fmww=="},
            {"offset": 4, "size": 2, "base64": "qQ0="},
            {"offset": 6, "size": 1, "text": "\n"},
        ]
        assert request["message"]["body"] == {"text": "caf\u00e9\r\n"}


async def test_a_chunk_within_the_end_of_message_is_posted_first() -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, EOH)
        assert await talk.mta.say(P(b"Elast\r\n")) == [b"a"]
        assert talk.backend.events[-2:] == ["body", "end_of_message"]
        assert talk.backend.only("end_of_message")["message"]["body"] == {"text": "last\r\n"}


INCLUDES = [
    (["message.headers", "message.body"], {"size", "headers", "body"}),
    (["message.headers"], {"size", "headers"}),
    (["message.body"], {"size", "body"}),
    ([], {"size"}),
]


@pytest.mark.parametrize(("include", "keys"), INCLUDES, ids=[str(item[0]) for item in INCLUDES])
async def test_parts_that_are_not_included_are_absent(include: list[str], keys: set[str]) -> None:
    async with dialogue({}, webhook={"events": ["end_of_message"], "include": include}) as talk:
        assert set((await message_of(talk, SUBJECT, EOH, body(b"x")))["message"]) == keys


@pytest.mark.parametrize("include", [["message.headers"], ["message.body"], []], ids=str)
async def test_a_size_that_nobody_measured_is_null_and_not_invented(include: list[str]) -> None:
    async with dialogue({}, webhook={"events": ["end_of_message"], "include": include}) as talk:
        request = await message_of(talk, SUBJECT, EOH, body(b"x"))
        assert (request["message"]["size"], request["data"]["size"]) == (None, None)


async def test_a_size_is_null_where_the_rest_of_the_body_was_skipped() -> None:
    webhook = {"events": ["body", "end_of_message"], "include": ["message.headers"]}
    async with dialogue({"body": {"action": "skip"}}, webhook=webhook) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, SUBJECT, EOH)
        assert await talk.mta.say(body(b"first")) == [b"s"]
        await talk.mta.end()
        assert talk.backend.only("end_of_message")["data"]["size"] is None


async def test_end_of_headers_shows_the_header_whatever_is_included() -> None:
    async with dialogue({}, webhook={"include": []}) as talk:
        await message_of(talk, SUBJECT, EOH, body(b"x"))
        assert talk.backend.only("end_of_headers")["message"]["headers"] == [{"name": "Subject", "value": "hi"}]


# ── multipart ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("spool_above", ["1MiB", "1B"])
@pytest.mark.parametrize("include", [["message.headers", "message.body"], ["message.headers"]], ids=str)
async def test_a_multipart_request_has_the_raw_message_beside_the_event(include: list[str], spool_above: str) -> None:
    webhook = {"format": "multipart", "events": ["data", "end_of_message"], "include": include}
    async with dialogue({}, webhook=webhook, limits={"spool_above": spool_above}) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, header(b"X", b" a\n b"), header(b"Y", b"c"), EOH, body(b"b\0\xff\r\n"))
        assert await talk.mta.end() == [b"a"]
        early, late = talk.backend.requests
        assert early.headers["content-type"] == "application/json"
        assert late.headers["content-type"].startswith("multipart/form-data; boundary=")
        assert parts_of(late)["message"] == b"X: a\r\n b\r\nY:c\r\n\r\nb\0\xff\r\n"


async def test_the_event_part_is_the_request_without_the_body() -> None:
    async with dialogue({}, webhook={"format": "multipart", "events": ["end_of_message"]}) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, SUBJECT, EOH, body(b"b\r\n"))
        await talk.mta.end()
        received = talk.backend.requests[-1]
        part = json_of(received)
        assert set(part) == TOP_KEYS
        assert part["message"] == {"size": 18, "headers": [{"name": "Subject", "value": "hi"}]}
        assert part["id"] == received.headers["webhook-id"]


# ── endings ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("packets", "after"),
    [
        ((MAI,), "mail"),
        ((MAI, RCP), "rcpt"),
        ((MAI, RCP, DAT), "data"),
        ((MAI, RCP, DAT, SUBJECT), "header"),
        ((MAI, RCP, DAT, SUBJECT, EOH), "end_of_headers"),
        ((MAI, RCP, DAT, SUBJECT, EOH, body(b"x")), "body"),
        ((MAI, RCP, P(b"UFOO\0")), "rcpt"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_an_abort_says_after_what_it_came(packets: tuple[bytes, ...], after: str) -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(CON, HEL, *packets)
        await talk.mta.say(ABO)
        assert (await talk.backend.wait_for("abort")).json["data"] == {"after": after}


@pytest.mark.parametrize("ending", [MAI, HEL, QUI, ABO], ids=["mail", "helo", "quit", "abort"])
async def test_an_open_transaction_that_ends_without_an_answer_is_an_abort(ending: bytes) -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(*ENVELOPE)
        await talk.mta.say(ending)
        await talk.backend.wait_for("abort")


async def answered(talk: Dialogue, *packets: bytes) -> None:
    """Say packets, whatever is answered."""
    await talk.mta.say(*packets)


FINISHED: list[tuple[str, dict[str, Any], tuple[bytes, ...]]] = [
    ("passed", {}, (*ENVELOPE, *CONTENT, EOM)),
    ("refused at mail", {"mail": {"action": "reject"}}, (CON, HEL, MAI)),
    ("refused at the header", {"header": {"action": "tempfail"}}, (*ENVELOPE, DAT, SUBJECT)),
    ("refused at the end", {"end_of_message": {"action": "reject"}}, (*ENVELOPE, *CONTENT, EOM)),
    ("discarded at rcpt", {"rcpt": {"action": "discard"}}, ENVELOPE),
    ("refused at data", {"data": {"action": "reject"}}, (*ENVELOPE, DAT)),
]


@pytest.mark.parametrize(("answers", "packets"), [item[1:] for item in FINISHED], ids=[item[0] for item in FINISHED])
async def test_the_abort_of_a_finished_transaction_is_no_event(
    answers: dict[str, Any], packets: tuple[bytes, ...]
) -> None:
    async with dialogue(answers) as talk:
        await answered(talk, *packets)
        await talk.mta.say(ABO)
        await talk.mta.quit()
        await talk.backend.wait_for("disconnect")
        assert "abort" not in talk.backend.events


async def test_an_abort_without_a_transaction_is_no_event() -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(CON, HEL)
        await talk.mta.say(ABO, ABO)
        await talk.mta.quit()
        await talk.backend.wait_for("disconnect")
        assert "abort" not in talk.backend.events


async def test_an_open_transaction_is_aborted_before_the_disconnect() -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(*ENVELOPE)
        await talk.mta.quit()
        await talk.backend.wait_for("disconnect")
        assert talk.backend.events[-2:] == ["abort", "disconnect"]


async def test_a_connection_that_says_nothing_is_no_event() -> None:
    async with dialogue({}) as talk:
        peer = await talk.gateway.connect()
        await peer.close()
        await until(lambda: talk.gateway.service.connections == 1, "the silent connection stays")
        assert talk.backend.events == ["negotiate"]


# ── Postfix's own mail ──────────────────────────────────────────────────────────────────────────────────────────────

EMULATED = connect(b"localhost", b"127.0.0.1", 0)


async def test_an_emulated_session_is_warned_about_where_recipients_are_judged() -> None:
    async with dialogue({}) as talk:
        await talk.mta.pass_on(EMULATED, P(b"Hlocalhost\0"), P(b"M\0"), P(b"Rb@y.test\0"))
        assert ["sendmail" in line["text"] for line in talk.warnings()] == [True]
        assert talk.backend.only("mail")["data"] == {"address": "", "params": {}}
        assert talk.backend.only("rcpt")["data"]["address"] == "b@y.test"


@pytest.mark.parametrize(
    ("packet", "events"),
    [(EMULATED, ["end_of_message"]), (connect(b"localhost", b"127.0.0.1", 40112), ["rcpt"])],
    ids=["nobody judges recipients", "a real client"],
)
async def test_no_warning_where_nothing_is_amiss(packet: bytes, events: list[str]) -> None:
    async with dialogue({}, webhook={"events": events}) as talk:
        await talk.mta.pass_on(packet, HEL, MAI)
        assert talk.warnings() == []
