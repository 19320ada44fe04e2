"""`message.parsed` through the real gateway: who gets it, of which message, and what it costs the others."""

import asyncio
import base64
import hashlib
import os
import threading
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from dialogue import ENVELOPE, EOH, Dialogue, body, dialogue, header, json_of, parts_of
from gateway_harness import DAT, P

from gateway.mail.fields import Field
from gateway.policy.parsing import parsed_json
from gateway.translate.facts import TransactionFacts
from gateway.translate.render import Audience

ONLY_PARSED = {"include": ["message.parsed"], "events": ["end_of_message"]}
TEXT = (header(b"From", b" Ann <ann@x.test>"), header(b"Subject", b" =?utf-8?q?caf=C3=A9?="), EOH, body(b"hi\r\n"))
CONTENT = b"\x00\x01 not text \xff" * 50
MIXED = (
    header(b"Content-Type", b' multipart/mixed; boundary="b"'),
    EOH,
    body(
        b"--b\r\nContent-Type: text/plain\r\n\r\nsee it\r\n"
        b"--b\r\nContent-Type: application/octet-stream\r\n"
        b"Content-Disposition: attachment; filename*=utf-8''%E2%82%AC.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(CONTENT).replace(b"\n", b"\r\n")
        + b"--b--\r\n"
    ),
)


async def told(talk: Dialogue, *content: bytes) -> dict[str, Any]:
    """The message that the last webhook is shown."""
    await talk.mta.pass_on(*ENVELOPE, DAT, *content)
    replies = await talk.mta.end()
    assert replies[-1] == b"a"
    message: dict[str, Any] = json_of(talk.backends[-1].requests[-1])["message"]
    return message


async def test_a_webhook_that_includes_only_the_parsed_message_gets_neither_header_nor_body() -> None:
    async with dialogue({}, webhooks=[ONLY_PARSED]) as talk:
        message = await told(talk, *TEXT)
    assert set(message) == {"size", "parsed"}
    assert message["size"] == len(b"From: Ann <ann@x.test>\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\n\r\nhi\r\n")
    assert message["parsed"] == {
        "subject": "caf\u00e9",
        "from": [{"name": "Ann", "email": "ann@x.test"}],
        "to": [],
        "cc": [],
        "reply_to": [],
        "sent_at": None,
        "message_id": None,
        "in_reply_to": None,
        "references": None,
        "text": "hi\n",
        "html": None,
        "attachments": [],
        "defects": [],
    }


async def test_nobody_else_gets_it() -> None:
    async with dialogue({}, {}, webhooks=[{}, {"include": ["message.parsed", "message.headers"]}]) as talk:
        message = await told(talk, *TEXT)
        first = talk.backends[0].only("end_of_message")["message"]
    assert set(first) == {"size", "headers", "body"}
    assert set(message) == {"size", "headers", "parsed"}


async def test_attachments_come_with_their_hash_and_content() -> None:
    async with dialogue({}, webhooks=[ONLY_PARSED]) as talk:
        parsed = (await told(talk, *MIXED))["parsed"]
    assert parsed["text"] == "see it"
    assert parsed["attachments"] == [
        {
            "part_id": "2",
            "name": "\u20ac.bin",
            "type": "application/octet-stream",
            "size": len(CONTENT),
            "disposition": "attachment",
            "cid": None,
            "sha256": hashlib.sha256(CONTENT).hexdigest(),
            "base64": base64.b64encode(CONTENT).decode(),
        }
    ]


async def test_what_an_earlier_webhook_changed_is_parsed_anew() -> None:
    changes = [{"op": "set_header", "name": "Subject", "value": "new"}, {"op": "replace_body", "text": "other\r\n"}]
    parsed = {"include": ["message.parsed"]}
    async with dialogue({}, {"end_of_message": {"changes": changes}}, {}, webhooks=[parsed, parsed, parsed]) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, *TEXT)
        await talk.mta.end()
        seen = [backend.only("end_of_message")["message"]["parsed"] for backend in talk.backends]
    assert [(item["subject"], item["text"]) for item in seen] == [
        ("caf\u00e9", "hi\n"),
        ("caf\u00e9", "hi\n"),
        ("new", "other\n"),
    ]


