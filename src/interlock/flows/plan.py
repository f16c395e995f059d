"""Carry a plan out: each step once, as soon as what it builds on is there, never more than so many at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interlock.agents.agent import Attempt
from interlock.engine.bench import RunBench
from interlock.engine.drive import Flow, Outcome
from interlock.engine.parking import Parked
from interlock.errors import AgentFailed, AuthenticationError, InterlockError, OverBudget, from_code
from interlock.flows.showing import shown
from interlock.records.doubt import doubtful
from interlock.records.plan import Plan, Step, StepResult, followers_of, plan_from_json
from interlock.records.run import Run, StepRun

#: Where a run's task carries its plan, and how it is to be executed.
PLAN, EXECUTION = "plan", "execution"
#: What the run's own output holds of those of its last steps, in characters; above it each is cut to its share.
MAX_OUTPUTS = 4_000_000
#: So many steps are begun in one turn of the loop.
AT_ONCE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How a plan is carried out.

    Args:
        max_concurrent: Steps at the same time, at most.
        timeout: Seconds for one try of one step; None for no limit.
        retry_attempts: Tries of a step, in all; 1 for no retry.
        tools_from: Where its tools were found, as `--tools` takes it: whoever goes on with the run must know.
    """

    max_concurrent: int = 3
    timeout: float | None = 300.0
    retry_attempts: int = 1
    tools_from: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One step, and all that is needed to do it.

    Args:
        plan: The plan it is part of.
        step: The step.
        bench: Where its acts become steps of the run.
        inputs: The outputs of the steps it depends on, by their ids.
        attempt: The try, counted from 1.
    """

    plan: Plan
    step: Step
    bench: RunBench
    inputs: Mapping[str, Any]
    attempt: int


#: Does one step; a result that is not `completed` says why in `error`.
StepDoer = Callable[[Work], Awaitable[StepResult]]


def step_path(step_id: str, attempted_before: int) -> str:
    """The path of a step in its run; what failed and is tried again after a resume gets a new one."""
    return f"plan/{step_id}" if attempted_before == 0 else f"plan/{step_id}~{attempted_before + 1}"


def paths_of(run: Run, step_id: str) -> list[str]:
    """The paths under which a step of a plan was begun in a run, oldest first."""
    found: list[str] = []
    while (path := step_path(step_id, len(found))) in run.steps:
        found.append(path)
    return found


def stays_failed(run: Run, found: StepRun) -> bool:
    """Whether a step that failed is not tried again: not in this round of the run, or never.

    Of a step that a person said to skip nobody knows whether it happened: no resume may do it once more.
    """
    return found.round == run.rounds or (found.failure is not None and found.failure.code == "step.skipped")


def plan_of(run: Run) -> Plan | None:
    """The plan a run carries out, or None if it is another kind of run."""
    context = run.admitted.task.get("context", {}) if run.admitted is not None else {}
    return plan_from_json(context[PLAN]) if run.admitted is not None and run.admitted.flow == "plan" else None


def plan_flow(doer_of: Callable[[Run], StepDoer]) -> Flow:
    """The flow `plan`: its steps are carried out in the order of their dependencies, as far in parallel as allowed.

    A step that fails ends only what depends on it. When nothing more can be done the run has completed, or failed
    with the names of the steps that did; resumed, it tries those again, and does what they held up.

    Args:
        doer_of: Who does the steps of a run.
    """

    async def flow(bench: RunBench, run: Run) -> Outcome:
        plan = plan_of(run)
        assert plan is not None and run.admitted is not None  # noqa: PT018 - for the types
        execution = Execution(**run.admitted.task["context"].get(EXECUTION, {}))
        return await _Course(bench, run, plan, execution, doer_of(run)).to_the_end()

    return flow


class _Course:
    """One plan in progress: what is ready, what is being done, what came of it."""

    def __init__(self, bench: RunBench, run: Run, plan: Plan, execution: Execution, do: StepDoer) -> None:
        self._bench = bench
        self._run = run
        self._plan = plan
        self._execution = execution
        self._do = do
        self._followers = followers_of(plan.steps)
        self._waits_for = {step.id: len(step.dependencies) for step in plan.steps}
        self._ready = deque(step for step in plan.steps if not step.dependencies)
        self._active = 0
        self._sleeping = 0
        self._filling = False
        self._alone = asyncio.Event()
        self._outputs: dict[str, Any] = {}
        self._failures: dict[str, InterlockError] = {}
        self._parked: list[Parked] = []
        self._doubtful = doubtful(run) if run.rounds else set[str]()

    async def to_the_end(self) -> Outcome:
        async with asyncio.TaskGroup() as self._group:
            self._fill()
        if self._parked:
            raise _spokesman(self._parked)
        ends = [step for step in self._plan.steps if not self._followers[step.id]]
        outputs = {step.id: self._outputs[step.id] for step in ends if step.id in self._outputs}
        output = {
            "completed": len(self._outputs),
            "failed": len(self._failures),
            "skipped": len(self._plan.steps) - len(self._outputs) - len(self._failures),
            # The steps have them as they are: with all of hundreds of large ones, a run could not be held in memory.
            "outputs": shown(outputs, self._bench.run_id, MAX_OUTPUTS),
        }
        return Outcome(output=output, agent="plan", failure=_failure(self._failures))

    def _fill(self) -> None:
        """Begin as many of the ready steps as may run, a few in each turn of the loop: others live in it too."""
        room = min(len(self._ready), self._execution.max_concurrent - self._active)
        for _ in range(min(room, AT_ONCE)):
            self._active += 1
            self._group.create_task(self._carry_out(self._ready.popleft()))
        if room > AT_ONCE and not self._filling:
            self._filling = True
            self._group.create_task(self._fill_on())

    async def _fill_on(self) -> None:
        await asyncio.sleep(0)
        self._filling = False
        self._fill()

    async def _carry_out(self, step: Step) -> None:
        """Do a step, then others that are ready: what a step brought is written down with the next one's intent."""
        while True:
            try:
                output = await self._once(step)
            except InterlockError as error:
                self._failures[step.id] = error
            except Parked as parked:
                self._parked.append(parked)
            else:
                self._outputs[step.id] = output
                for follower in self._followers[step.id]:
                    self._waits_for[follower.id] -= 1
                    if self._waits_for[follower.id] == 0:
                        self._ready.append(follower)
            if not self._ready:
                break
            step = self._ready.popleft()
            self._fill()
        self._active -= 1
        if self._active == self._sleeping:  # nobody works: those who wait need not do so in memory
            self._alone.set()

    async def _once(self, step: Step) -> Any:
        """Do a step, whatever pauses lie between its tries; a pause parks the run only if nothing else goes on."""
        while True:
            try:
                return await self._try(step)
            except Parked as parked:
                if parked.reason != "timer" or parked.until is None or not await self._rest(parked.until):
                    raise
                await self._bench.retake(self._path(step))

    async def _rest(self, until: float) -> bool:
        """Wait in memory while other steps are at work; False when there are none, or no longer."""
        if self._active - self._sleeping <= 1 and not self._ready:
            return False
        self._sleeping += 1
        self._alone.clear()
        clock = self._bench.clock
        pause = asyncio.ensure_future(clock.sleep(until - clock.now()))
        alone = asyncio.ensure_future(self._alone.wait())
        try:
            await asyncio.wait({pause, alone}, return_when=asyncio.FIRST_COMPLETED)
            return pause.done()
        finally:
            self._sleeping -= 1
            pause.cancel()
            alone.cancel()

    async def _try(self, step: Step) -> Any:
        execution = self._execution
        inputs = {need: self._outputs[need] for need in step.dependencies}
        path = self._path(step)

        async def act(attempt: Attempt) -> Any:
            for failed in self._tried_before(step, path):
                await self._bench.settle(failed)
            bench = self._bench.scope(f"{path}/{attempt.number}")
            work = Work(plan=self._plan, step=step, bench=bench, inputs=inputs, attempt=attempt.number)
            result = await self._do(work)
            if result.status != "completed":
                raise _error_of(step, result)
            return result.output

        return await self._bench.step(
            path,
            act,
            what="step",
            label=step.tool or step.id,
            input={name: of for name, of in (("tool", step.tool), ("needs", step.dependencies)) if of} or None,
            timeout=step.metadata.get("timeout", execution.timeout),
            attempts=step.metadata.get("retries", execution.retry_attempts - 1) + 1,
        )

    def _tried_before(self, step: Step, path: str) -> list[str]:
        """Where the step was written down when it failed in earlier rounds of the run, if a person must be asked."""
        if not self._doubtful:
            return []
        return [one for one in paths_of(self._run, step.id) if one != path and one in self._doubtful]

    def _path(self, step: Step) -> str:
        """Where this step is written down: again where it failed in this round or is under way, anew where it failed
        before the run was resumed."""
        before = paths_of(self._run, step.id)
        if not before or self._run.steps[before[-1]].status != "failed":
            return before[-1] if before else step_path(step.id, 0)
        settled = stays_failed(self._run, self._run.steps[before[-1]])
        return before[-1] if settled else step_path(step.id, len(before))


