"""What every agent that works at a bench has to keep, whatever it is made of."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from interlock.agents.agent import Answer, BenchAgent, Brief
from interlock.agents.function import FunctionAgent, as_agent
from interlock.agents.model import ModelAgent
from interlock.agents.provider import ModelRequest, ModelResponse, OnText
from interlock.agents.scripted import ScriptedAgent
from interlock.errors import AgentFailed, OutputInvalid
from interlock.tools.function import tool
from tests.agents.bench import Killed, NotebookBench
from tests.agents.lines import Lines, calls, says

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}

#: Makes an agent that answers with this: a JSON value, an exception to fail with, or a function of the text.
Make = Callable[[Any], BenchAgent]


def given(reply: Any, text: str) -> Any:
    if isinstance(reply, Exception):
        raise reply
    return reply(text) if callable(reply) else reply


class Speaks(Lines):
    """A model that asks for a tool first, and then says the reply."""

    def __init__(self, reply: Any) -> None:
        super().__init__()
        self.reply = reply

    async def complete(self, request: ModelRequest, on_text: OnText | None = None) -> ModelResponse:
        if not any(message.role == "tool" for message in request.messages):
            return calls(("add", {"a": 1, "b": 2}))
        reply = given(self.reply, request.messages[0].text)
        return says(reply if isinstance(reply, str) else json.dumps(reply))


@tool(repeatable=True)
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def model(reply: Any) -> BenchAgent:
    return ModelAgent("worker", Speaks(reply), "m", tools=[add])


def function(reply: Any) -> BenchAgent:
    return as_agent("worker", lambda text: given(reply, text))


def async_function(reply: Any) -> BenchAgent:
    async def answer(text: str) -> Any:
        await asyncio.sleep(0)
        return given(reply, text)

    return as_agent("worker", answer)


def with_process(reply: Any) -> BenchAgent:
    class Own:
        id = "own"

        def process(self, x: Any) -> Any:
            return given(reply, x)

    return FunctionAgent("worker", Own())


def scripted(reply: Any) -> BenchAgent:
    return ScriptedAgent("worker", reply if callable(reply) else [reply])


@pytest.fixture(params=[model, function, async_function, with_process, scripted], ids=lambda make: make.__name__)
def make(request: pytest.FixtureRequest) -> Make:
    return request.param  # type: ignore[no-any-return]


async def test_it_has_an_id_and_signs_its_answer(make: Make) -> None:
    agent = make("done")
    assert isinstance(agent, BenchAgent)
    answer = await agent.work(Brief(text="go"), NotebookBench())
    assert isinstance(answer, Answer)
    assert (answer.output, answer.agent, agent.id) == ("done", "worker", "worker")


async def test_it_gets_the_text_as_it_is(make: Make) -> None:
    text = "  Ünïcode\n\n```fence``` \\ \x00 "
    assert (await make(lambda given: given).work(Brief(text=text), NotebookBench())).output == text


async def test_all_it_does_is_steps_and_replaying_them_does_nothing_again(make: Make) -> None:
    first = NotebookBench()
    answer = await make("done").work(Brief(text="go"), first)
    assert first.done
    second = NotebookBench(first.written)
    # Made anew to say something else, as in another process: only what is recorded counts.
    assert await make("something else").work(Brief(text="go"), second) == answer
    assert second.done == []
    assert second.steps == first.steps


async def test_killed_after_any_step_it_comes_to_the_same_answer(make: Make) -> None:
    whole = NotebookBench()
    answer = await make("done").work(Brief(text="go"), whole)
    for after in range(1, len(whole.done) + 1):
        first = NotebookBench(kill_after=after)
        with pytest.raises(Killed):
            await make("done").work(Brief(text="go"), first)
        second = NotebookBench(first.written)
        assert await make("done").work(Brief(text="go"), second) == answer
        assert first.done + second.done == whole.done


async def test_several_pieces_of_work_at_once_do_not_mix(make: Make) -> None:
    agent = make(lambda text: text)
    benches = [NotebookBench(prefix=f"{number}/") for number in range(5)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(agent.work(Brief(text=str(n)), bench)) for n, bench in enumerate(benches)]
    assert [task.result().output for task in tasks] == ["0", "1", "2", "3", "4"]


async def test_its_failure_is_a_failed_agent_that_is_recorded(make: Make) -> None:
    bench = NotebookBench()
    with pytest.raises(AgentFailed) as caught:
        await make(AgentFailed("It is broken.")).work(Brief(text="go"), bench)
    with pytest.raises(AgentFailed) as again:
        await make("works now").work(Brief(text="go"), NotebookBench(bench.written))
    assert str(again.value) == str(caught.value) == "agent.failed: It is broken."


async def test_an_answer_fits_the_schema_or_is_refused(make: Make) -> None:
    brief = Brief(text="go", schema=SCHEMA)
    assert (await make({"n": 1}).work(brief, NotebookBench())).output == {"n": 1}
    assert (await make('{"n": 2}').work(brief, NotebookBench())).output == {"n": 2}
    with pytest.raises(OutputInvalid, match="`n`"):
        await make({"n": "three"}).work(brief, NotebookBench())


async def test_a_suspension_passes_through(make: Make) -> None:
    class Parks(NotebookBench):
        async def step(self, name: str, act: Any, **more: Any) -> Any:
            raise Killed

    with pytest.raises(Killed):
        await make("done").work(Brief(text="go"), Parks())


async def test_what_it_puts_in_a_step_is_json(make: Make) -> None:
    bench = NotebookBench()
    await make("done").work(Brief(text="go", context={"deep": {"er": [1, None]}}), bench)
    for step in bench.steps.values():
        assert json.loads(json.dumps(step["input"])) == step["input"]
