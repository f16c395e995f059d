"""Which schemas OpenAI's strict mode allows."""

from __future__ import annotations

from typing import Any

import pytest

from interlock.agents.schemas import allows_strict


def closed(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


@pytest.mark.parametrize(
    "schema",
    [
        closed(),
        closed(n={"type": "integer", "minimum": 0, "description": "How many."}),
        closed(a={"type": ["string", "null"]}, b={"enum": ["x", "y"]}, c={"type": "string", "format": "date"}),
        closed(rows={"type": "array", "items": closed(n={"type": "number"})}),
        closed(either={"anyOf": [{"type": "string"}, closed()]}),
        closed(tree={"$ref": "#/$defs/node"}) | {"$defs": {"node": closed(name={"type": "string"})}},
    ],
)
def test_closed_objects_with_known_keywords_are_strict(schema: dict[str, Any]) -> None:
    assert allows_strict(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "string"},
        {"type": "object"},
        {**closed(n={"type": "integer"}), "required": []},
        {**closed(n={"type": "integer"}), "additionalProperties": True},
        closed(n={}),
        closed(n={"type": "string", "minLength": 1}),
        closed(n={"type": "string", "format": "uri"}),
        closed(n={"allOf": [{"type": "string"}]}),
        closed(n={"type": "integer", "default": 1}),
        closed(n={"type": "object"}),
        closed(n={"type": ["object", "null"]}),
        closed(n={"type": "array", "items": {"type": "object"}}),
        closed(n={"anyOf": [{"type": "object"}]}),
        closed() | {"anyOf": [closed()]},
        closed(n={"$ref": "#/$defs/x"}) | {"$defs": {"x": {"type": "object"}}},
    ],
)
def test_whatever_strict_mode_refuses_is_not_strict(schema: dict[str, Any]) -> None:
    assert not allows_strict(schema)


def test_a_very_deep_schema_is_not_strict() -> None:
    deep = closed()
    for _ in range(5_000):
        deep = closed(n=deep)
    assert not allows_strict(deep)
