"""What happened, as the API shows it: of real mail through the real gateway."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from admin_client import admin_of
from gateway_harness import (
    CONTENT,
    ENVELOPE,
    EOM,
    Answer,
    Backend,
    P,
    gateway,
    refused_url,
    until,
)

from gateway.contract.schema import request_schema
from gateway.recording import Archive, Bounds
from gateway.recording.records import Kept, Reply

BOUNDS = Bounds()
TAG = {
    "end_of_message": {"changes": [{"op": "add_header", "name": "X-Tag", "value": "1"}], "annotations": {"score": 2}}
}


def archive(*, recording: bool = True, bounds: Bounds = BOUNDS) -> Archive:
    return Archive(bounds, recording=recording)


async def mail(gw: Any, *packets: bytes) -> None:
    """One mail through the gateway, to its last answer."""
    async with gw.peer() as mta:
        await mta.start(steps=0)
        await mta.exchange(*(packets or (*ENVELOPE, *CONTENT)))
        await mta.send(EOM)
        await mta.packets_until_reply()
        await mta.quit()
    await gw.idle()


async def get(admin: Any, path: str) -> Any:
    answer = await admin.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_transaction_with_its_calls_and_its_message_before_and_after():
    async with Backend(TAG) as backend, gateway(backend, archive=archive()) as gw, admin_of(gw) as admin:
        await mail(gw)
        shown = await get(admin, "/v1/sessions")
        assert shown["recording"] is True
        (session,) = shown["sessions"]
        assert session["client"]["address"] == "192.0.2.1"
        assert session["ended"] >= session["began"]
        (row,) = session["transactions"]
        wanted = {
            "from": "a@x.test",
            "to": ["b@y.test"],
            "subject": "hi",
            "verdict": "accepted",
            "decided_by": None,
            "changes": 1,
            "webhooks": ["webhook"],
            "failures": 0,
            "annotations": {"webhook": {"score": 2}},
            "simulated": False,
        }
        assert {key: row[key] for key in wanted} == wanted
        assert row["latency_ms"] > 0
        number = row["transaction_id"]
        whole = await get(admin, f"/v1/transactions/{number}")
        assert [item["event"] for item in whole["exchanges"]] == [
            name for name in backend.events if name not in ("negotiate", "connect", "helo", "disconnect")
        ]
        assert [item["name"] for item in whole["before"]["headers"]] == ["Subject"]
        assert [item["name"] for item in whole["after"]["headers"]] == ["Subject", "X-Tag"]
        assert whole["after"]["body"] == {"text": "body\r\n"}
        received = await admin.get(f"/v1/transactions/{number}/message")
        assert received.content == b"Subject: hi\r\n\r\nbody\r\n"
        assert received.headers["content-type"] == "message/rfc822"
        changed = await admin.get(f"/v1/transactions/{number}/message?as=changed")
        assert changed.content == b"Subject: hi\r\nX-Tag: 1\r\n\r\nbody\r\n"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b" hi", "hi"),
        (b" =?utf-8?q?caf=C3=A9?=\n =?iso-8859-1?q?_cr=E8me?=", "café crème"),
        (b" =?nonsense?q?caf=C3=A9?= x", "café x"),
        (b" =?utf-8?b?w?= x", "=?utf-8?b?w?= x"),
        (b" caf\xe9", "caf\ufffd"),
        (b" =?\xff?q?a?= x", "a x"),
        (b" =?unicode_escape?q?=5CuD800?=", "\\uD800"),
        (b" =?idna?b?eG4tLQ==?=", "xn--"),
    ],
)
async def test_the_subject_of_a_row_is_that_which_arrived_as_people_read_it(value: bytes, shown: str):
    changed = {"end_of_message": {"changes": [{"op": "set_header", "name": "Subject", "value": "another"}]}}
    async with Backend(changed) as backend, gateway(backend, archive=archive()) as gw, admin_of(gw) as admin:
        await mail(gw, *ENVELOPE, CONTENT[0], P(b"LSubject\0" + value + b"\0"), *CONTENT[2:])
        (session,) = (await get(admin, "/v1/sessions"))["sessions"]
    assert session["transactions"][0]["subject"] == shown


class Broken(Archive):
    def keep(self, what: Kept) -> None:
        raise RecursionError(type(what).__name__)


async def test_mail_does_not_fail_where_it_cannot_be_recorded():
    broken = Broken(BOUNDS, recording=True)
    async with Backend(TAG) as backend, gateway(backend, archive=broken, faults_expected=True) as gw:
        async with gw.peer() as mta:
            await mta.start(steps=0)
            await mta.exchange(*ENVELOPE, *CONTENT)
            await mta.send(EOM)
            *_, last = await mta.packets_until_reply()
            assert last == b"a"
            await mta.quit()
        await gw.idle()
        assert len(gw.lines(containing="something could not be recorded")) == 1


async def test_a_body_that_nobody_asked_for_is_not_made_up():
    heads = {"events": ["end_of_message"], "include": ["message.headers"]}
    async with Backend(TAG) as backend, gateway(backend, archive=archive(), webhook=heads) as gw, admin_of(gw) as admin:
        tried = await admin.post("/v1/simulate", content=b"Subject: hi\r\n\r\nbody\r\n")
        path = f"/v1/transactions/{tried.json()['transaction_id']}"
        whole = await get(admin, path)
        assert whole["before"] == {"size": None, "headers": [{"name": "Subject", "value": "hi"}]}
        assert [item["name"] for item in whole["after"]["headers"]] == ["Subject", "X-Tag"]
        assert (await admin.get(f"{path}/message")).status_code == 404


async def test_a_reply_of_several_lines_is_told_without_its_codes():
    no = {"action": "reject", "reply": {"code": 554, "text": ["Not here", "See https://site.example/why"]}}
    async with Backend({"end_of_message": no}) as backend, gateway(backend, archive=archive()) as gw:
        await mail(gw)
        ((_, (row,)),) = gw.served.archive.sessions()
    assert row.reply == Reply(554, "5.7.1", "Not here\nSee https://site.example/why")


async def test_every_exchange_is_what_was_sent_and_answered():
    async with Backend(TAG) as backend, gateway(backend, archive=archive()) as gw, admin_of(gw) as admin:
        await mail(gw)
        listed = (await get(admin, "/v1/exchanges"))["exchanges"]
        assert [item["event"] for item in listed] == list(reversed(backend.events))
        validator = jsonschema.Draft202012Validator(request_schema())
        for item, request in zip(reversed(listed), backend.requests, strict=True):
            whole = await get(admin, f"/v1/exchanges/{item['id']}")
            assert whole["request"] == request.json
            validator.validate(whole["request"])
            assert whole["url"] == backend.url
            assert whole["request_headers"]["webhook-id"] == request.headers["webhook-id"]
            (only,) = whole["tries"]
            assert (only["number"], only["url"], only["error"]) == (1, backend.url, None)
        last = await get(admin, f"/v1/exchanges/{next(i['id'] for i in listed if i['event'] == 'end_of_message')}")
        assert last["response"] == TAG["end_of_message"]


async def test_exchanges_can_be_chosen():
    async with Backend() as backend, gateway(backend, archive=archive()) as gw, admin_of(gw) as admin:
        await mail(gw)
        await mail(gw)
        rcpts = (await get(admin, "/v1/exchanges?event=rcpt"))["exchanges"]
        assert len(rcpts) == 2
        assert len((await get(admin, "/v1/exchanges?event=rcpt&limit=1"))["exchanges"]) == 1
        older = await get(admin, f"/v1/exchanges?event=rcpt&before={rcpts[0]['id']}")
        assert [item["id"] for item in older["exchanges"]] == [rcpts[1]["id"]]
        of_one = await get(admin, f"/v1/exchanges?transaction={rcpts[0]['transaction_id']}")
        assert {item["transaction_id"] for item in of_one["exchanges"]} == {rcpts[0]["transaction_id"]}
        assert (await get(admin, "/v1/exchanges?webhook=nobody"))["exchanges"] == []
        assert (await admin.get("/v1/exchanges?limit=0")).status_code == 422
        assert (await admin.get("/v1/exchanges/none")).status_code == 404


async def test_without_recording_there_are_no_bodies_and_no_subject():
    kept = archive(recording=False)
    async with Backend(TAG) as backend, gateway(backend, archive=kept) as gw, admin_of(gw) as admin:
        await mail(gw)
        shown = await get(admin, "/v1/sessions")
        (row,) = shown["sessions"][0]["transactions"]
        assert shown["recording"] is False
        assert (row["subject"], row["verdict"], row["from"]) == (None, "accepted", "a@x.test")
        whole = await get(admin, f"/v1/transactions/{row['transaction_id']}")
        assert (whole["before"], whole["after"]) == (None, None)
        for item in whole["exchanges"]:
            found = await get(admin, f"/v1/exchanges/{item['id']}")
            assert (found["request"], found["response"], found["recorded"]) == (None, None, False)
            assert found["request_bytes"] > 100
        refused = await admin.get(f"/v1/exchanges/{item['id']}/curl")
        assert refused.status_code == 409
        assert "record" in refused.json()["detail"]
        assert (await admin.get(f"/v1/transactions/{row['transaction_id']}/message")).status_code == 404
        assert kept.kept_bytes == 0


@pytest.mark.parametrize(
    ("answers", "verdict", "code", "by"),
    [
        ({"end_of_message": {"action": "reject"}}, "rejected", 550, "webhook"),
        ({"end_of_message": {"reply": {"code": 451, "text": "later 100%"}}}, "tempfailed", 451, "webhook"),
        ({"end_of_message": {"action": "discard"}}, "discarded", None, "webhook"),
        ({"end_of_message": {"changes": [{"op": "quarantine", "reason": "odd"}]}}, "quarantined", None, "webhook"),
        ({"rcpt": {"changes": [{"op": "quarantine", "reason": "odd"}]}}, "quarantined", None, "webhook"),
        ({"end_of_message": Answer(500)}, "tempfailed", 451, "webhook"),
    ],
)
async def test_verdicts(answers, verdict, code, by):
    settings = {"webhook": {"retries": 0}, "archive": archive()}
    async with Backend(answers) as backend, gateway(backend, **settings) as gw, admin_of(gw) as admin:
        await mail(gw)
        (session,) = (await get(admin, "/v1/sessions"))["sessions"]
        (row,) = session["transactions"]
    assert (row["verdict"], (row["reply"] or {}).get("code"), row["decided_by"]) == (verdict, code, by)
    if isinstance(answers.get("end_of_message"), Answer):
        assert row["failures"] == 1
        assert "500" in row["reason"]
        assert "tempfail" in row["reason"]
    elif code == 451:
        assert row["reply"] == {"code": 451, "enhanced": "4.7.1", "text": "later 100%"}


async def test_a_client_that_goes_away_and_one_whose_recipients_were_all_refused():
    answers = {"rcpt": [None, {"action": "reject"}]}
    async with Backend(answers) as backend, gateway(backend, archive=archive()) as gw, admin_of(gw) as admin:
        for _ in range(2):
            async with gw.peer() as mta:
                await mta.start(steps=0)
                await mta.exchange(ENVELOPE[0])
                await mta.send(ENVELOPE[1])
                await mta.packet()
            await gw.idle()
        rows = [item["transactions"][0] for item in (await get(admin, "/v1/sessions"))["sessions"]]
    assert [row["verdict"] for row in rows] == ["rejected", "aborted"]
    assert rows[0]["to"] == ["b@y.test"]


async def test_a_session_that_is_refused_before_any_mail():
    async with Backend({"connect": {"action": "reject"}}) as backend, gateway(backend, archive=archive()) as gw:
        async with gw.peer() as mta:
            await mta.negotiate(steps=0)
            await mta.send(P(b"Cmx.test\0" + b"4" + b"\x00\x19" + b"192.0.2.9\0"))
            await mta.packet()
        await gw.idle()
        async with admin_of(gw) as admin:
            (session,) = (await get(admin, "/v1/sessions"))["sessions"]
    assert session["refused"]["code"] == 550
    assert session["transactions"] == []


async def test_attempts_are_shown_with_their_errors():
    answers = {"mail": [Answer(503), None]}
    webhook = {"events": ["mail"], "retries": 1}
    async with Backend(answers) as backend, gateway(backend, webhook=webhook, archive=archive()) as gw:
        await mail(gw)
        async with admin_of(gw) as admin:
            (listed,) = (await get(admin, "/v1/exchanges"))["exchanges"]
            whole = await get(admin, f"/v1/exchanges/{listed['id']}")
    assert [(each["number"], each["status"]) for each in whole["tries"]] == [(1, 503), (2, 204)]
    assert "503" in whole["tries"][0]["error"]


async def test_a_message_on_disk_is_told_of_but_not_kept():
    settings = {"limits": {"spool_above": "0B"}, "archive": archive()}
    async with Backend() as backend, gateway(backend, **settings) as gw, admin_of(gw) as admin:
        await mail(gw)
        (listed,) = (await get(admin, "/v1/exchanges?event=end_of_message"))["exchanges"]
        assert (listed["recorded"], listed["request_bytes"]) == (False, None)


# Live


async def test_events_are_live():
    async with Backend() as backend, gateway(backend, archive=archive()) as gw, admin_of(gw) as admin:
        async with admin.stream("GET", "/v1/events") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            lines = stream.aiter_lines()
            assert await anext(lines) == ": live"
            await mail(gw)
            seen = []
            async with asyncio.timeout(10):
                async for line in lines:
                    if line.startswith("event: "):
                        seen.append(line.removeprefix("event: "))
                    elif line.startswith("data: ") and '"verdict":"accepted"' in line:
                        break
        assert seen.count("exchange") >= 6
        await until(lambda: not gw.served.archive.feed.watched, "the watcher stays")


async def test_a_refused_session_is_told_of_live_with_what_the_client_was_told():
    async with Backend({"connect": {"action": "reject"}}) as backend, gateway(backend, archive=archive()) as gw:
        seen: list[dict[str, Any]] = []

        async def watch() -> None:
            async for name, line in gw.served.archive.feed.watch(60):
                if name == "session":
                    seen.append(json.loads(line))

        async with asyncio.TaskGroup() as tasks:
            watcher = tasks.create_task(watch())
            await until(lambda: gw.served.archive.feed.watched, "nobody watches")
            async with gw.peer() as mta:
                await mta.negotiate(steps=0)
                await mta.send(P(b"Cmx.test\0" + b"4" + b"\x00\x19" + b"192.0.2.9\0"))
                await mta.packet()
            await gw.idle()
            await until(lambda: bool(seen and seen[-1]["ended"]), "the end is not told")
            watcher.cancel()
    assert (seen[-1]["refused"]["code"], seen[-1]["client"]["address"]) == (550, "192.0.2.9")


# Replay


async def test_replay_says_what_differs():
    async with Backend() as backend, gateway(backend, archive=archive()) as gw, admin_of(gw) as admin:
        await mail(gw)
        (listed,) = (await get(admin, "/v1/exchanges?event=rcpt"))["exchanges"]
        path = f"/v1/exchanges/{listed['id']}/replay"
        same = (await admin.post(path)).json()
        assert (same["same"], same["action"], same["status"]) == (True, "continue", 204)
        again = backend.of("rcpt")
        assert again[0] == again[1]
        backend.answers = {"rcpt": {"action": "reject", "reply": {"text": "no"}}}
        other = (await admin.post(path)).json()
        assert other["same"] is False
        assert other["response"] == backend.answers["rcpt"]
        assert other["differences"] == ["continue -> reject", 'reply: nothing -> {"text":"no"}']
        backend.answers = {"rcpt": Answer(body=b"{}", headers={"x": "y"})}
        assert (await admin.post(path)).json()["same"] is True


async def test_replay_goes_to_configured_urls_and_to_this_machine_only():
    async with (
        Backend() as backend,
        Backend({"rcpt": {"action": "tempfail"}}) as other,
        gateway(backend, archive=archive()) as gw,
        admin_of(gw) as admin,
    ):
        await mail(gw)
        (listed,) = (await get(admin, "/v1/exchanges?event=rcpt"))["exchanges"]
        path = f"/v1/exchanges/{listed['id']}/replay"
        done = (await admin.post(path, params={"url": other.url})).json()
        assert (done["action"], done["same"]) == ("tempfail", False)
        assert (await admin.post(path, params={"url": "http://192.0.2.1/x"})).status_code == 403
        assert (await admin.post(path, params={"url": "http://127.0.0.1@192.0.2.1/"})).status_code == 403
        assert (await admin.post(path, params={"url": "file:///etc/passwd"})).status_code in (403, 422)
        failed = (await admin.post(path, params={"url": refused_url()})).json()
        assert failed["status"] is None
        assert failed["differences"] == ["continue -> a failure (no answer)"]


async def test_replay_takes_the_url_that_was_chosen_among_several_or_the_one_that_was_asked_then():
    there = {"rcpt": {"action": "tempfail"}}
    async with Backend() as backend, Backend(there) as other:
        several = {"name": "webhook", "url": [refused_url(), backend.url, f"{other.url}/{{event}}"], "events": ["rcpt"]}
        async with gateway(archive=archive(), webhooks=[several]) as gw, admin_of(gw) as admin:
            await mail(gw)
            (listed,) = (await get(admin, "/v1/exchanges"))["exchanges"]
            path = f"/v1/exchanges/{listed['id']}/replay"
            same = (await admin.post(path)).json()
            assert (same["url"], same["action"], same["same"]) == (backend.url, "continue", True)
            chosen = (await admin.post(path, params={"url": f"{other.url}/rcpt"})).json()
            assert (chosen["url"], chosen["action"]) == (f"{other.url}/rcpt", "tempfail")
            assert [request.event for request in other.requests] == ["rcpt"]


async def test_mail_does_not_notice_replays():
    large = {"annotations": {"much": "x" * 200_000}}
    async with Backend({"rcpt": large}) as backend, gateway(backend, archive=archive()) as gw, admin_of(gw) as admin:
        await mail(gw)
        (listed,) = (await get(admin, "/v1/exchanges?event=rcpt"))["exchanges"]
        path = f"/v1/exchanges/{listed['id']}/replay"
        assert (await admin.post(path)).json()["same"] is True
        assert gw.service.generation.buffered() == 0
        backend.answers = {"rcpt": Answer(status=500)}
        for _ in range(6):
            assert (await admin.post(path)).json()["status"] == 500
        backend.answers = {}
        before = len(gw.warnings())
        await mail(gw)
        assert gw.warnings()[before:] == []


# Secrets


async def test_secrets_are_named_and_never_shown(tmp_path: Path):
    (tmp_path / "bearer").write_text("Bearer s3cr3t-value\n")
    (tmp_path / "key").write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    for path in tmp_path.iterdir():
        path.chmod(0o600)
    webhook = {
        "headers": {"authorization": {"file": str(tmp_path / "bearer")}, "x-plain": "pl4in"},
        "secret_file": str(tmp_path / "key"),
    }
    async with Backend() as backend, gateway(backend, webhook=webhook, archive=archive()) as gw:
        await mail(gw)
        async with admin_of(gw) as admin:
            (listed,) = (await get(admin, "/v1/exchanges?event=rcpt"))["exchanges"]
            paths = ["/v1/webhooks", "/v1/exchanges", f"/v1/exchanges/{listed['id']}"]
            paths.append(f"/v1/exchanges/{listed['id']}/curl")
            texts = [(await admin.get(path)).text for path in paths]
        signature = backend.requests[0].headers["webhook-signature"]
        assert backend.requests[0].headers["authorization"] == "Bearer s3cr3t-value"
    for text in texts:
        for secret in ("s3cr3t", "pl4in", "MfKQ9r8", signature):
            assert secret not in text
    assert "$AUTHORIZATION" in texts[3]
    assert "$WEBHOOK_SIGNATURE" in texts[3]


async def test_a_secret_that_the_backend_says_again_is_named_too(tmp_path: Path):
    (tmp_path / "bearer").write_text('Bearer s3cr3t-"value"\n')
    (tmp_path / "bearer").chmod(0o600)
    webhook = {"headers": {"authorization": {"file": str(tmp_path / "bearer")}}, "on_invalid": "continue"}
    answers = {
        "mail": {"annotations": {"got": 'Bearer s3cr3t-"value"'}, "warnings": ['who is s3cr3t-"value"?']},
        "rcpt": {'s3cr3t-"value"': 1},
        "end_of_message": {"changes": [{"op": "add_header", "name": "X-Echo", "value": 'Bearer s3cr3t-"value"'}]},
    }
    async with Backend(answers) as backend, gateway(backend, webhook=webhook, archive=archive()) as gw:
        await mail(gw)
        async with admin_of(gw) as admin:
            listed = (await get(admin, "/v1/exchanges"))["exchanges"]
            texts = [(await admin.get(path)).text for path in ("/v1/exchanges", "/v1/sessions", "/v1/webhooks")]
            texts += [(await admin.get(f"/v1/exchanges/{item['id']}")).text for item in listed]
            again = [(await admin.post(f"/v1/exchanges/{item['id']}/replay")).json() for item in listed]
        texts += [json.dumps(item) for item in again]
        texts += [str(line) for line in gw.log]
        number = next(item["transaction_id"] for item in listed if item["event"] == "end_of_message")
        message = gw.served.archive.transaction(number).changed
    for text in texts:
        assert "s3cr3t" not in text
    assert sum("$AUTHORIZATION" in text for text in texts) > 8
    assert b's3cr3t-"value"' in message  # what the filter wants in the mail is its own affair
    assert all(item["same"] for item in again)


ODD = 'it\'s "quoted" $HOME `id` \\ %s\t<b> é 漢\n two'


async def test_the_command_for_curl_sends_the_same_bytes(tmp_path: Path):
    """Run by a real shell, with what a mail may hold in its header."""
    odd = P(b"LSubject\0 " + ODD.encode().replace(b"\n two", b"\n two") + b"\0")
    raw = P(b"LX-Raw\0 \xff\xfe\0")
    (tmp_path / "bearer").write_text("Bearer x\n")
    (tmp_path / "bearer").chmod(0o600)
    webhook = {"headers": {"authorization": {"file": str(tmp_path / "bearer")}}}
    async with Backend() as backend, gateway(backend, webhook=webhook, archive=archive()) as gw, admin_of(gw) as admin:
        await mail(gw, *ENVELOPE, CONTENT[0], odd, raw, *CONTENT[2:])
        (listed,) = (await get(admin, "/v1/exchanges?event=end_of_message"))["exchanges"]
        command = (await admin.get(f"/v1/exchanges/{listed['id']}/curl")).text
        before = len(backend.requests)
        done = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-c", command],
            env={"PATH": "/usr/bin:/bin", "AUTHORIZATION": "Bearer from the shell", "NO_PROXY": "*"},
            capture_output=True,
            timeout=20,
            check=True,
        )
        assert done.stderr == b""
        first = next(item for item in backend.requests if item.event == "end_of_message")
        last = backend.requests[before]
        assert last.raw == first.raw
        assert last.headers["authorization"] == "Bearer from the shell"
        for name in ("content-type", "webhook-id", "milter-event", "milter-session"):
            assert last.headers[name] == first.headers[name]


async def test_the_token_guards_it_all():
    async with Backend() as backend, gateway(backend, archive=archive()) as gw, admin_of(gw, token="t0k") as admin:
        for path in (
            "sessions",
            "exchanges",
            "exchanges/x",
            "exchanges/x/curl",
            "transactions/x",
            "events",
            "webhooks",
        ):
            assert (await admin.get(f"/v1/{path}")).status_code == 401, path
        assert (await admin.post("/v1/exchanges/x/replay")).status_code == 401
        right = {"authorization": "Bearer t0k"}
        assert (await admin.get("/v1/sessions", headers=right)).status_code == 200


async def test_pages_of_elsewhere_cannot_replay():
    async with Backend() as backend, gateway(backend, archive=archive()) as gw, admin_of(gw) as admin:
        answer = await admin.post("/v1/exchanges/x/replay", headers={"origin": "http://evil.example"})
        assert answer.status_code == 403
        assert (await admin.get("/v1/sessions", headers={"host": "evil.example"})).status_code == 403


async def test_simulations_appear_and_say_so():
    async with Backend() as backend, gateway(backend, archive=archive()) as gw, admin_of(gw) as admin:
        posted = await admin.post("/v1/simulate?from=ann@x.test", content=b"Subject: tried\r\n\r\nx\r\n")
        answer = posted.json()
        (session,) = (await get(admin, "/v1/sessions"))["sessions"]
        assert session["session_id"] == answer["session_id"]
        assert (await get(admin, f"/v1/transactions/{answer['transaction_id']}"))["subject"] == "tried"
        assert session["simulated"] is True
        (row,) = session["transactions"]
        assert (row["simulated"], row["subject"], row["from"]) == (True, "tried", "ann@x.test")
        for call in posted.json()["exchanges"]:
            whole = await get(admin, f"/v1/exchanges/{call['id']}")
            assert (whole["url"], [each["number"] for each in whole["tries"]]) == (backend.url, [1])
        assert all(item["dry_run"] for item in (await get(admin, "/v1/exchanges"))["exchanges"])


async def test_the_webhooks_and_their_health():
    async with Backend({"mail": Answer(500)}) as backend:
        webhook = {"events": ["mail", "rcpt"], "retries": 0, "on_failure": "continue"}
        async with gateway(backend, webhook=webhook, archive=archive()) as gw, admin_of(gw) as admin:
            await mail(gw)
            (shown,) = (await get(admin, "/v1/webhooks"))["webhooks"]
    assert (shown["name"], shown["urls"], shown["events"]) == ("webhook", [backend.url], ["mail", "rcpt"])
    assert (shown["calls"], shown["failures"]) == (2, 1)
    assert "500" in shown["last_failure"]["reason"]
    assert shown["last_ok"] is not None
