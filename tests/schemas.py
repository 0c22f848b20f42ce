"""JSON documents against the schemas in docs/reference: the part of JSON Schema that they use."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parents[1] / "docs" / "reference"
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,),
    "null": (type(None),), "integer": (int,),
}  # fmt: skip
_KNOWN = {
    "$schema", "title", "type", "properties", "required", "additionalProperties", "items",
    "enum", "const", "pattern", "minLength", "minItems", "minimum",
}  # fmt: skip


def violations(name: str, document: object) -> list[str]:
    """Return what of the document is against the schema of this name, one line each."""
    schema = json.loads((_FOLDER / f"{name}.schema.json").read_text("utf-8"))
    return list(_check(schema, json.loads(json.dumps(document)), "$"))


def _check(schema: dict[str, Any], value: Any, where: str) -> Iterator[str]:
    assert set(schema) <= _KNOWN, f"this checker does not know {set(schema) - _KNOWN}"
    types = schema.get("type")
    if types and not any(
        _is(each, value) for each in ([types] if isinstance(types, str) else types)
    ):
        yield f"{where} is no {types}"
        return
    if "const" in schema and value != schema["const"]:
        yield f"{where} is not {schema['const']}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where} is none of {schema['enum']}"
    if isinstance(value, str):
        if not re.search(schema.get("pattern", ""), value):
            yield f"{where} is not like {schema['pattern']}"
        if len(value) < schema.get("minLength", 0):
            yield f"{where} is empty"
    if isinstance(value, int) and value < schema.get("minimum", value):
        yield f"{where} is too small"
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            yield f"{where} is empty"
        for index, item in enumerate(value):
            yield from _check(schema.get("items", {}), item, f"{where}[{index}]")
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        yield from (
            f"{where} lacks {name}" for name in schema.get("required", ()) if name not in value
        )
        if schema.get("additionalProperties") is False:
            yield from (f"{where} has {name}" for name in value if name not in properties)
        for name in properties.keys() & value.keys():
            yield from _check(properties[name], value[name], f"{where}.{name}")


def _is(name: str, value: object) -> bool:
    return isinstance(value, _TYPES[name]) and not (name == "integer" and isinstance(value, bool))
