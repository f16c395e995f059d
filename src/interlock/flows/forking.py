"""What a fork begins with: the task as it was changed, and the outcomes it takes over from its parent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from interlock.errors import UsageError
from interlock.flows.plan import PLAN, paths_of, plan_of, step_path
from interlock.records.doubt import done_by_agent, doubtful, doubts_below
from interlock.records.fact import Failure, StepInherited
from interlock.records.plan import Plan, Step, followers_of
from interlock.records.run import Run, StepRun
from interlock.records.task import json_copy

#: Of what there is, so many are named in an error.
NAMED = 20
_OF_A_STEP = ("description", "tool", "input", "metadata", "task", "max_cost")
_OF_A_TASK = ("description", "context", "max_cost", "timeout", "priority")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """A fork that has not been begun.

    Args:
        parent: The run it is made from.
        step: The plan's step, or the path, from which on everything is done anew.
        task: The child's task as JSON, without an id.
        kept: What is taken over. Questions, answers and approvals never are.
        plan: The child's plan, where it has one.
        changed: The names of what was changed.
    """

    parent: str
    step: str
    task: dict[str, Any]
    kept: tuple[StepInherited, ...]
    plan: Plan | None
    changed: tuple[str, ...]

    @property
    def to_do(self) -> list[Step]:
        """The steps of the plan that are done anew."""
        kept = {one.path for one in self.kept}
        return [one for one in self.plan.steps if step_path(one.id, 0) not in kept] if self.plan is not None else []

    @property
    def left_undone(self) -> list[str]:
        """The steps of the plan that may have happened in the parent and are not done anew."""
        return [] if self.plan is None else [one.path.removeprefix("plan/") for one in self.kept if one.failure]

    @property
    def says(self) -> str:
        """What it is, in one sentence."""
        left = self.left_undone
        number = len(self.kept) - len(left)
        results = "1 result is" if number == 1 else f"{number} results are"
        alone = f" Left undone, for nobody knows whether they happened: {', '.join(left[:NAMED])}." if left else ""
        changed = f" Changed: {', '.join(self.changed)}." if self.changed else ""
        return f"Forked from {self.parent} at {self.step}; {results} kept, no approval is.{alone}{changed}"


def fork_of(run: Run, from_step: str, changes: Mapping[str, Any]) -> Fork:
    """Work out a fork of a run.

    Of a plan's run, every completed step is kept that does not build on `from_step`. Of any other run, whatever was
    begun before that step and has ended is kept. A run that goes on gives what is finished. A step that must not be
    done twice and may have happened is left undone, with what builds on it, unless the fork begins there.

    Args:
        run: The parent.
        from_step: A plan's step, or a path of the run; a beginning that only one of them has is enough.
        changes: New values. For a plan's step: `description`, `tool`, `input` and `input.NAME`, `metadata.NAME`, and
            for the whole `task` (its description) and `max_cost`. For other runs: `description`, `context.NAME`,
            `max_cost`, `timeout`, `priority`.

    Raises:
        UsageError: there is no such step or nothing of that name to change; the message says what there is.
    """
    if run.admitted is None:
        raise UsageError(f"{run.run_id} has no task to fork.", code="usage.fork")
    task = {name: json_copy(value) for name, value in run.admitted.task.items() if name != "id"}
    plan = plan_of(run)
    if plan is None:
        step = _which(_as_path(from_step), list(run.steps), "step", scopes=True)
        for name, value in changes.items():
            _change(task, name, value, _OF_A_TASK, free="context")
        kept = _kept_before(run, step)
        return Fork(parent=run.run_id, step=step, task=task, kept=kept, plan=None, changed=tuple(changes))
    step = _which(_as_step(from_step, plan), [one.id for one in plan.steps], "step of the plan")
    plan, changed_task = _changed_plan(plan, step, changes)
    task |= changed_task
    task["context"][PLAN] = {key: value for key, value in plan.to_json().items() if key != "created_at"}
    kept = _kept_beside(run, plan, step)
    return Fork(parent=run.run_id, step=step, task=task, kept=kept, plan=plan, changed=tuple(changes))


# --- What is kept -------------------------------------------------------------------------------------------------


def _kept_beside(run: Run, plan: Plan, step_id: str) -> tuple[StepInherited, ...]:
    """The completed steps of a plan that do not build on this one."""
    followers, anew = followers_of(plan.steps), {step_id}
    waiting = [step_id]
    while waiting:
        for follower in followers[waiting.pop()]:
            if follower.id not in anew:
                anew.add(follower.id)
                waiting.append(follower.id)
    kept, unsure = [], doubtful(run)
    for step in plan.steps:
        paths = paths_of(run, step.id) if step.id not in anew else []
        if paths and run.steps[paths[-1]].status == "finished":
            kept.append(_inherited(run, run.steps[paths[-1]], step_path(step.id, 0)))
        elif any(_may_have_happened(run, path, unsure) for path in paths):
            kept.append(_left_undone(run, step.id, run.steps[paths[-1]]))
    return tuple(kept)


def _may_have_happened(run: Run, path: str, unsure: Collection[str]) -> bool:
    """Whether a try of a plan's step did, or may have done, what must not be done twice, and nobody said it may be."""
    failure = run.steps[path].failure
    if failure is not None and failure.code == "step.skipped":
        return True
    if path not in unsure:
        return False
    doubts = [one.path for one in doubts_below(run, path)] + [path] * bool(done_by_agent(run, path))
    asked = (run.question_at(one, "in_doubt") for one in doubts)
    return any(question is None or question.answer != "repeat" for question in asked)


