"""Plans are carried out in the order of their dependencies: each step once, as far in parallel as allowed, and what
fails holds up only what depends on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.errors import AgentFailed, InterlockError, RateLimitError
from interlock.flows.plan import Work, paths_of, plan_flow
from interlock.records.fact import RunAdmitted
from interlock.records.plan import Plan, Step, StepResult, in_order
from interlock.testing.clock import FakeClock
from tests.engine.rig import Rig, rig, until


class Crew:
    """Does steps, and remembers when it did which."""

    def __init__(self, act: Callable[[Work], Any] | None = None) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.inputs: dict[str, Any] = {}
        self._act = act

    async def __call__(self, work: Work) -> StepResult:
        step = work.step
        self.begun.append(step.id)
        self.inputs[step.id] = dict(work.inputs)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            output = f"out of {step.id}"
            if self._act is not None:
                made = self._act(work)
                output = await made if asyncio.iscoroutine(made) else made
        except InterlockError as error:
            return StepResult(step.id, "failed", error=f"{error.code}: {error.says}")
        finally:
            self.at_once -= 1
        self.ended.append(step.id)
        return StepResult(step.id, "completed", output=output)


def admitted(plan: Plan, **execution: Any) -> RunAdmitted:
    context = {"plan": plan.to_json(), "execution": execution}
    task = {"description": "a plan", "priority": 3, "timeout": None, "context": context}
    return RunAdmitted(task=task, task_id="task", flow="plan", digest="digest")


async def carry_out(house: Rig, plan: Plan, **execution: Any) -> Any:
    await house.engine.submit("run", [admitted(plan, **execution)])
    return (await house.wait()).finished


def a_chain(count: int) -> Plan:
    return Plan("chain", [Step(f"s{n}", dependencies=[f"s{n - 1}"] if n else []) for n in range(count)])


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    count = draw(st.integers(1, 14))
    steps = []
    for number in range(count):
        needs = draw(st.sets(st.integers(0, number - 1), max_size=4)) if number else set()
        steps.append(Step(f"s{number}", dependencies=[f"s{need}" for need in sorted(needs)]))
    return Plan("random", draw(st.permutations(steps)))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(plan=plans(), most=st.integers(1, 5), broken=st.sets(st.integers(0, 13), max_size=3))
def test_any_plan_runs_in_order_each_step_once_and_skips_just_what_depends_on_failures(
    plan: Plan, most: int, broken: set[int]
) -> None:
    bad = {f"s{number}" for number in broken}

    def act(work: Work) -> str:
        if work.step.id in bad:
            raise AgentFailed("It is broken.")
        return work.step.id

    crew = Crew(act)

    async def go() -> Any:
        async with rig({"plan": plan_flow(lambda run: crew)}) as house:
            return await carry_out(house, plan, max_concurrent=most)

    finished = asyncio.run(go())
    held_up: set[str] = set()
    for step in in_order(plan.steps):
        if any(need in bad or need in held_up for need in step.dependencies):
            held_up.add(step.id)
    expected = [step.id for step in plan.steps if step.id not in held_up]
    assert sorted(crew.begun) == sorted(expected)
    assert crew.most_at_once <= most
    for step in plan.steps:
        for need in step.dependencies:
            if step.id in crew.begun:
                assert crew.ended.index(need) < crew.begun.index(step.id) or need not in crew.ended
                assert crew.inputs[step.id][need] == need
    failed = [step.id for step in plan.steps if step.id in bad and step.id not in held_up]
    assert finished.status == ("failed" if failed else "completed")
    assert finished.output["skipped"] == len(held_up)
    assert finished.output["failed"] == len(failed)


async def test_independent_steps_run_at_the_same_time_up_to_the_limit() -> None:
    plan = Plan("wide", [Step(f"s{number}") for number in range(9)])
    crew = Crew(lambda work: asyncio.sleep(0.01))
    async with rig({"plan": plan_flow(lambda run: crew)}) as house:
        await carry_out(house, plan, max_concurrent=4)
    assert crew.most_at_once == 4


async def test_a_resumed_plan_tries_what_failed_again_and_repeats_nothing_that_is_done() -> None:
    broken = {"b"}

    def act(work: Work) -> str:
        if work.step.id in broken:
            raise AgentFailed("Not today.")
        return work.step.id

    plan = Plan("p", [Step("a"), Step("b"), Step("c", dependencies=["b"]), Step("d", dependencies=["a"])])
    crew = Crew(act)
    async with rig({"plan": plan_flow(lambda run: crew)}) as house:
        finished = await carry_out(house, plan)
        assert finished.status == "failed"
        assert finished.failure.code == "plan.steps_failed"
        finished = (await house.resume()).finished
        assert finished.status == "failed"
        broken.clear()
        finished = (await house.resume()).finished
        assert finished.status == "completed"
        assert paths_of(await house.load(), "b") == ["plan/b", "plan/b~2", "plan/b~3"]
    assert [crew.begun.count(name) for name in "abcd"] == [1, 3, 1, 1]


async def test_a_step_gets_as_many_tries_as_it_may_have() -> None:
    tries: list[int] = []

    def act(work: Work) -> str:
        tries.append(work.attempt)
        if work.attempt < 3:
            raise RateLimitError("Too many.")
        return "at last"

    async with rig({"plan": plan_flow(lambda run: Crew(act))}) as house:
        finished = await carry_out(house, Plan("p", [Step("a")]), retry_attempts=3)
    assert finished.output["outputs"] == {"a": "at last"}
    assert tries == [1, 2, 3]


async def test_a_plan_that_is_cut_off_goes_on_in_another_process_with_what_is_missing(tmp_path: Path) -> None:
    stuck = asyncio.Event()

    async def stay(work: Work) -> str:
        inner = await work.bench.step("inner", lambda attempt: _said(work), what="function")
        if work.step.id == "s2":
            await stuck.wait()
        return str(inner)

    said: list[str] = []

    async def _said(work: Work) -> str:
        said.append(work.step.id)
        return work.step.id

    crew = Crew(stay)
    async with rig({"plan": plan_flow(lambda run: crew)}, path=tmp_path / "j.db", grace=0) as house:
        await house.engine.submit("run", [admitted(a_chain(4))])
        await until(lambda: "s2" in said)
        await asyncio.sleep(0.05)
    stuck.set()
    async with rig({"plan": plan_flow(lambda run: crew)}, path=tmp_path / "j.db") as house:
        finished = (await house.resume()).finished
    assert finished.status == "completed"
    assert said == ["s0", "s1", "s2", "s3"]  # the inner step of s2 was done before it was cut off
    assert crew.begun == ["s0", "s1", "s2", "s2", "s3"]


async def test_a_pause_of_one_step_is_waited_out_while_others_work() -> None:
    clock = FakeClock()
    calls: list[str] = []
    other = asyncio.Event()

    async def act(work: Work) -> str:
        if work.step.id == "busy":
            await other.wait()
            return "busy"
        first = await work.bench.step("first", lambda attempt: _count("first"), what="function")
        second = await work.bench.step("second", lambda attempt: _limited(), what="function", attempts=3)
        return f"{first} {second}"

    async def _count(name: str) -> str:
        calls.append(name)
        return name

    async def _limited() -> str:
        calls.append("second")
        if calls.count("second") == 1:
            raise RateLimitError("Wait.", retry_after=30.0)
        return "second"

    async with rig({"plan": plan_flow(lambda run: Crew(act))}, clock=clock) as house:
        await house.engine.submit("run", [admitted(Plan("p", [Step("limited"), Step("busy")]))])
        await until(lambda: calls == ["first", "second"])
        await asyncio.sleep(0.05)
        await clock.advance(31)
        await until(lambda: calls == ["first", "second", "second"])
        other.set()
        finished = (await house.wait()).finished
    assert finished.output["outputs"] == {"limited": "first second", "busy": "busy"}


async def test_a_plan_of_two_thousand_steps_is_carried_out() -> None:
    crew = Crew()
    async with rig({"plan": plan_flow(lambda run: crew)}) as house:
        plan = Plan("wide", [Step("root"), *(Step(f"s{n}", dependencies=["root"]) for n in range(2000))])
        finished = await carry_out(house, plan, max_concurrent=500)
    assert finished.output["completed"] == 2001
