"""The model agent over the real wires: vendor SDKs, real HTTP on loopback, a server that plays the vendors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest

from interlock.agents.agent import Brief
from interlock.agents.model import ModelAgent
from interlock.agents.provider import ProviderSettings
from interlock.agents.providers import make_provider
from interlock.errors import AgentAPIError, OutputInvalid, RateLimitError
from interlock.testing import Calls, Fault, SimulatedProvider, Structured, Text, call
from interlock.tools.function import tool
from tests.agents.bench import NotebookBench, block

Api = Literal["openai-responses", "openai-chat", "anthropic"]
APIS: list[Api] = ["openai-responses", "openai-chat", "anthropic"]
SCHEMA = {
    "type": "object",
    "properties": {"full": {"type": "boolean"}},
    "required": ["full"],
    "additionalProperties": False,
}


@tool(repeatable=True)
def disk(path: str) -> dict[str, Any]:
    """Say how full a disk is."""
    return {"path": path, "used": 0.5, "name": "Größe"}


@asynccontextmanager
async def worker(simulated: SimulatedProvider, api: Api, **more: Any) -> AsyncIterator[ModelAgent]:
    url = simulated.anthropic_url if api == "anthropic" else simulated.openai_url
    provider = make_provider(ProviderSettings(name=api, api=api, api_key="sk-test", base_url=url))
    try:
        yield ModelAgent("worker", provider, "simulated", **{"tools": [disk], "instructions": "Be brief."} | more)
    finally:
        await provider.close()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
async def test_a_task_with_tools_is_done_and_played_again_without_a_request(api: Api, stream: bool) -> None:
    context = {"db": {"hosts": ["prod-1", {"port": 5432}], "note": "ünï"}}
    script = [Calls(call("disk", path="/"), call("disk", path="/var"), thinking="Let me look."), Text("Half full.")]
    brief, bench = Brief(text="How full?", context=context), NotebookBench()
    async with SimulatedProvider(script) as simulated, worker(simulated, api, stream=stream) as agent:
        answer = await agent.work(brief, bench)
        assert answer.output == "Half full."
        assert bench.done == ["model/1", "tool/1", "tool/2", "model/2"]
        first, second = (request.view for request in simulated.requests)
        assert first is not None
        assert second is not None
        assert first.system == "Be brief."
        assert '{"db":{"hosts":["prod-1",{"port":5432}],"note":"ünï"}}' in first.asked
        assert list(second.results.values()) == [
            '{"path":"/","used":0.5,"name":"Größe"}',
            '{"path":"/var","used":0.5,"name":"Größe"}',
        ]
        assert answer.usage == bench.usage
        assert answer.usage.requests == 2
        assert answer.usage.total_tokens > 0
        spoken = "".join(data["text"] for kind, data in bench.events if kind == "text")
        assert spoken == ("Half full." if stream else "")

        replay = NotebookBench(bench.written)
        assert await agent.work(brief, replay) == answer
        assert replay.done == []
        assert len(simulated.requests) == 2


@pytest.mark.parametrize("api", APIS)
async def test_a_structured_answer_is_corrected_once(api: Api) -> None:
    async with SimulatedProvider([Structured({"fill": 1}), Structured({"full": True})]) as simulated:
        async with worker(simulated, api) as agent:
            answer = await agent.work(Brief(text="Full?", schema=SCHEMA), NotebookBench())
    assert answer.output == {"full": True}
    second = simulated.requests[1].view
    assert second is not None
    assert "`full` is missing" in second.asked


@pytest.mark.parametrize("api", APIS)
async def test_a_denied_call_is_told_to_the_model_and_not_run(api: Api) -> None:
    bench = NotebookBench(gate=block("No disks."))
    async with SimulatedProvider([Calls(call("disk", path="/")), Text("I may not.")]) as simulated:
        async with worker(simulated, api) as agent:
            assert (await agent.work(Brief(text="x"), bench)).output == "I may not."
    second = simulated.requests[1].view
    assert second is not None
    assert all("No disks." in text for text in second.results.values())
    assert len(second.results) == 1


@pytest.mark.parametrize("api", APIS)
async def test_an_empty_answer_is_asked_for_again(api: Api) -> None:
    async with SimulatedProvider([Text(""), Text("Here.")]) as simulated, worker(simulated, api) as agent:
        assert (await agent.work(Brief(text="x"), NotebookBench())).output == "Here."


@pytest.mark.parametrize("api", APIS)
async def test_an_answer_cut_off_is_known_to_be(api: Api) -> None:
    script = [Text("It was a", stop="length"), Text('{"full": tr', stop="length")]
    bench = NotebookBench()
    async with SimulatedProvider(script) as simulated, worker(simulated, api) as agent:
        assert (await agent.work(Brief(text="x"), bench)).output == "It was a"
        assert [code for _, code, _ in bench.notes] == ["agent.output_truncated"]
        with pytest.raises(OutputInvalid):
            await agent.work(Brief(text="x", schema=SCHEMA), NotebookBench())


@pytest.mark.parametrize("api", APIS)
async def test_faults_of_the_provider_come_out_by_their_names(api: Api) -> None:
    script = [Fault.status(429, retry_after=7), Fault.status(500)]
    async with SimulatedProvider(script) as simulated, worker(simulated, api) as agent:
        with pytest.raises(RateLimitError):
            await agent.work(Brief(text="x"), NotebookBench())
        with pytest.raises(AgentAPIError):
            await agent.work(Brief(text="x"), NotebookBench())
