"""What a model call costs at least: aiohttp, JSON, and a loop around it. No types, no retries, no records."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import stopwatch

TOOL = {
    "type": "function",
    "function": {
        "name": "lookup",
        "description": stopwatch.TOOL_DESCRIPTION,
        "parameters": stopwatch.TOOL_SCHEMA,
    },
}


@asynccontextmanager
async def connect(url: str, with_tools: bool) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """One session; asking posts until the answer is a text."""
    connector = aiohttp.TCPConnector(limit=512)
    headers = {"Authorization": "Bearer sk-bench"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def post(messages: list[dict[str, Any]]) -> dict[str, Any]:
            body: dict[str, Any] = {"model": stopwatch.OPENAI_MODEL, "messages": messages}
            if with_tools:
                body["tools"] = [TOOL]
            async with session.post(url + "/chat/completions", json=body) as response:
                found = json.loads(await response.read())
            message: dict[str, Any] = found["choices"][0]["message"]
            return message

        async def ask() -> str:
            messages: list[dict[str, Any]] = [
                {"role": "system", "content": stopwatch.SYSTEM},
                {"role": "user", "content": stopwatch.QUESTION},
            ]
            while calls := (message := await post(messages)).get("tool_calls"):
                messages.append(message)
                for call in calls:
                    said = await stopwatch.lookup(**json.loads(call["function"]["arguments"]))
                    messages.append({"role": "tool", "tool_call_id": call["id"], "content": said})
            return str(message["content"])

        yield ask


if __name__ == "__main__":
    asyncio.run(stopwatch.time_calls("raw aiohttp", "aiohttp", stopwatch.call_arguments(), connect))
