"""Looks at the rows of runs: whose time has come, who parked one, and who drives it."""

from __future__ import annotations

import math

from interlock.records.fact import QuestionAnswered, RunWaiting
from interlock.records.task import TaskStatus
from interlock.stores.journal import Journal, Query, RunRow

#: So many are brought back at once at most; the others a moment later.
AT_ONCE = 200
A_MOMENT = 0.05


async def due(journal: Journal, now: float, parked_by: str) -> tuple[list[RunRow], float | None]:
    """Runs to bring back now, and the time of the next timer, if there is one.

    Args:
        journal: Where they are parked.
        now: Seconds since 1970.
        parked_by: Only those this owner parked, or all where it is empty.
    """
    rows = await journal.runs(Query(due_at=now, parked_by=parked_by, limit=AT_ONCE))
    if len(rows) == AT_ONCE:
        return rows, now + A_MOMENT
    # Those that are due stand first, for they still count as waiting.
    waiting = await journal.runs(Query(due_at=math.inf, parked_by=parked_by, limit=len(rows) + 1))
    found = {row.run_id for row in rows}
    later = [row.wake_at for row in waiting if row.run_id not in found]
    return rows, later[0] if later else None


async def any_run(run_id: str) -> bool:
    """Let every run go on."""
    return True


async def left_behind(journal: Journal, now: float) -> list[RunRow]:
    """Runs that ought to move and that nobody will bring back; see `left_parked` for those that wait.

    Args:
        journal: Where they are.
        now: Seconds since 1970.
    """
    return [*await journal.runs(Query(orphaned=True, limit=10_000)), *await left_parked(journal, now)]


async def left_parked(journal: Journal, now: float) -> list[RunRow]:
    """Runs that nobody will bring back: their timer's owner is gone, or the process was shut down under them.

    Of those that wait for a person, the ones that were answered meanwhile, or that nobody answered in time.

    Args:
        journal: Where they are parked.
        now: Seconds since 1970.
    """
    rows = await journal.runs(Query(status=(TaskStatus.WAITING, TaskStatus.AWAITING_APPROVAL), limit=10_000))
    gone = [row for row in rows if row.parked_by != journal.owner and not row.parker_alive]
    found = []
    for row in gone:
        facts = await journal.read(row.run_id, after=row.seq - 1)
        last = facts[-1].fact if facts else None
        if row.status is TaskStatus.AWAITING_APPROVAL:
            if isinstance(last, QuestionAnswered) or (row.wake_at is not None and row.wake_at <= now):
                found.append(row)
        elif row.wake_at is not None or (isinstance(last, RunWaiting) and last.reason == "shutdown"):
            found.append(row)
    return found


async def parked_by(journal: Journal, run_id: str, owner: str) -> bool:
    """Whether a run was parked by this owner; any owner will do where it is empty."""
    row = await _row(journal, run_id)
    return row is not None and owner in ("", row.parked_by)


async def driver_elsewhere(journal: Journal, run_id: str) -> str | None:
    """Who drives a run that is not driven here, in words for people; None when nobody does."""
    row = await _row(journal, run_id)
    if row is None or not row.driven:
        return None
    if row.driver == journal.owner:
        return "another event loop of this process"
    return f"process {row.driver[1:].split('-')[0]}"


async def orphaned(journal: Journal, run_id: str) -> bool:
    """Whether a run ought to move and nobody is there to move it."""
    row = await _row(journal, run_id)
    return row is not None and not row.driven and row.status in (TaskStatus.PENDING, TaskStatus.RUNNING)


async def _row(journal: Journal, run_id: str) -> RunRow | None:
    rows = await journal.runs(Query(run_id=run_id, limit=1))
    return rows[0] if rows else None
