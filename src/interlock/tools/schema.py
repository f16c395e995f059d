"""Does a JSON value fit a JSON Schema? The small part of the standard that tools and answers use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

#: References and nesting deeper than this do not fit: a schema may refer to itself without end.
MAX_DEPTH = 64
#: More faults than this help nobody.
MAX_FAULTS = 20
#: Schemas come from strangers, and a few nested choices can ask for more comparisons than there is time.
MAX_CHECKS = 200_000

_WORDS = {
    "object": "an object",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


def validate(value: Any, schema: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with a JSON value, in sentences that a model or a person can act on.

    Checked are `type`, `enum`, `const`, `properties`, `required`, `additionalProperties`, `items`, `minItems`,
    `maxItems`, `minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum`, `minLength`, `maxLength`, `anyOf`,
    `oneOf`, `allOf` and `$ref` within the schema. Other keywords say nothing here.

    Args:
        value: What was given.
        schema: What it has to fit.

    Returns:
        The faults, at most `MAX_FAULTS`; none means that it fits.
    """
    return list(islice(_check(value, schema, "", _Work(root=schema), 0), MAX_FAULTS))


@dataclass(slots=True, kw_only=True)
class _Work:
    """The whole schema, for references, and how much may still be checked."""

    root: Mapping[str, Any]
    left: int = MAX_CHECKS


def _check(value: Any, schema: Any, at: str, work: _Work, depth: int) -> Iterator[str]:
    if schema is True:
        return
    if not isinstance(schema, Mapping):
        yield f"{_name(at)} is not allowed"
        return
    work.left -= 1
    if depth > MAX_DEPTH or work.left < 0:
        yield f"{_name(at)} is nested too deeply" if depth > MAX_DEPTH else f"{_name(at)} is too much to check"
        return
    if "$ref" in schema:
        yield from _check_reference(value, schema["$ref"], at, work, depth)
    if "type" in schema and not _is_one_of(value, schema["type"]):
        yield f"{_name(at)} must be {_wanted(schema['type'])}, not {_kind(value)}"
        return
    yield from _check_choice(value, schema, at)
    yield from _check_combined(value, schema, at, work, depth)
    match value:
        case str():
            yield from _check_bounds(len(value), schema, at, "minLength", "maxLength", " characters")
        case list() | tuple():
            yield from _check_list(value, schema, at, work, depth)
        case dict():
            yield from _check_object(value, schema, at, work, depth)
        case int() | float() if not isinstance(value, bool):
            yield from _check_number(value, schema, at)


def _check_reference(value: Any, ref: Any, at: str, work: _Work, depth: int) -> Iterator[str]:
    found: Any = work.root
    for part in str(ref).split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        found = found.get(part) if isinstance(found, Mapping) else None
    if found is None or not str(ref).startswith("#"):
        yield f"{_name(at)} cannot be checked: the schema has no {ref}"
    else:
        yield from _check(value, found, at, work, depth + 1)


def _check_choice(value: Any, schema: Mapping[str, Any], at: str) -> Iterator[str]:
    if "const" in schema and not _same(value, schema["const"]):
        yield f"{_name(at)} must be {schema['const']!r}"
    if "enum" in schema and not any(_same(value, one) for one in schema["enum"]):
        yield f"{_name(at)} must be one of {', '.join(map(repr, schema['enum']))}"


def _check_combined(value: Any, schema: Mapping[str, Any], at: str, work: _Work, depth: int) -> Iterator[str]:
    for part in schema.get("allOf", ()):
        yield from _check(value, part, at, work, depth + 1)
    for keyword in ("anyOf", "oneOf"):
        if keyword not in schema:
            continue
        first = [next(_check(value, part, at, work, depth + 1), None) for part in schema[keyword]]
        fitting = first.count(None)
        if fitting == 0:
            yield f"{_name(at)} fits none of the forms allowed: {'; or '.join(fault for fault in first if fault)}"
        elif fitting > 1 and keyword == "oneOf":
            yield f"{_name(at)} fits {fitting} forms where it must fit exactly one"


def _check_object(value: dict[str, Any], schema: Mapping[str, Any], at: str, work: _Work, depth: int) -> Iterator[str]:
    known = schema.get("properties", {})
    more = schema.get("additionalProperties", True)
    for key in schema.get("required", ()):
        if key not in value:
            yield f"{_name(_below(at, key))} is missing"
    for key, below in value.items():
        if key in known:
            yield from _check(below, known[key], _below(at, key), work, depth + 1)
        elif more is False:
            yield f"{_name(_below(at, key))} is unknown; known are {', '.join(known) or 'none'}"
        else:
            yield from _check(below, more, _below(at, key), work, depth + 1)


def _check_list(
    value: list[Any] | tuple[Any, ...], schema: Mapping[str, Any], at: str, work: _Work, depth: int
) -> Iterator[str]:
    yield from _check_bounds(len(value), schema, at, "minItems", "maxItems", " entries")
    if "items" in schema:
        for number, below in enumerate(value):
            yield from _check(below, schema["items"], f"{at}[{number}]", work, depth + 1)


def _check_number(value: int | float, schema: Mapping[str, Any], at: str) -> Iterator[str]:
    yield from _check_bounds(value, schema, at, "minimum", "maximum", "")
    low, high = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if low is not None and not value > low:
        yield f"{_name(at)} must be more than {low}"
    if high is not None and not value < high:
        yield f"{_name(at)} must be less than {high}"


def _check_bounds(
    amount: int | float, schema: Mapping[str, Any], at: str, least: str, most: str, unit: str
) -> Iterator[str]:
    low, high = schema.get(least), schema.get(most)
    if low is not None and not amount >= low:
        yield f"{_name(at)} must be at least {low}{unit}"
    if high is not None and not amount <= high:
        yield f"{_name(at)} must be at most {high}{unit}"


def _is_one_of(value: Any, wanted: Any) -> bool:
    kinds = (wanted,) if isinstance(wanted, str) else wanted
    kind = _kind_of(value)
    return any(
        kind == one
        or (one == "number" and kind == "integer")
        or (one == "integer" and isinstance(value, float) and value.is_integer())
        for one in kinds
    )


def _kind_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list() | tuple():
            return "array"
        case dict():
            return "object"
        case _:
            return f"a Python {type(value).__name__}"  # never one of JSON's own words


def _kind(value: Any) -> str:
    kind = _kind_of(value)
    return _WORDS.get(kind, kind)


def _wanted(wanted: Any) -> str:
    kinds = (wanted,) if isinstance(wanted, str) else wanted
    return " or ".join(_WORDS.get(str(one), str(one)) for one in kinds)


def _same(one: Any, other: Any) -> bool:
    # In Python True equals 1; in JSON it does not.
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _below(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key


def _name(at: str) -> str:
    return f"`{at}`" if at else "The value"
