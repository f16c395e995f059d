"""Plans on the screen: their steps as a tree, what they may cost, and how each step of a run stands."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from interlock.cli.door import Door
from interlock.cli.plan_files import levels
from interlock.cli.show import called
from interlock.cli.wording import Cell, Ink, count, marked, money, took, usd
from interlock.flows.plan import paths_of, plan_of
from interlock.flows.plan_results import results_of, where_used
from interlock.records.plan import Plan, Step, StepResult, followers_of
from interlock.records.run import Run

if TYPE_CHECKING:
    from interlock.platform.where import Where

#: Deeper than this, the tree goes no further to the right.
DEEPEST = 8
#: Characters of one input or error that are shown to people.
SHOWN = 2_000
#: So many steps alike, one after the other, are shown to people as the first and the last of them.
ALIKE = 20
#: So many failures are explained to people, and so many steps named in one line.
NAMED = 10
#: So many lines of a run's answer are shown to people.
LINES = 60


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
        for step, depth in _tree(plan)
    ]
    door.out.table(("step", "needs", "tool", "what"), rows, spare=("needs",))


def show_steps(door: Door, run: Run, *, whole: bool = False, interrupted: bool = False) -> bool:
    """Print the steps of a plan's run, and of those that did not work why; False where the run has no plan.

    Args:
        door: Where it is asked for.
        run: The run.
        whole: Whether people too are shown all of them, however many are alike.
        interrupted: Whether whoever drove the run is dead, and what was running is not running any more.
    """
    plan = plan_of(run)
    if plan is None:
        return False
    whole = whole or not door.out.for_people
    results = {result.step_id: result for result in results_of(run, plan)}
    door.out.answer("")
    headers = ("step", "state", "tries", "took", "cost", "needs", "what")
    rows = [_row(run, step, depth, results[step.id], interrupted=interrupted) for step, depth in _tree(plan)]
    door.out.table(headers, rows if whole else _folded(rows), spare=("needs", "cost", "tries"))
    failed = [step for step in plan.steps if results[step.id].status == "failed"]
    for step in failed if whole else failed[:NAMED]:
        _explain(door, step, results)
    if not whole and (len(failed) > NAMED or len(_folded(rows)) < len(rows)):
        told = f"{progress_of(list(results.values()))}; all of them: {door.command('run show', run.run_id)} | less"
        door.out.answer(f"\n{told}")
    return True


def _folded(rows: Sequence[list[Cell | str]]) -> list[list[Cell | str]]:
    """Rows of which many alike, one after the other, are only their first and last."""
    found: list[list[Cell | str]] = []
    for state, stretch in groupby(rows, key=lambda row: row[1]):
        alike = list(stretch)
        if len(alike) >= ALIKE:
            between = f"{len(alike) - 6:,} more"
            alike = [*alike[:3], ["…", state, "", "", "", "", between], *alike[-3:]]
        found += alike
    return found


def tell_answer(door: Door, run_id: str, output: Any) -> None:
    """Print what a plan's run brought; at a terminal only the beginning of very much."""
    lines = json.dumps(output, indent=2, ensure_ascii=False, default=str).split("\n")
    if not door.out.for_people or len(lines) <= LINES:
        door.out.answer(output)
        return
    whole = f"{door.command('run show', run_id, '--json')} | jq .output"
    door.out.answer("\n".join([*lines[:LINES], f"… {len(lines) - LINES:,} more lines; the whole: {whole}"]))


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
        told += [f"{number:,} {status.replace('_', ' ')}"] if number else []
    return f"{', '.join(told) or 'nothing done'} of {count(len(results), 'step')}"


def _row(run: Run, step: Step, depth: int, result: StepResult, *, interrupted: bool) -> list[Cell | str]:
    kept = _kept_from(run, step)
    status = "kept" if kept else "interrupted" if interrupted and result.status == "running" else result.status
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
            ("needs", _few(door, [f"{need}: {results[need].status}" for need in step.dependencies], "\n") or "nothing"),
            ("holds up", _few(door, _held_up(step.id, results), ", ")),
        ]
    )


def _few(door: Door, names: Sequence[str], between: str) -> str:
    """Names, for people not more than can be read."""
    if not door.out.for_people or len(names) <= NAMED:
        return between.join(names)
    return between.join([*names[:NAMED], f"{len(names) - NAMED:,} more"])


def _held_up(step_id: str, results: Mapping[str, StepResult]) -> list[str]:
    told = f"plan.skipped: It needs {step_id}, "
    return [one.step_id for one in results.values() if (one.error or "").startswith(told)]


def _kept_from(run: Run, step: Step) -> str:
    paths = paths_of(run, step.id)
    return run.steps[paths[-1]].inherited if paths else ""


def _tree(plan: Plan) -> Iterator[tuple[Step, int]]:
    """The steps in an order in which they can be done, each below the last of those it builds on, and how deep."""
    waits_for = {step.id: len(step.dependencies) for step in plan.steps}
    followers = followers_of(plan.steps)
    ready = [(step, 0) for step in reversed(plan.steps) if not step.dependencies]
    while ready:
        step, depth = ready.pop()
        yield step, depth
        for follower in reversed(followers[step.id]):
            waits_for[follower.id] -= 1
            if waits_for[follower.id] == 0:
                ready.append((follower, depth + 1))


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
    return called(step.tool, dict(step.tool_input)) if step.tool_input is not None else step.tool


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
