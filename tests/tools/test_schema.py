"""The part of JSON Schema that tools and answers use."""

from __future__ import annotations

from typing import Any

import pytest

from interlock.tools.schema import MAX_FAULTS, validate

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 5},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
        "boss": {"anyOf": [{"$ref": "#/$defs/person"}, {"type": "null"}]},
    },
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {"person": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
}


@pytest.mark.parametrize(
    ("value", "faults"),
    [
        ({"name": "Ana"}, []),
        ({"name": "Ana", "age": 30, "tags": ["a", "b"], "boss": {"name": "Bo"}}, []),
        ({"name": "Ana", "boss": None}, []),
        ({}, ["`name` is missing"]),
        ({"name": "", "age": -1}, ["`name` must be at least 1 characters", "`age` must be at least 0"]),
        ({"name": "Ana", "age": 151}, ["`age` must be at most 150"]),
        ({"name": "Ana", "age": "30"}, ["`age` must be a whole number, not a text"]),
        ({"name": "Ana", "age": True}, ["`age` must be a whole number, not true or false"]),
        ({"name": "Ana", "tags": ["a", "c"]}, ["`tags[1]` must be one of 'a', 'b'"]),
        ({"name": "Ana", "tags": ["a", "a", "a"]}, ["`tags` must be at most 2 entries"]),
        ({"name": "Ana", "x": 1}, ["`x` is unknown; known are name, age, tags, boss"]),
        (
            {"name": "Ana", "boss": {}},
            ["`boss` fits none of the forms allowed: `boss.name` is missing; or `boss` must be null, not an object"],
        ),
        ([], ["The value must be an object, not a list"]),
    ],
)
def test_faults_are_named_with_their_place(value: Any, faults: list[str]) -> None:
    assert validate(value, PERSON) == faults


@pytest.mark.parametrize(
    ("value", "schema", "fits"),
    [
        (1, {"const": True}, False),
        (True, {"enum": [1]}, False),
        (1.0, {"type": "integer"}, True),
        (1.5, {"type": "integer"}, False),
        (1, {"type": "number"}, True),
        (None, {"type": ["string", "null"]}, True),
        (1, {"type": ["string", "null"]}, False),
        (1, {"exclusiveMinimum": 1}, False),
        (2, {"exclusiveMaximum": 2}, False),
        (2, {"exclusiveMinimum": 1, "exclusiveMaximum": 3}, True),
        (5, {"oneOf": [{"minimum": 1}, {"minimum": 3}]}, False),
        (2, {"oneOf": [{"minimum": 1}, {"minimum": 3}]}, True),
        (2, {"allOf": [{"minimum": 1}, {"minimum": 3}]}, False),
        ({"a": "x"}, {"additionalProperties": {"type": "string"}}, True),
        ({"a": 1}, {"additionalProperties": {"type": "string"}}, False),
        ({"a": 1}, {"properties": {"a": False}}, False),
        ({"a": 1}, {"properties": {"a": True}}, True),
        (1, {"$ref": "#/$defs/missing"}, False),
        (1, {"$ref": "https://example.org/schema"}, False),
        (float("nan"), {"minimum": 0}, False),
        (object(), {"type": "object"}, False),
        ("anything", {}, True),
    ],
)
def test_what_fits_and_what_does_not(value: Any, schema: dict[str, Any], fits: bool) -> None:
    assert (validate(value, schema) == []) is fits


def test_a_schema_may_refer_to_itself() -> None:
    tree = {"type": "object", "properties": {"below": {"$ref": "#"}}, "required": ["n"]}
    assert validate({"n": 1, "below": {"n": 2}}, tree) == []
    assert validate({"n": 1, "below": {}}, tree) == ["`below.n` is missing"]


@pytest.mark.parametrize(
    "endless",
    [
        {"$ref": "#"},
        {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"oneOf": [{"$ref": "#"}] * 9},
        {"allOf": [{"$ref": "#"}] * 9},
    ],
)
def test_a_schema_without_end_fits_nothing_and_ends(endless: dict[str, Any]) -> None:
    assert validate(1, endless)


def test_no_more_faults_are_named_than_anyone_reads() -> None:
    assert len(validate([1] * 1000, {"items": {"type": "string"}})) == MAX_FAULTS
