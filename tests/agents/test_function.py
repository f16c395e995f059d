"""Functions and objects with `process` as agents."""

from __future__ import annotations

import asyncio
import builtins
import threading
from typing import Any

import pytest

from interlock.agents.agent import Agent, BenchAgent, Brief
from interlock.agents.function import FunctionAgent, as_agent
from interlock.agents.scripted import ScriptedAgent
from interlock.errors import AgentFailed, OutputInvalid, RateLimitError, UsageError
from tests.agents.bench import NotebookBench

BRIEF = Brief(text="go", context={"a": {"b": 1}})


async def work(fn: Any, brief: Brief = BRIEF, bench: NotebookBench | None = None, **more: Any) -> Any:
    answer = await FunctionAgent("f", fn, **more).work(brief, bench or NotebookBench())
    return answer.output


async def test_a_function_is_one_step() -> None:
    bench = NotebookBench()
    assert await work(str.upper, bench=bench) == "GO"
    assert bench.steps == {
        "call": {"what": "agent", "label": "f", "input": None, "repeatable": False, "timeout": None},
    }


async def test_whether_it_is_async_is_decided_by_the_result() -> None:
    async def real(text: str) -> str:
        return f"async {text}"

    class Process:
        id = "p"

        def process(self, x: Any) -> Any:
            return real(x)

    class Call:
        async def __call__(self, x: Any) -> Any:
            return f"called {x}"

    assert isinstance(Process(), Agent)
    assert await work(real) == "async go"
    assert await work(lambda text: real(text)) == "async go"
    assert await work(Process()) == "async go"
    assert await work(Call()) == "called go"


async def test_a_sync_function_does_not_hold_up_the_loop() -> None:
    loop, gate = asyncio.get_running_loop(), threading.Event()

    def blocks(text: str) -> str:
        loop.call_soon_threadsafe(gate.set)
        assert gate.wait(10)
        return threading.current_thread().name

    assert await work(blocks) != threading.main_thread().name


async def test_the_context_is_given_to_those_who_ask_for_it() -> None:
    assert await work(lambda text, more: [text, more]) == ["go", {"a": {"b": 1}}]
    assert await work(lambda text, context=None: context) == {"a": {"b": 1}}
    assert await work(lambda text, temperature=0.2: temperature) == 0.2
    assert await work(lambda *texts: list(texts)) == ["go"]
    assert await work(builtins.len) == 2


async def test_the_orders_of_a_stage_come_before_the_text() -> None:
    assert await work(str.upper, Brief(text="go", instructions="Plan only.")) == "PLAN ONLY.\n\nGO"


async def test_changing_the_context_does_not_change_the_brief() -> None:
    def spoils(text: str, context: dict[str, Any]) -> str:
        context.clear()
        return "x"

    await work(spoils)
    assert BRIEF.context == {"a": {"b": 1}}


@pytest.mark.parametrize("kind", [ValueError, StopIteration, TimeoutError, asyncio.CancelledError, SystemExit])
@pytest.mark.parametrize("is_async", [True, False])
async def test_whatever_it_raises_is_a_failed_agent_without_a_trace(kind: type[BaseException], is_async: bool) -> None:
    def broken(text: str) -> str:
        raise kind("bad " * 500)

    async def broken_later(text: str) -> str:
        raise kind("bad " * 500)

    with pytest.raises(AgentFailed, match=r"f raised \w+: ") as caught:
        await work(broken_later if is_async else broken)
    assert caught.value.code == "agent.failed"
    assert len(caught.value.says) <= 500
    assert "Traceback" not in caught.value.says
    assert 'File "' not in caught.value.user_message


async def test_errors_of_the_tree_pass_unchanged() -> None:
    async def limited(text: str) -> str:
        raise RateLimitError("Slow down.", retry_after=3)

    with pytest.raises(RateLimitError, match=r"Slow down\."):
        await work(limited)


async def test_cancelling_the_work_cancels_the_function() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def waits(text: str) -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return "never"

    async with asyncio.TaskGroup() as group:
        task = group.create_task(work(waits))
        await started.wait()
        task.cancel()
    assert task.cancelled()
    assert ended.is_set()


@pytest.mark.parametrize("output", [object(), {1: 2}, float("nan"), b"x", "\ud800", {"a": {object()}}])
async def test_an_output_that_is_not_json_is_refused(output: Any) -> None:
    with pytest.raises(OutputInvalid, match="What f returned"):
        await work(lambda text: output)


async def test_a_wrong_answer_is_asked_for_again_only_where_that_is_harmless() -> None:
    raised: list[OutputInvalid] = []

    class Watching(NotebookBench):
        async def step(self, name: str, act: Any, **more: Any) -> Any:
            async def seen(attempt: Any) -> Any:
                try:
                    return await act(attempt)
                except OutputInvalid as error:
                    raised.append(error)
                    raise

            return await super().step(name, seen, **more)

    for repeatable in (True, False):
        with pytest.raises(OutputInvalid):
            await work(lambda text: object(), bench=Watching(), repeatable=repeatable)
    assert [error.retryable for error in raised] == [True, False]


async def test_an_answer_must_fit_the_schema_that_was_asked_for() -> None:
    brief = Brief(text="go", schema={"type": "object", "required": ["ok"]})
    assert await work(lambda text: {"ok": 1}, brief) == {"ok": 1}
    assert await work(lambda text: '{"ok": 1}', brief) == {"ok": 1}
    with pytest.raises(OutputInvalid, match="`ok` is missing"):
        await work(lambda text: {}, brief)
    with pytest.raises(OutputInvalid, match="not JSON"):
        await work(lambda text: "yes", brief)


@pytest.mark.parametrize("id", [["deployed"], 7, ""])
def test_an_agent_whose_id_is_no_text_is_refused_before_it_works(id: Any) -> None:
    with pytest.raises(UsageError, match="The id of an agent is a text"):
        as_agent("x", ScriptedAgent(id))


def test_as_agent_keeps_what_works_at_a_bench_and_wraps_the_rest() -> None:
    scripted = ScriptedAgent()
    assert as_agent("x", scripted) is scripted
    made = as_agent("x", str.upper)
    assert isinstance(made, FunctionAgent)
    assert isinstance(made, BenchAgent)
    assert made.id == "x"


class Named(ScriptedAgent):
    id = "a class, not an agent"


@pytest.mark.parametrize("wrong", [None, 3, "text", ScriptedAgent, Named, dict, object()])
def test_as_agent_refuses_what_is_no_agent(wrong: Any) -> None:
    with pytest.raises(UsageError) as caught:
        as_agent("x", wrong)
    assert caught.value.code == "usage.agent"


async def test_a_key_in_what_it_raises_is_not_shown() -> None:
    def broken(text: str) -> str:
        raise RuntimeError(f"{'x' * 450} 401 for key sk-KNOWNKEY0123456789abcdefghijk at once")

    with pytest.raises(AgentFailed) as caught:
        await work(broken)
    assert "sk-" not in caught.value.says
    assert caught.value.says.startswith("f raised RuntimeError: xxx")