def _spokesman(parked: list[Parked]) -> Parked:
    """Of several reasons to wait, the one that decides what brings the run back; the earliest time counts."""
    order = ("shutdown", "paused", "person", "child", "timer")
    first = min(parked, key=lambda one: order.index(one.reason))
    times = [one.until for one in parked if one.until is not None]
    if first.reason in ("person", "child", "timer") and times:
        return Parked(first.reason, until=min(times), ref=first.ref, says=first.says)
    return first


def _failure(failures: Mapping[str, InterlockError]) -> AgentFailed | None:
    if not failures:
        return None
    names = ", ".join(list(failures)[:5]) + (f" and {len(failures) - 5} more" if len(failures) > 5 else "")
    number = "1 step" if len(failures) == 1 else f"{len(failures)} steps"
    do = "See why with `interlock run show ID`, then `interlock run resume ID`: what is done stays done."
    if all(isinstance(error, AuthenticationError) for error in failures.values()):
        do = f"{AuthenticationError.default_do} Then `interlock run resume ID`: what is done stays done."
    if all(isinstance(error, OverBudget) for error in failures.values()):
        fork = f"`interlock run fork ID --from {next(iter(failures))} --set max_cost=USD`"
        do = f"Raise the budget, then `interlock run resume ID`. What the plan itself may cost is raised by {fork}."
    return AgentFailed(f"{number} of the plan failed: {names}.", do, code="plan.steps_failed")


def _error_of(step: Step, result: StepResult) -> InterlockError:
    """The error a result that is no success stands for."""
    code, _, says = (result.error or "").partition(": ")
    if not says or "." not in code or " " in code:
        code, says = "agent.failed", result.error or f"The step {step.id} ended as {result.status}."
    return from_code(code, says)
