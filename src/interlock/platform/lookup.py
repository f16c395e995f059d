"""Looking up runs in the store, without starting anything."""

from __future__ import annotations

from collections.abc import Iterable

from interlock.errors import NotFound, UsageError
from interlock.platform.ids import check_id
from interlock.platform.settings import Settings
from interlock.records.plan import meant
from interlock.records.run import Run, fold
from interlock.stores.journal import Journal, Query, RunRow
from interlock.stores.sqlite import SqliteJournal

STORE = "interlock.db"
#: Among so many of the newest runs it is looked which one was meant.
NEWEST = 1_000


def open_stored(settings: Settings) -> SqliteJournal | None:
    """Open the embedded store of a home folder for reading, or None where there is none yet; nothing is made.

    Raises:
        StoreFailed: it cannot be opened, or is not ours.
    """
    path = settings.home / STORE
    if not path.exists() and (settings.home.is_dir() or not settings.home.exists()):
        return None
    return SqliteJournal(path)


async def find_run(journal: Journal | None, run_id: str) -> str:
    """The full id of a run, from it or a unique beginning of at least 6 characters.

    Raises:
        NotFound: there is none.
        UsageError: there are several; the message lists them.
    """
    check_id(run_id)
    if journal is not None and await journal.read(run_id, limit=1):
        return run_id  # also when it is the beginning of others
    rows = await journal.runs(Query(run_prefix=run_id, limit=6)) if journal is not None else []
    if not rows or len(run_id) < 6:
        raise NotFound(f"There is no run {run_id}.")
    if len(rows) > 1:
        listed = ", ".join(row.run_id for row in rows[:5])
        raise UsageError(f"{run_id} is the beginning of several runs: {listed}.", code="usage.ambiguous_id")
    return rows[0].run_id


def begun_anew(run_id: str, known: Iterable[RunRow]) -> str:
    """Say that a run which was to go on is not there and is begun, and which of the known ones was probably meant."""
    return f"No run {run_id} was found{meant(run_id, [row.run_id for row in known])}; it was begun anew."


async def load_run(journal: Journal, run_id: str) -> Run:
    """A run as its facts tell it, by its full id."""
    return fold(run_id, await journal.read(run_id))


async def row_of(journal: Journal, run_id: str) -> RunRow:
    """The row of a run, by its full id: who drives it, and whether that process lives.

    Raises:
        NotFound: there is no such run.
    """
    for row in await journal.runs(Query(run_prefix=run_id, limit=100_000)):
        if row.run_id == run_id:
            return row
    raise NotFound(f"There is no run {run_id}.")
