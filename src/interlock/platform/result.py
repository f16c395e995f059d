"""What a task came to: one result, read by attribute or like a mapping, ready for JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from interlock.engine.drive import End
from interlock.records.fact import Failure, RunFinished, RunRouted, RunWaiting
from interlock.records.money import micros_to_text, micros_to_usd
from interlock.records.run import Run
from interlock.records.task import TaskStatus


class TaskResult(dict[str, Any]):
    """What a task came to.

    Read it by attribute (`result.status`) or like a mapping (`result["status"]`, `result.get("error")`);
    `json.dumps(result)` works. It cannot be changed.

    Attributes:
        run_id: The run.
        task_id: The task.
        status: Where it stands: usually completed, failed, blocked, cancelled or awaiting_approval.
        output: The answer; None unless there is one.
        error: One sentence with its code, or None; exactly its message where a guardrail refused.
        error_code: The stable code of the error, or None.
        hint: The next step after an error, or None.
        retryable: Whether doing the same again may succeed.
        execution_time: Seconds of work, waiting for people not counted.
        platform: Where it was routed.
        agent: Who did it.
        stages: Results of the stages of a hybrid run.
        cost: US dollars spent, or None where a price is unknown.
        cost_text: The same, exact to the micro-dollar, or `unknown`.
        usage: Tokens and requests.
        guardrail: Which rule stopped it, or None.
        approval_id: Which question waits for a person, or None.
        reasons: Why it was routed as it was.
    """

    run_id: str
    task_id: str
    status: TaskStatus
    output: Any
    error: str | None
    error_code: str | None
    hint: str | None
    retryable: bool
    execution_time: float
    platform: str
    agent: str
    stages: dict[str, Any]
    cost: float | None
    cost_text: str
    usage: dict[str, int]
    guardrail: str | None
    approval_id: str | None
    reasons: list[str]

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"A TaskResult has no {name!r}.") from None

    def __hash__(self) -> int:  # type: ignore[override]
        return hash((self["run_id"], self["status"]))

    def _frozen(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("A TaskResult cannot be changed.")

    __setitem__ = __delitem__ = __setattr__ = __delattr__ = _frozen
    update = pop = popitem = clear = setdefault = _frozen

    def __reduce__(self) -> tuple[Any, ...]:
        return (TaskResult, (dict(self),))

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary of its own."""
        return dict(self)


def result_of(run: Run, end: End) -> TaskResult:
    """The result of a run that was driven to `end`.

    Args:
        run: The run; only its admission and routing are read, so it may be older than `end`.
        end: How the drive ended.

    Raises:
        InterlockError: the drive ended by an error that is not the run's own.
    """
    if end.error is not None:
        raise end.error
    if end.finished is not None:
        return _finished(run, end.finished)
    assert end.waiting is not None
    return _waiting(run, end.waiting)


def _finished(run: Run, finished: RunFinished) -> TaskResult:
    failure = finished.failure
    return TaskResult(
        **_start(run),
        status=TaskStatus(finished.status),
        output=finished.output,
        error=_told(failure) if failure else None,
        error_code=failure.code if failure else None,
        hint=re.sub(r"\bID\b", run.run_id, failure.do) if failure else None,
        retryable=failure.retryable if failure else False,
        execution_time=finished.seconds,
        agent=finished.agent,
        stages=finished.stages,
        cost=micros_to_usd(finished.cost_micros),
        cost_text=micros_to_text(finished.cost_micros),
        usage=finished.usage.to_json(),
        guardrail=finished.guardrail,
        approval_id=None,
    )


def _told(failure: Failure) -> str:
    """A failure in one line; a guardrail speaks in its own words."""
    return failure.says if failure.code.startswith("guardrail.") else f"{failure.code}: {failure.says}"


def _waiting(run: Run, waiting: RunWaiting) -> TaskResult:
    person = waiting.reason == "person"
    return TaskResult(
        **_start(run),
        status=TaskStatus.AWAITING_APPROVAL if person else TaskStatus.WAITING,
        output=None,
        error=None,
        error_code=None,
        hint=waiting.says or None,
        retryable=True,
        execution_time=run.active_seconds,
        agent=_routed(run).platform,
        stages={},
        cost=micros_to_usd(run.cost_micros),
        cost_text=micros_to_text(run.cost_micros),
        usage=run.usage.to_json(),
        guardrail=next((gate.rule for gate in run.gates if gate.effect == "approval"), None),
        approval_id=waiting.ref if person else None,
    )


def _start(run: Run) -> Mapping[str, Any]:
    routed = _routed(run)
    assert run.admitted is not None
    return {
        "run_id": run.run_id,
        "task_id": run.admitted.task_id,
        "platform": routed.platform,
        "reasons": routed.reasons,
    }


def _routed(run: Run) -> RunRouted:
    return run.routed or RunRouted(platform="", candidates=[], reasons=[])