def _left_undone(run: Run, step_id: str, step: StepRun) -> StepInherited:
    parent = step.inherited or run.run_id
    failure = Failure(
        code="step.skipped",
        says=f"{step_id} may have happened in {parent}, and this fork does not begin there.",
        do=f"If it is to be done anew: `interlock run fork {parent} --from {step_id}`.",
    )
    return replace(_inherited(run, step, step_path(step_id, 0)), output=None, failure=failure)


def _kept_before(run: Run, path: str) -> tuple[StepInherited, ...]:
    """What was begun before a step and has ended; not what that step is a part of."""
    kept: dict[str, StepInherited] = {}
    for step in run.steps.values():
        if step.path == path:
            break
        if step.what == "tool" and isinstance(step.input, Mapping) and step.input.get("native") is True:
            continue  # what the gate said to a provider's own tool is no result: it is asked again
        apart = not path.startswith(f"{step.path}/") and not any(above in kept for above in _above(step.path))
        if apart and _is_outcome(run, step):
            kept[step.path] = _inherited(run, step, step.path)
    return tuple(kept.values())


def _above(path: str) -> list[str]:
    """The paths that this one is a part of."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _is_outcome(run: Run, step: StepRun) -> bool:
    """Whether the work went on from what came of this step; being cut off, or ending the run, is no such outcome."""
    if step.status != "failed" or step.failure is None:
        return step.status == "finished"
    ended_it = run.finished is not None and run.finished.failure == step.failure
    return not ended_it and not step.failure.code.startswith(("run.", "step.in_doubt"))


def _inherited(run: Run, step: StepRun, path: str) -> StepInherited:
    return StepInherited(
        parent=step.inherited or run.run_id,
        path=path,
        what=step.what,  # type: ignore[arg-type]  # a StepRun keeps it as a plain text
        name=step.name,
        input=step.input,
        output=step.output,
        failure=step.failure if step.status == "failed" else None,
        seconds=step.seconds,
    )


# --- What is changed ----------------------------------------------------------------------------------------------


def _changed_plan(plan: Plan, step_id: str, changes: Mapping[str, Any]) -> tuple[Plan, dict[str, Any]]:
    """The plan with one step changed, and what changes in the task around it."""
    step = plan.step(step_id)
    fields: dict[str, Any] = {"description": step.description, "tool": step.tool, "metadata": json_copy(step.metadata)}
    fields |= {"input": json_copy(step.tool_input)}
    whole: dict[str, Any] = {"task": plan.task_description, "max_cost": None}
    for name, value in changes.items():
        _change(whole if name in whole else fields, name, value, _OF_A_STEP, free="metadata")
    tool_input = fields.pop("input")
    changed = replace(step, tool_input=tool_input, **fields)
    steps = [changed if one.id == step_id else one for one in plan.steps]
    plan = replace(plan, task_description=whole["task"], steps=steps)
    task = {"description": whole["task"]} if "task" in changes else {}
    return plan, {**task, **({"max_cost": whole["max_cost"]} if "max_cost" in changes else {})}


def _change(fields: dict[str, Any], name: str, value: Any, known: Sequence[str], *, free: str) -> None:
    """Put a value in the place of another.

    Args:
        fields: What has the place.
        name: The way to it, with dots: `input.filters.0.name`.
        value: The new value.
        known: What there is on the first level.
        free: Below this, names may be new.
    """
    first, *rest = name.split(".")
    if first not in known or (rest and first not in ("input", "metadata", "context")):
        raise _no_such(name, "to change", [f"{one}.NAME" if one == free else one for one in known])
    if not rest:
        if first == free:
            raise UsageError(f"Say what of the {free} is changed: {free}.NAME.", code="usage.fork")
        fields[first] = value
        return
    at: Any = fields[first]
    for key in rest[:-1]:
        at = _below(at, key, name)
    last = rest[-1]
    if isinstance(at, dict) and first == free:
        at[last] = value
        return
    _below(at, last, name)
    at[int(last) if isinstance(at, list) else last] = value


def _below(at: Any, key: str, name: str) -> Any:
    try:
        return at[int(key)] if isinstance(at, list) else at[key]
    except (KeyError, IndexError, ValueError, TypeError):
        if isinstance(at, dict):
            there: Iterable[str] = at
        else:
            there = map(str, range(len(at))) if isinstance(at, list) else ()
        names = list(there)
        if not at:  # for example the input of a step that an agent does
            whole = name.rpartition(f".{key}")[0]
            raise UsageError(
                f"Nothing called {key[:80]!r} in {name}.",
                f"There is no {whole} to change a part of: set {whole} as a whole, or the description.",
                code="usage.fork",
            ) from None
        raise _no_such(key, f"in {name}", names) from None


# --- Which step ---------------------------------------------------------------------------------------------------


def _as_path(given: str) -> str:
    return str(given).strip().rstrip("/")


def _as_step(given: str, plan: Plan) -> str:
    """A plan's step as it is named by itself, or by the path that `run show` prints."""
    name = _as_path(given)
    known: Callable[[str], bool] = {one.id for one in plan.steps}.__contains__
    if not known(name) and name.startswith("plan/"):
        name = name.split("/")[1]
    return name if known(name) else name.partition("~")[0]


def _which(given: str, names: Sequence[str], what: str, *, scopes: bool = False) -> str:
    """The name that was meant: itself, the first in a scope of that name, or the only one that begins so."""
    if given in names:
        return given
    inside = [one for one in names if one.startswith(f"{given}/")] if scopes else []
    fitting = inside[:1] or [one for one in names if given and one.startswith(given)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UsageError(f"{given!r:.80} is the beginning of several: {_listed(fitting)}.", code="usage.fork")
    raise _no_such(given, f"is a {what}", names)


def _no_such(given: str, how: str, names: Sequence[str]) -> UsageError:
    there = f"There is: {_listed(names)}." if names else "There is nothing of that kind."
    return UsageError(f"Nothing called {given[:80]!r} {how}.", there, code="usage.fork")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
