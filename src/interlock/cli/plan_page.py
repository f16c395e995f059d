"""Plans on the screen: their steps as a tree, what they may cost, and how each step of a run stands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from interlock.cli.door import Door
from interlock.cli.plan_files import levels
from interlock.cli.wording import Cell, Ink, count, marked, money, took, usd
from interlock.flows.plan import paths_of, plan_of
from interlock.flows.plan_results import results_of, where_used
from interlock.records.plan import Plan, Step, StepResult
from interlock.records.run import Run

if TYPE_CHECKING:
    from interlock.platform.where import Where

#: Deeper than this, the tree goes no further to the right.
DEEPEST = 8
#: Characters of one input or error that are shown to people.
SHOWN = 2_000


def show_plan(door: Door, plan: Plan, estimate: Mapping[str, Any], places: Mapping[str, Where]) -> None:
    """Print a plan with its estimate, where its tools are used, what is doubtful about it, and what success is."""
    metadata = plan.metadata
    if door.out.json:
        depths = {step.id: depth for step, depth in levels(plan)}
        steps = [{**step.to_json(), "level": depths[step.id], **_place(places.get(step.id))} for step in plan.steps]
        told = {key: metadata.get(key) or [] for key in ("success_criteria", "warnings")}
        door.out.record({**plan.to_json(), "steps": steps, "estimate": _estimated(estimate), **told})
        return
    door.out.pairs(
        [
            ("task", plan.task_description),
            ("steps", str(len(plan.steps))),
            ("may take", Cell(f"about {took(estimate['seconds'])}", f"{estimate['seconds']:.0f} s")),
            ("may cost", Cell(_may_cost(estimate), money(estimate["cost_micros"]) or "unknown")),
            ("success is", _lines(metadata.get("success_criteria"))),
            ("where", "\n".join(dict.fromkeys(f"{at.words}: {at.why}" for at in places.values()))),
            ("warnings", Cell(_lines(metadata.get("warnings")), _lines(metadata.get("warnings")), "warn")),
        ]
    )
    door.out.answer("")
    rows: list[list[Cell | str]] = [
        [_in_tree(step, depth), ", ".join(step.dependencies) or "–", _tool(step, places.get(step.id)), _says(step)]
        for step, depth in levels(plan)
    ]
    door.out.table(("step", "needs", "tool", "what"), rows, spare=("needs",))


def show_steps(door: Door, run: Run) -> bool:
    """Print the steps of a plan's run, and of those that did not work why; False where the run has no plan."""
    plan = plan_of(run)
    if plan is None:
        return False
    results = {result.step_id: result for result in results_of(run, plan)}
    door.out.answer("")
    headers = ("step", "state", "tries", "took", "cost", "needs", "what")
    rows = [_row(run, step, depth, results[step.id]) for step, depth in levels(plan)]
    door.out.table(headers, rows, spare=("needs", "cost", "tries"))
    for step, _ in levels(plan):
        if results[step.id].status == "failed":
            _explain(door, step, results)
    return True


def steps_as_json(run: Run, *, content: bool) -> dict[str, Any] | None:
    """A run's plan with how each of its steps stands, or None where it has none."""
    plan = plan_of(run)
    if plan is None:
        return None
    results = {result.step_id: result for result in results_of(run, plan)}
    steps = []
    for step in plan.steps:
        told = results[step.id].to_json()
        told["cost_usd"] = money(told.pop("cost_micros"))
        told |= {"description": step.description, "tool": step.tool, "seconds": results[step.id].seconds}
        told |= {"where": where} if (where := where_used(run, step)) else {}
        told["dependencies"] = [{"step_id": need, "status": results[need].status} for need in step.dependencies]
        told["inherited"] = _kept_from(run, step) or None
        if content:
            told["tool_input"] = step.tool_input
        else:
            del told["output"]
        steps.append(told)
    return {"task_description": plan.task_description, "metadata": dict(plan.metadata), "steps": steps}


