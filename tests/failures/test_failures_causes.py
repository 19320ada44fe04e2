"""Section 8: each way in which a backend can fail, on a real socket; what the MTA hears and what the log says."""

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from dialogue import CON, CONTENT, DAT, ENVELOPE, EOH, HEL, MAI, RCP, body, macros
from gateway_harness import Backend, P, refused_url
from misbehaving import (
    EMPTY_ANSWER,
    Behaviour,
    Line,
    Misbehaving,
    answering,
    between,
    dripping,
    half_a_body,
    half_a_chunk,
    half_a_head,
    half_and_silent,
    hangs_up,
    hundred_megabytes,
    hundred_megabytes_in_chunks,
    no_http,
    silent,
    status,
)

from gateway.policy.setup import Setup
from gateway.spool import MemoryBudget, Spool

REJECTED = b"y550 5.7.1 Command rejected\0"
FAILURES: dict[str, tuple[Behaviour, str]] = {
    "silent": (silent, "timeout"),
    "half a head": (half_a_head, "broken_answer"),
    "half a body": (half_a_body, "broken_answer"),
    "half a chunk": (half_a_chunk, "broken_answer"),
    "half an answer, then silent": (half_and_silent, "timeout"),
    "one byte now and then": (dripping, "timeout"),
    "another protocol": (no_http, "broken_answer"),
    "hangs up": (hangs_up, "broken_answer"),
    "moved": (answering(status(301, {"location": "http://127.0.0.1:1/"})), "redirect"),
    "found": (answering(status(302, {"location": "/elsewhere"})), "redirect"),
    "temporary redirect": (answering(status(307, {"location": "/elsewhere"})), "redirect"),
    "not modified": (answering(b"HTTP/1.1 304 -\r\n\r\n"), "redirect"),
    "unauthorized": (answering(status(401)), "client_error"),
    "not found": (answering(status(404)), "client_error"),
    "rate limited": (answering(status(429)), "rate_limited"),
    "internal error": (answering(status(500)), "server_error"),
    "unavailable": (answering(status(503)), "server_error"),
}

INVALID: dict[str, bytes] = {
    "no json": b"accept",
    "half a json": b'{"action":"accept"',
    "a list": b"[]",
    "wrong type": b'{"action":5}',
    "unknown action": b'{"action":"allow"}',
    "unknown key": b'{"action":"accept","reason":"x"}',
    "illegal change": b'{"changes":[{"op":"add_header","name":"X-A","value":"v"},{"op":"delete_header","name":"X Y"}]}',
    "illegal action": b'{"action":"skip","changes":[{"op":"add_header","name":"X-A","value":"v"}]}',
    "bad reply": b'{"changes":[{"op":"add_header","name":"X-A","value":"v"}],"reply":{"code":250}}',
    "lone surrogate": b'{"warnings":["\\ud800"]}',
}


@pytest.mark.parametrize(("behaviour", "cause"), FAILURES.values(), ids=FAILURES)
async def test_a_failing_backend_is_a_tempfail_that_names_the_session(behaviour: Behaviour, cause: str) -> None:
    timeout = "150ms" if cause == "timeout" else "8s"
    async with Misbehaving(behaviour).running() as bad, between(bad.url, timeout=timeout) as talk:
        await talk.mta.pass_on(CON, HEL)
        (reply,) = await talk.mta.say(MAI)
        (line,) = talk.failures()
        assert reply == b"y451 4.7.1 Try again later (session %s)\0" % line["session"].encode()
        assert (line["cause"], line["applied"]) == (cause, "tempfail")


@pytest.mark.parametrize("answer", INVALID.values(), ids=INVALID)
async def test_an_invalid_answer_is_a_tempfail_and_nothing_of_it_is_applied(answer: bytes) -> None:
    async with (
        Misbehaving(answering(status(200, body=answer))).running() as bad,
        between(bad.url, {}, events=["end_of_message"], on_failure="reject") as talk,
    ):
        await talk.mta.pass_on(*ENVELOPE, *CONTENT)
        (reply,) = await talk.mta.end()
        (line,) = talk.failures()
        assert reply == b"y451 4.7.1 Try again later (session %s)\0" % line["session"].encode()
        assert line["cause"] == "invalid"


