"""LangGraph: `create_agent` over OpenAI chat completions, without a checkpointer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import stopwatch
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI


@asynccontextmanager
async def connect(url: str, with_tools: bool) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """One agent; asking invokes it."""
    model = ChatOpenAI(model=stopwatch.OPENAI_MODEL, base_url=url, api_key="sk-bench")
    tools = [stopwatch.lookup] if with_tools else []
    agent = create_agent(model, tools, system_prompt=stopwatch.SYSTEM)

    async def ask() -> str:
        said = await agent.ainvoke({"messages": [{"role": "user", "content": stopwatch.QUESTION}]})
        return str(said["messages"][-1].content)

    yield ask


if __name__ == "__main__":
    found = stopwatch.call_arguments()
    asyncio.run(stopwatch.time_calls("LangGraph create_agent, chat", "langgraph", found, connect))
