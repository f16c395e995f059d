"""JSON Schemas as vendors take them: which OpenAI's strict mode allows, and how to ask in words where none will do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

#: Keywords that OpenAI's strict mode knows. With any other one the API refuses the whole request.
_KNOWN = frozenset(
    {"$defs", "$ref", "additionalProperties", "anyOf", "const", "definitions", "description", "enum", "format", "items"}
    | {"exclusiveMaximum", "exclusiveMinimum", "maxItems", "maximum", "minItems", "minimum", "multipleOf", "pattern"}
    | {"properties", "required", "title", "type"}
)
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
_MAX_DEPTH = 10


def allows_strict(schema: Mapping[str, Any]) -> bool:
    """Whether OpenAI can hold a model strictly to this schema: an object whose fields are all required, closed
    against others, without keywords that strict mode does not know."""
    return schema.get("type") == "object" and "anyOf" not in schema and _strict(schema, 0)


def _strict(schema: object, depth: int) -> bool:
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH or not schema.keys() <= _KNOWN:
        return False
    if not schema.keys() & {"type", "anyOf", "$ref", "enum", "const"}:
        return False
    if schema.get("format", "uuid") not in _FORMATS:
        return False
    kinds = schema.get("type")
    if (kinds == "object" or (isinstance(kinds, list) and "object" in kinds)) and not _closed(schema):
        return False
    inner = [value for key in ("properties", "$defs", "definitions") for value in schema.get(key, {}).values()]
    inner += schema.get("anyOf", ())
    inner += [schema["items"]] if "items" in schema else []
    return all(_strict(value, depth + 1) for value in inner)


def _closed(schema: Mapping[str, Any]) -> bool:
    return schema.get("additionalProperties") is False and set(schema.get("required", ())) == set(
        schema.get("properties", {})
    )


def in_words(schema: Mapping[str, Any]) -> str:
    """Asks for an answer of this form in plain words, for a form that no vendor's own way allows."""
    return f"Answer with nothing but JSON that fits this JSON Schema:\n{msgspec.json.encode(schema).decode()}"
