"""Large plans: carried out whole, and everything else that lives in the same loop has its turn meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from interlock import Executor, Plan, Platform, Step, StepResult, tool

#: Steps that may be begun between two turns of anyone else. Without a limit it would be as many as run at once.
A_TURN = 100
#: Seconds for which nobody is held up, even on a machine that is busy with something else.
HELD_UP = 1.0


class Looker(Executor):
    """Counts the steps that are begun in each turn of the loop."""

    def __init__(self, turns: Turns, at_once: int, platform: Platform) -> None:
        super().__init__(at_once, platform=platform)
        self.turns = turns
        self.begun: Counter[int] = Counter()
        self.at_work = self.most_at_work = 0

    async def execute_step(self, step: Step, context: Mapping[str, Any]) -> StepResult:
        self.begun[self.turns.number] += 1
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        result = await super().execute_step(step, context)
        self.at_work -= 1
        return result


class Turns:
    """Someone else in the loop: how many turns they had, and how long they waited for one at most."""

    def __init__(self) -> None:
        self.number = 0
        self.longest = 0.0

    @asynccontextmanager
    async def counted(self) -> AsyncIterator[None]:
        task = asyncio.ensure_future(self._count())
        await asyncio.sleep(0)
        yield
        task.cancel()

    async def _count(self) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0)
            now = time.monotonic()
            self.longest, last = max(self.longest, now - last), now
            self.number += 1


@tool(repeatable=True)
async def part(number: int) -> int:
    """Work on one part."""
    await asyncio.sleep(0)
    return number


def parts(count: int, needs: tuple[str, ...] = ()) -> list[Step]:
    words = "Work on this part of the whole, carefully, and say what came of it."
    return [
        Step(f"s{number}", words, tool="part", tool_input={"number": number}, dependencies=needs)
        for number in range(count)
    ]


async def test_two_thousand_steps_leave_everyone_else_their_turn(tmp_path: Path) -> None:
    plan = Plan("wide", [Step("root", tool="part", tool_input={"number": -1}), *parts(2000, ("root",))], tools=[part])
    turns = Turns()
    async with Platform(home=tmp_path) as platform:
        looker = Looker(turns, 500, platform)
        async with turns.counted():
            results = await platform.execute(plan, "large", executor=looker)
    assert [result.output for result in results] == [-1, *range(2000)]
    assert max(looker.begun.values()) <= A_TURN
    assert turns.longest < HELD_UP


async def test_a_fan_out_of_five_hundred_is_at_work_all_at_once(tmp_path: Path) -> None:
    together = asyncio.Event()

    @tool(repeatable=True)
    async def meet(number: int) -> int:
        """Wait for all others."""
        met.add(number)
        if len(met) == 500:
            together.set()
        await together.wait()
        return number

    met: set[int] = set()
    steps = [Step(f"s{number}", tool="meet", tool_input={"number": number}) for number in range(500)]
    turns = Turns()
    async with Platform(home=tmp_path) as platform:
        looker = Looker(turns, 500, platform)
        async with turns.counted(), asyncio.timeout(60):
            results = await platform.execute(Plan("fan out", steps, tools=[meet]), executor=looker)
    assert [result.output for result in results] == list(range(500))
    assert looker.most_at_work == 500
    assert max(looker.begun.values()) <= A_TURN


async def test_a_plan_may_say_more_in_all_than_one_task_may_but_no_step_may(tmp_path: Path) -> None:
    many = Plan(
        "much", [Step(f"s{n}", "x" * 60, tool="part", tool_input={"number": n}) for n in range(3)], tools=[part]
    )
    long = Plan("long", [Step("s", "x" * 200, tool="part", tool_input={"number": 1})], tools=[part])
    async with Platform(home=tmp_path, limits={"max_prompt_length": 190}) as platform:
        assert [result.status for result in await platform.execute(many)] == ["completed"] * 3
        (result,) = await platform.execute(long)
        assert result.status == "skipped"
        assert "190 characters" in str(result.error)


async def test_the_outputs_of_many_large_steps_are_whole_in_their_results_and_cut_in_that_of_the_run(
    tmp_path: Path,
) -> None:
    def large(of: int) -> str:
        """Give much."""
        return str(of) * 900_000

    def small() -> str:
        """Give little."""
        return "small"

    steps = [Step(f"s{n}", tool="large", tool_input={"of": n}) for n in range(6)]
    async with Platform(home=tmp_path) as platform:
        handle = await platform.submit_plan(Plan("p", [*steps, Step("t", tool="small")], tools=[large, small]), "much")
        outputs = (await handle.result()).output["outputs"]
        results = (await platform.run_state("much")).results
    assert [len(one.output) for one in results] == [900_000] * 6 + [5]
    assert outputs["t"] == "small"
    assert outputs["s3"]["cut"] == "900,000 characters; the whole is the output of s3 in run much"
    assert sum(len(str(one)) for one in outputs.values()) < 4_100_000
