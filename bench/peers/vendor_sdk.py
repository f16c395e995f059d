"""The vendors' own SDKs as they come, with the shortest loop around them: chat, responses, messages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import stopwatch

TEXT = {"description": stopwatch.TOOL_DESCRIPTION}
CHAT_TOOL = {"type": "function", "function": {"name": "lookup", "parameters": stopwatch.TOOL_SCHEMA, **TEXT}}
RESPONSES_TOOL = {"type": "function", "name": "lookup", "parameters": stopwatch.TOOL_SCHEMA, "strict": False, **TEXT}
MESSAGES_TOOL = {"name": "lookup", "input_schema": stopwatch.TOOL_SCHEMA, **TEXT}

Ask = Callable[[], Awaitable[str]]


@asynccontextmanager
async def chat(url: str, with_tools: bool) -> AsyncIterator[Ask]:
    """openai, chat completions."""
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=url, api_key="sk-bench") as client:
        tools: dict[str, Any] = {"tools": [CHAT_TOOL]} if with_tools else {}

        async def ask() -> str:
            messages: list[Any] = [
                {"role": "system", "content": stopwatch.SYSTEM},
                {"role": "user", "content": stopwatch.QUESTION},
            ]
            while True:
                said = await client.chat.completions.create(model=stopwatch.OPENAI_MODEL, messages=messages, **tools)
                message = said.choices[0].message
                if not message.tool_calls:
                    return message.content or ""
                messages.append(message)
                for call in message.tool_calls:
                    found = await stopwatch.lookup(**json.loads(call.function.arguments))
                    messages.append({"role": "tool", "tool_call_id": call.id, "content": found})

        yield ask


@asynccontextmanager
async def responses(url: str, with_tools: bool) -> AsyncIterator[Ask]:
    """openai, responses."""
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=url, api_key="sk-bench") as client:
        tools: dict[str, Any] = {"tools": [RESPONSES_TOOL]} if with_tools else {}

        async def ask() -> str:
            items: list[Any] = [
                {"role": "system", "content": stopwatch.SYSTEM},
                {"role": "user", "content": stopwatch.QUESTION},
            ]
            while True:
                said = await client.responses.create(model=stopwatch.OPENAI_MODEL, input=items, store=False, **tools)
                calls = [item for item in said.output if item.type == "function_call"]
                if not calls:
                    return said.output_text
                items += said.output
                for call in calls:
                    found = await stopwatch.lookup(**json.loads(call.arguments))
                    items.append({"type": "function_call_output", "call_id": call.call_id, "output": found})

        yield ask


@asynccontextmanager
async def messages(url: str, with_tools: bool) -> AsyncIterator[Ask]:
    """anthropic, messages."""
    from anthropic import AsyncAnthropic

    async with AsyncAnthropic(base_url=url.removesuffix("/v1"), api_key="sk-bench") as client:
        tools: dict[str, Any] = {"tools": [MESSAGES_TOOL]} if with_tools else {}

        async def ask() -> str:
            turns: list[Any] = [{"role": "user", "content": stopwatch.QUESTION}]
            while True:
                said = await client.messages.create(
                    model=stopwatch.ANTHROPIC_MODEL,
                    max_tokens=4096,
                    system=stopwatch.SYSTEM,
                    messages=turns,
                    **tools,
                )
                calls = [block for block in said.content if block.type == "tool_use"]
                if not calls:
                    return "".join(block.text for block in said.content if block.type == "text")
                turns.append({"role": "assistant", "content": said.content})
                found = [(call.id, await stopwatch.lookup(**call.input)) for call in calls]
                results = [{"type": "tool_result", "tool_use_id": key, "content": text} for key, text in found]
                turns.append({"role": "user", "content": results})

        yield ask


CLIENTS = {"chat": (chat, "openai"), "responses": (responses, "openai"), "messages": (messages, "anthropic")}


if __name__ == "__main__":
    arguments = stopwatch.call_arguments()
    client, of = CLIENTS[arguments.api]
    asyncio.run(stopwatch.time_calls(f"{of} SDK, {arguments.api}", of, arguments, client))
