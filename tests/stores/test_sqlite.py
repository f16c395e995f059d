"""The file under stress: no room, another program's lock, many writers, and a writer killed in mid-storm."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from interlock.errors import StoreFailed
from interlock.records.fact import Noted
from interlock.stores.journal import Query
from interlock.stores.sqlite import SqliteJournal
from tests.stores.peer import new_claimed_run, note
from tests.stores.processes import ROOT, peer, started

BIG = "x" * 20_000

FILLS_THE_DISK = """
import asyncio, resource, signal, sys
from interlock.errors import StoreFailed
from interlock.stores.sqlite import SqliteJournal
from tests.stores.peer import new_claimed_run, note, tell

async def main() -> None:
    journal = SqliteJournal(sys.argv[1])
    claim = await new_claimed_run(journal, "run")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
    for number in range(1_000):
        try:
            tell(await journal.append("run", [note(f"{number} " + "x" * 20_000)], claim=claim))
        except StoreFailed as error:
            tell(error.code)
            break
    tell(len(await journal.read("run")))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    tell(await journal.append("run", [note("there is room again")], claim=claim))
    await journal.close()

asyncio.run(main())
"""


class TestNoRoom:
    async def test_a_full_store_says_so_keeps_what_it_acknowledged_and_works_when_there_is_room(
        self, tmp_path: Path
    ) -> None:
        journal = SqliteJournal(tmp_path / "interlock.db")
        claim = await new_claimed_run(journal, "run")
        pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
        journal._connection.execute(f"PRAGMA max_page_count = {pages + 40}")
        acknowledged, refused = 2, ""
        while not refused:
            try:
                acknowledged = await journal.append("run", [note(BIG)], claim=claim)
            except StoreFailed as error:
                refused = error.code
        assert refused == "store.full"
        assert acknowledged > 4
        assert len(await journal.read("run")) == acknowledged
        journal._connection.execute(f"PRAGMA max_page_count = {pages + 4000}")
        assert await journal.append("run", [note(BIG)], claim=claim) == acknowledged + 1
        await journal.close()

    async def test_those_who_wait_together_are_all_told_and_none_is_half_written(self, tmp_path: Path) -> None:
        journal = SqliteJournal(tmp_path / "interlock.db")
        claim = await new_claimed_run(journal, "run")
        pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
        journal._connection.execute(f"PRAGMA max_page_count = {pages + 40}")
        pending = [journal.append("run", [note(BIG), note("its twin")], claim=claim) for _ in range(60)]
        async with asyncio.timeout(10):
            told = await asyncio.gather(*pending, return_exceptions=True)
        refused = [one for one in told if isinstance(one, StoreFailed)]
        assert {error.code for error in refused} == {"store.full"}
        assert len(await journal.read("run")) == 2 + 2 * (len(told) - len(refused))
        await journal.close()

    def test_a_disk_that_is_really_full_loses_nothing(self, tmp_path: Path) -> None:
        command = [sys.executable, "-c", FILLS_THE_DISK, str(tmp_path / "interlock.db")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
        *acknowledged, code, found, last = done.stdout.split()
        assert code in ("store.full", "store.io")
        assert len(acknowledged) > 5
        assert int(found) == int(acknowledged[-1])
        assert int(last) == int(found) + 1


class TestLocked:
    async def test_a_store_held_by_another_program_says_so_and_works_afterwards(self, tmp_path: Path) -> None:
        path = tmp_path / "interlock.db"
        journal = SqliteJournal(path, patience=0.05)
        claim = await new_claimed_run(journal, "run")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(StoreFailed) as locked:
                await journal.append("run", [note("now")], claim=claim)
            assert locked.value.code == "store.locked"
            assert len(await journal.read("run")) == 2
            other.execute("ROLLBACK")
        assert await journal.append("run", [note("later")], claim=claim) == 3
        await journal.close()

    async def test_a_lock_that_is_given_back_in_time_is_not_noticed(self, tmp_path: Path) -> None:
        path = tmp_path / "interlock.db"
        journal = SqliteJournal(path)
        claim = await new_claimed_run(journal, "run")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            written = asyncio.ensure_future(journal.append("run", [note("patiently")], claim=claim))
            await asyncio.sleep(0.05)
            assert not written.done()
            other.execute("ROLLBACK")
            assert await written == 3
        await journal.close()

    async def test_a_journal_that_cannot_write_any_more_can_be_closed(self, tmp_path: Path) -> None:
        path = tmp_path / "interlock.db"
        journal = SqliteJournal(path, patience=0.05)
        await new_claimed_run(journal, "run")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            await journal.close()
        again = SqliteJournal(path)
        assert [row.driven for row in await again.runs(Query())] == [False]
        assert (await again.claim("run")).fence == 2
        await again.close()


class TestManyWriters:
    async def test_two_processes_write_to_different_runs_and_to_the_same(self, tmp_path: Path) -> None:
        path = tmp_path / "interlock.db"
        journal = SqliteJournal(path)
        claim = await new_claimed_run(journal, "shared")
        with (
            started("tests.stores.peer", str(path), "storm", "one", "40") as one,
            started("tests.stores.peer", str(path), "storm", "two", "40") as two,
            started("tests.stores.peer", str(path), "outside", "shared", "60") as three,
        ):
            mine = [await journal.append("shared", [note(str(n))], claim=claim) for n in range(60)]
            told = [await asyncio.to_thread(process.communicate) for process in (one, two, three)]
        theirs = [int(line) for line in told[2][0].split()]
        assert sorted(mine + theirs) == list(range(3, 123))
        assert mine == sorted(mine)
        assert theirs == sorted(theirs)
        for name in ("one", "two"):
            for number in range(8):
                facts = await journal.read(f"{name}-{number}")
                says = [record.fact.says.split()[0] for record in facts if isinstance(record.fact, Noted)]
                assert says == [str(n) for n in range(40)]
        await journal.close()

    @pytest.mark.parametrize("seconds", [0.15, 0.4])
    async def test_every_acknowledged_fact_outlives_a_killed_writer(self, tmp_path: Path, seconds: float) -> None:
        path = tmp_path / "interlock.db"
        with started("tests.stores.peer", str(path), "storm", "run", "100000") as writer:
            assert writer.stdout is not None
            told = [writer.stdout.readline()]
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                told.append(writer.stdout.readline())
            writer.kill()
            told += writer.communicate()[0].splitlines()
        acknowledged = Counter[str]()
        for line in told:
            run_id, _, seq = line.strip().partition(" ")
            if seq:
                acknowledged[run_id] = max(acknowledged[run_id], int(seq))
        assert sum(acknowledged.values()) > 100
        journal = SqliteJournal(path)
        for run_id, seq in acknowledged.items():
            facts = await journal.read(run_id)
            assert [record.seq for record in facts] == list(range(1, len(facts) + 1))
            assert len(facts) >= seq
            numbers = [int(r.fact.says.split()[0]) for r in facts if isinstance(r.fact, Noted)]
            assert numbers == list(range(len(facts) - 2))
            assert (await journal.claim(run_id)).fence == 2
        await journal.close()

    async def test_a_closed_store_can_be_copied_as_one_file(self, tmp_path: Path) -> None:
        path = tmp_path / "interlock.db"
        assert peer(path, "append", "run") == "1"
        copy = tmp_path / "copy" / "interlock.db"
        copy.parent.mkdir()
        copy.write_bytes(path.read_bytes())
        journal = SqliteJournal(copy)
        assert [row.run_id for row in await journal.runs(Query())] == ["run"]
        await journal.close()
