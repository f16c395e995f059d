"""The agent that says what it was told to say."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from interlock.agents.agent import Agent, BenchAgent, Brief
from interlock.agents.scripted import ScriptedAgent
from interlock.errors import AgentFailed, OutputInvalid, RateLimitError, UsageError
from tests.agents.bench import NotebookBench


async def say(agent: ScriptedAgent, *inputs: Any) -> list[Any]:
    return [await agent.process(x) for x in inputs]


async def test_it_says_mocked_when_told_nothing() -> None:
    agent = ScriptedAgent()
    assert agent.id == "scripted"
    assert await say(agent, "a", {"b": 1}) == ["mocked", "mocked"]
    assert (agent.calls, agent.inputs) == (2, ["a", {"b": 1}])


async def test_replies_come_in_order_and_the_last_one_again() -> None:
    assert await say(ScriptedAgent(replies=["one", {"two": 2}]), 1, 2, 3) == ["one", {"two": 2}, {"two": 2}]


async def test_a_strict_script_fails_when_it_is_used_up() -> None:
    agent = ScriptedAgent(replies=["one"], strict=True)
    assert await agent.process("a") == "one"
    with pytest.raises(UsageError, match="no more"):
        await agent.process("b")


async def test_a_reply_may_be_a_function_sync_or_async() -> None:
    async def later(x: str) -> str:
        return f"later {x}"

    assert await say(ScriptedAgent(replies=str.upper), "a") == ["A"]
    assert await say(ScriptedAgent(replies=later), "a") == ["later a"]


async def test_a_reply_that_is_an_exception_is_raised() -> None:
    agent = ScriptedAgent(replies=[RateLimitError("Slow."), ValueError, "fine"])
    with pytest.raises(RateLimitError):
        await agent.process("a")
    with pytest.raises(ValueError):
        await agent.process("a")
    assert await agent.process("a") == "fine"
    with pytest.raises(KeyError):
        await ScriptedAgent(replies=KeyError).process("a")


def test_an_empty_script_is_refused() -> None:
    with pytest.raises(UsageError):
        ScriptedAgent(replies=[])


async def test_a_delay_lets_others_work() -> None:
    order: list[str] = []

    async def others() -> None:
        order.append("others")

    async def slow() -> None:
        order.append(await ScriptedAgent(delay=0.001).process("x"))

    async with asyncio.TaskGroup() as group:
        group.create_task(slow())
        group.create_task(others())
    assert order == ["others", "mocked"]


async def test_at_a_bench_it_is_one_step_that_is_not_said_again() -> None:
    agent = ScriptedAgent(replies=["one", "two"])
    assert isinstance(agent, Agent)
    assert isinstance(agent, BenchAgent)
    bench = NotebookBench()
    answer = await agent.work(Brief(text="hello"), bench)
    assert (answer.output, answer.agent, agent.inputs) == ("one", "scripted", ["hello"])
    assert bench.steps["call"]["what"] == "agent"
    assert bench.steps["call"]["repeatable"] is True
    again = await agent.work(Brief(text="hello"), NotebookBench(bench.written))
    assert (again, agent.calls) == (answer, 1)


async def test_at_a_bench_its_failures_are_those_of_an_agent() -> None:
    with pytest.raises(AgentFailed, match="scripted raised ValueError: bad"):
        await ScriptedAgent(replies=ValueError("bad")).work(Brief(text="x"), NotebookBench())
    with pytest.raises(OutputInvalid):
        await ScriptedAgent(replies=lambda x: object()).work(Brief(text="x"), NotebookBench())
