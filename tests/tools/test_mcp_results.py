"""What MCP servers answer: bounded, clean, kept for identical calls, and asked for once by all at the same time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mcp_types import (
    AudioContent,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from interlock.errors import ToolFailed
from interlock.tools.mcp_results import MAX_KEPT, MAX_WORDS, ResultCache, read_result
from interlock.tools.result import MAX_RESULT


def text(value: str) -> TextContent:
    return TextContent(type="text", text=value)


def test_structured_content_is_the_answer_where_there_is_some() -> None:
    result = CallToolResult(content=[text("ignored")], structured_content={"rows": [1, "a\x1b[31mb"]})
    assert read_result("t", result) == {"rows": [1, "ab"]}


def test_texts_are_joined_and_all_else_is_named_and_not_shown() -> None:
    image = ImageContent(type="image", data="QUJD" * 100, mime_type="image/png")
    sound = AudioContent(type="audio", data="QUJD", mime_type="audio/wav")
    link = ResourceLink(type="resource_link", name="log", uri="file:///log")
    file = EmbeddedResource(type="resource", resource=TextResourceContents(uri="file:///a", text="inside"))
    assert read_result("t", CallToolResult(content=[text("one"), image, sound, link, file])).split("\n") == [
        "one",
        "[image image/png, about 300 bytes, not shown]",
        "[audio audio/wav, about 3 bytes, not shown]",
        "[link log: file:///log]",
        "inside",
    ]


def test_an_answer_is_bounded() -> None:
    assert len(read_result("t", CallToolResult(content=[text("x" * 3 * MAX_RESULT)]))) < MAX_RESULT + 100
    long = CallToolResult(content=[], structured_content={"x": "y" * 3 * MAX_RESULT})
    assert len(read_result("t", long)) < MAX_RESULT + 100


def test_an_error_holds_the_servers_words_without_controls_or_keys_and_shortened() -> None:
    words = "\x1b]0;title\x07no: sk-live-0123456789abcdef " + "z" * 5_000
    with pytest.raises(ToolFailed) as failed:
        read_result("t", CallToolResult(content=[text(words)], is_error=True))
    assert failed.value.code == "tool.error"
    assert failed.value.says.startswith("The tool t failed: no: [key] zzz")
    assert len(failed.value.says) < MAX_WORDS + 100


class Counted:
    """A call that says how often it was made, and may fail or take its time."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: ToolFailed | None = None
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self) -> Any:
        self.calls += 1
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return {"call": self.calls}


async def test_an_identical_call_gets_the_same_answer_until_it_is_too_old() -> None:
    now, call = [0.0], Counted()
    cache = ResultCache(10, lambda: now[0])
    first = await cache.answer("t", {"a": 1, "b": 2}, call)
    first["call"] = "changed by who got it"
    assert await cache.answer("t", {"b": 2, "a": 1}, call) == {"call": 1}
    assert await cache.answer("t", {"a": 1, "b": 3}, call) == {"call": 2}
    assert await cache.answer("u", {"a": 1, "b": 2}, call) == {"call": 3}
    now[0] = 10.0
    assert await cache.answer("t", {"a": 1, "b": 2}, call) == {"call": 4}


async def test_without_a_time_to_live_nothing_is_kept() -> None:
    cache, call = ResultCache(0, lambda: 0.0), Counted()
    assert [(await cache.answer("t", {}, call))["call"] for _ in range(2)] == [1, 2]


async def test_who_asks_at_the_same_time_shares_one_call() -> None:
    cache, call = ResultCache(10, lambda: 0.0), Counted()
    call.go.clear()
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(cache.answer("t", {}, call)) for _ in range(5)]
        await asyncio.sleep(0)
        call.go.set()
    assert [task.result() for task in asked] == [{"call": 1}] * 5


async def test_an_error_is_shared_but_never_kept() -> None:
    cache, call = ResultCache(10, lambda: 0.0), Counted()
    call.error = ToolFailed("no")
    call.go.clear()
    asking = asyncio.gather(*(cache.answer("t", {}, call) for _ in range(3)), return_exceptions=True)
    await asyncio.sleep(0)
    call.go.set()
    assert [type(one) for one in await asking] == [ToolFailed] * 3
    assert call.calls == 1
    call.error = None
    assert await cache.answer("t", {}, call) == {"call": 2}


async def test_who_gives_up_does_not_take_the_others_along() -> None:
    cache, call = ResultCache(10, lambda: 0.0), Counted()
    call.go.clear()
    hurried = asyncio.ensure_future(cache.answer("t", {}, call))
    await asyncio.sleep(0)
    patient = asyncio.ensure_future(cache.answer("t", {}, call))
    await asyncio.sleep(0)
    hurried.cancel()
    call.go.set()
    assert await patient == {"call": 2}
    assert hurried.cancelled()


async def test_what_is_kept_is_bounded_and_the_oldest_goes_first() -> None:
    cache, call = ResultCache(10, lambda: 0.0), Counted()
    for number in range(MAX_KEPT + 1):
        await cache.answer("t", {"n": number}, call)
    assert await cache.answer("t", {"n": 1}, call) == {"call": 2}
    assert await cache.answer("t", {"n": 0}, call) == {"call": MAX_KEPT + 2}
