"""Two runs side by side: what went into each step, what came out, what it cost and how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from interlock.flows.plan import paths_of, plan_of
from interlock.flows.plan_results import results_of
from interlock.records.plan import Plan, StepResult
from interlock.records.run import Run, StepRun

#: What is compared of each step. Times are shown and not compared: no two runs take equally long.
COMPARED = ("input", "output", "status", "error", "cost_micros")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One step in one of the runs.

    Args:
        status: How it stands.
        input: What went in.
        output: What came out.
        error: Why it failed.
        cost_micros: What it cost, in micro-dollars; None where a price is unknown.
        seconds: How long it took; of a step that was taken over, how long it took where it was done.
        inherited: The run it was taken over from, or empty.
    """

    status: str
    input: Any = None
    output: Any = None
    error: str | None = None
    cost_micros: int | None = 0
    seconds: float = 0.0
    inherited: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDiff:
    """One step in both runs.

    Args:
        step: The plan's step, or the path.
        a: In the first run; None where it is not there.
        b: In the second run.
        differs: What is not the same, of `COMPARED`; `presence` where only one run has it.
    """

    step: str
    a: Side | None
    b: Side | None
    differs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDiff:
    """Two runs side by side.

    Args:
        run_a: The first run.
        run_b: The second run.
        a: The first run as a whole.
        b: The second run as a whole.
        differs: What is not the same of the wholes.
        steps: The steps, in the order of the first run and then of the second.
    """

    run_a: str
    run_b: str
    a: Side
    b: Side
    differs: tuple[str, ...]
    steps: Sequence[StepDiff]

    @property
    def same(self) -> bool:
        """Whether everything that is compared is the same."""
        return not self.differs and not any(step.differs for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """It as a dictionary ready for JSON."""
        return {**asdict(self), "same": self.same}


def diff_of(run_a: Run, run_b: Run) -> RunDiff:
    """Compare two runs: by the steps of their plans where both have one, else by the paths of their steps."""
    plan_a, plan_b = plan_of(run_a), plan_of(run_b)
    if plan_a is not None and plan_b is not None:
        sides_a, sides_b = _by_plan(run_a, plan_a), _by_plan(run_b, plan_b)
    else:
        sides_a, sides_b = _by_path(run_a), _by_path(run_b)
    whole_a, whole_b = _whole(run_a), _whole(run_b)
    steps = [
        StepDiff(step=name, a=sides_a.get(name), b=sides_b.get(name), differs=_differs(sides_a, sides_b, name))
        for name in dict.fromkeys([*sides_a, *sides_b])
    ]
    return RunDiff(
        run_a=run_a.run_id,
        run_b=run_b.run_id,
        a=whole_a,
        b=whole_b,
        differs=_between(whole_a, whole_b),
        steps=steps,
    )


def _differs(sides_a: dict[str, Side], sides_b: dict[str, Side], name: str) -> tuple[str, ...]:
    a, b = sides_a.get(name), sides_b.get(name)
    return ("presence",) if a is None or b is None else _between(a, b)


def _between(a: Side, b: Side) -> tuple[str, ...]:
    taken_over = bool(a.inherited or b.inherited)  # it was paid for once: that is no difference
    return tuple(
        name for name in COMPARED if getattr(a, name) != getattr(b, name) and not (taken_over and name == "cost_micros")
    )


def _whole(run: Run) -> Side:
    task = run.admitted.task if run.admitted is not None else {}
    done = run.finished
    failure = done.failure if done is not None else None
    return Side(
        status=run.status.value,
        input=task.get("description"),
        output=done.output if done is not None else None,
        error=f"{failure.code}: {failure.says}" if failure is not None else None,
        cost_micros=run.cost_micros,
        seconds=done.seconds if done is not None else run.active_seconds,
    )


def _by_plan(run: Run, plan: Plan) -> dict[str, Side]:
    results = {result.step_id: result for result in results_of(run, plan)}
    found = {}
    for step in plan.steps:
        given = {"description": step.description, "tool": step.tool, "tool_input": step.tool_input}
        paths = paths_of(run, step.id)
        last = run.steps[paths[-1]] if paths else None
        found[step.id] = _of_result(results[step.id], given, last)
    return found


def _of_result(result: StepResult, given: dict[str, Any], step: StepRun | None) -> Side:
    kept = step is not None and bool(step.inherited)
    return Side(
        status=result.status,
        input={name: value for name, value in given.items() if value not in (None, "")},
        output=result.output,
        error=result.error,
        cost_micros=result.cost_micros,
        seconds=step.seconds if step is not None and kept else result.seconds,
        inherited=step.inherited if step is not None else "",
    )


def _by_path(run: Run) -> dict[str, Side]:
    return {
        path: Side(
            status=step.status,
            input=step.input,
            output=step.output,
            error=f"{step.failure.code}: {step.failure.says}" if step.failure is not None else None,
            cost_micros=step.cost_micros,
            seconds=step.seconds,
            inherited=step.inherited,
        )
        for path, step in run.steps.items()
    }
