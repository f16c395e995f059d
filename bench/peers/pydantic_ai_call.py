"""Pydantic AI: an agent over OpenAI chat completions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import stopwatch
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


@asynccontextmanager
async def connect(url: str, with_tools: bool) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """One agent; asking runs it."""
    model = OpenAIChatModel(stopwatch.OPENAI_MODEL, provider=OpenAIProvider(base_url=url, api_key="sk-bench"))
    agent = Agent(model, instructions=stopwatch.SYSTEM, tools=[stopwatch.lookup] if with_tools else [])

    async def ask() -> str:
        return (await agent.run(stopwatch.QUESTION)).output

    async with agent:
        yield ask


if __name__ == "__main__":
    found = stopwatch.call_arguments()
    asyncio.run(stopwatch.time_calls("Pydantic AI, chat", "pydantic-ai-slim", found, connect))