async def test_a_message_on_disk_is_parsed_there() -> None:
    content = os.urandom(300_000)
    encoded = base64.encodebytes(content).replace(b"\n", b"\r\n")
    chunks = [encoded[at : at + 60_000] for at in range(0, len(encoded), 60_000)]
    head = b'--b\r\nContent-Type: image/png; name="a.png"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    fields = (header(b"Content-Type", b" multipart/mixed; boundary=b"), EOH)
    async with dialogue({}, webhooks=[ONLY_PARSED], limits={"spool_above": "64KiB"}) as talk:
        bodies = [body(chunk) for chunk in (head, *chunks, b"--b--\r\n")]
        parsed = (await told(talk, *fields, *bodies))["parsed"]
    (attachment,) = parsed["attachments"]
    assert (attachment["size"], attachment["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert "base64" not in attachment
    assert parsed["defects"] == []


@pytest.mark.parametrize("spooled", [False, True])
async def test_the_event_part_of_a_form_carries_it(spooled: bool) -> None:
    webhook = {"include": ["message.parsed"], "format": "multipart", "events": ["end_of_message"]}
    limits = {"spool_above": "1B"} if spooled else None
    async with dialogue({}, webhooks=[webhook], limits=limits) as talk:
        message = await told(talk, *MIXED)
        parts = parts_of(talk.backend.requests[-1])
    assert set(message) == {"size", "parsed"}
    assert message["parsed"]["attachments"][0]["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert parts["message"].endswith(b"--b--\r\n")


async def test_beside_a_body_on_disk_it_stands_in_the_same_request() -> None:
    webhook = {"include": ["message.parsed", "message.body"]}
    async with dialogue({}, webhooks=[webhook], limits={"spool_above": "1B"}) as talk:
        message = await told(talk, *TEXT)
    assert message["body"] == {"text": "hi\r\n"}
    assert message["parsed"]["text"] == "hi\n"


@pytest.mark.parametrize(
    ("policy", "text", "defect"),
    [("truncate", "hi", "the body is truncated"), ("headers", None, "the body is not shown")],
)
async def test_a_message_over_the_limits_is_parsed_as_far_as_it_is_shown(
    policy: str, text: str | None, defect: str
) -> None:
    webhook = {**ONLY_PARSED, "on_too_large": policy}
    limits = {"message_bytes": f"{len(b'From: Ann <ann@x.test>') + len(b'Subject: =?utf-8?q?caf=C3=A9?=') + 8}B"}
    async with dialogue({}, webhooks=[webhook], limits=limits) as talk:
        parsed = (await told(talk, *TEXT))["parsed"]
    assert (parsed["subject"], parsed["text"], parsed["defects"]) == ("caf\u00e9", text, [f"message: {defect}"])


async def test_a_new_message_cannot_be_answered_where_no_body_was_shown() -> None:
    answer = {"changes": [{"op": "replace_message", "text": "A: b\r\n\r\nc"}]}
    async with dialogue({"end_of_message": answer}, webhooks=[ONLY_PARSED]) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, *TEXT)
        (reply,) = await talk.mta.end()
        assert reply.startswith(b"y451")
        assert "showed no body" in talk.failures()[0]["reason"]


async def test_header_and_body_are_transferred_for_it_without_replies() -> None:
    async with dialogue({}, webhooks=[ONLY_PARSED]) as talk:
        steps = talk.mta.agreed.steps
    assert not steps & (0x20 | 0x10)  # SMFIP_NOHDRS, SMFIP_NOBODY
    assert steps & 0x80, "header fields wait for an answer"
    assert steps & 0x80000, "parts of the body wait for an answer"


async def test_the_event_loop_goes_on_while_a_large_message_is_parsed() -> None:
    part = b"--b\r\nContent-Type: text/plain\r\n\r\n" + b"=E4=F6 text\r\n" * 3000
    bodies = [body(part)] * 60
    fields = (header(b"Content-Type", b" multipart/mixed; boundary=b"), EOH)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with dialogue({}, webhooks=[ONLY_PARSED]) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, *fields, *bodies)
        turning = asyncio.ensure_future(turn())
        await talk.mta.end()
        turning.cancel()
        parsed = talk.backend.only("end_of_message")["message"]["parsed"]
    assert parsed["defects"][0] == "message: multipart without its last boundary line"
    assert turns > 20


async def test_a_client_that_goes_away_meanwhile_leaves_nothing_open() -> None:
    bodies = [body(b"x" * 60_000)] * 30
    async with dialogue({}, webhooks=[ONLY_PARSED], limits={"spool_above": "1B"}) as talk:
        await talk.mta.pass_on(*ENVELOPE, DAT, EOH, *bodies)
        await talk.mta.peer.send(P(b"E"))
        await talk.mta.peer.hang_up()
        await talk.gateway.idle()


# ── what the disk does ─────────────────────────────────────────────────────────────────────────────────────────────


def later() -> float:
    """A deadline that does not matter."""
    return asyncio.get_running_loop().time() + 60


class BrokenBody:
    """A body on a disk that fails: at once, or while it is read."""

    size = 100_000
    is_text = True
    json_size = size

    def __init__(self, opens: bool) -> None:
        self.opens = opens
        self.closed = False

    def in_memory(self) -> bytes | None:
        return None

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b""

    async def on_disk(self) -> "BrokenBody":
        if not self.opens:
            raise OSError("the disk is gone")
        return self

    def read(self, start: int, end: int) -> bytes:
        raise OSError("half a sector")

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("opens", "subject", "defect"),
    [
        (False, "hi", "message: the body is not shown"),
        (True, None, "message: it could not be read: OSError: half a sector"),
    ],
)
async def test_a_disk_that_fails_is_a_defect(opens: bool, subject: str | None, defect: str) -> None:
    broken = BrokenBody(opens)
    transaction = TransactionFacts("1", fields=[Field(b"Subject", b" hi")], body=broken, body_size=broken.size)
    made = msgspec.json.decode(await parsed_json(transaction, Audience("webhook", parsed=True), later()))
    assert (made["subject"], made["defects"]) == (subject, [defect])
    assert broken.closed == opens


