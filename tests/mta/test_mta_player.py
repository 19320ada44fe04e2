"""A mail played through milters: one that is scripted, and the gateway itself."""

from typing import Any

import pytest
from gateway_harness import Backend, P, gateway
from mta_doubles import CONTINUE, HANG, ScriptedMilter, agreement, played_by, played_through, player_to

from gateway.milter import messages as m
from gateway.mta.mail import Mail
from gateway.mta.outcome import Verdict
from gateway.mta.player import Exchanged, PlayError, Timeouts
from gateway.mta.report import report

RAW = b"From: a@x.test\r\nSubject: hi\r\n\r\nhello\r\n"
MAIL = Mail(RAW, "a@x.test", ("b@y.test", "c@y.test"), "c.test", "192.0.2.1")


async def test_a_mail_is_told_in_the_order_of_smtp() -> None:
    async with ScriptedMilter() as milter:
        await played_by(milter, MAIL)
    assert milter.commands == b"OCHMRRTLLNBEQ"


async def test_what_the_milter_does_not_want_is_not_sent_and_what_it_does_not_answer_is_not_waited_for() -> None:
    no_connect_no_body, no_reply_to_helo = 0x1 | 0x10, 0x2000
    answers = {b"O": agreement(steps=no_connect_no_body | no_reply_to_helo), b"H": HANG}
    async with ScriptedMilter(answers) as milter:
        played = await played_by(milter, MAIL)
    assert (milter.commands, played.verdict) == (b"OHMRRTLLNEQ", Verdict.ACCEPTED)


async def test_a_large_body_comes_in_chunks_until_skip() -> None:
    async with ScriptedMilter({b"B": P(b"s")}) as milter:
        await played_by(milter, Mail(b"\n" + b"x" * 200_000))
    assert milter.commands.count(b"B") == 1
    assert len(next(packet for packet in milter.got if packet[:1] == b"B")) == 1 + 65535


async def test_header_values_keep_their_space_only_where_that_was_agreed() -> None:
    async with ScriptedMilter() as without, ScriptedMilter({b"O": agreement(steps=0x100000)}) as with_space:
        await played_by(without, MAIL)
        await played_by(with_space, MAIL)
    assert b"LSubject\0hi\0" in without.got
    assert b"LSubject\0 hi\0" in with_space.got


async def test_a_nul_ends_a_header_value_as_it_does_in_an_mta() -> None:
    async with ScriptedMilter() as milter:
        await played_by(milter, Mail(b"A: b\0c\n\n"))
    assert b"LA\0b\0" in milter.got


async def test_macros_are_made_up_from_the_mail_and_given_ones_win() -> None:
    async with ScriptedMilter() as milter:
        await played_by(milter, Mail(RAW, "a@x.test", ("b@y.test",), macros={"j": "mx.test", "mail_host": "h"}))
    connect = next(packet for packet in milter.got if packet[:2] == b"DC")
    mail = next(packet for packet in milter.got if packet[:2] == b"DM")
    assert b"j\0mx.test\0" in connect
    assert b"{mail_addr}\0a@x.test\0" in mail
    assert b"{mail_host}\0h\0" in mail


async def test_the_milters_own_list_of_macros_is_obeyed() -> None:
    connect_stage = b"\0\0\0\0j {mine}\0"
    async with ScriptedMilter({b"O": agreement(lists=connect_stage)}) as milter:
        await played_by(milter, Mail(RAW, macros={"mine": "yes"}))
    assert next(packet for packet in milter.got if packet[:2] == b"DC") == b"DCj\0localhost\0{mine}\0yes\0"


