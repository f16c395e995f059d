"""The vendors' own SDKs talk to the simulated provider, and understand every kind of reply."""

from __future__ import annotations

import json

import pydantic
import pytest

from interlock.agents.provider import ToolCall
from interlock.records.money import Usage
from interlock.testing import Calls, Structured, Text, call

STOPS = {
    "openai-chat": {"end": "stop", "tool_calls": "tool_calls", "length": "length", "other": "content_filter"},
    "openai-responses": {
        "end": "completed",
        "tool_calls": "completed",
        "length": "max_output_tokens",
        "other": "content_filter",
    },
    "anthropic": {"end": "end_turn", "tool_calls": "tool_use", "length": "max_tokens", "other": "pause_turn"},
}
TOOLS = {
    "openai-chat": [
        {"type": "function", "function": {"name": "shell", "description": "Run", "parameters": {"type": "object"}}}
    ],
    "openai-responses": [
        {"type": "function", "name": "shell", "description": "Run", "parameters": {"type": "object"}, "strict": False}
    ],
    "anthropic": [{"name": "shell", "description": "Run", "input_schema": {"type": "object"}}],
}


async def test_text_arrives_whole_over_every_wire_and_transport(connect, api, stream, aiohttp):
    _, sdks = await connect([Text("Half full,\n  says the disk. ✓")], aiohttp=aiohttp)
    heard = await sdks.ask(api, stream=stream)
    assert (heard.text, heard.calls) == ("Half full,\n  says the disk. ✓", [])
    assert heard.stop == STOPS[api]["end"]
    assert heard.model == "m"


async def test_several_tool_calls_arrive_in_order_with_text(connect, api, stream, aiohttp):
    reply = Calls(call("shell", argv=["df", "-h"]), call("shell", argv=["du"]), text="Let me look.")
    _, sdks = await connect([reply], aiohttp=aiohttp)
    heard = await sdks.ask(api, stream=stream, tools=TOOLS[api])
    assert heard.text == "Let me look."
    assert [(name, arguments) for _, name, arguments in heard.calls] == [
        ("shell", {"argv": ["df", "-h"]}),
        ("shell", {"argv": ["du"]}),
    ]
    assert len({id_ for id_, _, _ in heard.calls}) == 2
    assert heard.stop == STOPS[api]["tool_calls"]


async def test_a_tool_call_without_arguments_or_text_arrives(connect, api, stream):
    _, sdks = await connect([Calls(call("now"))])
    heard = await sdks.ask(api, stream=stream)
    assert heard.text == ""
    assert [(name, arguments) for _, name, arguments in heard.calls] == [("now", {})]


async def test_call_ids_never_repeat_and_given_ids_are_kept(connect, api):
    _, sdks = await connect(
        [Calls(call("now")), Calls(call("now")), Calls(ToolCall(id="mine", name="a", arguments="{}"))]
    )
    ids = [(await sdks.ask(api)).calls[0][0] for _ in range(3)]
    assert len(set(ids)) == 3
    assert ids[2] == "mine"


@pytest.mark.parametrize("stop", ["length", "other"])
async def test_the_reason_to_stop_is_the_vendors(connect, api, stream, stop):
    _, sdks = await connect([Text("to be continued", stop=stop)])
    assert (await sdks.ask(api, stream=stream)).stop == STOPS[api][stop]


async def test_a_refusal_is_told_in_the_vendors_way(connect):
    _, sdks = await connect(lambda view: Text("I will not.", stop="refusal"))
    assert (await sdks.ask("anthropic")).stop == "refusal"
    chat = await sdks.openai.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
    assert (chat.choices[0].message.content, chat.choices[0].message.refusal) == (None, "I will not.")
    async with sdks.openai.responses.stream(model="m", input="x") as events:
        seen = [event.type async for event in events]
        done = await events.get_final_response()
    assert "response.refusal.delta" in seen
    assert done.output[0].content[0].refusal == "I will not."


async def test_usage_is_reported_as_scripted(connect, api, stream):
    usage = Usage(input_tokens=1000, cached_input_tokens=600, cache_write_tokens=100, output_tokens=50)
    _, sdks = await connect([Text("x", usage=usage, model="m-2026")])
    heard = await sdks.ask(api, stream=stream)
    assert (heard.input_tokens, heard.cached_tokens, heard.output_tokens) == (1000, 600, 50)
    assert heard.model == "m-2026"


