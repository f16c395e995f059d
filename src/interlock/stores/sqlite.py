"""The journal in one embedded SQLite file, the default: WAL, full fsync, one writer, group commit."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from os import getpid
from pathlib import Path
from typing import Any, Literal, TypeVar

from interlock.errors import StoreFailed
from interlock.records.charge import AccountRow, Charge, SpendRow
from interlock.records.fact import Fact, Recorded
from interlock.records.question import QuestionState
from interlock.records.task import TaskStatus
from interlock.records.veil import NO_VEIL, Veil
from interlock.stores.asked import question_rows
from interlock.stores.audit_chain import Auditor
from interlock.stores.encoding import for_the_store, record
from interlock.stores.journal import Claim, Grouping, Query, QuestionRow, RunRow
from interlock.stores.liveness import Liveness
from interlock.stores.projection import COLUMNS
from interlock.stores.sql import queries
from interlock.stores.sqlite_commit import Append, GiveBack, Ledger, Release, Take
from interlock.stores.sqlite_file import BUSY_SECONDS, explain, explain_os, open_reader, open_writer
from interlock.stores.writer import GroupWriter

T = TypeVar("T")
PAGE = 1000
#: How often another process's facts are looked for while someone watches, in seconds.
POLL = 0.1


@dataclass(slots=True)
class _Ask:
    """A question for the writer's own connection (a store in memory has no other)."""

    future: asyncio.Future[Any]
    ask: Callable[[sqlite3.Connection], Any]


