"""Executors: how plans are carried out, and the place where a program may look on as each step is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from interlock.errors import UsageError
from interlock.flows.plan import StepDoer, Work
from interlock.platform.parts import InDoubt
from interlock.records.plan import Plan, Step, StepResult

if TYPE_CHECKING:
    from interlock.platform.platform import Platform

_AT_WORK: ContextVar[tuple[Work, StepDoer]] = ContextVar("interlock_step")
#: Steps at the same time, at most, that may be asked for.
MOST_CONCURRENT = 10_000


class Executor:
    """Carries plans out. To look on or to step in, subclass it and override `execute_step`.

    Args:
        max_concurrent: Steps at the same time, at most.
        timeout: Seconds for one try of one step; None for no limit.
        retry_attempts: Tries of a step, in all; 1 for no retry.
        platform: The platform it works with; by default the one that `configure` sets up.

    Raises:
        UsageError: code `usage.executor`: a number is out of range.
    """

    def __init__(
        self,
        max_concurrent: int = 3,
        timeout: float | None = 300,
        retry_attempts: int = 1,
        *,
        platform: Platform | None = None,
    ) -> None:
        _check_count("max_concurrent", max_concurrent, MOST_CONCURRENT)
        _check_count("retry_attempts", retry_attempts, 100)
        if timeout is not None and (isinstance(timeout, bool) or not 0 < timeout < float("inf")):
            raise UsageError(f"timeout must be more than 0 seconds, not {timeout!r:.40}.", code="usage.executor")
        self.max_concurrent = max_concurrent
        self.timeout = timeout
        self.retry_attempts = retry_attempts
        self._platform = platform

    def execute_plan(
        self,
        plan: Plan,
        run_id: str | None = None,
        resume: bool = False,
        tools: Sequence[Any] | None = None,
        user: str | None = None,
        *,
        in_doubt: InDoubt = None,
    ) -> list[StepResult]:
        """Carry a plan out and return one result for every step. Also works inside a running event loop.

        Args:
            plan: The plan.
            run_id: Your own id for the run, under which it can be resumed.
            resume: Go on with that run: what is done stays done, what failed is tried again.
            tools: What the steps' `tool` names refer to, beside the plan's own.
            user: Who asks.
            in_doubt: What becomes of steps that were cut off and may have happened, as in `{"step_3": "repeat"}`.

        Raises:
            UsageError: the plan names a tool that is not there, or cannot be carried out.
            Conflict: the id is taken by different work.
        """
        from interlock.platform.doors import default_platform

        platform = self._platform or default_platform()
        return platform.execute_sync(plan, run_id, resume, tools=tools, user=user, executor=self, in_doubt=in_doubt)

    async def execute_step(self, step: Step, context: Mapping[str, Any]) -> StepResult:
        """Do one step. Every try of every step passes here; steps that were finished before a crash do not.

        Args:
            step: The step.
            context: `run_id`, `user_id`, `tenant`, `task` (the whole plan's), `results` (outputs of the steps it
                depends on, by id) and `attempt`.

        Returns:
            What came of it. A result that is not `completed` counts as a failed try.
        """
        try:
            work, do = _AT_WORK.get()
        except LookupError:
            raise UsageError(
                "execute_step is called while a plan is carried out, not by itself.",
                "Call execute_plan.",
                code="usage.executor",
            ) from None
        return await do(work if step is work.step else replace(work, step=step))


def doer_through(executor: Executor, do: StepDoer) -> StepDoer:
    """Someone who does each step through an executor's `execute_step`."""

    async def through(work: Work) -> StepResult:
        bench = work.bench
        context = {
            "run_id": bench.run_id,
            "user_id": bench.user,
            "tenant": bench.tenant,
            "task": work.plan.task_description,
            "results": dict(work.inputs),
            "attempt": work.attempt,
        }
        token = _AT_WORK.set((work, do))
        try:
            result = await executor.execute_step(work.step, context)
        finally:
            _AT_WORK.reset(token)
        if not isinstance(result, StepResult):
            raise UsageError(
                f"execute_step returned {type(result).__name__}, not a StepResult.",
                "Return what super().execute_step returned.",
                code="usage.executor",
            )
        return result

    return through


def _check_count(name: str, value: Any, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise UsageError(f"{name} must be a whole number from 1 to {most:,}, not {value!r:.40}.", code="usage.executor")
