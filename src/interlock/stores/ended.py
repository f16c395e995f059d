"""When runs ended: what decides whether anything that is kept beside the journal for them may go."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

#: Runs asked for at once.
_MOST = 500


def ends_of(db: sqlite3.Connection, run_ids: Iterable[str]) -> dict[str, float | None]:
    """When these runs ended, in seconds since 1970; None for one that has not, or that somebody drives.

    A run that is not known is left out.
    """
    wanted = list(run_ids)
    found: dict[str, float | None] = {}
    for start in range(0, len(wanted), _MOST):
        page = wanted[start : start + _MOST]
        marks = ", ".join("?" * len(page))
        rows = db.execute(f"SELECT run_id, finished_at, driver FROM runs WHERE run_id IN ({marks})", page)
        found |= {run_id: ended if not driver else None for run_id, ended, driver in rows}
    return found


def all_run_ids(db: sqlite3.Connection) -> Iterator[str]:
    """The ids of all runs there are."""
    for (run_id,) in db.execute("SELECT run_id FROM runs"):
        yield run_id
