"""A model's answer as a step keeps it, and read back where the step is played again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from interlock.agents.context import whole_characters
from interlock.agents.provider import ModelResponse, ToolCall
from interlock.records.money import Usage


def written(response: ModelResponse, cost_micros: int | None) -> dict[str, Any]:
    """The response as JSON, as it is kept: a replayed agent must find all it needs in it.

    Args:
        response: What the model answered.
        cost_micros: What it cost, in micro-dollars; None where that is unknown.
    """
    return {
        "text": whole_characters(response.text),
        "tool_calls": [
            {key: whole_characters(getattr(call, key)) for key in ("id", "name", "arguments")}
            for call in response.tool_calls
        ],
        "stop": response.stop,
        "native": None if response.native is None else dict(response.native),
        "model": response.model,
        "request_id": response.request_id,
        "usage": {name: count for name, count in msgspec.to_builtins(response.usage).items() if count},
        "cost_micros": cost_micros,
    }


def read_back(output: Mapping[str, Any]) -> ModelResponse:
    """The response that `written` made this of."""
    return ModelResponse(
        text=output["text"],
        tool_calls=tuple(ToolCall(**call) for call in output["tool_calls"]),
        stop=output["stop"],
        usage=Usage(**output["usage"]),
        model=output["model"],
        request_id=output["request_id"],
        native=output["native"],
    )
