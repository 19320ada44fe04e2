"""One sentence for every field of the contract, for the published schema; keys are the structs and fields."""

from collections.abc import Mapping

_ADDRESS = "The address without its angle brackets; empty for the null sender."
_PARAMS = (
    "ESMTP parameters: keys in capitals, `true` for one without a value; `KEY_base64` beside a value that is no UTF-8."
)
_FIELD = {
    "name": "The field's name.",
    "value": "What follows the colon less one leading space; folds are LF and a blank.",
    "field_base64": "The exact `name:value`, where the byte after the colon is not a space.",
}
_CHANGE_FIELD = {
    "op": "What to change.",
    "name": "The field's name; case does not count.",
    "value": "The field's value; every line break is followed by a blank.",
    "name_base64": "Stands for `name`.",
    "value_base64": "Stands for `value`.",
}
_CHANGE_ADDRESS = {
    "op": "What to change.",
    "address": "The address, with or without its angle brackets.",
    "address_base64": "Stands for `address`.",
    "params": "ESMTP parameters; `true` for one without a value.",
}
_NEW_CONTENT = {
    "op": "What to change.",
    "text": "The bytes as UTF-8.",
    "base64": "The bytes in base64; stands for `text`.",
}

DESCRIPTIONS: Mapping[str, Mapping[str, str]] = {
    "Request": {
        "version": "Of this contract.",
        "id": "Of this call, the same on every attempt; also the header `webhook-id`.",
        "event": "What happened.",
        "time": "When the call was made, RFC 3339 in UTC.",
        "webhook": "The name of this webhook in the gateway's configuration.",
        "dry_run": "True where no mail depends on the answer.",
        "session_id": "Of the SMTP session.",
        "transaction_id": "Of the mail transaction; null outside one.",
        "queue_id": "The MTA's queue id (macro `i`); null as long as the MTA has not told it.",
        "mta": "The MTA, and what was agreed with it for this webhook.",
        "client": "The SMTP client.",
        "tls": "The client's TLS; null where it uses none.",
        "auth": "The client's authentication; null where there was none.",
        "envelope": "Sender and recipients so far.",
        "data": "What this event is about.",
        "message": "The message so far; null before the end of the headers.",
        "macros": "All macros in scope; names of one letter bare, longer ones in braces; `NAME_base64` beside a value "
        "that is no UTF-8.",
        "previous": "The answers of earlier webhooks to this event.",
        "context": "What this webhook asked the gateway to keep.",
        "queue_id_base64": "The exact bytes of `queue_id`; only where they are no UTF-8.",
    },
    "Mta": {
        "name": "The MTA's host name (macro `j`).",
        "software": "Name and version (macro `v`; Sendmail does not tell it).",
        "daemon": "The listener's name (macro `{daemon_name}`).",
        "address": "The listener's IP address.",
        "port": "The listener's port.",
        "milter_version": "The agreed version of the milter protocol.",
        "events": "The events that this webhook gets.",
        "changes": "The changes that this webhook may answer.",
    },
    "Client": {
        "name": "As the MTA gave it: a host name, `unknown` or `[192.0.2.1]`.",
        "address": "IP address, or path of a unix socket.",
        "port": "TCP port; null where it is not known.",
        "family": "The kind of address.",
        "helo": "The argument of HELO or EHLO.",
    },
    "Tls": {
        "version": "The protocol, as `TLSv1.3`.",
        "cipher": "The cipher suite.",
        "bits": "The strength of the cipher.",
        "cert_subject": "The subject of the client's certificate.",
        "cert_issuer": "The issuer of the client's certificate.",
    },
    "Auth": {"mechanism": "The SASL mechanism.", "user": "The login.", "author": "The authorization identity."},
    "Address": {"address": _ADDRESS, "params": _PARAMS},
    "Envelope": {
        "from": "The sender; null before MAIL.",
        "to": "The recipients that nobody refused; at `rcpt` the one in question is the last.",
    },
    "Field": _FIELD,
    "Content": {"text": "The body, if it is UTF-8 without NUL.", "base64": "Any other body."},
    "Mailbox": {"name": "The display name, decoded; null where there is none.", "email": "The address."},
    "Attachment": {
        "part_id": "The number of the part, as IMAP counts: `2` or `1.2`.",
        "name": "The name of the file, decoded; null where there is none.",
        "type": "The media type, in lower case.",
        "size": "Bytes of the decoded content.",
        "disposition": "`attachment`, `inline` or another word; null where none is given.",
        "cid": "The Content-ID without its angle brackets.",
        "sha256": "Of the decoded content, in hexadecimal.",
        "base64": "The decoded content; absent where it is larger than 256 KiB, or beyond 1 MiB of one message.",
    },
    "Parsed": {
        "subject": "The subject, decoded; null where there is none.",
        "from": "The authors.",
        "to": "The addresses of the header; who gets the message stands in `envelope`.",
        "cc": "The addresses of Cc.",
        "reply_to": "The addresses of Reply-To.",
        "sent_at": "The date of the header, RFC 3339; null where it is no date.",
        "message_id": "The id without its angle brackets.",
        "in_reply_to": "Ids without their angle brackets, with a blank between them.",
        "references": "Ids without their angle brackets, with a blank between them.",
        "text": "The plain texts of the message, decoded, line breaks as LF; null where there is none.",
        "html": "Its HTML texts, likewise.",
        "attachments": "Every part that is in neither text, and every one that has a file name.",
        "defects": "What was amiss in the message, in words.",
    },
    "Message": {
        "size": "Bytes of fields with CRLF, blank line and body; null where not known.",
        "headers": "All fields in order.",
        "body": "The body, with CRLF.",
        "parsed": "The message taken apart.",
    },
    "Previous": {
        "webhook": "Its name.",
        "action": "What it answered, or what was applied instead.",
        "annotations": "Its annotations of this transaction.",
    },
    "Context": {
        "session": "Kept as long as the SMTP session; null at first.",
        "transaction": "Kept for one mail transaction; null at first.",
    },
    "NegotiateData": {
        "milter_version": "The version that the MTA offers.",
        "events": "The events that the MTA can send.",
        "changes": "The changes that the MTA allows.",
    },
    "ConnectData": {
        "name": "As the MTA gave it: a host name, `unknown` or `[192.0.2.1]`.",
        "address": "IP address, or path of a unix socket.",
        "port": "TCP port; null where it is not known.",
        "family": "The kind of address.",
    },
    "HeloData": {"name": "The argument of HELO or EHLO."},
    "MailData": {"address": _ADDRESS, "params": _PARAMS},
    "RcptData": {
        "address": "The recipient without angle brackets.",
        "params": _PARAMS,
        "index": "Counts the RCPT events of the transaction from 0.",
        "rejected_by_mta": "The MTA itself has refused this recipient: the verdict is ignored.",
    },
    "HeaderData": {"index": "Counts the fields from 0.", **_FIELD},
    "EndOfHeadersData": {"count": "How many fields the message has."},
    "BodyData": {
        "offset": "Where in the body the chunk begins.",
        "size": "Bytes of the chunk.",
        "text": "The chunk, if it is UTF-8 without NUL.",
        "base64": "Any other chunk.",
    },
    "EndOfMessageData": {
        "size": "As in `message`.",
        "truncated": "The message was over the limits: the request does not show all of it.",
    },
    "AbortData": {"after": "The last event of the transaction."},
    "UnknownData": {"command": "The SMTP command that the MTA does not know."},
    "DisconnectData": {
        "cause": "How the SMTP session ended.",
        "transactions": "How many mail transactions it had.",
        "duration_ms": "How long it lasted.",
    },
    "Response": {
        "action": "What is to happen; absent means `continue`, or follows from the code of `reply`.",
        "reply": "What the SMTP client is told; goes with reject, tempfail and disconnect only.",
        "changes": "Changes of the message as this request showed it; they do not shift each other.",
        "context": "What the gateway is to keep and to send along with later events.",
        "next": "Narrows the subscription for the rest of this transaction; empty means nothing more.",
        "annotations": "For the log, the inspector and later webhooks; never for the mail.",
        "warnings": "For the log of the gateway.",
        "wants": "Only at `negotiate`: what this webhook wants of this connection.",
    },
    "Reply": {
        "code": "The SMTP code; its first digit agrees with the action.",
        "enhanced": "The enhanced status code; its class agrees with the code.",
        "text": "One line or many; what is not ASCII becomes `?`.",
    },
    "AddHeader": {
        **_CHANGE_FIELD,
        "at": "`end`, `start` (above everything), or before the n-th field (from 0) that the request showed.",
    },
    "SetHeader": _CHANGE_FIELD,
    "ChangeHeader": {**_CHANGE_FIELD, "nth": "Which field of this name, from 1."},
    "DeleteHeader": {**_CHANGE_FIELD, "nth": "Which field of this name, from 1; `all` by default."},
    "ReplaceBody": _NEW_CONTENT,
    "ReplaceMessage": _NEW_CONTENT,
    "AddRcpt": _CHANGE_ADDRESS,
    "DeleteRcpt": _CHANGE_ADDRESS,
    "ChangeFrom": {**_CHANGE_ADDRESS, "address": "The new sender; empty for the null sender."},
    "Quarantine": {
        "op": "What to change.",
        "reason": "For the MTA's queue listing.",
        "reason_base64": "Stands for `reason`.",
    },
    "ContextUpdate": {
        "session": "Absent keeps, null clears, a value replaces.",
        "transaction": "Absent keeps, null clears, a value replaces.",
    },
    "Wants": {
        "events": "Required: where the MTA does not offer one, every call fails.",
        "optional_events": "Taken where the MTA offers them.",
        "changes": "Required: where the MTA does not offer one, every call fails.",
        "optional_changes": "Taken where the MTA offers them.",
        "macros": "Macros to ask the MTA for, by event.",
    },
}