class SlowBody(BrokenBody):
    """A body whose disk answers when it is told to."""

    def __init__(self) -> None:
        super().__init__(opens=True)
        self.answers = threading.Event()
        self.left = threading.Event()

    def read(self, start: int, end: int) -> bytes:
        self.answers.wait(30)
        return b"x" * (end - start)

    def close(self) -> None:
        self.left.set()


async def test_a_parser_that_takes_too_long_is_not_waited_for() -> None:
    slow = SlowBody()
    transaction = TransactionFacts("1", fields=[Field(b"Subject", b" hi")], body=slow, body_size=slow.size)
    soon = asyncio.get_running_loop().time() + 0.05
    made = msgspec.json.decode(await parsed_json(transaction, Audience("webhook", parsed=True), soon))
    assert made["defects"] == ["message: it could not be read: no time was left"]
    assert transaction.parsed is None
    slow.answers.set()
    assert await asyncio.to_thread(slow.left.wait, 10)


async def test_the_same_message_is_parsed_once() -> None:
    transaction = TransactionFacts("1", fields=[Field(b"Subject", b" hi")])
    made = [await parsed_json(transaction, Audience(name, parsed=True), later()) for name in ("one", "two")]
    assert made[0] is made[1]
    transaction.fields.append(Field(b"X", b" y"))
    assert await parsed_json(transaction, Audience("three", parsed=True), later()) is not made[0]
