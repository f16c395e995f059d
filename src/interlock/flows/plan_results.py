"""What came of each step of a plan, read from the run's facts alone: while it goes on, and after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from interlock.flows.doing import kind_of
from interlock.flows.doubts import doubts_of
from interlock.flows.plan import paths_of, stays_failed
from interlock.records.fact import Failure
from interlock.records.money import add_micros
from interlock.records.plan import Plan, Step, StepResult, StepState, in_order
from interlock.records.run import Run, StepRun
from interlock.records.task import TaskStatus

_OVER = {TaskStatus.CANCELLED, TaskStatus.FAILED, TaskStatus.BLOCKED, TaskStatus.COMPLETED}


def results_of(run: Run, plan: Plan) -> list[StepResult]:
    """One result for every step, in the order of the plan; what has not been begun is `pending`, and what a failure
    holds up is `skipped`.

    Args:
        run: The run, folded from its facts.
        plan: Its plan.
    """
    costs = _costs(run)
    known = {step.id: _result(run, step, costs) for step in plan.steps}
    pending = any(result.status == "pending" for result in known.values())
    for step in in_order(plan.steps) if pending else ():
        if known[step.id].status != "pending":
            continue
        stopped = next((need for need in step.dependencies if known[need].status in ("failed", "skipped")), None)
        if stopped is not None:
            says = f"plan.skipped: It needs {stopped}, which {_why_not(known[stopped])}."
            known[step.id] = StepResult(step.id, "skipped", error=says, kind="skipped")
        elif run.status in _OVER:
            known[step.id] = _never_begun(run, step)
    for doubt in doubts_of(run):
        if doubt.step_id in known:
            error = f"{known[doubt.step_id].error or 'step.in_doubt:'} {doubt.says()}"
            known[doubt.step_id] = replace(known[doubt.step_id], error=error, kind="in_doubt")
    return [known[step.id] for step in plan.steps]


def where_used(run: Run, step: Step) -> str:
    """Where a step had the web searched or code run, as its run tells: `native at openai`, `local`, or nothing."""
    paths = paths_of(run, step.id) if step.tool in ("web_search", "code_interpreter") else []
    for attempt in range(run.steps[paths[-1]].attempts if paths else 0, 0, -1):
        found = run.steps.get(f"{paths[-1]}/{attempt}/native/{step.tool}")
        if found is not None and isinstance(found.input, dict):
            return f"native at {found.input.get('provider')}"
        if f"{paths[-1]}/{attempt}/tool" in run.steps:
            return "local"
    return ""


def _never_begun(run: Run, step: Step) -> StepResult:
    """A step of a run that ended before it was its turn: cancelled with it, or held up by what ended it."""
    failure = run.finished.failure if run.finished is not None else None
    error = f"{failure.code}: {failure.says}" if failure is not None else "run.over: The run ended before it was begun."
    status: StepState = "cancelled" if run.status is TaskStatus.CANCELLED else "skipped"
    return StepResult(step.id, status, error=error, kind=_kind(failure) or status)


def _why_not(result: StepResult) -> str:
    return "failed" if result.status == "failed" else "was skipped"


def _result(run: Run, step: Step, costs: Mapping[str, int | None]) -> StepResult:
    paths = paths_of(run, step.id)
    if not paths:
        return StepResult(step.id, "pending")
    found = run.steps[paths[-1]]
    status = _state(run, found, paths)
    if status == "pending":
        return StepResult(step.id, "pending", attempts=_attempts(run, paths))
    failure = found.failure if status == "failed" else None
    ended = found.ended_at if status in ("completed", "failed") else 0.0
    return StepResult(
        step.id,
        status,
        output=found.output if status == "completed" else None,
        error=f"{failure.code}: {failure.says}" if failure is not None else None,
        started_at=_time(found.started_at),  # tried again after a resume: from there on
        completed_at=_time(ended) if ended else None,
        attempts=_attempts(run, paths),
        kind=_kind(failure),
        cost_micros=costs.get(paths[0], 0) if len(paths) == 1 else _sum(costs.get(path, 0) for path in paths),
    )


def _state(run: Run, found: StepRun, paths: list[str]) -> StepState:
    match found.status:
        case "finished":
            return "completed"
        case "failed":
            # A run that was resumed after its failure tries again what failed before.
            return "failed" if stays_failed(run, found) else "pending"
        case "retrying":
            return "waiting" if run.status not in _OVER else "cancelled"
    if run.status in _OVER:
        return "cancelled"
    if any(f"{question.path}/".startswith(f"{path}/") for question in run.open_questions() for path in paths):
        return "awaiting_approval"
    return "running" if run.waiting is None else "waiting"


def _attempts(run: Run, paths: list[str]) -> int:
    return sum([max(1, run.steps[path].attempts) for path in paths])


def _kind(failure: Failure | None) -> str:
    return kind_of(failure.code) if failure is not None else ""


def _costs(run: Run) -> dict[str, int | None]:
    """What each step of the plan cost, with all that was done for it, by its path."""
    costs: dict[str, int | None] = {}
    for path, step in run.steps.items():
        own = path if path.count("/") < 2 else "/".join(path.split("/", 2)[:2])
        costs[own] = add_micros(costs.get(own, 0), step.cost_micros)
    return costs


def _sum(costs: Iterable[int | None]) -> int | None:
    total: int | None = 0
    for cost in costs:
        total = add_micros(total, cost)
    return total


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
