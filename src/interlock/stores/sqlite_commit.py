"""One group of appends as one SQLite transaction: who may write, what changes, and what each is told."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from pathlib import Path
from typing import Any, TypeAlias

from interlock.errors import Conflict, DrivenElsewhere, InterlockError, NotFound, StaleFence, StoreFailed
from interlock.records.charge import Charge
from interlock.records.fact import FROM_OUTSIDE, Fact, RunAdmitted
from interlock.stores.asked import Asked
from interlock.stores.audit_chain import AuditChain, Auditor
from interlock.stores.encoding import encode
from interlock.stores.inserting import Inserts
from interlock.stores.journal import Claim
from interlock.stores.ledger import Books, in_order
from interlock.stores.projection import COLUMNS, Row, advance, may_move, new_row
from interlock.stores.replies import Outcome
from interlock.stores.sql import queries
from interlock.stores.sqlite_file import explain
from interlock.stores.writer import all_failed

#: How many runs' heads are remembered between groups. Above it the memory is dropped and read again.
REMEMBERED = 50_000


@dataclass(slots=True)
class Append:
    """Facts to write, already encoded."""

    future: asyncio.Future[int]
    run_id: str
    facts: Sequence[Fact]
    bodies: Sequence[str]
    claim: Claim | None
    charge: Charge | None = None
    notes: list[Fact] | None = None
    outlines: Sequence[Mapping[str, Any] | None] | None = None


@dataclass(slots=True)
class Take:
    """A wish to drive a run."""

    future: asyncio.Future[Claim]
    run_id: str
    owner: str


@dataclass(slots=True)
class Release:
    """A claim given back."""

    future: asyncio.Future[None]
    claim: Claim


@dataclass(slots=True)
class GiveBack:
    """All claims of an owner given back, when it closes."""

    future: asyncio.Future[None]
    owner: str


class _HalfWritten(Exception):
    """An append failed when some of it was in the transaction already: all of that must go, alone or with its group.

    Args:
        error: Why.
    """

    def __init__(self, error: InterlockError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(slots=True)
class _Group:
    """What one transaction is about to write."""

    rows: list[Any] = field(default_factory=list)
    changed: dict[str, Row] = field(default_factory=dict)
    heads: dict[str, Row] = field(default_factory=dict)


class Ledger:
    """Commits groups on the writer's thread and connection. Nothing here is called from anywhere else.

    The heads of runs (newest fact, state, driver, fence) are remembered between groups. They are trusted only
    while SQLite's `data_version` says that no other connection has committed meanwhile.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path | None,
        alive: Callable[[str], bool],
        now: Callable[[], float],
        auditor: Auditor | None = None,
    ) -> None:
        self._db = connection
        self._audit = AuditChain(connection, auditor) if auditor is not None else None
        self._path = path
        self._alive = alive
        self._now = now
        self._queries = queries()
        self._books = Books(connection, self._queries)
        self._asked = Asked(connection, self._queries)
        self._heads: dict[str, Row] = {}
        self._version = -1
        self._facts = Inserts(connection, "facts", ("run_id", "seq", "at", "kind", "body"))
        self.on_commit: Callable[[], None] = lambda: None
        self.on_entries: Callable[[], None] = lambda: None
        names = ", ".join(f'"{name}"' for name in COLUMNS)
        marks = ", ".join("?" * len(COLUMNS))
        sets = ", ".join(f'"{name}" = excluded."{name}"' for name in COLUMNS if name != "run_id")
        self._upsert = f"INSERT INTO runs ({names}) VALUES ({marks}) ON CONFLICT (run_id) DO UPDATE SET {sets}"

    def commit(self, group: Sequence[Any]) -> list[Outcome]:
        """Write a group in one transaction. Work that cannot be written fails alone; if the disk fails, all fails."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            version = self._db.execute("PRAGMA data_version").fetchone()[0]
            if version != self._version or len(self._heads) > REMEMBERED:
                self._heads.clear()
                self._version = version
                if self._audit is not None:
                    self._audit.forget()
            pending = _Group()
            outcomes = [self._one(work, pending) for work in group]
            self._facts.insert(pending.rows)
            audited = self._audit is not None and self._audit.write()
            if pending.changed:
                self._db.executemany(self._upsert, [row.values() for row in pending.changed.values()])
            self._db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            return self._undo(group, explain(error, self._path))
        except Exception as error:  # noqa: BLE001 - the writer must answer everyone, whatever happens
            if len(group) > 1:  # one of them cannot be stored (a number too large for a column): not the others' fault
                self._undo(group, StoreFailed(""))
                return [outcome for work in group for outcome in self.commit([work])]
            return self._undo(group, _why(error, self._path))
        self._remember(pending)
        self.on_commit()
        if audited:
            self.on_entries()
        return outcomes

    def _undo(self, group: Sequence[Any], error: InterlockError) -> list[Outcome]:
        self._heads.clear()
        if self._audit is not None:
            self._audit.forget()
        if self._db.in_transaction:
            with contextlib.suppress(sqlite3.Error):  # SQLite may have rolled back by itself (disk full, I/O error)
                self._db.execute("ROLLBACK")
        return all_failed(group, error)

    def _remember(self, pending: _Group) -> None:
        for run_id, row in pending.heads.items():
            if not row.driver:  # it waits or has ended: what nobody drives costs no memory
                self._heads.pop(run_id, None)
                self._asked.let_go(run_id)
                self._books.let_go(run_id)
            else:
                self._heads[run_id] = row

    def _one(self, work: Any, pending: _Group) -> Outcome:
        try:
            match work:
                case Append():
                    return Outcome(work, self._append(work, pending))
                case Take():
                    return Outcome(work, self._take(work, pending))
                case Release():
                    self._release(work, pending)
                    return Outcome(work)
                case GiveBack():
                    self._give_back(work, pending)
                    return Outcome(work)
                case _:
                    return Outcome(work, work.ask(self._db))
        except InterlockError as error:
            if isinstance(work, Append | Take):  # they refuse before they change anything
                return Outcome(work, error=error)
            raise _HalfWritten(error) from error

    def _append(self, work: Append, pending: _Group) -> int:
        now = self._now()
        head = self._head(work.run_id, pending)
        if head is None:
            if not work.facts or not isinstance(work.facts[0], RunAdmitted):
                raise NotFound(f"There is no run {work.run_id}.")
            row = new_row(work.run_id, work.facts[0], now)
            if work.claim is not None:
                row.driver, row.fence = work.claim.owner, work.claim.fence
            changed = True
        else:
            self._may_append(work, head)
            row, changed = head, False
        run_id, seq = work.run_id, row.seq
        if may_move(work.facts):
            row = replace(row)  # the head stays as it is if one of them, or the books, refuse
            for fact in work.facts:
                changed = advance(row, fact, now) or changed
        # Last of all that may refuse: what it moves is not taken back when a later check fails.
        notes = self._books.move(run_id, work.facts, work.charge, now)
        try:
            for fact, body, outline in _with_notes(work, notes) if notes else _told(work):
                seq += 1
                pending.rows += (run_id, seq, now, fact.kind, body)
                self._asked.note(run_id, row.user, fact, body, seq, now)
                if self._audit is not None:
                    self._audit.add(outline, fact, body, row, seq, now)
        except InterlockError as error:
            raise _HalfWritten(error) from error
        row.seq = seq
        pending.heads[run_id] = row
        if changed:
            pending.changed[run_id] = row
        return seq

    def _may_append(self, work: Append, head: Row) -> None:
        if work.facts and isinstance(work.facts[0], RunAdmitted):
            raise Conflict(
                f"There is already a run {work.run_id}.", "Choose another id, or resume that run.", code="run.id_taken"
            )
        if work.claim is None:
            strange = [fact.kind for fact in work.facts if not isinstance(fact, FROM_OUTSIDE)]
            if strange:
                raise StaleFence(f"Only the driver of {work.run_id} may write {strange[0]}.")
        elif work.claim.fence != head.fence or work.claim.owner != head.driver:
            raise StaleFence(f"Another driver has taken {work.run_id} over.")

    def _take(self, work: Take, pending: _Group) -> Claim:
        head = self._head(work.run_id, pending)
        if head is None:
            raise NotFound(f"There is no run {work.run_id}.")
        if head.driver and self._alive(head.driver):
            where = "this process" if head.driver == work.owner else f"process {head.driver[1:].split('-')[0]}"
            raise DrivenElsewhere(f"{work.run_id} is being driven by {where}.")
        self._books.taken_up(work.run_id)
        self._asked.taken_up(work.run_id)
        row = replace(head, driver=work.owner, fence=head.fence + 1)
        pending.heads[work.run_id] = pending.changed[work.run_id] = row
        return Claim(run_id=work.run_id, owner=work.owner, fence=row.fence, seq=row.seq)

    def _release(self, work: Release, pending: _Group) -> None:
        head = self._head(work.claim.run_id, pending)
        if head is None or head.driver != work.claim.owner or head.fence != work.claim.fence:
            return
        row = replace(head, driver="")
        pending.heads[row.run_id] = pending.changed[row.run_id] = row

    def _give_back(self, work: GiveBack, pending: _Group) -> None:
        # The rows this group has already changed are written after this statement, so change them as well.
        for run_id, row in pending.changed.items():
            if row.driver == work.owner:
                pending.changed[run_id] = pending.heads[run_id] = replace(row, driver="")
        self._db.execute(self._queries["give_back"], (work.owner,))
        self._heads.clear()

    def _head(self, run_id: str, pending: _Group) -> Row | None:
        row = pending.heads.get(run_id) or self._heads.get(run_id)
        if row is None:
            found = self._db.execute(self._queries["run_head"], (run_id,)).fetchone()
            row = Row(*found) if found is not None else None
        return row


#: A fact, how it is stored, and what the audit log says of it, where that is known.
_Told: TypeAlias = tuple[Fact, str, Mapping[str, Any] | None]


def _told(work: Append) -> Iterable[_Told]:
    return zip(work.facts, work.bodies, work.outlines or repeat(None), strict=False)


def _with_notes(work: Append, notes: list[Fact]) -> list[_Told]:
    """What is written when the ledger has something to note."""
    if work.notes is not None:
        work.notes[:] = notes
    known = {id(told[0]): told for told in _told(work)}
    return [known.get(id(fact)) or (fact, encode(fact), None) for fact in in_order(work.facts, notes)]


def _why(error: Exception, path: Path | None) -> InterlockError:
    """What to tell whoever wanted to write something that cannot be written."""
    if isinstance(error, _HalfWritten):
        return error.error
    if isinstance(error, sqlite3.Error):
        return explain(error, path)
    return StoreFailed("The journal cannot hold this.", code="store.unwritable", detail=repr(error))
