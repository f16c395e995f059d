"""From a model's words to a tool's run: its arguments read, and whatever breaks in the tool made a failed call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from interlock.agents.agent import Attempt
from interlock.agents.provider import ToolCall
from interlock.errors import InterlockError, Refused, ToolFailed
from interlock.records.unexpected import explain
from interlock.tools.function import shortest
from interlock.tools.tool import Caller, Tool


def arguments_of(call: ToolCall) -> dict[str, Any]:
    """The arguments of a call.

    Raises:
        ToolFailed: code `tool.arguments`: they are no JSON object.
    """
    try:
        arguments = msgspec.json.decode(call.arguments or "{}")
    except (ValueError, RecursionError) as error:  # msgspec's own error is a ValueError
        raise ToolFailed(f"The arguments are not JSON: {error}.", code="tool.arguments") from None
    if not isinstance(arguments, dict):
        raise ToolFailed("The arguments are not a JSON object.", code="tool.arguments")
    return arguments


async def run_tool(tool: Tool, caller: Caller, attempt: Attempt) -> Any:
    """Do what an attempt was permitted.

    Raises:
        Refused: nothing was permitted.
        ToolFailed: it did not work.
    """
    if attempt.permit is None:
        raise Refused("No gate has allowed this call.")
    try:
        return await tool.run(
            attempt.permit,
            replace(caller, path=attempt.path, key=attempt.key, timeout=shortest(caller.timeout, attempt.timeout)),
        )
    except InterlockError:
        raise
    except Exception as error:  # a tool is someone else's code: whatever breaks in it, the loop goes on
        known = explain(error, 0)
        raise ToolFailed(f"The tool broke with {known.says}", known.do, detail=known.detail) from error