REFUSAL = P(b"y550 5.7.1 No\0")
TABLE: list[tuple[bytes, bytes, Verdict, bytes]] = [
    (b"C", REFUSAL, Verdict.REJECTED, b"OCQ"),
    (b"C", P(b"a"), Verdict.ACCEPTED, b"OCQ"),
    (b"H", P(b"t"), Verdict.TEMPFAILED, b"OCHQ"),
    (b"M", P(b"r"), Verdict.REJECTED, b"OCHMAQ"),
    (b"M", P(b"d"), Verdict.DISCARDED, b"OCHMAQ"),
    (b"M", P(b"a"), Verdict.ACCEPTED, b"OCHMAQ"),
    (b"R", P(b"t"), Verdict.TEMPFAILED, b"OCHMRRAQ"),
    (b"R", P(b"y421 4.7.0 Bye\0"), Verdict.TEMPFAILED, b"OCHMRAQ"),
    (b"R", P(b"a"), Verdict.ACCEPTED, b"OCHMRAQ"),
    (b"R", P(b"d"), Verdict.DISCARDED, b"OCHMRAQ"),
    (b"T", REFUSAL, Verdict.REJECTED, b"OCHMRRTAQ"),
    (b"L", P(b"t"), Verdict.TEMPFAILED, b"OCHMRRTLAQ"),
    (b"L", P(b"s"), Verdict.ACCEPTED, b"OCHMRRTLNBEQ"),
    (b"N", P(b"d"), Verdict.DISCARDED, b"OCHMRRTLLNAQ"),
    (b"B", REFUSAL, Verdict.REJECTED, b"OCHMRRTLLNBAQ"),
    (b"E", REFUSAL, Verdict.REJECTED, b"OCHMRRTLLNBEQ"),
    (b"E", P(b"t"), Verdict.TEMPFAILED, b"OCHMRRTLLNBEQ"),
    (b"E", P(b"4"), Verdict.TEMPFAILED, b"OCHMRRTLLNBEQ"),
    (b"E", P(b"d"), Verdict.DISCARDED, b"OCHMRRTLLNBEQ"),
    (b"E", P(b"a"), Verdict.ACCEPTED, b"OCHMRRTLLNBEQ"),
    (b"E", P(b"c"), Verdict.ACCEPTED, b"OCHMRRTLLNBEQ"),
    (b"E", P(b"p") + P(b"p") + P(b"a"), Verdict.ACCEPTED, b"OCHMRRTLLNBEQ"),
    (b"E", P(b"qwhy\0") + P(b"a"), Verdict.QUARANTINED, b"OCHMRRTLLNBEQ"),
    (b"E", P(b"qwhy\0") + P(b"t"), Verdict.TEMPFAILED, b"OCHMRRTLLNBEQ"),
]


@pytest.mark.parametrize(("command", "answer", "verdict", "commands"), TABLE)
async def test_a_final_answer_ends_the_mail_where_it_came(
    command: bytes, answer: bytes, verdict: Verdict, commands: bytes
) -> None:
    async with ScriptedMilter({command: answer}) as milter:
        played = await played_by(milter, MAIL)
    assert (played.verdict, milter.commands) == (verdict, commands)


@pytest.mark.parametrize("command", [b"C", b"M", b"R"])
async def test_a_mail_that_is_accepted_early_keeps_all_of_its_recipients(command: bytes) -> None:
    async with ScriptedMilter({command: P(b"a")}) as milter:
        played = await played_by(milter, MAIL)
    assert played.result.recipients == [b"<b@y.test>", b"<c@y.test>"]


async def test_a_refused_recipient_leaves_the_envelope_and_the_mail_goes_on() -> None:
    async with ScriptedMilter({b"R": [REFUSAL, CONTINUE]}) as milter:
        played = await played_by(milter, MAIL)
    assert (played.verdict, played.result.recipients) == (Verdict.ACCEPTED, [b"<c@y.test>"])
    assert report(played)["refused"] == [
        {"address": "b@y.test", "reply": {"code": 550, "enhanced": "5.7.1", "text": ["No"]}}
    ]


async def test_a_recipient_that_comes_twice_is_offered_twice_and_delivered_once() -> None:
    async with ScriptedMilter() as milter:
        played = await played_by(milter, Mail(RAW, "a@x.test", ("b@y.test", "c@y.test", "B@y.test")))
    assert milter.commands.count(b"R") == 3
    assert played.result.recipients == [b"<b@y.test>", b"<c@y.test>"]


async def test_changes_of_a_refused_mail_are_not_applied() -> None:
    async with ScriptedMilter({b"E": P(b"hX-A\0b\0") + P(b"t")}) as milter:
        played = await played_by(milter, MAIL)
    assert (played.result.message(), report(played)["changes"]) == (RAW, [])


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({b"O": P(b"c")}, "answered the negotiation with Continue"),
        ({b"O": P(b"O\0\0")}, "broke the protocol"),
        ({b"O": b"HTTP/1.1 400 Bad Request\r\n\r\n"}, "broke the protocol: frame length"),
        ({b"O": None}, "closed the connection without an answer"),
        ({b"O": HANG}, "did not answer within 0.2 s"),
        ({b"C": None}, "closed the connection without an answer"),
        ({b"R": P(b"hX\0y\0")}, "answered Rcpt with AddHeader"),
        ({b"R": P(b"z")}, "broke the protocol: unknown response byte"),
        ({b"R": P(b"y250 fine\0")}, "broke the protocol: b'250 fine' is no SMTP refusal"),
        ({b"E": P(b"hX\0")}, "broke the protocol: ADDHEADER"),
        ({b"E": agreement()}, "negotiated at the end of the message"),
        ({b"E": P(b"p")}, "did not answer within 0.2 s"),
    ],
)
async def test_a_milter_that_breaks_the_rules_gives_an_error_that_says_how(
    answers: dict[bytes, bytes | list[bytes] | None], reason: str
) -> None:
    async with ScriptedMilter(answers) as milter:
        with pytest.raises(PlayError, match=reason):
            await played_by(milter, MAIL, seconds=0.2)


