"""The requests of docs/examples, made by the real gateway from sessions of an MTA.

Only what is different on every run is replaced: ids, times and how long a session lasted. `make examples` writes the
files anew.
"""

import json
import re
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from dialogue import Dialogue, body, connect, dialogue, header, json_of, macros, mail, rcpt
from gateway_harness import ABO, DAT, EOH, EOM, P

Requests = dict[str, Any]
"""By name of the file."""

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_BEGIN = datetime.fromisoformat("2026-11-22T09:20:03.412+00:00")
_LASTED_MS = 812

# ── what the MTAs say ──────────────────────────────────────────────────────────────────────────────────────────────

CLIENT = connect(b"out.client.example", b"192.0.2.25", 40112)
HELO = P(b"Hout.client.example\0")
POSTFIX = macros(
    b"C",
    {
        "j": "mx1.site.example",
        "v": "Postfix 3.9.1",
        "{daemon_name}": "smtpd",
        "{daemon_addr}": "198.51.100.5",
        "{daemon_port}": "25",
        "{client_addr}": "192.0.2.25",
        "{client_name}": "out.client.example",
        "{client_port}": "40112",
        "{client_ptr}": "out.client.example",
    },
)
SENDMAIL = macros(
    b"C",
    {
        "j": "mx2.site.example",
        "v": "8.17.1.9",
        "_": "out.client.example [IPv6:2001:db8:0:0:0:0:0:25]",
        "{daemon_name}": "MTA",
        "{if_name}": "mx2.site.example",
        "{if_addr}": "IPv6:2001:db8:5:0:0:0:0:1",
        "{daemon_port}": "25",
        "{client_addr}": "IPv6:2001:db8:0:0:0:0:0:25",
        "{client_name}": "out.client.example",
        "{client_port}": "40112",
    },
)
TLS = macros(
    b"H",
    {
        "{tls_version}": "TLSv1.3",
        "{cipher}": "TLS_AES_256_GCM_SHA384",
        "{cipher_bits}": "256",
        "{cert_subject}": "out.client.example",
        "{cert_issuer}": "Client Example CA",
    },
)
ANN = {"{mail_addr}": "ann@client.example", "{mail_host}": "client.example", "{mail_mailer}": "smtp"}
BOB = {"{rcpt_addr}": "bob@site.example", "{rcpt_host}": "site.example", "{rcpt_mailer}": "local"}
QUEUE_ID = "4c2XyZ1abc"

FROM_ANN = (macros(b"M", ANN), mail(b"<ann@client.example>", b"SIZE=213", b"BODY=8BITMIME"))
TO_BOB = (macros(b"R", BOB), rcpt(b"<bob@site.example>"))
TO_NOBODY = (
    macros(b"R", {**BOB, "i": QUEUE_ID, "{rcpt_addr}": "nobody@site.example"}),
    rcpt(b"<nobody@site.example>", b"NOTIFY=NEVER"),
)
DATA = (macros(b"T", {"i": QUEUE_ID}), DAT)
HEADERS = (
    header(b"From", b" Ann <ann@client.example>"),
    header(b"To", b" Bob <bob@site.example>"),
    header(b"Subject", b" Lunch on Friday?"),
    header(b"Date", b" Sun, 22 Nov 2026 09:20:03 +0000"),
    header(b"Message-ID", b" <1@client.example>"),
)
TEXT = body(b"Hello Bob,\r\n\r\nshall we have lunch on Friday?\r\n\r\nAnn\r\n")
LUNCH = (*DATA, *HEADERS, EOH, TEXT)

ATTACHMENT = (
    header(b"From", b" Ann <ann@client.example>"),
    header(b"To", b" Bob <bob@site.example>"),
    header(b"Subject", b" =?UTF-8?Q?The_men=C3=BC?="),
    header(b"Date", b" Sun, 22 Nov 2026 09:20:03 +0000"),
    header(b"Message-ID", b" <2@client.example>"),
    header(b"MIME-Version", b" 1.0"),
    header(b"Content-Type", b' multipart/mixed; boundary="b1"'),
    EOH,
    body(
        b"--b1\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHere it is.\r\n"
        b'--b1\r\nContent-Type: application/pdf; name="menu.pdf"\r\n'
        b'Content-Disposition: attachment; filename="menu.pdf"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
        b"JVBERi0xLjQKJSBub3QgcmVhbGx5Cg==\r\n--b1--\r\n"
    ),
)


# ── the sessions ───────────────────────────────────────────────────────────────────────────────────────────────────


