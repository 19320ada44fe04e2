"""`schema`: the contract for machines."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from gateway.contract.openapi import openapi
from gateway.contract.schema import request_schema, response_schema

SCHEMAS: Mapping[str, Callable[[], Any]] = {
    "request": request_schema,
    "response": response_schema,
    "openapi": openapi,
}


def schema(name: str) -> str:
    """One of the documents as JSON."""
    return json.dumps(SCHEMAS[name](), indent=2, ensure_ascii=False)
