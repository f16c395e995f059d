"""Responses: what is sent, and what is made of answers, streamed and not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from interlock.agents.openai_responses import OpenAIResponses
from interlock.agents.provider import Message, ModelRequest, ProviderSettings, ToolCall
from interlock.errors import AgentAPIError, RateLimitError
from interlock.records.money import Usage
from interlock.testing import Calls, SimulatedProvider, Structured, Text, call
from interlock.tools.tool import ToolSpec
from tests.agents.canned import Canned, provider, sse

CLOSED = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
ADD = ToolSpec(name="add", description="Adds.", parameters=CLOSED)
LOOSE = ToolSpec(name="loose", description="", parameters={"type": "object"})
streaming = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def ask(*messages: Message, model: str = "gpt-5", **more: Any) -> ModelRequest:
    return ModelRequest(model=model, messages=messages or (Message(role="user", text="Hello"),), **more)


def body(request: ModelRequest, name: str = "Acme") -> dict[str, Any]:
    wire = OpenAIResponses(ProviderSettings(name=name, api="openai-responses", api_key="k"))
    return wire.body(request, stream=False, official=True)


def test_nothing_is_stored_and_reasoning_comes_encrypted() -> None:
    assert body(ask(max_output_tokens=70)) == {
        "model": "gpt-5",
        "input": [{"role": "user", "content": "Hello"}],
        "max_output_tokens": 70,
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }
    assert "include" not in body(ask(model="gpt-4o-mini"))


def test_strict_is_always_said_as_the_default_is_yes() -> None:
    first, second = (json.loads(bytes(tool)) for tool in body(ask(tools=(ADD, LOOSE)))["tools"])
    assert first == {
        "type": "function",
        "name": "add",
        "description": "Adds.",
        "parameters": CLOSED,
        "strict": True,
    }
    assert second["strict"] is False


def test_a_form_is_asked_for_by_schema_and_any_other_in_words() -> None:
    written = body(ask(schema=CLOSED))["text"]["format"]
    assert written == {"type": "json_schema", "name": "answer", "schema": CLOSED, "strict": True}
    words = body(ask(schema={"type": "string"}))
    assert "text" not in words
    assert "JSON Schema" in words["input"][0]["content"]


def test_a_conversation_is_written_as_items() -> None:
    written = body(
        ask(
            Message(role="system", text="Be brief."),
            Message(role="assistant", text="Adding.", tool_calls=(ToolCall(id="c1", name="add", arguments="{}"),)),
            Message(role="tool", tool_call_id="c1", text="no", is_error=True),
            temperature=0.5,
        )
    )
    assert written["temperature"] == 0.5
    assert written["input"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": "Adding."},
        {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "Error: no"},
    ]


@streaming
async def test_text_and_usage_come_back(stream: bool) -> None:
    usage = Usage(input_tokens=100, output_tokens=20, cached_input_tokens=60, cache_write_tokens=7, reasoning_tokens=5)
    heard: list[str] = []
    async with SimulatedProvider(script=[Text("One two three.", usage=usage)]) as sim:
        async with provider("openai-responses", sim.url) as one:
            answer = await one.complete(ask(), heard.append if stream else None)
    assert (answer.text, answer.stop, answer.model, answer.native) == ("One two three.", "end", "gpt-5", None)
    assert answer.request_id
    assert answer.usage == usage + Usage(requests=1)
    assert heard == (["One ", "two ", "three."] if stream else [])


@streaming
async def test_reasoning_goes_back_as_it_came_and_to_nobody_else(stream: bool) -> None:
    moves = [Calls(call("add", n=1), call("add", n=2), thinking="Hm.", text="Adding."), Text("Done.")]
    async with SimulatedProvider(script=moves) as sim, provider("openai-responses", sim.url) as one:
        answer = await one.complete(ask(tools=(ADD,)), (lambda piece: None) if stream else None)
        assert answer.native is not None
        items = answer.native["items"]
        turn = Message(role="assistant", text="Adding.", tool_calls=answer.tool_calls, native=answer.native)
        results = [Message(role="tool", tool_call_id=wish.id, text="ok") for wish in answer.tool_calls]
        done = await one.complete(ask(Message(role="user", text="Add."), turn, *results, tools=(ADD,)))
        sent = sim.requests[1].body["input"]
    assert (answer.text, answer.stop, done.text) == ("Adding.", "tool_calls", "Done.")
    assert [json.loads(wish.arguments)["n"] for wish in answer.tool_calls] == [1, 2]
    assert [item["type"] for item in items] == ["reasoning", "message", "function_call", "function_call"]
    assert items[0]["encrypted_content"]
    assert sent[1:5] == items
    assert all(item.get("type") != "reasoning" for item in body(ask(turn), name="other")["input"])


@streaming
@pytest.mark.parametrize(("sent", "stop"), [("length", "length"), ("refusal", "refusal"), ("other", "refusal")])
async def test_it_is_said_why_the_answer_stopped(stream: bool, sent: Any, stop: str) -> None:
    async with SimulatedProvider(script=[Text("No more.", stop=sent)]) as sim:
        async with provider("openai-responses", sim.url) as one:
            answer = await one.complete(ask(), (lambda piece: None) if stream else None)
    assert (answer.text, answer.stop) == ("No more.", stop)


async def test_a_structured_answer_comes_back_as_text() -> None:
    async with SimulatedProvider(script=[Structured({"n": 1})]) as sim, provider("openai-responses", sim.url) as one:
        assert json.loads((await one.complete(ask(schema=CLOSED))).text) == {"n": 1}


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"type": "error", "code": "rate_limit_exceeded", "message": "Slow down."}, RateLimitError),
        (
            {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "Slow down."}}},
            AgentAPIError,
        ),
        ({"type": "response.failed", "response": {"status": "failed", "output": []}}, AgentAPIError),
    ],
)
async def test_a_failed_response_in_a_stream_is_an_error(event: Any, kind: type[Exception]) -> None:
    async with Canned(sse(json.dumps(event).encode())) as server, provider("openai-responses", server.url) as one:
        with pytest.raises(kind) as caught:
            await one.complete(ask(), lambda piece: None)
    assert type(caught.value) is kind
