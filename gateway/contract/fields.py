"""What the published schema says about each field beyond its type: checks, a sentence, an example."""

from collections.abc import Mapping
from typing import Any

from gateway.contract.descriptions import DESCRIPTIONS
from gateway.contract.samples import SAMPLES, SOME_BASE64

Schema = dict[str, Any]

BASE64: Schema = {"type": "string", "contentEncoding": "base64"}


def refine(definitions: Schema, fields: Mapping[str, Mapping[str, Schema]]) -> None:
    """Put checks (`fields`), descriptions and examples into the definitions of structs."""
    for struct, definition in definitions.items():
        for field, found in definition.get("properties", {}).items():
            made = fields.get(struct, {}).get(field, found)
            if field.endswith("_base64") and made == {"type": "string"}:
                made = BASE64
            made = {key: value for key, value in made.items() if (key, value) != ("default", None)}
            definition["properties"][field] = {**made, "description": _described(struct, field)}
    for struct, definition in definitions.items():
        for field, made in definition.get("properties", {}).items():
            made["examples"] = [_example(definitions, struct, field)]


def _described(struct: str, field: str) -> str:
    told = DESCRIPTIONS.get(struct, {}).get(field)
    if told is None and field.endswith("_base64"):
        return f"The exact bytes of `{field.removesuffix('_base64')}`; only where they are no UTF-8."
    if told is None:
        raise LookupError(f"{struct}.{field} has no description")
    return told


def _example(definitions: Schema, struct: str, field: str) -> Any:
    """Of a field; where it holds structs, made of the examples of theirs."""
    samples = SAMPLES.get(struct, {})
    if field in samples:
        return samples[field]
    if field.endswith("_base64"):
        return SOME_BASE64
    schema = definitions[struct]["properties"][field]
    if "enum" in schema:
        return schema["enum"][0]
    for choice in (schema, *schema.get("anyOf", ())):
        if "$ref" in choice:
            return _whole(definitions, choice["$ref"].rpartition("/")[2])
        if "$ref" in choice.get("items", {}):
            return [_whole(definitions, choice["items"]["$ref"].rpartition("/")[2])]
    raise LookupError(f"{struct}.{field} has no example")


def _whole(definitions: Schema, struct: str) -> Schema:
    """A struct: its required fields, or all where none is required."""
    definition = definitions[struct]
    fields = definition.get("required") or definition["properties"]
    return {field: _example(definitions, struct, field) for field in fields}