@pytest.mark.parametrize("answer", INVALID.values(), ids=INVALID)
async def test_of_an_invalid_answer_that_is_let_pass_nothing_is_applied(answer: bytes) -> None:
    async with (
        Misbehaving(answering(status(200, body=answer))).running() as bad,
        between(bad.url, {}, events=["end_of_message"], on_invalid="continue") as talk,
    ):
        await talk.mta.pass_on(*ENVELOPE, *CONTENT)
        assert await talk.mta.end() == [b"a"]
        seen = talk.backend.only("end_of_message")
        assert seen["message"]["headers"] == [{"name": "Subject", "value": "hi"}]
        assert seen["previous"] == [{"webhook": "bad", "action": "continue", "annotations": {}}]


async def test_nothing_beside_the_fault_is_kept_of_an_invalid_answer() -> None:
    answer = {"context": {"session": 1}, "annotations": {"a": 1}, "warnings": ["w"], "next": [], "acton": "accept"}
    first = status(200, body=json.dumps(answer).encode())
    requests: list[dict[str, Any]] = []

    async def behave(line: Line) -> None:
        for reply in (first, EMPTY_ANSWER):
            head = await line.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            requests.append(json.loads(await line.reader.readexactly(length)))
            await line.write(reply)

    async with (
        Misbehaving(behave).running() as bad,
        between(bad.url, events=["mail", "rcpt"], on_invalid="continue") as talk,
    ):
        await talk.mta.pass_on(*ENVELOPE)
        assert [request["event"] for request in requests] == ["mail", "rcpt"]
        assert requests[1]["context"] == {"session": None, "transaction": None}
        assert talk.warnings() == []
        assert not [line for line in talk.gateway.log if line["event"] == "annotations"]


@pytest.mark.parametrize("content_type", ["text/html", "text/plain", "application/octet-stream", ""])
async def test_an_answer_of_another_content_type_is_invalid(content_type: str) -> None:
    head = f"content-type: {content_type}\r\n" if content_type else ""
    answer = f"HTTP/1.1 200 -\r\n{head}content-length: 2\r\n\r\n{{}}".encode()
    async with Misbehaving(answering(answer)).running() as bad, between(bad.url, on_failure="reject") as talk:
        await talk.mta.pass_on(CON, HEL)
        (reply,) = await talk.mta.say(MAI)
        assert reply.startswith(b"y451 ")
        assert [line["cause"] for line in talk.failures()] == ["invalid"]


@pytest.mark.parametrize("behaviour", [hundred_megabytes, hundred_megabytes_in_chunks])
async def test_a_huge_answer_is_invalid_and_found_while_reading(behaviour: Behaviour) -> None:
    server = Misbehaving(behaviour)
    async with (
        server.running() as bad,
        between(bad.url, limits={"response_bytes": "1MiB"}, on_failure="reject", on_invalid="tempfail") as talk,
    ):
        await talk.mta.pass_on(CON, HEL)
        (reply,) = await talk.mta.say(MAI)
        assert reply.startswith(b"y451 ")
        assert [line["cause"] for line in talk.failures()] == ["too_large"]
        assert server.lines[0].sent < 50_000_000


async def test_a_refused_connection() -> None:
    async with between(refused_url()) as talk:
        await talk.mta.pass_on(CON, HEL)
        assert (await talk.mta.say(MAI))[0].startswith(b"y451 4.7.1 ")
        assert [line["cause"] for line in talk.failures()] == ["connect"]


async def test_a_name_that_does_not_resolve() -> None:
    async with between("http://no-such-host.invalid/milter") as talk:
        await talk.mta.pass_on(CON, HEL)
        assert (await talk.mta.say(MAI))[0].startswith(b"y451 4.7.1 ")
        assert [line["cause"] for line in talk.failures()] == ["dns"]


