"""Anthropic's messages: what is sent, and what is made of answers, streamed and not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from interlock.agents.anthropic_messages import AnthropicMessages
from interlock.agents.provider import Message, ModelRequest, ProviderSettings, ToolCall
from interlock.records.money import Usage
from interlock.testing import Calls, SimulatedProvider, Structured, Text, call
from interlock.tools.tool import ToolSpec
from tests.agents.canned import provider

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}
ADD = ToolSpec(name="add", description="Adds.", parameters=SCHEMA)
streaming = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def ask(*messages: Message, **more: Any) -> ModelRequest:
    return ModelRequest(model="claude", messages=messages or (Message(role="user", text="Hello"),), **more)


def body(request: ModelRequest, name: str = "Acme") -> dict[str, Any]:
    wire = AnthropicMessages(ProviderSettings(name=name, api="anthropic", api_key="k"))
    return wire.body(request, stream=False, official=True)


def test_only_what_was_asked_for_is_sent() -> None:
    assert body(ask(max_output_tokens=7)) == {
        "model": "claude",
        "max_tokens": 7,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
    }


def test_a_tool_and_a_temperature_are_sent() -> None:
    written = body(ask(tools=(ADD,), temperature=1.0))
    assert [json.loads(bytes(tool)) for tool in written["tools"]] == [
        {"name": "add", "description": "Adds.", "input_schema": SCHEMA}
    ]
    assert written["temperature"] == 1.0


def test_a_form_is_asked_for_in_the_vendors_way_and_any_other_in_words() -> None:
    written = body(ask(schema=SCHEMA))["output_config"]["format"]
    assert written["type"] == "json_schema"
    assert written["schema"]["additionalProperties"] is False
    assert "minimum" not in written["schema"]["properties"]["n"]  # the API refuses it
    for schema in ({"type": "array", "items": {}}, {"type": "object", "properties": {"any": {}}}):
        words = body(ask(Message(role="system", text="Be brief."), schema=schema))
        assert "output_config" not in words
        assert words["system"].startswith("Be brief.\n\nAnswer with nothing but JSON")


def test_what_follows_from_one_side_is_one_turn() -> None:
    written = body(
        ask(
            Message(role="system", text="Be brief."),
            Message(role="user", text="Add."),
            Message(
                role="assistant",
                tool_calls=(
                    ToolCall(id="c1", name="add", arguments='{"n": 1}'),
                    ToolCall(id="c2", name="add", arguments="{broken"),
                ),
            ),
            Message(role="tool", tool_call_id="c1", text="2"),
            Message(role="tool", tool_call_id="c2", text="no", is_error=True),
            Message(role="user", text="And?"),
            Message(role="system", text="Be kind."),
        )
    )
    assert written["system"] == "Be brief.\n\nBe kind."
    assert written["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Add."}]},
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "c1", "name": "add", "input": {"n": 1}},
                {"type": "tool_use", "id": "c2", "name": "add", "input": {"invalid_json": "{broken"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "2"},
                {"type": "tool_result", "tool_use_id": "c2", "content": "no", "is_error": True},
                {"type": "text", "text": "And?"},
            ],
        },
    ]


@streaming
async def test_text_and_usage_come_back_with_the_cache_as_part_of_the_input(stream: bool) -> None:
    usage = Usage(input_tokens=100, output_tokens=20, cached_input_tokens=60, cache_write_tokens=7, reasoning_tokens=5)
    heard: list[str] = []
    async with SimulatedProvider(script=[Text("One two three.", usage=usage)]) as sim:
        async with provider("anthropic", sim.url) as one:
            answer = await one.complete(ask(), heard.append if stream else None)
    assert (answer.text, answer.stop, answer.model, answer.native) == ("One two three.", "end", "claude", None)
    assert answer.request_id
    assert answer.usage == usage + Usage(requests=1)
    assert heard == (["One ", "two ", "three."] if stream else [])


@streaming
async def test_thinking_goes_back_as_it_came_and_to_nobody_else(stream: bool) -> None:
    moves = [Calls(call("add", n=1), call("add", n=2), thinking="Let me think.", text="Adding."), Text("Done.")]
    heard: list[str] = []
    async with SimulatedProvider(script=moves) as sim, provider("anthropic", sim.url) as one:
        answer = await one.complete(ask(tools=(ADD,)), heard.append if stream else None)
        turn = Message(role="assistant", text="Adding.", tool_calls=answer.tool_calls, native=answer.native)
        results = [Message(role="tool", tool_call_id=wish.id, text="ok") for wish in answer.tool_calls]
        done = await one.complete(ask(Message(role="user", text="Add."), turn, *results, tools=(ADD,)))
        sent = sim.requests[1].body["messages"][1]["content"]
    assert (answer.text, answer.stop, done.text) == ("Adding.", "tool_calls", "Done.")
    assert [json.loads(wish.arguments)["n"] for wish in answer.tool_calls] == [1, 2]
    assert [block["type"] for block in sent] == ["thinking", "text", "tool_use", "tool_use"]
    assert sent[0]["thinking"] == "Let me think."
    assert sent[0]["signature"]
    assert sent[2]["input"] == {"n": 1}
    assert "".join(heard) == ("Adding." if stream else "")
    others = body(ask(Message(role="user", text="Add."), turn), name="other")["messages"][1]["content"]
    assert [block["type"] for block in others] == ["text", "tool_use", "tool_use"]


async def test_arguments_that_are_no_json_arrive_as_they_were_streamed() -> None:
    broken = Calls(ToolCall(id="c1", name="add", arguments='{"n": '))
    async with SimulatedProvider(script=[broken]) as sim, provider("anthropic", sim.url) as one:
        answer = await one.complete(ask(tools=(ADD,)), lambda piece: None)
    assert answer.tool_calls == (ToolCall(id="c1", name="add", arguments='{"n": '),)


@streaming
@pytest.mark.parametrize(("sent", "stop"), [("length", "length"), ("refusal", "refusal"), ("tool_calls", "tool_calls")])
async def test_it_is_said_why_the_answer_stopped(stream: bool, sent: Any, stop: str) -> None:
    async with SimulatedProvider(script=[Text("No more.", stop=sent)]) as sim:
        async with provider("anthropic", sim.url) as one:
            answer = await one.complete(ask(), (lambda piece: None) if stream else None)
    assert (answer.text, answer.stop) == ("No more.", stop)


async def test_a_structured_answer_comes_back_as_text() -> None:
    async with SimulatedProvider(script=[Structured({"n": 1})]) as sim, provider("anthropic", sim.url) as one:
        assert json.loads((await one.complete(ask(schema=SCHEMA))).text) == {"n": 1}
        assert sim.requests[0].view is not None
        assert sim.requests[0].view.schema is not None
