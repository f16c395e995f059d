"""What must not be done twice and may have been done: told from what a run's facts say about a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlock.records.run import Run, StepRun

#: Codes of failures after which the act has happened, and what it brought is lost.
HAPPENED = frozenset({"tool.result", "agent.output_not_json"})
_UNKNOWN = "agent.timeout agent.connection tool.timeout tool.in_doubt run.cancelled step.in_doubt step.skipped"
#: Codes of failures after which the act may have happened.
UNKNOWN_OUTCOME = HAPPENED | frozenset(_UNKNOWN.split())
#: How the codes of those begin who refuse: before a try is begun, or what it brought.
_REFUSALS = ("policy.", "guardrail.")


def in_doubt(step: StepRun) -> bool:
    """Whether a step that must not happen twice may have happened. Nobody may be at work on it."""
    if step.repeatable or step.status == "finished":
        return False
    return step.failure is None or step.failure.code in UNKNOWN_OUTCOME or _was_refused_after(step)


def happened(step: StepRun) -> bool:
    """Whether a step in doubt did happen, and only what it brought is lost."""
    return step.failure is not None and (step.failure.code in HAPPENED or _was_refused_after(step))


def doubtful(run: Run) -> set[str]:
    """The paths below which something is in doubt, or was done by an agent: for all others nobody need look."""
    found: set[str] = set()
    for step in run.steps.values():
        if step.repeatable:
            continue
        parts = step.path.split("/")
        if in_doubt(step):
            depth = len(parts) - 1
        elif step.what == "tool" and step.status == "finished":
            depth = len(parts) - 3
        else:
            continue
        found.update("/".join(parts[:count]) for count in range(1, depth + 1))
    return found


def doubts_below(run: Run, path: str) -> list[StepRun]:
    """The steps below this one that are in doubt."""
    return [step for step in run.steps.values() if step.path.startswith(f"{path}/") and in_doubt(step)]


def done_by_agent(run: Run, path: str) -> list[StepRun]:
    """What an agent has done below this step and must not do twice.

    The call that a plan's step consists of (`N/tool`) is not meant: who judged its result wants it anew.
    """
    below = f"{path}/"
    return [
        step
        for step in run.steps.values()
        if step.path.startswith(below)
        and step.what == "tool"
        and step.status == "finished"
        and not step.repeatable
        and step.path.count("/") > below.count("/") + 1
    ]


def _was_refused_after(step: StepRun) -> bool:
    """Whether what a try brought was refused; an act that is refused was never tried."""
    return step.failed_at > 0 and step.failure is not None and step.failure.code.startswith(_REFUSALS)