async def test_a_certificate_of_an_unknown_authority(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    trusted = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(trusted)
    async with (
        Misbehaving(answering(EMPTY_ANSWER), tls=context).running() as bad,
        between(bad.url, tls={"ca_file": str(trusted)}) as talk,
    ):
        await talk.mta.pass_on(CON, HEL)
        assert (await talk.mta.say(MAI))[0].startswith(b"y451 4.7.1 ")
        assert [line["cause"] for line in talk.failures()] == ["tls"]


async def test_a_certificate_for_another_name(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.test").configure_cert(context)
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(trusted)
    async with (
        Misbehaving(answering(EMPTY_ANSWER), tls=context).running() as bad,
        between(bad.url, tls={"ca_file": str(trusted)}) as talk,
    ):
        await talk.mta.pass_on(CON, HEL)
        assert (await talk.mta.say(MAI))[0].startswith(b"y451 4.7.1 ")
        assert [line["cause"] for line in talk.failures()] == ["tls"]


# ── the disk ────────────────────────────────────────────────────────────────────────────────────────────────────────


def without_disk(directory: Path) -> Any:
    """Bodies go to a directory in which nothing can be written."""

    def changed(setup: Setup) -> Setup:
        return replace(setup, new_body=lambda: Spool(MemoryBudget(1 << 20), 4, str(directory / "missing")))

    return changed


@pytest.mark.parametrize("format_", ["json", "multipart"])
@pytest.mark.parametrize("size", [10, 300_000], ids=["written at the end", "written meanwhile"])
async def test_a_message_for_which_the_disk_has_no_room_is_on_failure(tmp_path: Path, format_: str, size: int) -> None:
    async with (
        Misbehaving(answering(EMPTY_ANSWER)).running() as bad,
        between(
            bad.url, setup=without_disk(tmp_path), on_failure="reject", events=["end_of_message"], format=format_
        ) as talk,
    ):
        chunks = [body(b"x" * min(65535, size - at)) for at in range(0, size, 65535)]
        await talk.mta.pass_on(*ENVELOPE, DAT, EOH, *chunks)
        assert await talk.mta.end() == [REJECTED]
        assert [line["cause"] for line in talk.failures()] == ["no_room"]
        assert bad.lines == []


async def test_after_a_full_disk_the_next_message_passes(tmp_path: Path) -> None:
    async with (
        Misbehaving(answering(EMPTY_ANSWER)).running() as bad,
        between(bad.url, setup=without_disk(tmp_path), events=["end_of_message"]) as talk,
    ):
        await talk.mta.pass_on(*ENVELOPE, DAT, EOH, body(b"too long"))
        assert (await talk.mta.end())[0].startswith(b"y451 ")
        await talk.mta.pass_on(MAI, RCP, DAT, EOH, body(b"fits"))
        assert await talk.mta.end() == [b"a"]


async def test_a_webhook_that_is_not_shown_the_body_does_not_suffer_from_a_full_disk(tmp_path: Path) -> None:
    webhook = {"events": ["end_of_message"], "include": ["message.headers"], "on_failure": "reject"}
    async with (
        Misbehaving(answering(EMPTY_ANSWER)).running() as bad,
        between(bad.url, {}, setup=without_disk(tmp_path), **webhook) as talk,
    ):
        await talk.mta.pass_on(*ENVELOPE, DAT, EOH, body(b"too long"))
        (reply,) = await talk.mta.end()
        assert reply.startswith(b"y451 ")
        assert [line["webhook"] for line in talk.failures()] == ["good0"]


# ── trying again ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_a_backend_that_recovers_within_the_retries_is_no_failure(code: int) -> None:
    async with (
        Misbehaving(answering(status(code), status(200, body=b'{"action":"reject"}'))).running() as bad,
        between(bad.url, retries=2) as talk,
    ):
        await talk.mta.pass_on(CON, HEL)
        assert await talk.mta.say(MAI) == [REJECTED]
        assert talk.failures() == []


async def test_retry_after_delays_the_retry() -> None:
    async with (
        Misbehaving(answering(status(503, {"retry-after": "1"}), EMPTY_ANSWER)).running() as bad,
        between(bad.url, retries=1) as talk,
    ):
        await talk.mta.pass_on(CON, HEL)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await talk.mta.pass_on(MAI)
        assert 0.95 < loop.time() - began < 5


async def test_retry_after_beyond_the_deadline_fails_at_once() -> None:
    async with (
        Misbehaving(answering(status(429, {"retry-after": "3600"}), EMPTY_ANSWER)).running() as bad,
        between(bad.url, retries=2) as talk,
    ):
        await talk.mta.pass_on(CON, HEL)
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert (await talk.mta.say(MAI))[0].startswith(b"y451 ")
        assert loop.time() - began < 2


@pytest.mark.parametrize("code", [401, 404, 302])
async def test_what_would_fail_again_is_not_tried_again(code: int) -> None:
    async with Misbehaving(answering(status(code), EMPTY_ANSWER)).running() as bad, between(bad.url, retries=2) as talk:
        await talk.mta.pass_on(CON, HEL)
        assert (await talk.mta.say(MAI))[0].startswith(b"y451 ")


async def test_all_attempts_have_one_id_and_count() -> None:
    seen: list[Mapping[str, str]] = []

    async def behave(line: Line) -> None:
        while True:
            seen.append(await line.request())
            await line.write(status(503))

    async with Misbehaving(behave).running() as bad, between(bad.url, retries=2) as talk:
        await talk.mta.pass_on(CON, HEL)
        assert (await talk.mta.say(MAI))[0].startswith(b"y451 ")
    assert [fields["milter-attempt"] for fields in seen] == ["1", "2", "3"]
    assert len({fields["webhook-id"] for fields in seen}) == 1


async def test_a_kept_alive_connection_that_was_closed_just_then_counts_as_nothing() -> None:
    seen: list[Mapping[str, str]] = []

    async def behave(line: Line) -> None:
        seen.append(await line.request())
        await line.write(status(200))

    async with (
        Misbehaving(behave).running() as bad,
        between(bad.url, events=["connect", "helo", "mail", "rcpt"]) as talk,
    ):
        await talk.mta.pass_on(CON, HEL, MAI, RCP)
        assert [fields["milter-attempt"] for fields in seen] == ["1"] * 4
        assert talk.failures() == []


async def test_a_backend_that_comes_back_is_used_again() -> None:
    backend = await Backend().start()
    async with between(backend.url, events=["mail"]) as talk:
        await talk.mta.pass_on(CON, HEL, MAI)
        await backend.stop()
        assert (await talk.mta.say(MAI))[0].startswith(b"y451 ")
        await backend.start()
        await talk.mta.pass_on(MAI)
        await backend.stop()


# ── the log ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_log_line_of_a_failure_says_all_that_an_operator_needs() -> None:
    async with Misbehaving(answering(status(503))).running() as bad, between(bad.url, events=["rcpt"]) as talk:
        await talk.mta.pass_on(CON, HEL, MAI)
        await talk.mta.say(macros(b"R", {"i": "4Q1"}), RCP)
        (line,) = talk.failures()
        said = {key: line[key] for key in ("queue_id", "webhook", "event_name", "cause", "applied", "log_level")}
        assert said == {
            "queue_id": "4Q1",
            "webhook": "bad",
            "event_name": "rcpt",
            "cause": "server_error",
            "applied": "tempfail",
            "log_level": "warning",
        }
        assert "503" in line["reason"]
        assert len(line["session"]) == 36


async def test_the_log_does_not_hold_what_the_mail_says() -> None:
    async with (
        Misbehaving(answering(status(200, body=b'{"acton":1}'))).running() as bad,
        between(bad.url, events=["end_of_message"]) as talk,
    ):
        secret = b"the secret of the mail"
        await talk.mta.pass_on(*ENVELOPE, DAT, P(b"LSubject\0 " + secret + b"\0"), EOH, body(secret))
        await talk.mta.end()
        assert not talk.gateway.lines(containing=secret.decode())
