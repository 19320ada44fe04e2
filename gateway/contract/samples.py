"""One example for every field of the contract, for the published schema; keys are the structs and fields.

A field that holds another struct needs none: its example is made of that one's.
"""

from collections.abc import Mapping
from typing import Any

Samples = Mapping[str, Any]

SOME_BASE64 = "TWVu/A=="
"""Of a sibling: bytes that are not UTF-8."""

_ADDRESS: Samples = {"address": "bob@site.example", "params": {"NOTIFY": "NEVER"}}
_CONNECTION: Samples = {"name": "out.client.example", "address": "192.0.2.25", "port": 40112, "family": "inet"}
_FIELD: Samples = {"name": "Subject", "value": "Lunch on Friday?", "field_base64": "U3ViamVjdDpMdW5jaA=="}
_NAME: Samples = {"name": "X-Checked", "name_base64": "WC1DaGVja2Vk"}
_CHANGE_FIELD: Samples = {**_NAME, "value": "yes", "value_base64": SOME_BASE64}
_CHANGE_ADDRESS: Samples = {"address": "archive@site.example", "address_base64": "YXJjaGl2ZUBzaXRlLmV4YW1wbGU="}
_GIVEN_PARAMS: Samples = {"params": {"NOTIFY": "NEVER"}}
_CONTENT: Samples = {"text": "Hello Bob,\r\n", "base64": "AAEC/w=="}
_NEW_MESSAGE: Samples = {"text": "Subject: hi\r\n\r\nHello Bob,\r\n", "base64": "U3ViamVjdDogaGkNCg0KSGkNCg=="}
_EVENTS = ["rcpt", "end_of_message"]
_OPS = ["add_header", "quarantine"]

_REQUEST: Mapping[str, Samples] = {
    "Request": {
        "version": 1,
        "id": "019b0c1e-7f00-7a11-8000-5d1c2f00aa07",
        "event": "rcpt",
        "time": "2026-11-22T09:20:03.412Z",
        "webhook": "policy",
        "dry_run": False,
        "session_id": "019b0c1e-7e90-7a11-8000-28f259170002",
        "transaction_id": "019b0c1e-7ef0-7a11-8000-28f259170006",
        "queue_id": "4c2XyZ1abc",
        "data": {"address": "bob@site.example", "params": {}, "index": 0},
        "macros": {"j": "mx1.site.example", "{client_addr}": "192.0.2.25"},
    },
    "Mta": {
        "name": "mx1.site.example",
        "software": "Postfix 3.9.1",
        "daemon": "smtpd",
        "address": "198.51.100.5",
        "port": 25,
        "milter_version": 6,
        "events": _EVENTS,
        "changes": _OPS,
    },
    "Client": {**_CONNECTION, "helo": "out.client.example"},
    "Tls": {
        "version": "TLSv1.3",
        "cipher": "TLS_AES_256_GCM_SHA384",
        "bits": 256,
        "cert_subject": "out.client.example",
        "cert_issuer": "Client Example CA",
    },
    "Auth": {"mechanism": "PLAIN", "user": "ann", "author": "ann"},
    "Address": _ADDRESS,
    "Field": _FIELD,
    "Content": _CONTENT,
    "Mailbox": {"name": "Ann Smith", "email": "ann@client.example"},
    "Attachment": {
        "part_id": "2",
        "name": "menu.pdf",
        "type": "application/pdf",
        "size": 5,
        "disposition": "attachment",
        "cid": "1@client.example",
        "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        "base64": "aGVsbG8=",
    },
    "Parsed": {
        "subject": "Lunch on Friday?",
        "sent_at": "2026-11-22T09:20:03Z",
        "message_id": "2@client.example",
        "in_reply_to": "1@site.example",
        "references": "0@client.example 1@site.example",
        "text": "Hello Bob,\n",
        "html": "<p>Hello Bob,</p>\n",
        "defects": ["subject: unknown charset"],
    },
    "Message": {"size": 213, "body": {"text": "Hello Bob,\r\n"}},
    "Previous": {"webhook": "spf", "action": "continue", "annotations": {"spf": "pass"}},
    "Context": {"session": {"asn": 64500}, "transaction": {"score": 1.5}},
    "NegotiateData": {"milter_version": 6, "events": _EVENTS, "changes": _OPS},
    "ConnectData": _CONNECTION,
    "HeloData": {"name": "out.client.example"},
    "MailData": {"address": "ann@client.example", "params": {"SIZE": "213", "SMTPUTF8": True}},
    "RcptData": {**_ADDRESS, "index": 0, "rejected_by_mta": True},
    "HeaderData": {"index": 2, **_FIELD},
    "EndOfHeadersData": {"count": 5},
    "BodyData": {"offset": 0, "size": 12, **_CONTENT},
    "EndOfMessageData": {"size": 213, "truncated": False},
    "AbortData": {"after": "rcpt"},
    "UnknownData": {"command": "FROBNICATE now"},
    "DisconnectData": {"cause": "quit", "transactions": 1, "duration_ms": 812},
}

_RESPONSE: Mapping[str, Samples] = {
    "Response": {
        "action": "reject",
        "changes": [{"op": "add_header", "name": "X-Checked", "value": "yes"}],
        "next": ["end_of_message"],
        "annotations": {"spf": "fail", "score": 4.2},
        "warnings": ["the block-list did not answer"],
    },
    "Reply": {"code": 550, "enhanced": "5.7.1", "text": ["Not here", "See https://site.example/why"]},
    "AddHeader": {**_CHANGE_FIELD, "at": "start"},
    "SetHeader": _CHANGE_FIELD,
    "ChangeHeader": {**_CHANGE_FIELD, "nth": 1},
    "DeleteHeader": {**_NAME, "nth": "all"},
    "ReplaceBody": _CONTENT,
    "ReplaceMessage": _NEW_MESSAGE,
    "AddRcpt": {**_CHANGE_ADDRESS, **_GIVEN_PARAMS},
    "DeleteRcpt": _CHANGE_ADDRESS,
    "ChangeFrom": {**_CHANGE_ADDRESS, **_GIVEN_PARAMS},
    "Quarantine": {"reason": "looks like an invoice from nowhere", "reason_base64": SOME_BASE64},
    "ContextUpdate": {"session": {"asn": 64500}, "transaction": None},
    "Wants": {
        "events": _EVENTS,
        "optional_events": ["abort"],
        "changes": ["add_header"],
        "optional_changes": ["quarantine"],
        "macros": {"connect": ["j", "{client_ptr}"]},
    },
}

SAMPLES: Mapping[str, Samples] = {**_REQUEST, **_RESPONSE}
