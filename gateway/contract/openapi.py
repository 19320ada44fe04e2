"""The webhooks that a backend implements, as OpenAPI 3.1."""

import json
from collections.abc import Mapping

from gateway.contract import VERSION
from gateway.contract.fields import Schema
from gateway.contract.schema import (
    DATA_OF,
    DEFS,
    DIALECT,
    EVENTS,
    narrowed,
    request_definitions,
    response_definitions,
)
from gateway.contract.words import TRANSACTION_EVENTS, Event

_COMPONENTS = "#/components/schemas/"


def openapi() -> Schema:
    """The webhooks that a backend implements, as OpenAPI 3.1."""
    definitions = {**request_definitions(), **response_definitions()}
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Milter gateway webhooks",
            "version": str(VERSION),
            "description": "The gateway posts each event of an SMTP session to the configured URL; the answer decides.",
        },
        "jsonSchemaDialect": DIALECT,
        "paths": {},
        "webhooks": {str(event): {"post": _operation(event)} for event in Event},
        "components": {"schemas": definitions, "parameters": {key: _header(key) for key in _HEADERS}},
    }
    relocated: Schema = json.loads(json.dumps(document).replace(DEFS, _COMPONENTS))
    return relocated


_HEADERS: Mapping[str, tuple[bool, Schema, str]] = {
    "webhook-id": (True, {"type": "string", "format": "uuid"}, "The body's `id`; the same on every attempt."),
    "webhook-timestamp": (True, {"type": "string", "pattern": "^[0-9]+$"}, "Seconds since 1970."),
    "webhook-signature": (
        False,
        {"type": "string"},
        "Standard Webhooks: `v1,` and the HMAC-SHA256 of `id.timestamp.body`, once for each active secret.",
    ),
    "milter-event": (True, EVENTS, "The body's `event`."),
    "milter-session": (True, {"type": "string", "format": "uuid"}, "The body's `session_id`."),
    "milter-attempt": (True, {"type": "integer", "minimum": 1}, "The number of this attempt."),
    "milter-deadline-ms": (True, {"type": "integer", "minimum": 0}, "How long the gateway will wait."),
    "traceparent": (True, {"type": "string"}, "W3C Trace Context."),
}


def _header(name: str) -> Schema:
    required, schema, description = _HEADERS[name]
    return {"name": name, "in": "header", "required": required, "description": description, "schema": schema}


def _operation(event: Event) -> Schema:
    request = {"allOf": [{"$ref": f"{DEFS}Request"}, {"properties": {"event": {"const": str(event)}}}]}
    response = {"allOf": [{"$ref": f"{DEFS}Response"}, narrowed(event)]}
    sent: Schema = {"application/json": {"schema": request}}
    answered: Schema = {"application/json": {"schema": response}}
    if event is Event.END_OF_MESSAGE:
        sent["multipart/form-data"] = _form("event", request)
    if event in TRANSACTION_EVENTS:
        answered["multipart/form-data"] = _form("response", response)
    return {
        "operationId": str(event),
        "summary": DATA_OF[event].__doc__,
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in _HEADERS],
        "requestBody": {"required": True, "content": sent},
        "responses": {
            "200": {"description": "The answer; an empty one means continue.", "content": answered},
            "204": {"description": "Continue."},
        },
    }


def _form(part: str, schema: Schema) -> Schema:
    """A form of `part` as JSON, and the raw message."""
    message = {"type": "string", "contentMediaType": "message/rfc822", "description": "The raw message, with CRLF."}
    return {
        "schema": {"type": "object", "properties": {part: schema, "message": message}},
        "encoding": {part: {"contentType": "application/json"}, "message": {"contentType": "message/rfc822"}},
    }
