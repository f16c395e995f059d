"""A home with an audit log for tests: written by the real journal, signed and sent by the real followers."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from interlock.governance.audit.checkpoint import KeyFiles
from interlock.governance.audit.entry import EntryMaker
from interlock.governance.audit.findings import Report
from interlock.governance.audit.follower import Home, Notary, Shipper
from interlock.governance.audit.places import verify_store
from interlock.governance.audit.sinks import Sink
from interlock.records.fact import Fact, Noted, RunAdmitted, RunStarted
from interlock.stores.journal import Claim
from interlock.stores.sqlite import SqliteJournal

RUN = "run-of-the-audit-tests"


class AuditedHome:
    """A store whose facts have entries.

    Args:
        folder: Where it lies.
        maker: Words the entries.
    """

    def __init__(self, folder: Path, maker: EntryMaker | None = None) -> None:
        self.store = folder / "interlock.db"
        self.keys = KeyFiles(folder / "keys")
        self.maker = maker or EntryMaker()
        self.folder = folder / "audit"
        self.at = 1_000.0

    @property
    def kept(self) -> Path:
        return self.folder / "checkpoints"

    def journal(self) -> SqliteJournal:
        return SqliteJournal(self.store, now=lambda: self.at, auditor=self.maker)

    def followers_home(self, journal: SqliteJournal) -> Home:
        def change(what: Callable[[sqlite3.Connection], None]) -> None:
            asyncio.run(journal.change(what))

        return Home(store=self.store, folder=self.folder, keys=self.keys, change=change)

    async def write(self, count: int, *, sign: bool = True, sink: Sink | None = None) -> None:
        """So many more facts, then a checkpoint and a segment if wanted."""
        journal = self.journal()
        try:
            await fill(journal, count)
            home = self.followers_home(journal)
            if sink is not None:
                await finish(Shipper(home, sink, interval=0, limit=10))
            if sign:
                await finish(Notary(home, limit=10))
        finally:
            await journal.close()

    def verify(self, **more: Any) -> Report:
        return verify_store(self.store, self.kept, self.keys.verifiers(), **more).report

    def tamper(self, sql: str, *values: Any) -> None:
        """What someone with write access to the store does."""
        with closing(sqlite3.connect(self.store)) as db:
            db.execute(sql, values)
            db.commit()

    def rows(self) -> list[tuple[int, str, str]]:
        with closing(sqlite3.connect(self.store)) as db:
            return db.execute("SELECT n, leaf, body FROM audit ORDER BY n").fetchall()


async def finish(follower: Notary | Shipper) -> None:
    """Let a follower do all there is and end."""
    follower.wake()
    assert await asyncio.to_thread(follower.close, 30), follower.trouble


async def fill(journal: SqliteJournal, count: int, run_id: str = RUN) -> None:
    """So many facts; the first two of a new run admit and start it."""
    facts: list[Fact] = [Noted(level="info", code="test.note", says=f"note {number}") for number in range(count)]
    known = await journal.read(run_id)
    fence = 1 + sum(isinstance(record.fact, RunStarted) for record in known)
    if not known:
        admitted = RunAdmitted(task={"description": "do", "user": "ann"}, task_id="t", flow="task", digest="d")
        claim = Claim(run_id=run_id, owner=journal.owner, fence=fence, seq=0)
        facts[:2] = [admitted, RunStarted(driver=journal.owner, fence=fence)]
    else:
        claim = await journal.claim(run_id)
    await journal.append(run_id, facts, claim=claim)
    await journal.release(claim)
