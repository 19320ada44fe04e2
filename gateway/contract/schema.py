"""The contract as JSON Schema 2020-12, made from the structs.

The structs say which fields there are and of which type; the tables here add what the gateway checks beyond types,
so that what the schema refuses the gateway refuses too. What no schema can say stays with the gateway: what was agreed
with the MTA, what `allow` permits, sizes, and brackets inside addresses.
"""

from collections.abc import Mapping

import msgspec

from gateway.contract import VERSION
from gateway.contract import request as q
from gateway.contract.fields import BASE64, Schema, refine
from gateway.contract.response import Response
from gateway.contract.words import ACTIONS, TRANSACTION_EVENTS, Action, Event, Op

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DEFS = "#/$defs/"

DATA_OF: Mapping[Event, type] = {
    Event.NEGOTIATE: q.NegotiateData,
    Event.CONNECT: q.ConnectData,
    Event.HELO: q.HeloData,
    Event.MAIL: q.MailData,
    Event.RCPT: q.RcptData,
    Event.DATA: q.DataData,
    Event.HEADER: q.HeaderData,
    Event.END_OF_HEADERS: q.EndOfHeadersData,
    Event.BODY: q.BodyData,
    Event.END_OF_MESSAGE: q.EndOfMessageData,
    Event.ABORT: q.AbortData,
    Event.UNKNOWN: q.UnknownData,
    Event.DISCONNECT: q.DisconnectData,
}
"""The `data` of each event."""

_NO_BREAKS = r"^[^\u0000\r\n]*(?![\s\S])"  # `$` would allow a line break at the end in some dialects
_ANY: Schema = {}
_NULL: Schema = {"type": "null"}
EVENTS: Schema = {"enum": [str(event) for event in Event]}
_OPS: Schema = {"enum": [str(op) for op in Op]}
_FAMILY: Schema = {"enum": ["inet", "inet6", "unix", "unknown"]}
_EXACTLY_ONE_CONTENT: Schema = {"oneOf": [{"required": ["text"]}, {"required": ["base64"]}]}
_EVENT_LIST: Schema = {"anyOf": [{"type": "array", "items": EVENTS}, _NULL]}
_OP_LIST: Schema = {"anyOf": [{"type": "array", "items": _OPS}, _NULL]}
_PARAMS: Schema = {
    "type": "object",
    "additionalProperties": {"anyOf": [{"type": "string"}, {"const": True}]},
}
_GIVEN_PARAMS: Schema = {
    "anyOf": [
        {
            "type": "object",
            "propertyNames": {"pattern": r"^[A-Za-z0-9-]+(?![\s\S])"},
            "additionalProperties": {
                "anyOf": [{"type": "string", "pattern": r"^[!-<>-~]*(?![\s\S])"}, {"const": True}, _NULL]
            },
        },
        _NULL,
    ]
}
_LINE: Schema = {"type": "string", "pattern": _NO_BREAKS}

_REQUEST_FIELDS: Mapping[str, Mapping[str, Schema]] = {
    "Request": {
        "version": {"const": VERSION},
        "id": {"type": "string", "format": "uuid"},
        "event": EVENTS,
        "time": {"type": "string", "format": "date-time"},
        "session_id": {"type": "string", "format": "uuid"},
        "transaction_id": {"anyOf": [{"type": "string", "format": "uuid"}, _NULL]},
        "data": {"type": "object"},
    },
    "Mta": {"events": {"type": "array", "items": EVENTS}, "changes": {"type": "array", "items": _OPS}},
    "Client": {"family": _FAMILY},
    "ConnectData": {"family": _FAMILY},
    "Address": {"params": _PARAMS},
    "MailData": {"params": _PARAMS},
    "RcptData": {"params": _PARAMS, "rejected_by_mta": {"const": True}},
    "Message": {"body": {"$ref": f"{DEFS}Content"}, "parsed": {"$ref": f"{DEFS}Parsed"}},
    "Parsed": {"sent_at": {"anyOf": [{"type": "string", "format": "date-time"}, _NULL]}},
    "Attachment": {
        "base64": BASE64,
        "sha256": {"type": "string", "pattern": r"^[0-9a-f]{64}(?![\s\S])"},
        "size": {"type": "integer", "minimum": 0},
    },
    "Previous": {"action": {"enum": [str(action) for action in Action]}},
    "Context": {"session": _ANY, "transaction": _ANY},
    "NegotiateData": {"events": {"type": "array", "items": EVENTS}, "changes": {"type": "array", "items": _OPS}},
    "AbortData": {"after": EVENTS},
    "DisconnectData": {"cause": {"enum": ["quit", "eof", "error", "shutdown"]}},
}
"""Where a request says more than its types."""

_CHECKED_TEXT: Mapping[str, Schema] = {
    "name": {"type": "string", "pattern": r"^[!-9;-~]+(?![\s\S])"},
    "value": {"type": "string", "pattern": r"^(?:[^\u0000\r\n]|\r?\n[ \t])*(?![\s\S])"},
    "address": _LINE,
    "reason": _LINE,
    "text": {"type": "string"},
}
"""The texts of changes for which base64 may stand."""

MACRO_STAGES = ("connect", "helo", "mail", "rcpt", "data", "end_of_headers", "end_of_message")
"""Where macros may be asked for."""

