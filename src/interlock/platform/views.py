"""The front door's windows: what a platform knows about its runs, its costs and itself, without changing anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from interlock.errors import UsageError
from interlock.platform.doctor import health_report
from interlock.platform.events import Event
from interlock.platform.lookup import find_run
from interlock.platform.metrics import WINDOW, history_line, metrics
from interlock.platform.parts import Parts
from interlock.platform.portal import in_private_loop
from interlock.platform.spending import all_budgets, cost_report
from interlock.records.run import Run
from interlock.records.task import TaskStatus
from interlock.stores.journal import Query, RunRow


class Views(Parts):
    """The verbs of a `Platform` that only look."""

    async def find(self, run_id: str) -> str:
        """The full id of a run, from it or a unique beginning of at least 6 characters.

        Raises:
            NotFound: there is none.
            UsageError: there are several; the message lists them.
        """
        return await find_run(self._open(), run_id)

    async def show(self, run_id: str) -> Run:
        """A run as its facts tell it, with all its steps.

        Raises:
            NotFound: there is no such run.
        """
        return await self._house().engine.load(await self.find(run_id))

    async def runs(self, query: Query | None = None) -> list[RunRow]:
        """Runs, newest first."""
        return await self._open().runs(query or Query())

    async def watch(self, run_id: str, *, after: int = 0, resumed_at: int = 0) -> AsyncIterator[Event]:
        """A run's facts from the first one on and as they come, whoever drives it; ends with the run.

        Args:
            run_id: The run; a unique beginning of at least 6 characters is enough.
            after: Facts up to this one are left out.
            resumed_at: The last fact before a resume that is about to be written: a failure up to it is no end.

        Raises:
            NotFound: there is no such run.
        """
        from interlock.platform.watching import watch_run

        async for event in watch_run(self._open(), await self.find(run_id), after, resumed_at=resumed_at):
            yield event

    def get_metrics(self) -> dict[str, Any]:
        """Figures over the newest runs; see `metrics.metrics` for the keys. All are there from the start."""
        return metrics(self._rows(Query(limit=WINDOW)))

    def get_task_history(self, limit: int = 100, status: TaskStatus | str | None = None) -> list[dict[str, Any]]:
        """The newest runs as dictionaries: id, run_id, status, execution_time (seconds), cost, platform, error ...

        Raises:
            UsageError: there is no such status, or the limit is below 1.
        """
        if limit < 1:
            raise UsageError(f"limit must be 1 or more, not {limit}.", code="usage.limit")
        try:
            wanted = () if status is None else (TaskStatus(status),)
        except ValueError:
            known = ", ".join(s.value for s in TaskStatus)
            raise UsageError(f"{status!r} is no status.", f"Use one of: {known}.", code="usage.status") from None
        now = self._clock.now()
        return [history_line(row, now) for row in self._rows(Query(limit=limit, status=wanted))]

    async def cost(self, group_by: str = "run") -> dict[str, Any]:
        """What is spent, reserved and left on each budget, and what the work cost; see `spending.cost_report`."""
        budgets = all_budgets(self._registry.budgets, self._registry.limits)
        return await cost_report(self._open(), group_by, budgets, self._clock.now())

    async def health(self, *, deep: bool = False) -> dict[str, Any]:
        """Whether work can be taken: `{"status": "healthy" | "degraded" | "unhealthy", "checks": {...}}`.

        Args:
            deep: Also reach out to the providers. Never makes a paid call.
        """
        return await health_report(self._settings, self._open, self._house if deep else None)

    def _rows(self, query: Query) -> list[RunRow]:
        journal = self._open()
        return in_private_loop(lambda: journal.runs(query))
