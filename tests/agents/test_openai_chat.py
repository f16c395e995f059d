"""Chat completions: what is sent, and what is made of answers, streamed and not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from interlock.agents.openai_chat import OpenAIChat
from interlock.agents.provider import Message, ModelRequest, ProviderSettings, ToolCall
from interlock.records.money import Usage
from interlock.testing import Calls, SimulatedProvider, Structured, Text, call
from interlock.tools.tool import ToolSpec
from tests.agents.canned import Canned, http, provider, sse

CLOSED = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
OPEN = {"type": "object", "properties": {"n": {"type": "integer"}}}
ADD = ToolSpec(name="add", description="Adds.", parameters=CLOSED)
streaming = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def ask(*messages: Message, **more: Any) -> ModelRequest:
    return ModelRequest(model="m", messages=messages or (Message(role="user", text="Hello"),), **more)


def body(request: ModelRequest, official: bool = True, stream: bool = False) -> dict[str, Any]:
    wire = OpenAIChat(ProviderSettings(name="Acme", api="openai-chat", api_key="k"))
    return wire.body(request, stream=stream, official=official)


def tools(written: dict[str, Any]) -> list[Any]:
    return [json.loads(bytes(tool)) for tool in written["tools"]]


def test_only_what_was_asked_for_is_sent() -> None:
    assert body(ask(max_output_tokens=7)) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hello"}],
        "max_completion_tokens": 7,
    }


def test_a_compatible_server_gets_the_older_name_of_the_limit() -> None:
    assert body(ask(max_output_tokens=7), official=False)["max_tokens"] == 7
    assert "max_completion_tokens" not in body(ask(), official=False)


def test_temperature_and_streaming_are_sent_when_wanted() -> None:
    written = body(ask(temperature=0.0), stream=True)
    assert (written["temperature"], written["stream"]) == (0.0, True)
    assert written["stream_options"] == {"include_usage": True}


def test_a_tool_is_strict_where_the_schema_and_the_server_allow_it() -> None:
    loose = ToolSpec(name="loose", description="", parameters=OPEN)
    first, second = tools(body(ask(tools=(ADD, loose))))
    assert first == {
        "type": "function",
        "function": {"name": "add", "description": "Adds.", "parameters": CLOSED, "strict": True},
    }
    assert "strict" not in second["function"]
    assert "strict" not in tools(body(ask(tools=(ADD,)), official=False))[0]["function"]


def test_a_form_is_asked_for_by_schema_and_any_other_in_words() -> None:
    assert body(ask(schema=CLOSED))["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": CLOSED, "strict": True},
    }
    assert "strict" not in body(ask(schema=OPEN))["response_format"]["json_schema"]
    words = body(ask(schema={"type": "array", "items": {"type": "string"}}))
    assert "response_format" not in words
    assert '"type":"array"' in words["messages"][0]["content"]


def test_a_conversation_is_written_turn_by_turn() -> None:
    written = body(
        ask(
            Message(role="system", text="Be brief."),
            Message(role="user", text="Add."),
            Message(role="assistant", tool_calls=(ToolCall(id="c1", name="add", arguments='{"n": 1}'),)),
            Message(role="tool", tool_call_id="c1", text="no", is_error=True),
            Message(role="assistant", text="It failed."),
        )
    )
    assert written["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Add."},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"n": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "Error: no"},
        {"role": "assistant", "content": "It failed."},
    ]


@streaming
async def test_text_and_usage_come_back(stream: bool) -> None:
    usage = Usage(input_tokens=100, output_tokens=20, cached_input_tokens=60, reasoning_tokens=5)
    heard: list[str] = []
    async with SimulatedProvider(script=[Text("One two three.", usage=usage, model="m-1")]) as sim:
        async with provider("openai-chat", sim.url) as one:
            answer = await one.complete(ask(), heard.append if stream else None)
    assert (answer.text, answer.stop, answer.model) == ("One two three.", "end", "m-1")
    assert answer.request_id
    assert answer.native is None
    assert answer.usage == usage + Usage(requests=1)
    assert "".join(heard) == ("One two three." if stream else "")
    assert len(heard) == (3 if stream else 0)


@streaming
async def test_several_tool_calls_come_back_in_order(stream: bool) -> None:
    moves = [Calls(call("add", n=1), call("add", n=22222), text="Adding."), Text("Done.")]
    async with SimulatedProvider(script=moves) as sim, provider("openai-chat", sim.url) as one:
        answer = await one.complete(ask(tools=(ADD,)), (lambda piece: None) if stream else None)
        results = [Message(role="tool", tool_call_id=wish.id, text="ok") for wish in answer.tool_calls]
        turn = Message(role="assistant", text=answer.text, tool_calls=answer.tool_calls, native=answer.native)
        done = await one.complete(ask(Message(role="user", text="Add."), turn, *results, tools=(ADD,)))
    assert [(wish.name, json.loads(wish.arguments)) for wish in answer.tool_calls] == [
        ("add", {"n": 1}),
        ("add", {"n": 22222}),
    ]
    assert (answer.text, answer.stop, done.text) == ("Adding.", "tool_calls", "Done.")


@streaming
@pytest.mark.parametrize(("sent", "stop"), [("length", "length"), ("refusal", "refusal"), ("other", "refusal")])
async def test_it_is_said_why_the_answer_stopped(stream: bool, sent: Any, stop: str) -> None:
    async with SimulatedProvider(script=[Text("No more.", stop=sent)]) as sim:
        async with provider("openai-chat", sim.url) as one:
            answer = await one.complete(ask(), (lambda piece: None) if stream else None)
    assert (answer.text, answer.stop) == ("No more.", stop)


async def test_a_structured_answer_comes_back_as_text() -> None:
    async with SimulatedProvider(script=[Structured({"n": 1})]) as sim, provider("openai-chat", sim.url) as one:
        assert json.loads((await one.complete(ask(schema=CLOSED))).text) == {"n": 1}
        assert sim.requests[0].view is not None
        assert sim.requests[0].view.schema == CLOSED


@streaming
async def test_reasoning_goes_back_with_its_tool_calls_and_to_nobody_else(stream: bool) -> None:
    wish = {
        "id": "c1",
        "type": "function",
        "function": {"name": "add", "arguments": "{}"},
        "extra_content": {"sig": "s"},
    }
    message = {"role": "assistant", "content": None, "reasoning_content": "Think hard.", "tool_calls": [wish]}
    pieces = [
        {"reasoning_content": "Think "},
        {"reasoning_content": "hard."},
        {"tool_calls": [{**wish, "index": 0, "function": {"name": "add", "arguments": "{"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]},
    ]
    events = [json.dumps({"choices": [{"delta": piece}]}).encode() for piece in pieces]
    whole = http(json.dumps({"choices": [{"message": message, "finish_reason": "tool_calls"}]}).encode())
    heard: list[str] = []
    async with Canned(sse(*events, b"[DONE]") if stream else whole) as server:
        async with provider("openai-chat", server.url) as one:
            answer = await one.complete(ask(), heard.append if stream else None)
            turn = Message(role="assistant", tool_calls=answer.tool_calls, native=answer.native)
            own = one.body(ask(turn), stream=False, official=False)["messages"][0]
    assert own == message
    assert heard == []
    assert "reasoning_content" not in body(ask(turn))["messages"][0] or answer.native["provider"] == "Acme"  # type: ignore[index]
    other = OpenAIChat(ProviderSettings(name="other", api="openai-chat", api_key="k"))
    assert other.body(ask(turn), stream=False, official=False)["messages"][0] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}],
    }


@streaming
async def test_what_other_servers_do_differently_is_understood(stream: bool) -> None:
    """Arguments as an object, calls without id, all with the same place, and a natural stop."""
    calls = [{"function": {"name": "add", "arguments": {"n": n}}} for n in (1, 2)]
    whole = {"id": "x", "choices": [{"message": {"content": [{"type": "text", "text": "Hm."}], "tool_calls": calls}}]}
    streamed = [
        {"id": "x", "choices": [{"delta": {"content": "Hm.", "tool_calls": [{"index": 0, "id": f"x_{at}", **wish}]}}]}
        for at, wish in enumerate(calls)
    ]
    whole["choices"][0]["finish_reason"] = "stop"  # type: ignore[index]
    streamed[1]["choices"][0]["finish_reason"] = "stop"  # type: ignore[index]
    events = sse(*(json.dumps(event).encode() for event in streamed), b"[DONE]")
    async with Canned(events if stream else http(json.dumps(whole).encode())) as server:
        async with provider("openai-chat", server.url) as one:
            answer = await one.complete(ask(), (lambda piece: None) if stream else None)
    assert answer.stop == "tool_calls"
    assert [(wish.id, json.loads(wish.arguments)["n"]) for wish in answer.tool_calls] == [("x_0", 1), ("x_1", 2)]


async def test_a_server_without_keys_gets_a_placeholder() -> None:
    async with SimulatedProvider(accept_keys=["no-key"]) as sim:
        async with provider("openai-chat", sim.url, key=None) as one:
            assert (await one.complete(ask())).text
