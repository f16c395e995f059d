"""The state of a plan's run as it is written down, for programs that look on or look back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from os import PathLike
from typing import TYPE_CHECKING

from interlock.flows.plan import plan_of
from interlock.flows.plan_results import results_of
from interlock.records.plan import Plan, StepResult
from interlock.records.run import Run
from interlock.records.task import TaskStatus

if TYPE_CHECKING:
    from interlock.platform.platform import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """How a plan's run stands.

    Args:
        run_id: The run.
        plan: Its plan; None before anything of the run is written.
        results: One result for every step, `pending` where it has not been begun; empty before the first write.
        status: How the run as a whole stands.
        error: What ended it, if it did not complete.
    """

    run_id: str
    plan: Plan | None = None
    results: Sequence[StepResult] = ()
    status: TaskStatus = TaskStatus.PENDING
    error: str | None = None


def state_of(run: Run) -> RunState:
    """The state of a run; without plan and results where it is not a plan's."""
    plan = plan_of(run)
    failure = run.finished.failure if run.finished is not None else None
    error = f"{failure.code}: {failure.says}" if failure is not None else None
    if plan is None:
        return RunState(run_id=run.run_id, status=run.status, error=error)
    plan = replace(plan, created_at=datetime.fromtimestamp(run.created_at, UTC))
    return RunState(run_id=run.run_id, plan=plan, results=results_of(run, plan), status=run.status, error=error)


@dataclass(slots=True)
class ExecutionMetrics:
    """Figures about one execution, from its results.

    Args:
        total_steps: How many steps there are.
        completed_steps: How many completed.
        failed_steps: How many failed.
        skipped_steps: How many were held up by failures.
        total_duration: Seconds from the first step's beginning to the last one's end.
        step_durations: Seconds of every step that ran, by its id.
    """

    total_steps: int = 0
    completed_steps: int = 0
    failed_steps: int = 0
    skipped_steps: int = 0
    total_duration: float = 0.0
    step_durations: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, results: Sequence[StepResult]) -> ExecutionMetrics:
        """The figures of these results."""
        began = [one.started_at for one in results if one.started_at is not None]
        ended = [one.completed_at for one in results if one.completed_at is not None]
        return cls(
            total_steps=len(results),
            completed_steps=sum(one.status == "completed" for one in results),
            failed_steps=sum(one.status == "failed" for one in results),
            skipped_steps=sum(one.status == "skipped" for one in results),
            total_duration=(max(ended) - min(began)).total_seconds() if began and ended else 0.0,
            step_durations={one.step_id: one.seconds for one in results if one.completed_at is not None},
        )

    def success_rate(self) -> float:
        """Completed steps as a fraction of all; 0 where there are none."""
        return self.completed_steps / self.total_steps if self.total_steps else 0.0


class Storage:
    """Reads the state of plans' runs, while they go on and afterwards.

    Args:
        path: The home folder of the store; by default that of the platform `configure` sets up.
        platform: A platform to read through instead.
    """

    def __init__(self, path: str | PathLike[str] | None = None, *, platform: Platform | None = None) -> None:
        self._path = path
        self._platform = platform

    def load_run_state(self, run_id: str) -> RunState:
        """How a run stands. One that is not known (yet) has no plan and no results.

        Args:
            run_id: The run's id.
        """
        return self._reader().run_state_sync(run_id)

    def _reader(self) -> Platform:
        from interlock.platform.doors import default_platform

        if self._platform is None:
            if self._path is None:
                return default_platform()
            from interlock.platform.platform import Platform

            self._platform = Platform(home=self._path)
        return self._platform
