"""Following a run through the journal, whichever process drives it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from interlock.engine.engine import end_of
from interlock.platform.events import Event, event_of
from interlock.platform.result import result_of
from interlock.records.run import Run, fold_one
from interlock.records.task import TaskStatus
from interlock.stores.journal import Journal

#: Facts that are read at once.
PAGE = 500


async def replay_run(journal: Journal, run_id: str) -> AsyncIterator[Event]:
    """A run's facts as far as they go, without waiting for more; the last event carries the result once it has ended.

    Args:
        journal: Where facts rest; only read.
        run_id: The run's full id.
    """
    run = Run(run_id=run_id)
    while page := await journal.read(run_id, after=run.seq, limit=PAGE):
        for record in page:
            fold_one(run, record)
            yield event_of(record)
    if run.status.is_final:
        yield _last(run)


async def watch_run(journal: Journal, run_id: str, after: int, *, resumed_at: int = 0) -> AsyncIterator[Event]:
    """A run's facts with `seq` above `after`, then new ones; the last event carries the result once it has ended.

    A run that waits for a person or was shut down is followed further: it may go on. So is one that failed and was
    resumed, past that failure.

    Args:
        journal: Where facts rest; only read.
        run_id: The run's full id.
        after: Facts up to this one are left out.
        resumed_at: The last fact before a resume that is about to be written: a failure up to it is no end.
    """
    run = Run(run_id=run_id)
    async for record in journal.watch(after=0, run_id=run_id):
        fold_one(run, record)
        if record.seq > after:
            yield event_of(record)
        if run.status.is_final and not await _goes_on(journal, run, resumed_at):
            yield _last(run)
            return


async def _goes_on(journal: Journal, run: Run, resumed_at: int) -> bool:
    """Whether what looks like the end of a run was a failure that was, or is being, resumed."""
    if run.status is TaskStatus.FAILED and run.seq <= resumed_at:
        return True
    return bool(await journal.read(run.run_id, after=run.seq, limit=1))


def _last(run: Run) -> Event:
    end = end_of(run)
    assert end is not None
    found = result_of(run, end)
    return Event(kind="result", run_id=run.run_id, data={"status": found.status.value}, result=found)