def progress_of(results: list[StepResult]) -> str:
    """How far a plan is, in a few words."""
    told = []
    for status in ("completed", "failed", "skipped", "cancelled", "awaiting_approval"):
        number = sum(result.status == status for result in results)
        told += [f"{number} {status.replace('_', ' ')}"] if number else []
    return f"{', '.join(told) or 'nothing done'} of {count(len(results), 'step')}"


def _row(run: Run, step: Step, depth: int, result: StepResult) -> list[Cell | str]:
    kept = _kept_from(run, step)
    status = "kept" if kept else result.status
    mark = marked(status)
    why = result.error if result.kind != "in_doubt" else ""  # that is told below, with the commands that answer
    where = where_used(run, step)
    what = why or (f"from {kept}" if kept else f"{_says(step)} ({where})" if where else _says(step))
    return [
        _in_tree(step, depth),
        Cell(mark.text, status, mark.style),
        str(result.attempts),
        Cell(took(result.seconds) if result.completed_at else "–", f"{result.seconds:.3f}"),
        Cell(usd(result.cost_micros), money(result.cost_micros) or "unknown"),
        ", ".join(step.dependencies) or "–",
        what,
    ]


def _explain(door: Door, step: Step, results: Mapping[str, StepResult]) -> None:
    """Why a step failed: what it was to do, with what, and how those it builds on stand."""
    result = results[step.id]
    door.out.answer("")
    door.out.pairs(
        [
            ("failed", Cell(step.id, step.id, "bad")),
            ("error", (result.error or "")[:SHOWN]),
            ("class", result.kind),
            ("description", step.description[:SHOWN]),
            ("tool", step.tool or ""),
            ("input", json.dumps(step.tool_input, ensure_ascii=False)[:SHOWN] if step.tool_input is not None else ""),
            ("needs", "\n".join(f"{need}: {results[need].status}" for need in step.dependencies) or "nothing"),
            ("holds up", ", ".join(_held_up(step.id, results))),
        ]
    )


def _held_up(step_id: str, results: Mapping[str, StepResult]) -> list[str]:
    told = f"plan.skipped: It needs {step_id}, "
    return [one.step_id for one in results.values() if (one.error or "").startswith(told)]


def _kept_from(run: Run, step: Step) -> str:
    paths = paths_of(run, step.id)
    return run.steps[paths[-1]].inherited if paths else ""


def _in_tree(step: Step, depth: int) -> Cell:
    lead = "│ " * (min(depth, DEEPEST) - 1) + "└ " if depth else ""
    return Cell(f"{lead}{step.id}", step.id)


def _place(at: Where | None) -> dict[str, Any]:
    return {} if at is None else {"where": at.words, "where_why": at.why}


def _tool(step: Step, at: Where | None) -> str:
    return f"{step.tool} ({at.words})" if at is not None else step.tool or "–"


def _says(step: Step) -> str:
    if step.description or step.tool is None:
        return step.description or "–"
    return f"{step.tool}({json.dumps(step.tool_input or {}, ensure_ascii=False)[1:-1][:120]})"


def _lines(given: Any) -> str:
    return "\n".join(map(str, given)) if isinstance(given, list) else ""


def _may_cost(estimate: Mapping[str, Any]) -> str:
    if not estimate["agent_steps"]:
        return "nothing for models"
    return f"about {usd(estimate['cost_micros'])} ({count(estimate['agent_steps'], 'step')} for agents)"


def _estimated(estimate: Mapping[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in estimate.items() if key != "cost_micros"}
    return {**rest, "cost_usd": money(estimate["cost_micros"])}


def tell_warnings(door: Door, plan: Plan) -> None:
    """Say what whoever wrote the task should know."""
    warnings = plan.metadata.get("warnings")
    for warning in warnings if isinstance(warnings, list) else ():
        door.out.say(Ink("  ! ", "warn"), str(warning))
