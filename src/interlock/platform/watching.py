"""Following a run through the journal, whichever process drives it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from interlock.engine.engine import end_of
from interlock.platform.events import Event, event_of
from interlock.platform.result import result_of
from interlock.records.run import Run, fold_one
from interlock.stores.journal import Journal


async def watch_run(journal: Journal, run_id: str, after: int) -> AsyncIterator[Event]:
    """A run's facts with `seq` above `after`, then new ones; the last event carries the result once it has ended.

    A run that waits for a person or was shut down is followed further: it may go on.
    """
    run = Run(run_id=run_id)
    async for record in journal.watch(after=0, run_id=run_id):
        fold_one(run, record)
        if record.seq > after:
            yield event_of(record)
        if run.status.is_final:
            end = end_of(run)
            assert end is not None
            found = result_of(run, end)
            yield Event(kind="result", run_id=run_id, data={"status": found.status.value}, result=found)
            return
