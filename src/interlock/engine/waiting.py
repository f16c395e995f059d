"""The waiting room: who waits for which run, and how they learn that it has ended, wherever it is driven."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from interlock.engine.looks import orphaned
from interlock.engine.outcome import End
from interlock.errors import NotFound
from interlock.records.fact import RunWaiting
from interlock.records.run import Run, fold_one
from interlock.stores.journal import Journal

#: How often a run that is driven elsewhere is looked at, and one that only waits, in seconds.
LOOK = 0.1
LOOK_AT_PARKED = 1.0
#: In so many looks one after the other a run must be found without a driver before it is taken up here.
ALONE = 3
#: So many looks are made in a second at most, however many wait.
LOOKS_PER_SECOND = 500.0


class WaitingRoom:
    """Everyone in this process who waits for the end of a run.

    A run that is driven here answers for itself. One that is driven elsewhere, or parked, is looked at now and
    then: another process may end it.

    Args:
        journal: Where facts rest.
        here: Whether a run is being driven here, or is queued to be.
        take_up: Has a run driven here, because its driver is gone and someone here waits for it.
    """

    def __init__(self, journal: Journal, here: Callable[[str], bool], take_up: Callable[[str], None]) -> None:
        self._journal = journal
        self._take_up = take_up
        self._here = here
        self._seats: dict[str, list[asyncio.Future[End]]] = {}
        self._looking = 0
        self._closed = False

    async def wait(self, run_id: str) -> End:
        """Come back when the run has ended, or waits for something no timer brings.

        Raises:
            NotFound: there is no such run.
        """
        while True:
            seat: asyncio.Future[End] = asyncio.get_running_loop().create_future()
            self._seats.setdefault(run_id, []).append(seat)
            try:
                end = await (seat if self._here(run_id) else self._look(run_id, seat))
            finally:
                self._leave(run_id, seat)
            if self._closed or end.waiting is None or end.waiting.reason != "timer":
                return end

    def settle(self, run_id: str, end: End) -> None:
        """Tell those who wait for this run."""
        for seat in self._seats.pop(run_id, []):
            if not seat.done():
                seat.set_result(end)

    def close(self) -> None:
        """Tell everyone that nothing more will happen here."""
        self._closed = True
        shut = RunWaiting(reason="shutdown", says="The process that was asked to wait for it was shut down.")
        for run_id in list(self._seats):
            self.settle(run_id, End(waiting=shut))

    def _leave(self, run_id: str, seat: asyncio.Future[End]) -> None:
        seats = self._seats.get(run_id)
        if seats is not None and seat in seats:
            seats.remove(seat)
            if not seats:
                del self._seats[run_id]

    async def _look(self, run_id: str, seat: asyncio.Future[End]) -> End:
        """Read along until the run has ended, or somebody here has taken it up and says how it ended."""
        run = Run(run_id=run_id)
        alone = 0
        self._looking += 1
        try:
            while not seat.done():
                for record in await self._journal.read(run_id, after=run.seq):
                    fold_one(run, record)
                if run.seq == 0:
                    raise NotFound(f"There is no run {run_id}.")
                settled = end_of(run)
                if self._here(run_id):
                    break
                if settled is not None:
                    return settled
                alone = alone + 1 if await orphaned(self._journal, run_id) else 0
                if alone >= ALONE:
                    self._take_up(run_id)
                    break
                often = LOOK if run.waiting is None else LOOK_AT_PARKED
                await asyncio.wait({seat}, timeout=max(often, self._looking / LOOKS_PER_SECOND))
        finally:
            self._looking -= 1
        return await seat


def end_of(run: Run) -> End | None:
    """How a run stands, if nothing but a person or a new call can change it."""
    if run.finished is not None:
        return End(finished=run.finished)
    if run.waiting is not None and run.waiting.reason != "timer":
        return End(waiting=run.waiting)
    return None