_RESPONSE_FIELDS: Mapping[str, Mapping[str, Schema]] = {
    "Response": {"next": _EVENT_LIST},
    "Reply": {
        "enhanced": {"anyOf": [{"type": "string", "pattern": r"^[45]\.[0-9]{1,3}\.[0-9]{1,3}(?![\s\S])"}, _NULL]},
        "text": {"anyOf": [_LINE, {"type": "array", "items": _LINE}, _NULL]},
    },
    "AddRcpt": {"params": _GIVEN_PARAMS},
    "ChangeFrom": {"params": _GIVEN_PARAMS},
    "ContextUpdate": {"session": _ANY, "transaction": _ANY},
    "Wants": {
        "events": _EVENT_LIST,
        "optional_events": _EVENT_LIST,
        "changes": _OP_LIST,
        "optional_changes": _OP_LIST,
        "macros": {
            "anyOf": [
                {
                    "type": "object",
                    "propertyNames": {"enum": list(MACRO_STAGES)},
                    "additionalProperties": {
                        "anyOf": [
                            {
                                "type": "array",
                                "items": {"type": "string", "pattern": r"^(?:\{[!-+\--z|~]+\}|[!-+\--z|~]+)(?![\s\S])"},
                            },
                            _NULL,
                        ]
                    },
                },
                _NULL,
            ]
        },
    },
}
"""Where an answer is checked beyond its types."""


def request_schema() -> Schema:
    """What a webhook is sent. Readers ignore keys that they do not know: later versions may add some."""
    return _document("What the gateway sends", "Request", request_definitions())


def response_schema(event: Event | None = None) -> Schema:
    """What a webhook may answer; with `event` only what may be answered there."""
    schema = _document("What a webhook answers", "Response", response_definitions())
    return schema if event is None else {**schema, **narrowed(event)}


def _document(title: str, root: str, definitions: Schema) -> Schema:
    return {"$schema": DIALECT, "title": title, "$ref": DEFS + root, "$defs": definitions}


# ── requests ────────────────────────────────────────────────────────────────────────────────────────────────────────


def request_definitions() -> Schema:
    """The structs of a request by name."""
    _, definitions = msgspec.json.schema_components([q.Request, *DATA_OF.values()], ref_template=DEFS + "{name}")
    refine(definitions, _REQUEST_FIELDS)
    for name in ("Content", "BodyData"):
        definitions[name].update(_EXACTLY_ONE_CONTENT)
    definitions["Request"]["oneOf"] = [
        {"title": str(event), "properties": {"event": {"const": str(event)}, "data": {"$ref": DEFS + kind.__name__}}}
        for event, kind in DATA_OF.items()
    ]
    return definitions


# ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def response_definitions() -> Schema:
    """The structs of an answer by name."""
    _, definitions = msgspec.json.schema_components([Response], ref_template=DEFS + "{name}")
    refine(definitions, _RESPONSE_FIELDS)
    for definition in definitions.values():
        _demand_texts(definition)
    response = definitions["Response"]
    response["patternProperties"] = {"^x_": _ANY}
    response["allOf"] = _REPLY_RULES
    return definitions


def _demand_texts(definition: Schema) -> None:
    """Of a text and the base64 that may stand for it exactly one is given."""
    fields: Schema = definition.get("properties", {})
    if "op" not in fields:
        return
    rules = []
    for field, checked in _CHECKED_TEXT.items():
        if field not in fields:
            continue
        sibling = "base64" if field == "text" else f"{field}_base64"
        rules.append(
            {
                "oneOf": [
                    {"required": [field], "properties": {field: checked, sibling: _NULL}},
                    {"required": [sibling], "properties": {sibling: BASE64, field: _NULL}},
                ]
            }
        )
    definition["allOf"] = rules


def _if_action(action: Action, then: Schema) -> Schema:
    return {"if": {"required": ["action"], "properties": {"action": {"const": str(action)}}}, "then": then}


def _reply_of(lowest: int, highest: int) -> Schema:
    """A reply whose code lies there, with an enhanced code of the same class."""
    code = {"anyOf": [{"type": "integer", "minimum": lowest, "maximum": highest}, _NULL]}
    enhanced = {"anyOf": [{"type": "string", "pattern": f"^{lowest // 100}"}, _NULL]}
    return {"properties": {"reply": {"anyOf": [{"properties": {"code": code, "enhanced": enhanced}}, _NULL]}}}


def _reply_alone(lowest: int, highest: int) -> Schema:
    code = {"type": "integer", "minimum": lowest, "maximum": highest}
    enhanced = {"anyOf": [{"type": "string", "pattern": f"^{lowest // 100}"}, _NULL]}
    return {"type": "object", "required": ["code"], "properties": {"code": code, "enhanced": enhanced}}


_REPLY_RULES: list[Schema] = [
    *(
        _if_action(action, {"properties": {"reply": _NULL}})
        for action in (Action.CONTINUE, Action.ACCEPT, Action.DISCARD, Action.SKIP)
    ),
    _if_action(Action.REJECT, _reply_of(500, 599)),
    _if_action(Action.TEMPFAIL, _reply_of(400, 499)),
    _if_action(Action.DISCONNECT, _reply_of(421, 421)),
    {
        "if": {"properties": {"action": _NULL}},
        "then": {"properties": {"reply": {"anyOf": [_NULL, _reply_alone(400, 499), _reply_alone(500, 599)]}}},
    },
]
"""Action, code and enhanced code agree."""


def narrowed(event: Event) -> Schema:
    """What else holds for an answer to this event."""
    allowed = [str(action) for action in Action if action in ACTIONS[event]]
    fields: Schema = {"action": {"enum": [*allowed, None]}}
    if Action.REJECT not in ACTIONS[event]:
        fields["reply"] = _NULL
    if event not in TRANSACTION_EVENTS:
        fields["changes"] = {"anyOf": [{"type": "array", "maxItems": 0}, _NULL]}
    if event is not Event.NEGOTIATE:
        fields["wants"] = _NULL
    return {"properties": fields}
