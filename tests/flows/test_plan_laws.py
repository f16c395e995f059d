"""What holds for any plan, whatever fails and wherever it is cut off: order, once, never too many, who is skipped."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.errors import AgentFailed
from interlock.flows.plan import Work, plan_flow
from interlock.flows.plan_results import results_of
from interlock.records.plan import Plan, StepResult, in_order
from tests.engine.rig import Rig, rig, until
from tests.flows.test_plan import admitted, plans


class Crew:
    """Does steps, each of which fails a number of times before it succeeds, and checks the laws as it goes."""

    def __init__(self, fails: Mapping[str, int], most: int) -> None:
        self.begun: list[str] = []
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.broken: list[str] = []
        self._fails = fails
        self._most = most
        self._at_once = 0

    async def __call__(self, work: Work) -> StepResult:
        step = work.step
        self.begun.append(step.id)
        self._check(work)
        self._at_once += 1
        try:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        finally:
            self._at_once -= 1
        if self.failed[step.id] < self._fails.get(step.id, 0):
            self.failed[step.id] += 1
            raise AgentFailed("Not this time.")
        self.done[step.id] += 1
        return StepResult(step.id, "completed", output=f"out of {step.id}")

    def _check(self, work: Work) -> None:
        step = work.step
        if self._at_once >= self._most:
            self.broken.append(f"{step.id} is one too many")
        if self.done[step.id]:
            self.broken.append(f"{step.id} was done and is done again")
        if missing := [need for need in step.dependencies if not self.done[need]]:
            self.broken.append(f"{step.id} was begun before {missing}")
        if dict(work.inputs) != {need: f"out of {need}" for need in step.dependencies}:
            self.broken.append(f"{step.id} got {work.inputs}")


def check_results(plan: Plan, results: list[StepResult], crew: Crew) -> None:
    """What failed has failed, what depends on it is skipped, and everything else is done."""
    failed = {one.step_id for one in results if one.status == "failed"}
    held_up: set[str] = set()
    for step in in_order(plan.steps):
        if any(need in failed or need in held_up for need in step.dependencies):
            held_up.add(step.id)
    assert {one.step_id for one in results if one.status == "skipped"} == held_up
    assert {one.step_id for one in results if one.status == "completed"} == set(crew.done)
    assert len(failed) + len(held_up) + len(crew.done) == len(plan.steps)


async def one_life(house: Rig, plan: Plan, crew: Crew, most: int, *, first: bool, cut: int | None) -> Any:
    """Begin or go on, until so many steps more were begun, or to the end; gives how it ended, if it did."""
    if first:
        await house.engine.submit("run", [admitted(plan, max_concurrent=most)])
    else:
        await house.engine.resume("run", by="ann")
    waiting = asyncio.ensure_future(house.wait())
    if cut is not None:
        before = len(crew.begun)
        await until(lambda: waiting.done() or len(crew.begun) - before >= cut)
        if not waiting.done():
            waiting.cancel()
            return None
    return (await waiting).finished


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    plan=plans(),
    most=st.integers(1, 5),
    fails=st.dictionaries(st.integers(0, 13), st.integers(1, 2), max_size=4),
    cuts=st.lists(st.integers(1, 6), max_size=4),
)
def test_any_plan_comes_to_its_end_through_failures_and_cut_offs_with_each_step_done_once(
    plan: Plan, most: int, fails: dict[int, int], cuts: list[int]
) -> None:
    crew = Crew({f"s{number}": times for number, times in fails.items()}, most)

    async def go(path: Path) -> None:
        first = True
        lives: list[int | None] = [*cuts, *[None] * 30]
        for cut in lives:
            async with rig({"plan": plan_flow(lambda run: crew)}, path=path, grace=0) as house:
                finished = await one_life(house, plan, crew, most, first=first, cut=cut)
                first = False
                if finished is not None:
                    check_results(plan, results_of(await house.load(), plan), crew)
                    if finished.status == "completed":
                        return
        raise AssertionError("it never comes to its end")

    with TemporaryDirectory() as folder:
        asyncio.run(go(Path(folder) / "journal.db"))
    assert crew.broken == []
    assert crew.done == Counter(step.id for step in plan.steps)
