"""A provider's own tools: offered once the gate allowed them, their items carried along, their fees not made up."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest

from interlock.agents.agent import Brief
from interlock.agents.model import ModelAgent
from interlock.agents.native import used
from interlock.agents.provider import Message, ModelRequest, ModelResponse, ProviderSettings
from interlock.agents.providers import make_provider
from interlock.errors import UsageError
from interlock.records.verdict import ALLOWED, Act, Effect, Verdict
from interlock.testing import Calls, SimulatedProvider, Text, call
from interlock.tools.function import tool
from tests.agents.bench import NotebookBench
from tests.agents.canned import Canned, sse
from tests.agents.canned import provider as canned_provider
from tests.agents.lines import Lines

Api = Literal["openai-responses", "anthropic"]
TASK = Brief(text="What is new?")
TYPES = {
    "openai-responses": ("web_search", "code_interpreter"),
    "anthropic": ("web_search_20250305", "code_execution_20250825"),
}
ITEMS: dict[str, tuple[Mapping[str, Any], ...]] = {
    "openai-responses": (
        {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "new"}},
        {
            "id": "ci_1",
            "type": "code_interpreter_call",
            "status": "completed",
            "code": "1 + 1",
            "container_id": "c",
            "outputs": [{"type": "logs", "logs": "2"}],
        },
    ),
    "anthropic": (
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "new"}},
        {
            "type": "web_search_tool_result",
            "tool_use_id": "srvtoolu_1",
            "content": [{"type": "web_search_result", "url": "https://a", "title": "A", "encrypted_content": "e"}],
        },
        {"type": "server_tool_use", "id": "srvtoolu_2", "name": "bash_code_execution", "input": {"command": "ls"}},
        {
            "type": "bash_code_execution_tool_result",
            "tool_use_id": "srvtoolu_2",
            "content": {
                "type": "bash_code_execution_result",
                "stdout": "",
                "stderr": "",
                "return_code": 0,
                "content": [],
            },
        },
    ),
}
apis = pytest.mark.parametrize("api", ["openai-responses", "anthropic"])
streaming = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@tool(name="web_search")
def local_search(query: str) -> str:
    """Search somewhere else."""
    raise AssertionError


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@asynccontextmanager
async def worker(simulated: SimulatedProvider, api: Api, **more: Any) -> AsyncIterator[ModelAgent]:
    url = simulated.anthropic_url if api == "anthropic" else simulated.openai_url
    provider = make_provider(ProviderSettings(name="vendor", api=api, api_key="sk-test", base_url=url))
    own = {"native_tools": ["web_search", "code_interpreter"]}
    try:
        yield ModelAgent("worker", provider, "simulated", **own | more)
    finally:
        await provider.close()


@streaming
@apis
async def test_the_tools_are_offered_and_what_they_did_goes_back_whole(api: Api, stream: bool) -> None:
    bench = NotebookBench()
    script = [Calls(call("add", a=1, b=2), native=ITEMS[api]), Text("Much.", native=ITEMS[api])]
    async with SimulatedProvider(script) as simulated, worker(simulated, api, stream=stream, tools=[add]) as agent:
        answer = await agent.work(TASK, bench)
        first, second = simulated.requests
    assert answer.output == "Much."
    assert bench.done == ["native/web_search", "native/code_interpreter", "model/1", "tool/1", "model/2"]
    assert first.view is not None
    assert first.view.native_tools == TYPES[api]
    assert [spec.name for spec in first.view.tools] == ["add"]
    turn = second.body["input"] if api == "openai-responses" else second.body["messages"][1]["content"]
    kept = [item for item in turn if item.get("type") in {one["type"] for one in ITEMS[api]}]
    assert kept == list(ITEMS[api])
    fees = [note for note in bench.notes if note[1] == "price.native_tool"]
    assert len(fees) == 1
    assert "ran code on its side" in fees[0][2]


@apis
async def test_the_gate_is_asked_for_each_by_name_before_any_request(api: Api) -> None:
    seen: list[Act] = []

    def gate(act: Act) -> Verdict:
        seen.append(act)
        return Verdict(effect=Effect.BLOCK, reason="Not the web.") if act.name == "web_search" else ALLOWED

    bench = NotebookBench(gate=gate)
    async with (
        SimulatedProvider([Text("Nothing.")]) as simulated,
        worker(simulated, api, tools=[local_search]) as agent,
    ):
        assert (await agent.work(TASK, bench)).output == "Nothing."
        (request,) = simulated.requests
    assert [(act.kind, act.name) for act in seen[:2]] == [("tool", "web_search"), ("tool", "code_interpreter")]
    assert seen[0].arguments == {"native": True, "provider": "vendor"}
    assert (seen[0].run_id, seen[0].agent, seen[0].user) == ("run-1", "worker", "ana")
    assert request.view is not None
    assert request.view.native_tools == TYPES[api][1:]
    assert request.view.tools == ()  # a local tool does not take the place of one that was refused
    assert [note[1] for note in bench.notes] == ["tool.native_refused"]
    assert "Not the web" in bench.notes[0][2]


async def test_played_again_nothing_is_asked_anew() -> None:
    first, again = NotebookBench(), None
    async with SimulatedProvider([Text("Once.")]) as simulated, worker(simulated, "anthropic") as agent:
        await agent.work(TASK, first)
        again = NotebookBench(first.written)
        assert (await agent.work(TASK, again)).output == "Once."
        assert len(simulated.requests) == 1
    assert again.done == []


@streaming
async def test_a_turn_that_pauses_goes_on_where_it_stopped(stream: bool) -> None:
    script = [Text("Wait.", native=ITEMS["anthropic"], stop="pause"), Text("Done.")]
    async with SimulatedProvider(script) as simulated, worker(simulated, "anthropic", stream=stream) as agent:
        assert (await agent.work(TASK, NotebookBench())).output == "Done."
        last = simulated.requests[1].body["messages"]
    assert [turn["role"] for turn in last] == ["user", "assistant"]
    assert [block["type"] for block in last[1]["content"]] == [one["type"] for one in ITEMS["anthropic"]] + ["text"]


async def test_without_them_nothing_changes() -> None:
    bench = NotebookBench()
    async with SimulatedProvider([Text("Hi.")]) as simulated, worker(simulated, "anthropic", native_tools=()) as agent:
        await agent.work(TASK, bench)
        assert "tools" not in simulated.requests[0].body
    assert bench.done == ["model/1"]
    assert bench.notes == []


def test_a_provider_is_not_asked_for_what_it_does_not_have() -> None:
    chat = make_provider(ProviderSettings(name="chat", api="openai-chat", api_key="k"))
    for provider in (chat, Lines()):
        with pytest.raises(UsageError) as caught:
            ModelAgent("worker", provider, "m", native_tools=["web_search"])
        assert caught.value.code == "usage.native_tool"
        assert "none" in caught.value.do


@pytest.mark.parametrize(
    "native",
    [None, {}, {"items": None}, {"items": "x"}, {"items": [1, {}, {"type": []}, {"type": "server_tool_use"}]}],
)
def test_items_of_any_form_are_looked_through(native: Any) -> None:
    assert used(ModelResponse(native=native)) == []


async def test_the_sources_of_streamed_text_go_back_with_it() -> None:
    source = {"type": "web_search_result_location", "url": "https://a", "cited_text": "x", "encrypted_index": "e"}
    start = {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "text", "text": "", "citations": None},
    }
    found = {"type": "content_block_start", "index": 1, "content_block": dict(ITEMS["anthropic"][1])}
    deltas = [{"type": "citations_delta", "citation": source}, {"type": "text_delta", "text": "Much."}] * 2
    events = [
        {"type": "message_start", "message": {"model": "claude", "usage": {"input_tokens": 1, "output_tokens": 1}}},
        start,
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        found,
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
    request = ModelRequest(model="claude", messages=[Message(role="user", text="What is new?")])
    answer = sse(*(json.dumps(event).encode() for event in events))
    async with Canned(answer) as server, canned_provider("anthropic", server.url) as vendor:
        response = await vendor.complete(request, lambda text: None)
    assert response.native is not None
    first = response.native["items"][0]
    assert (first["text"], first["citations"]) == ("Much.Much.", [source, source])
