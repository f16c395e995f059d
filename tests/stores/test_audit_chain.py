"""The audit log's chain: one over all facts, in the same transaction, whoever writes and however they end."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from interlock.errors import Conflict, StaleFence, StoreFailed
from interlock.governance.audit.entry import EntryMaker
from interlock.records.fact import Fact
from interlock.stores.audit_chain import GENESIS, Mark, read_mark, write_mark
from interlock.stores.projection import Row
from interlock.stores.sql import migrations
from interlock.stores.sqlite import SqliteJournal
from interlock.stores.sqlite_file import APPLICATION_ID
from tests.governance.audit_rig import RUN, AuditedHome, fill
from tests.stores.peer import admitted, new_claimed_run, note
from tests.stores.processes import started

PEER = "tests.stores.audit_peer"


async def test_every_fact_has_an_entry_that_holds_the_hash_of_the_one_before(tmp_path: Path) -> None:
    home = AuditedHome(tmp_path)
    await home.write(7)
    rows = home.rows()
    assert [n for n, _, _ in rows] == [1, 2, 3, 4, 5, 6, 7]
    before = GENESIS
    for _, leaf, body in rows:
        assert f'"prev":"{before}"' in body
        before = leaf


async def test_without_an_auditor_there_are_no_entries(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "interlock.db")
    await fill(journal, 5)
    await journal.close()
    assert AuditedHome(tmp_path).rows() == []


async def test_what_is_refused_has_no_entry(tmp_path: Path) -> None:
    home = AuditedHome(tmp_path)
    journal = home.journal()
    claim = await new_claimed_run(journal, RUN)
    with pytest.raises(Conflict):
        await journal.append(RUN, [admitted()])
    with pytest.raises(StaleFence):
        await journal.append(RUN, [note("not mine")])
    await journal.append(RUN, [note("mine")], claim=claim)
    await journal.close()
    assert len(home.rows()) == 3


class Forgetful(EntryMaker):
    """Cannot word the entry of one fact."""

    def entry(self, outline: Mapping[str, Any], row: Row, *, n: int, prev: str, seq: int, at: float) -> bytes:
        if outline.get("verdict_of_the_test") == "refuse":
            raise ValueError("no words")
        return super().entry(outline, row, n=n, prev=prev, seq=seq, at=at)

    def outline(self, fact: Fact, body: str) -> Mapping[str, Any]:
        told = dict(super().outline(fact, body))
        if "unspeakable" in body:
            told["verdict_of_the_test"] = "refuse"
        return told


async def test_what_cannot_be_recorded_is_not_written_and_holds_nobody_else_up(tmp_path: Path) -> None:
    home = AuditedHome(tmp_path, Forgetful())
    journal = home.journal()
    claim = await new_claimed_run(journal, RUN)
    first = journal.append(RUN, [note("one")], claim=claim)
    second = journal.append(RUN, [note("two"), note("unspeakable")], claim=claim)
    third = journal.append(RUN, [note("three")], claim=claim)
    assert await first == 3
    with pytest.raises(StoreFailed):
        await second
    assert await third == 4
    await journal.close()
    assert [record["n"] for record in _told(home)] == [1, 2, 3, 4]
    home.maker = EntryMaker()
    assert home.verify().findings == []


def _told(home: AuditedHome) -> list[dict[str, Any]]:
    return [json.loads(body) for _, _, body in home.rows()]


async def test_two_journals_in_turn_write_one_chain(tmp_path: Path) -> None:
    home = AuditedHome(tmp_path)
    one, two = home.journal(), home.journal()
    for number in range(6):
        await fill((one, two)[number % 2], 3, f"run-{number}")
    await one.close()
    await two.close()
    assert len(home.rows()) == 18
    assert home.verify().findings == []


def test_two_processes_at_once_write_one_chain(tmp_path: Path) -> None:
    home = AuditedHome(tmp_path)
    with ExitStack() as stack:
        processes = [stack.enter_context(started(PEER, str(tmp_path), name, "60")) for name in ("left", "right")]
        for process in processes:
            process.communicate(timeout=60)
            assert process.returncode == 0
    report = home.verify()
    assert (report.findings, report.entries, report.unsigned) == ([], 2 * 4 * 62, 0)


@pytest.mark.crash
def test_a_process_that_is_killed_leaves_a_chain_that_verifies_and_goes_on(tmp_path: Path) -> None:
    home = AuditedHome(tmp_path)
    acknowledged = 0
    for number in range(3):
        with started(PEER, str(tmp_path), f"life-{number}", "5000") as process:
            assert process.stdout is not None
            for _ in range(150):
                process.stdout.readline()
            process.kill()
            process.wait()
            acknowledged += 150
        report = home.verify()
        assert report.findings == []
        assert report.last >= acknowledged


# --- Marks and migrations ---------------------------------------------------------------------------------------


async def test_a_mark_never_goes_back(tmp_path: Path) -> None:
    journal = AuditedHome(tmp_path).journal()
    await journal.change(lambda db: write_mark(db, "sink", Mark(5, {"a": 1})))
    await journal.change(lambda db: write_mark(db, "sink", Mark(4, {"a": 2})))
    assert await journal.change(lambda db: read_mark(db, "sink")) == Mark(5, {"a": 1})
    assert await journal.change(lambda db: read_mark(db, "other")) == Mark()
    await journal.close()


@pytest.mark.parametrize("there", [(1,), (1, 2), (1, 3), (1, 2, 3)])
async def test_a_store_that_has_only_some_of_the_migrations_gets_the_others(
    tmp_path: Path, there: tuple[int, ...]
) -> None:
    path, steps = tmp_path / "interlock.db", migrations()
    with closing(sqlite3.connect(path)) as db:
        for number in there:
            db.executescript(steps[number])
        if there != (1,):  # the first version kept no list
            db.execute("CREATE TABLE migrations (number INTEGER PRIMARY KEY)")
            db.executemany("INSERT INTO migrations VALUES (?)", [(number,) for number in there])
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {max(there)}")
        db.commit()
    home = AuditedHome(tmp_path)
    await home.write(3)
    assert home.verify().findings == []
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == max(steps)
        assert [number for (number,) in db.execute("SELECT number FROM migrations")] == sorted(steps)


def test_the_migrations_are_numbered_without_a_gap() -> None:
    assert list(migrations()) == list(range(1, len(migrations()) + 1))
