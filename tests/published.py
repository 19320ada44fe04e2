"""What is really sent and answered, held against the published schema; used by every double of a backend in the tests.

The schema lets a request have keys that it does not know, since later versions may add some. Here such a key is a
fault: it would be one without description.
"""

import copy
import functools
import json
from collections.abc import Mapping
from typing import Any

import jsonschema

from gateway.contract.schema import DATA_OF, request_schema, response_schema
from gateway.contract.words import Event

Validator = jsonschema.Draft202012Validator

MAX_BYTES = 256 * 1024
"""Larger ones are not looked at: their bodies would take long and tell nothing more."""


@functools.cache
def _closed() -> Mapping[str, Any]:
    schema = copy.deepcopy(request_schema())
    for definition in schema["$defs"].values():
        if definition.get("type") == "object":
            definition["additionalProperties"] = False
    return schema


@functools.cache
def _whole(event: str) -> Validator:
    """Of the requests of one event."""
    schema = copy.deepcopy(_closed())
    request = schema["$defs"]["Request"]
    request["oneOf"] = [item for item in request["oneOf"] if item["properties"]["event"]["const"] == event]
    return _validator(schema)


@functools.cache
def _part(event: str, key: str) -> Validator:
    """Of the value of one key of them."""
    schema = _closed()
    part = schema["$defs"]["Request"]["properties"][key]
    if key == "data":
        part = {"$ref": f"#/$defs/{DATA_OF[Event(event)].__name__}"}
    return _validator({**part, "$defs": schema["$defs"]})


def _validator(schema: Mapping[str, Any]) -> Validator:
    return Validator(schema, format_checker=Validator.FORMAT_CHECKER)


@functools.cache
def answer_validator(event: str) -> Validator:
    """Of the answers to one event."""
    return Validator(response_schema(Event(event)))


_seen: set[tuple[str, ...] | tuple[str, str, int]] = set()
"""Keys of whole requests, and values of single keys, that were found to be right: most of them come again and again."""


def check_request(request: Mapping[str, Any]) -> None:
    """Raises ValidationError where a request is not as published."""
    event = request["event"]
    keys = (event, *request)
    if keys not in _seen:
        _whole(event).validate(request)
        _seen.add(keys)
    for key, value in request.items():
        known = (event if key == "data" else "", key, hash(json.dumps(value)))
        if known not in _seen:
            _part(event, key).validate(value)
            _seen.add(known)


def check_answer(event: str, raw: bytes) -> None:
    """Raises ValidationError where an answer that the gateway has taken is not as published; an empty one is."""
    known = (event, "", hash(raw))
    if raw and len(raw) <= MAX_BYTES and known not in _seen:
        answer_validator(event).validate(json.loads(raw))
        _seen.add(known)