async def test_usage_by_default_depends_on_the_words_only(connect):
    _, sdks = await connect(default=Text("twenty characters..."))
    heard = [await sdks.ask(api, stream=stream) for api in STOPS for stream in (False, True)]
    assert {(each.input_tokens, each.output_tokens) for each in heard} == {(1, 5)}


async def test_chat_counts_tokens_in_a_stream_only_when_asked(connect):
    _, sdks = await connect()
    without: list = []
    await sdks.events("openai-chat", without)
    counted: list = []
    await sdks.events("openai-chat", counted, stream_options={"include_usage": True})
    assert [chunk.usage for chunk in without if chunk.usage] == []
    assert [chunk.choices for chunk in counted if chunk.usage] == [[]]


class Disk(pydantic.BaseModel):
    name: str
    used: int


async def test_structured_output_is_parsed_by_the_sdks(connect):
    sim, sdks = await connect(default=Structured({"name": "sda", "used": 71}))
    chat = await sdks.openai.chat.completions.parse(
        model="m", messages=[{"role": "user", "content": "x"}], response_format=Disk
    )
    responses = await sdks.openai.responses.parse(model="m", input="x", text_format=Disk)
    messages = await sdks.anthropic.messages.parse(
        model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}], output_format=Disk
    )
    parsed = (chat.choices[0].message.parsed, responses.output_parsed, messages.parsed_output)
    assert parsed == (Disk(name="sda", used=71),) * 3
    assert [set(request.view.schema["properties"]) for request in sim.requests] == [{"name", "used"}] * 3


async def test_thinking_is_shown_where_the_wire_has_a_place_for_it(connect):
    _, sdks = await connect(default=Text("42", thinking="6 times 7"))
    async with sdks.anthropic.messages.stream(
        model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}]
    ) as events:
        message = await events.get_final_message()
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[0].thinking == "6 times 7"
    assert message.content[0].signature
    response = await sdks.openai.responses.create(model="m", input="x", include=["reasoning.encrypted_content"])
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert response.output[0].summary[0].text == "6 times 7"
    assert response.output[0].encrypted_content


async def test_the_stream_helpers_of_the_responses_sdk_follow_every_event(connect):
    _, sdks = await connect([Calls(call("shell", argv=["df"]), text="Let me look.", thinking="Hm.")])
    async with sdks.openai.responses.stream(model="m", input="x") as events:
        seen = [event async for event in events]
    text = "".join(event.delta for event in seen if event.type == "response.output_text.delta")
    arguments = "".join(event.delta for event in seen if event.type == "response.function_call_arguments.delta")
    assert text == "Let me look."
    assert json.loads(arguments) == {"argv": ["df"]}
    assert [event.type for event in seen][:2] == ["response.created", "response.in_progress"]
    assert seen[-1].type == "response.completed"


async def test_arguments_that_are_no_json_reach_the_client_as_they_are(connect):
    _, sdks = await connect(default=Calls(ToolCall(id="", name="shell", arguments='{"argv": [')))
    chat = await sdks.openai.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
    assert chat.choices[0].message.tool_calls[0].function.arguments == '{"argv": ['
    response = await sdks.openai.responses.create(model="m", input="x")
    assert response.output[0].arguments == '{"argv": ['
    seen: list = []
    await sdks.events("anthropic", seen)
    deltas = [event.delta.partial_json for event in seen if event.type == "content_block_delta"]
    assert "".join(deltas) == '{"argv": ['


async def test_the_list_of_models_is_read_by_both_sdks_and_is_no_model_request(connect):
    sim, sdks = await connect([Text("kept")], models=("large", "small"))
    assert [model.id async for model in sdks.openai.models.list()] == ["large", "small"]
    assert [model.id async for model in sdks.anthropic.models.list()] == ["large", "small"]
    assert (await sdks.openai.models.retrieve("large")).id == "large"
    assert [request.api for request in sim.requests] == ["models"] * 3
    assert sim.unused == 1
