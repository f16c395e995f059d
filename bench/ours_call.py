"""Interlock in bench/call: `Platform.run`, the whole way: routed, judged, journaled, priced, recorded."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from bench.measure import HERE
from bench.peers import stopwatch
from interlock import Platform

APIS = {
    "chat": ("openai-chat", stopwatch.OPENAI_MODEL),
    "responses": ("openai-responses", stopwatch.OPENAI_MODEL),
    "messages": ("anthropic", stopwatch.ANTHROPIC_MODEL),
}


def settings_file(home: Path, api: str, url: str, with_tools: bool) -> Path:
    """Write the settings a user would write: one provider, one agent, and all tasks to it."""
    wire, model = APIS[api]
    address = url.removesuffix("/v1") if api == "messages" else url
    tools = '["lookup"]' if with_tools else "[]"
    path = home / "interlock.toml"
    path.write_text(
        f'[providers.bench]\napi = "{wire}"\nbase_url = "{address}"\nkey_env = "BENCH_API_KEY"\n'
        f'[agents.bench]\nprovider = "bench"\nmodel = "{model}"\n'
        f"instructions = {json.dumps(stopwatch.SYSTEM)}\ntools = {tools}\n"
        '[routing]\ndefault = "bench"\n'
    )
    return path


@asynccontextmanager
async def connect(api: str, url: str, with_tools: bool) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """One platform with a store of its own; asking runs a task to its end."""
    with tempfile.TemporaryDirectory(dir=HERE, prefix=".scratch-") as directory:
        home = Path(directory)
        os.environ["INTERLOCK_CONFIG"] = str(settings_file(home, api, url, with_tools))
        os.environ["BENCH_API_KEY"] = "sk-bench"
        async with Platform(home=home) as platform:
            if with_tools:
                platform.register_tool(stopwatch.lookup)

            async def ask() -> str:
                result = await platform.run(stopwatch.QUESTION)
                return str(result.output or result.error)

            yield ask


if __name__ == "__main__":
    arguments = stopwatch.call_arguments()
    asyncio.run(
        stopwatch.time_calls(
            f"Interlock, {arguments.api}", "interlock", arguments, lambda *place: connect(arguments.api, *place)
        )
    )