async def _all_events() -> Requests:
    """One session in which every event happens; in the order of time."""
    answers = {"rcpt": [None, {"reply": {"code": 550, "enhanced": "5.1.1", "text": "No such user"}}, None]}
    async with dialogue(answers, webhooks=[{"name": "policy"}]) as talk:
        mta = talk.mta
        await mta.say(POSTFIX, CLIENT, HELO, P(b"UFROBNICATE now\0"))
        await mta.say(*FROM_ANN, *TO_BOB, *TO_NOBODY, *LUNCH, EOM)
        await mta.say(*FROM_ANN, *TO_BOB, ABO)
        await mta.quit()
        await talk.backend.wait_for("disconnect")
        told = _told(talk)
    found = {name: _first(told, name) for name in dict.fromkeys(item["event"] for item in told)}
    found["header"] = next(item for item in told if item["data"].get("name") == "Subject")
    found["rcpt_nobody"] = next(item for item in told if item["data"].get("index") == 1)
    return dict(sorted(found.items(), key=lambda item: told.index(item[1])))


async def _one(
    name: str,
    event: str,
    *packets: bytes,
    webhook: Mapping[str, Any] | None = None,
    answers: Any = None,
    which: int = 0,
    limits: Mapping[str, Any] | None = None,
) -> Requests:
    """One request of a session of its own."""
    keys = {"name": "policy", **(webhook or {})}
    async with dialogue(answers or {}, webhooks=[keys], **({"limits": limits} if limits else {})) as talk:
        await talk.mta.say(*packets)
        return {name: [item for item in _told(talk) if item["event"] == event][which]}


async def _second_webhook(name: str, event: str, first: Mapping[str, Any], *packets: bytes) -> Requests:
    """What a webhook is sent that stands behind another."""
    webhooks = [{"name": first["name"]}, {"name": "policy"}]
    async with dialogue(first["answers"], {}, webhooks=webhooks) as talk:
        await talk.mta.say(*packets)
        return {name: _first(_told(talk, 1), event)}


def _start(*more: bytes) -> Sequence[bytes]:
    return (POSTFIX, CLIENT, HELO, *more)


_LOGIN = {"{auth_type}": "PLAIN", "{auth_authen}": "ann", "{auth_ssf}": "256"}
_AUTHENTICATED = (macros(b"M", {**ANN, **_LOGIN}), FROM_ANN[1])
_VIA_SENDMAIL = (
    SENDMAIL,
    connect(b"out.client.example", b"IPv6:2001:db8:0:0:0:0:0:25", 40112, b"6"),
    HELO,
    macros(b"M", {"i": "9AM9K3xY012345", **ANN, "{mail_mailer}": "esmtp"}),
    FROM_ANN[1],
    *TO_BOB,
)
_BINARY = body(b"\x00\x01\x02\xff binary \xfe\r\n")

Scene = Callable[[], Awaitable[Requests]]

