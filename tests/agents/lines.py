"""A provider that says its lines: an implementation of the protocol without a wire, for the tests of agents."""

from __future__ import annotations

import json
from typing import Any

from interlock.agents.provider import ModelRequest, ModelResponse, OnText, ToolCall
from interlock.records.money import Usage

USED = Usage(input_tokens=10, output_tokens=5, requests=1)


def says(text: str, **more: Any) -> ModelResponse:
    return ModelResponse(text=text, **{"usage": USED, "model": "m-2026", "request_id": "req"} | more)


def calls(*named: tuple[str, Any], text: str = "", **more: Any) -> ModelResponse:
    """Wants tools called; arguments that are a text already are sent as they are."""
    wanted = tuple(
        ToolCall(id=f"c{number}", name=name, arguments=given if isinstance(given, str) else json.dumps(given))
        for number, (name, given) in enumerate(named)
    )
    return says(text, **{"tool_calls": wanted, "stop": "tool_calls"} | more)


class Lines:
    """Gives its lines in order and keeps the requests; an exception among them is raised."""

    def __init__(self, *lines: ModelResponse | Exception, name: str = "lines") -> None:
        self.name = name
        self.requests: list[ModelRequest] = []
        self._lines = list(lines)

    async def complete(self, request: ModelRequest, on_text: OnText | None = None) -> ModelResponse:
        self.requests.append(request)
        line = self._lines.pop(0)
        if isinstance(line, Exception):
            raise line
        if on_text is not None:
            for word in line.text.split(" "):
                on_text(word)
        return line

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None