class SqliteJournal:
    """A `Journal` in one SQLite file, which several processes of one machine may share.

    Args:
        path: The file; its folder is made if need be. None keeps everything in memory, for tests.
        now: The clock: seconds since 1970.
        patience: Seconds to wait for another program that holds the file.
        veil: Takes registered secrets out of every fact before it is written.
        auditor: Words the audit log's entries, one for each fact; without one there is no audit log.

    Raises:
        StoreFailed: the file is foreign, damaged, newer than this version, or cannot be written.
    """

    def __init__(
        self,
        path: Path | str | None,
        *,
        now: Callable[[], float] = time.time,
        patience: float = BUSY_SECONDS,
        veil: Veil = NO_VEIL,
        auditor: Auditor | None = None,
    ) -> None:
        self._path = Path(path) if path is not None else None
        self._patience = patience
        self._veil = veil
        self._auditor = auditor
        self._now = now
        self._queries = queries()
        self._pid = getpid()
        self._owner = f"p{getpid()}-{secrets.token_hex(6)}"
        self._connection = open_writer(self._path, patience)
        self._alive = self._come_alive()
        self._ledger = Ledger(self._connection, self._path, self._alive.alive, now, auditor)
        self._writer = GroupWriter(self._ledger.commit)
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="interlock-read") if self._path else None
        self._local = threading.local()
        self._reader_connections: list[sqlite3.Connection] = []
        self._watchers: set[_Watcher] = set()
        self._ledger.on_commit = self._wake_watchers
        self._last: Callable[[], None] | None = None
        self._closed = False

    @property
    def owner(self) -> str:
        """The name under which this journal claims runs."""
        return self._owner

    def append(
        self,
        run_id: str,
        facts: Sequence[Fact],
        *,
        claim: Claim | None = None,
        charge: Charge | None = None,
        notes: list[Fact] | None = None,
    ) -> Awaitable[int]:
        """See `Journal.append`."""
        self._check_same_process()
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        facts, bodies = for_the_store(run_id, facts, self._veil)
        outlines = None if self._auditor is None else list(map(self._auditor.outline, facts, bodies))
        self._writer.submit(Append(future, run_id, facts, bodies, claim, charge, notes, outlines))
        return future

    def followed_by(self, woken: Callable[[], None], last: Callable[[], None]) -> None:
        """Have someone follow the audit log.

        Args:
            woken: Called on the writer's thread whenever entries have been written; quick.
            last: Called before the journal closes; it may take its time, and may still `change` something.
        """
        self._ledger.on_entries = woken
        self._last = last

    async def change(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Change what is kept beside the facts, in a transaction of the writer's."""
        self._check_same_process()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._writer.submit(_Ask(future, change))
        return await future

    async def claim(self, run_id: str) -> Claim:
        """See `Journal.claim`."""
        future: asyncio.Future[Claim] = asyncio.get_running_loop().create_future()
        self._writer.submit(Take(future, run_id, self._owner))
        return await future

    def release(self, claim: Claim) -> Awaitable[None]:
        """See `Journal.release`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writer.submit(Release(future, claim))
        return future

    async def read(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[Recorded]:
        """See `Journal.read`."""
        most = -1 if limit is None else limit
        sql = self._queries["facts_of_run"]
        rows = await self._ask(lambda db: db.execute(sql, (run_id, after, most)).fetchall())
        return [record(row) for row in rows]

    async def runs(self, query: Query) -> list[RunRow]:
        """See `Journal.runs`."""
        sql, values = _listing(query)
        rows = await self._ask(lambda db: db.execute(sql, values).fetchall())
        found = [_run_row(row) for row in rows]
        owners = {row.driver for row in found} | {row.parked_by for row in found}
        alive = {owner for owner in owners if owner and self._alive.alive(owner)}
        found = [replace(row, driven=row.driver in alive, parker_alive=row.parked_by in alive) for row in found]
        return [row for row in found if not (query.orphaned and row.driven)][: query.limit]

    async def questions(
        self, *, state: QuestionState | Literal[""] = "pending", prefix: str = "", limit: int = 1000
    ) -> list[QuestionRow]:
        """See `Journal.questions`."""
        sql, values = self._queries["questions"], (state, state, len(prefix), prefix, limit)
        rows = await self._ask(lambda db: db.execute(sql, values).fetchall())
        return question_rows(rows)

    async def accounts(self) -> list[AccountRow]:
        """See `Journal.accounts`."""
        sql, now = self._queries["all_accounts"], self._now()
        rows = await self._ask(lambda db: db.execute(sql, (now, now)).fetchall())
        names = [spec.name for spec in fields(AccountRow)]
        return [AccountRow(**dict(zip(names, row, strict=True))) for row in rows]

    async def spending(self, by: Grouping) -> list[SpendRow]:
        """See `Journal.spending`."""
        sql = self._queries["spending_by_label" if by == "label" else "spending"]
        values = () if by == "label" else (by,)
        rows = await self._ask(lambda db: db.execute(sql, values).fetchall())
        return [
            SpendRow(name=name, micros=micros, tokens=tokens, requests=requests, unknown=unknown)
            for name, micros, tokens, requests, unknown in rows
        ]

    async def watch(
        self, *, after: int | None = None, run_id: str = "", outside: bool = False
    ) -> AsyncIterator[Recorded]:
        """See `Journal.watch`."""
        which = "facts_from_outside_since" if outside else "facts_of_run_since" if run_id else "facts_since"
        sql = self._queries[which]
        key: tuple[Any, ...] = (run_id,) if run_id else ()
        watcher = _Watcher(asyncio.get_running_loop(), asyncio.Event())
        if not outside:  # those who wait for rare facts look now and then, and are not woken by every commit
            self._watchers.add(watcher)
        try:
            newest = self._queries["newest_position"]
            place = after
            if place is None:
                place = (await self._ask(lambda db: db.execute(newest).fetchone()))[0]
            while True:
                watcher.event.clear()
                rows = await self._ask(_page(sql, (*key, place, PAGE)))
                for row in rows:
                    yield record(row)
                    place = row[0]
                if len(rows) < PAGE:
                    await watcher.pause()
        finally:
            self._watchers.discard(watcher)

    async def close(self) -> None:
        """See `Journal.close`."""
        if self._closed:
            return
        self._closed = True
        if self._last is not None:
            try:
                await asyncio.to_thread(self._last)
            except RuntimeError:  # at the interpreter's exit there are no more threads to be had
                self._last()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writer.submit(GiveBack(future, self._owner))
        # Joined here and not in a thread of its own: at the interpreter's exit there are no more threads to be had.
        self._writer.close()
        with contextlib.suppress(StoreFailed):  # then the lock file tells that nobody drives them any more
            await future
        if self._readers is not None:
            self._readers.shutdown(wait=True)
        for connection in self._reader_connections:
            connection.close()
        self._alive.close()
        self._connection.close()

    def _come_alive(self) -> Liveness:
        folder = self._path.parent / "drivers" if self._path else None
        try:
            return Liveness(folder, self._owner)
        except OSError as error:
            self._connection.close()
            assert folder is not None
            raise explain_os(error, folder) from error

    def _check_same_process(self) -> None:
        """SQLite connections and threads do not survive a fork; using them would hang or harm the file."""
        if getpid() != self._pid:
            raise StoreFailed(
                "This journal was opened before the process was forked.",
                "Open the platform in the child process, or start processes with `spawn`.",
                code="store.forked",
            )

    async def _ask(self, ask: Callable[[sqlite3.Connection], T]) -> T:
        if self._closed:
            raise StoreFailed("The journal is closed.", "Open the platform again.", code="store.closed")
        self._check_same_process()
        loop = asyncio.get_running_loop()
        if self._readers is None:
            future: asyncio.Future[T] = loop.create_future()
            self._writer.submit(_Ask(future, ask))
            return await future
        try:
            reading = loop.run_in_executor(self._readers, self._read_with, ask)
        except RuntimeError as error:  # the interpreter is on its way out and gives no more threads
            raise StoreFailed("The journal is closed.", "Open the platform again.", code="store.closed") from error
        return await reading

    def _read_with(self, ask: Callable[[sqlite3.Connection], T]) -> T:
        try:
            connection = getattr(self._local, "connection", None)
            if connection is None:
                assert self._path is not None
                connection = self._local.connection = open_reader(self._path, self._patience)
                self._reader_connections.append(connection)
            return ask(connection)
        except sqlite3.Error as error:
            raise explain(error, self._path) from error

    def _wake_watchers(self) -> None:
        for watcher in list(self._watchers):
            watcher.wake()


@dataclass(eq=False, slots=True)
class _Watcher:
    loop: asyncio.AbstractEventLoop
    event: asyncio.Event

    def wake(self) -> None:
        """Say, from the writer's thread, that there is something new."""
        try:
            self.loop.call_soon_threadsafe(self.event.set)
        except RuntimeError:  # the loop of an abandoned watcher is gone
            return

    async def pause(self) -> None:
        """Wait until this process has written something, or it is time to look at what others wrote."""
        try:
            async with asyncio.timeout(POLL):
                await self.event.wait()
        except TimeoutError:
            return


def _page(sql: str, values: tuple[Any, ...]) -> Callable[[sqlite3.Connection], list[Any]]:
    return lambda db: db.execute(sql, values).fetchall()


def _listing(query: Query) -> tuple[str, tuple[Any, ...]]:
    where: list[str] = []
    values: list[Any] = []
    if query.status:
        where.append(f"status IN ({', '.join('?' * len(query.status))})")
        values.extend(status.value for status in query.status)
    if query.run_prefix:
        where.append("substr(run_id, 1, ?) = ?")
        values.extend((len(query.run_prefix), query.run_prefix))
    for name in ("run_id", "task_id", "parked_by"):
        if wanted := getattr(query, name):
            where.append(f"{name} = ?")
            values.append(wanted)
    if query.due_at is not None:
        where.append("status IN ('waiting', 'awaiting_approval') AND wake_at <= ?")
        values.append(query.due_at)
    if query.orphaned:
        where.append("status IN ('pending', 'running')")
    if query.before:
        where.append("(created_at, run_id) < (SELECT created_at, run_id FROM runs WHERE run_id = ?)")
        values.append(query.before)
    order = "created_at DESC, run_id DESC"
    if query.due_at is not None:
        order = "wake_at, priority"
    elif query.orphaned:
        order = "priority, created_at"
    clause = f"WHERE {' AND '.join(where)}" if where else ""
    limit = -1 if query.orphaned else query.limit
    columns = ", ".join(f'runs."{name}"' for name in COLUMNS)
    seq = "(SELECT MAX(seq) FROM facts WHERE facts.run_id = runs.run_id)"
    return f"SELECT {columns}, {seq} FROM runs {clause} ORDER BY {order} LIMIT ?", (*values, limit)


def _run_row(row: Sequence[Any]) -> RunRow:
    values = dict(zip((*COLUMNS, "seq"), row, strict=True))
    values.pop("fence")
    values["status"] = TaskStatus(values["status"])
    return RunRow(**values, driven=False, parker_alive=False)