async def test_a_header_field_that_no_packet_can_hold_is_an_error_and_no_crash() -> None:
    async with ScriptedMilter() as milter:
        with pytest.raises(PlayError, match="do not fit into one packet"):
            await played_by(milter, Mail(b"A: " + b"x" * 70_000 + b"\n\n"))


async def test_every_exchange_is_told_as_it_happens() -> None:
    told: list[Exchanged] = []
    async with (
        ScriptedMilter({b"O": agreement(steps=0x2), b"E": P(b"hX\0y\0") + P(b"a")}) as milter,
        player_to(("127.0.0.1", milter.port), Timeouts(10, 10), told) as player,
    ):
        await player.play(MAIL)
    assert [type(item.command) for item in told[:3]] == [m.Negotiate, m.Connect, m.Helo]
    assert (told[1].reply, told[2].reply, told[2].sent) == (m.Continue(), None, False)
    assert told[-1] == Exchanged(m.EndOfMessage(), m.Accept(), (m.AddHeader(b"X", b"y"),))


VERDICTS: list[tuple[str, dict[str, Any], str, dict[str, Any] | None]] = [
    (event, answer, verdict, reply)
    for event in ("connect", "helo", "mail", "rcpt", "data", "header", "end_of_headers", "body", "end_of_message")
    for answer, verdict, reply in (
        (
            {"action": "reject", "reply": {"code": 554, "enhanced": "5.6.0", "text": ["100% no", "really"]}},
            "rejected",
            {"code": 554, "enhanced": "5.6.0", "text": ["100% no", "really"]},
        ),
        ({"action": "tempfail"}, "tempfailed", {"code": 451, "enhanced": "4.7.1", "text": ["Try again later"]}),
        ({"action": "disconnect"}, "tempfailed", {"code": 421, "enhanced": "4.7.0", "text": ["Closing connection"]}),
        ({"action": "discard"}, "discarded", None),
        ({"action": "accept"}, "accepted", None),
        ({}, "accepted", None),
    )
    if not (event in ("connect", "helo") and answer.get("action") == "discard")
]


@pytest.mark.parametrize(("event", "answer", "verdict", "reply"), VERDICTS)
async def test_every_verdict_of_a_webhook_reaches_the_mta_at_every_event(
    backend: Backend, event: str, answer: dict[str, Any], verdict: str, reply: dict[str, Any] | None
) -> None:
    backend.answers = {event: answer}
    async with gateway(backend) as running:
        played = await played_through(running, MAIL)
    shown = report(played)
    assert (shown["verdict"], shown["reply"]) == (verdict, reply)


CHANGES: list[tuple[dict[str, Any], bytes]] = [
    ({"op": "add_header", "name": "X", "value": "y"}, RAW.replace(b"\r\n\r\n", b"\r\nX: y\r\n\r\n")),
    ({"op": "add_header", "name": "X", "value": "y", "at": "start"}, b"X: y\r\n" + RAW),
    ({"op": "add_header", "name": "X", "value": "y", "at": 1}, RAW.replace(b"Subject", b"X: y\r\nSubject")),
    ({"op": "set_header", "name": "subject", "value": "new"}, RAW.replace(b"Subject: hi", b"Subject: new")),
    ({"op": "delete_header", "name": "Subject"}, RAW.replace(b"Subject: hi\r\n", b"")),
    ({"op": "replace_body", "text": "new\r\n"}, RAW.replace(b"hello", b"new")),
    ({"op": "replace_body", "text": ""}, RAW.replace(b"hello\r\n", b"")),
    ({"op": "replace_message", "text": "A: b\r\n\r\nc\r\n"}, b"A: b\r\n\r\nc\r\n"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
async def test_every_change_of_a_webhook_shows_in_the_message(
    backend: Backend, change: dict[str, Any], message: bytes
) -> None:
    backend.answers = {"end_of_message": {"changes": [change]}}
    async with gateway(backend) as running:
        played = await played_through(running, MAIL)
    assert played.result.message() == message


async def test_a_quarantine_of_a_webhook_is_the_verdict(backend: Backend) -> None:
    backend.answers = {"end_of_message": {"changes": [{"op": "quarantine", "reason": "why"}]}}
    async with gateway(backend) as running:
        played = await played_through(running, MAIL)
    assert (played.verdict, played.result.quarantine) == (Verdict.QUARANTINED, "why")
