"""OpenAI Agents SDK: an agent over OpenAI chat completions, tracing switched off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import stopwatch
from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI


@asynccontextmanager
async def connect(url: str, with_tools: bool) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """One agent; asking runs it."""
    async with AsyncOpenAI(base_url=url, api_key="sk-bench") as client:
        agent = Agent(
            name="operator",
            instructions=stopwatch.SYSTEM,
            model=OpenAIChatCompletionsModel(stopwatch.OPENAI_MODEL, client),
            tools=[function_tool(stopwatch.lookup)] if with_tools else [],
        )

        async def ask() -> str:
            return str((await Runner.run(agent, stopwatch.QUESTION)).final_output)

        yield ask


if __name__ == "__main__":
    set_tracing_disabled(True)
    found = stopwatch.call_arguments()
    asyncio.run(stopwatch.time_calls("OpenAI Agents SDK, chat", "openai-agents", found, connect))