SCENES: Sequence[Scene] = (
    _all_events,
    lambda: _one("negotiate_sendmail", "negotiate", SENDMAIL),
    lambda: _one("connect_unix", "connect", POSTFIX, connect(b"localhost", b"/run/client.sock", 0, b"L")),
    lambda: _one("helo_tls", "helo", POSTFIX, CLIENT, TLS, HELO),
    lambda: _one("mail_authenticated", "mail", POSTFIX, CLIENT, TLS, HELO, *_AUTHENTICATED),
    lambda: _one("mail_null_sender", "mail", *_start(macros(b"M", {"{mail_addr}": ""}), mail(b"<>", b"SIZE=4711"))),
    lambda: _one("rcpt_non_utf8", "rcpt", *_start(*FROM_ANN, rcpt(b"<b\xf6b@site.example>"))),
    lambda: _one("rcpt_sendmail", "rcpt", *_VIA_SENDMAIL),
    lambda: _one(
        "rcpt_rejected_by_mta",
        "rcpt",
        *_start(
            *FROM_ANN,
            macros(b"R", {"{rcpt_mailer}": "error", "{rcpt_host}": "5.1.1", "{rcpt_addr}": "550 5.1.1 User unknown"}),
            rcpt(b"<gone@site.example>"),
        ),
        webhook={"rejected_recipients": True},
    ),
    lambda: _one(
        "rcpt_context",
        "rcpt",
        *_start(*FROM_ANN, *TO_BOB),
        answers={
            "connect": {"context": {"session": {"asn": 64500}}},
            "mail": {"context": {"transaction": {"score": 1.5}}},
        },
    ),
    lambda: _second_webhook(
        "rcpt_previous",
        "rcpt",
        {"name": "spf", "answers": {"rcpt": {"action": "continue", "annotations": {"spf": "pass"}}}},
        *_start(*FROM_ANN, *TO_BOB),
    ),
    lambda: _one(
        "header_non_utf8", "header", *_start(*FROM_ANN, *TO_BOB, *DATA, header(b"Subject", b" Men\xfc f\xfcr Freitag"))
    ),
    lambda: _one(
        "header_folded",
        "header",
        *_start(*FROM_ANN, *TO_BOB, *DATA, header(b"References", b" <1@client.example>\n\t<2@client.example>")),
    ),
    lambda: _one(
        "header_without_space", "header", *_start(*FROM_ANN, *TO_BOB, *DATA, header(b"Subject", b"Lunch on Friday?"))
    ),
    lambda: _one("body_binary", "body", *_start(*FROM_ANN, *TO_BOB, *DATA, *HEADERS, EOH, _BINARY)),
    lambda: _one("body_second", "body", *_start(*FROM_ANN, *TO_BOB, *LUNCH, body(b"PS: my treat\r\n")), which=1),
    lambda: _one("end_of_message_attachment", "end_of_message", *_start(*FROM_ANN, *TO_BOB, *DATA, *ATTACHMENT, EOM)),
    lambda: _one(
        "end_of_message_binary", "end_of_message", *_start(*FROM_ANN, *TO_BOB, *DATA, *HEADERS, EOH, _BINARY, EOM)
    ),
    lambda: _one(
        "end_of_message_parsed",
        "end_of_message",
        *_start(*FROM_ANN, *TO_BOB, *DATA, *ATTACHMENT, EOM),
        webhook={"include": ["message.parsed"]},
    ),
    lambda: _one("end_of_message_sendmail", "end_of_message", *_VIA_SENDMAIL, *LUNCH, EOM),
    lambda: _one(
        "end_of_message_headers_only",
        "end_of_message",
        *_start(*FROM_ANN, *TO_BOB, *LUNCH, EOM),
        webhook={"include": ["message.headers"]},
    ),
    lambda: _one(
        "end_of_message_truncated",
        "end_of_message",
        *_start(*FROM_ANN, *TO_BOB, *LUNCH, EOM),
        webhook={"on_too_large": "truncate"},
        limits={"message_bytes": "190B"},
    ),
    lambda: _one(
        "end_of_message_multipart",
        "end_of_message",
        *_start(*FROM_ANN, *TO_BOB, *LUNCH, EOM),
        webhook={"format": "multipart"},
    ),
    lambda: _second_webhook(
        "end_of_message_changed",
        "end_of_message",
        {
            "name": "tagger",
            "answers": {
                "end_of_message": {
                    "changes": [
                        {"op": "set_header", "name": "Subject", "value": "[external] Lunch on Friday?"},
                        {"op": "add_header", "name": "X-Checked", "value": "yes", "at": "start"},
                        {"op": "add_rcpt", "address": "archive@site.example"},
                    ],
                    "annotations": {"external": True},
                }
            },
        },
        *_start(*FROM_ANN, *TO_BOB, *LUNCH, EOM),
    ),
)


async def golden_requests() -> Requests:
    """All of them."""
    made: Requests = {}
    for scene in SCENES:
        for name, request in _with_fixed_facts(await scene()).items():
            assert name not in made, name
            made[name] = request
    return made


def _told(talk: Dialogue, backend: int = 0) -> list[Any]:
    return [json_of(received) for received in talk.backends[backend].requests]


def _first(told: Sequence[Any], event: str) -> Any:
    return next(item for item in told if item["event"] == event)


def _with_fixed_facts(requests: Requests) -> Requests:
    """The same with ids and times that are the same on every run, whatever else is added here."""
    order = list(requests)
    scene = zlib.crc32(order[0].encode())
    ids: dict[str, str] = {}
    for name in order:
        for found in _UUID.findall(json.dumps(requests[name])):
            ids.setdefault(found, f"019b0c1e-7e90-7a11-8000-{scene:08x}{len(ids) + 1:04x}")
    fixed: Requests = {}
    for name in requests:
        request = json.loads(_UUID.sub(lambda found: ids[found[0]], json.dumps(requests[name])))
        moment = _BEGIN + timedelta(milliseconds=40 * order.index(name))
        request["time"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if "duration_ms" in request["data"]:
            request["data"]["duration_ms"] = _LASTED_MS
        fixed[name] = request
    return fixed
