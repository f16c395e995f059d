"""A handle on a submitted run: its id, its result, its events, and how to stop it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from interlock.engine.engine import end_of
from interlock.platform.events import Event
from interlock.platform.result import TaskResult, result_of
from interlock.records.run import Run

if TYPE_CHECKING:
    from interlock.platform.platform import Platform


class Handle:
    """What `Platform.submit` gives back. The run is durable already; losing the handle loses nothing.

    Args:
        platform: The platform it was submitted to.
        run: The run as it was admitted.
    """

    def __init__(self, platform: Platform, run: Run) -> None:
        self._platform = platform
        self._run = run

    def __repr__(self) -> str:
        return f"Handle({self.run_id!r})"

    @property
    def run_id(self) -> str:
        """The run's id, by which any process can watch or resume it."""
        return self._run.run_id

    async def result(self) -> TaskResult:
        """Come back when the run has ended, or waits for a person."""
        end = end_of(self._run)
        if end is None or end.finished is None:
            end = await self._platform.wait(self.run_id)
        return result_of(self._run, end)

    async def events(self) -> AsyncIterator[Event]:
        """The run's facts from the first one on, and as they come."""
        async for event in self._platform.watch(self.run_id):
            yield event

    async def cancel(self, *, by: str = "", reason: str = "") -> bool:
        """Stop the run for good; False when it had already ended."""
        return await self._platform.cancel(self.run_id, by=by, reason=reason)
