"""Reading an answer in the form that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from interlock.errors import OutputInvalid
from interlock.tools.schema import validate


class Reading(NamedTuple):
    """What an answer says, and what is wrong with its form; without faults it fits."""

    value: Any
    faults: list[str]


def read(output: Any, schema: Mapping[str, Any] | None) -> Reading:
    """Read an answer, as text or JSON value, against a JSON Schema; without a schema it is taken as it is."""
    if schema is None:
        return Reading(output, [])
    if isinstance(output, str) and schema.get("type") != "string":
        try:
            output = msgspec.json.decode(_unfenced(output))
        except (ValueError, RecursionError):  # msgspec's own error is a ValueError
            return Reading(output, ["The answer is not JSON"])
    return Reading(output, validate(output, schema))


def fitting(output: Any, schema: Mapping[str, Any] | None) -> Any:
    """The answer's value.

    Raises:
        OutputInvalid: it does not fit the schema.
    """
    reading = read(output, schema)
    if reading.faults:
        raise OutputInvalid(f"The answer does not have the form asked for: {'; '.join(reading.faults[:3])}.")
    return reading.value


def _unfenced(text: str) -> str:
    # Models without a JSON mode like to wrap what they say in a Markdown fence.
    text = text.strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        return text[text.index("\n") : -3]
    return text
