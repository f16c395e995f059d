"""The vendors' own SDKs, pointed at a simulated provider, and what they heard in one form."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import anthropic
import openai
import pytest

from interlock.testing import SimulatedProvider

APIS = ("openai-chat", "openai-responses", "anthropic")
HELLO = [{"role": "user", "content": "hello"}]


@dataclass
class Heard:
    """What an SDK made of an answer."""

    text: str
    calls: list[tuple[str, str, Any]]
    stop: str
    model: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int


class Sdks:
    """Both vendors' clients. They check every answer against their own types, and retry nothing."""

    def __init__(self, sim: SimulatedProvider, *, aiohttp: bool = False, strict: bool = True) -> None:
        settings: dict[str, Any] = {
            "api_key": "sk-test",
            "max_retries": 0,
            "timeout": 5.0,
            "_strict_response_validation": strict,
        }
        # Nothing here is encrypted, and certificates take longer to load than everything else together.
        openais = openai.DefaultAioHttpClient if aiohttp else openai.DefaultAsyncHttpxClient
        anthropics = anthropic.DefaultAioHttpClient if aiohttp else anthropic.DefaultAsyncHttpxClient
        self.openai = openai.AsyncOpenAI(base_url=sim.openai_url, http_client=openais(verify=False), **settings)
        self.anthropic = anthropic.AsyncAnthropic(
            base_url=sim.anthropic_url, http_client=anthropics(verify=False), **settings
        )

    async def close(self) -> None:
        await self.openai.close()
        await self.anthropic.close()

    async def ask(self, api: str, *, stream: bool = False, **more: Any) -> Heard:
        """Ask something small, and hear the whole answer."""
        return await getattr(self, "_" + api.replace("-", "_"))(stream, more)

    async def events(self, api: str, seen: list[Any], **more: Any) -> None:
        """Ask for a stream, and put what arrives into `seen` as it arrives."""
        if api == "openai-chat":
            stream: Any = await self.openai.chat.completions.create(model="m", messages=HELLO, stream=True, **more)
        elif api == "openai-responses":
            stream = await self.openai.responses.create(model="m", input="hello", stream=True, **more)
        else:
            stream = await self.anthropic.messages.create(model="m", messages=HELLO, max_tokens=9, stream=True, **more)
        async for event in stream:
            seen.append(event)

    async def _openai_chat(self, stream: bool, more: dict[str, Any]) -> Heard:
        asked = {"model": "m", "messages": HELLO, **more}
        if stream:
            async with self.openai.chat.completions.stream(stream_options={"include_usage": True}, **asked) as events:
                try:
                    done: Any = await events.get_final_completion()
                except (openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError) as stopped:
                    done = stopped.completion
        else:
            done = await self.openai.chat.completions.create(**asked)
        [choice] = done.choices
        return Heard(
            text=choice.message.content or choice.message.refusal or "",
            calls=[
                (call.id, call.function.name, json.loads(call.function.arguments))
                for call in choice.message.tool_calls or ()
            ],
            stop=choice.finish_reason,
            model=done.model,
            input_tokens=done.usage.prompt_tokens,
            cached_tokens=done.usage.prompt_tokens_details.cached_tokens,
            output_tokens=done.usage.completion_tokens,
        )

    async def _openai_responses(self, stream: bool, more: dict[str, Any]) -> Heard:
        asked = {"model": "m", "input": HELLO, **more}
        if stream:
            seen: list[Any] = []
            await self.events(
                "openai-responses", seen, **{k: v for k, v in asked.items() if k not in ("model", "input")}
            )
            assert [event.sequence_number for event in seen] == list(range(len(seen)))
            done = seen[-1].response
        else:
            done = await self.openai.responses.create(**asked)
        return Heard(
            text=done.output_text,
            calls=[
                (item.call_id, item.name, json.loads(item.arguments))
                for item in done.output
                if item.type == "function_call"
            ],
            stop=done.incomplete_details.reason if done.incomplete_details else done.status,
            model=done.model,
            input_tokens=done.usage.input_tokens,
            cached_tokens=done.usage.input_tokens_details.cached_tokens,
            output_tokens=done.usage.output_tokens,
        )

    async def _anthropic(self, stream: bool, more: dict[str, Any]) -> Heard:
        asked = {"model": "m", "messages": HELLO, "max_tokens": 9, **more}
        if stream:
            async with self.anthropic.messages.stream(**asked) as events:
                done: Any = await events.get_final_message()
        else:
            done = await self.anthropic.messages.create(**asked)
        usage = done.usage
        return Heard(
            text="".join(block.text for block in done.content if block.type == "text"),
            calls=[(block.id, block.name, block.input) for block in done.content if block.type == "tool_use"],
            stop=done.stop_reason,
            model=done.model,
            input_tokens=usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens,
            cached_tokens=usage.cache_read_input_tokens,
            output_tokens=usage.output_tokens,
        )


Connect = Callable[..., Awaitable[tuple[SimulatedProvider, Sdks]]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Start a simulated provider and connect the SDKs to it; both are closed after the test."""
    async with AsyncExitStack() as stack:

        async def start(
            script: Any = None, *, aiohttp: bool = False, strict: bool = True, **settings: Any
        ) -> tuple[SimulatedProvider, Sdks]:
            sim = await stack.enter_async_context(SimulatedProvider(script, **settings))
            sdks = Sdks(sim, aiohttp=aiohttp, strict=strict)
            stack.push_async_callback(sdks.close)
            return sim, sdks

        yield start


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=(False, True), ids=("whole", "streamed"))
def stream(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture(params=(False, True), ids=("httpx", "aiohttp"))
def aiohttp(request: pytest.FixtureRequest) -> bool:
    return request.param
