"""Whatever lies where the store should be: opened if it is ours and whole, refused with a clear code otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from interlock.errors import StoreFailed
from interlock.records.fact import RunFinished
from interlock.stores.journal import Query
from interlock.stores.sql import migrations
from interlock.stores.sqlite import SqliteJournal
from interlock.stores.sqlite_file import open_reader, open_writer
from tests.stores.peer import new_claimed_run, note
from tests.stores.processes import ROOT

#: What the system itself always refuses to be written, whoever asks.
UNWRITABLE = Path("/proc/interlock/interlock.db")


def refused(path: Path) -> str:
    with pytest.raises(StoreFailed) as error:
        SqliteJournal(path, patience=0.05)
    assert error.value.says
    assert error.value.do
    assert "sqlite" not in error.value.user_message.lower()
    return error.value.code


async def filled(path: Path, facts: int = 400) -> None:
    """A store of several hundred pages, closed in good order."""
    journal = SqliteJournal(path)
    claim = await new_claimed_run(journal, "run")
    for number in range(facts):
        await journal.append("run", [note(f"{number} " + "x" * 900)], claim=claim)
    await journal.append("run", [RunFinished(status="completed")], claim=claim)
    await journal.close()


class TestWhatIsNotOurs:
    @pytest.mark.parametrize(
        "content", [b"dear diary", b"SQLite format 3\x00", b"\x00" * 5000, b"SQLite format 3\x00" + b"\xff" * 4080]
    )
    def test_a_foreign_file_is_left_alone(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "interlock.db"
        path.write_bytes(content)
        assert refused(path) in ("store.foreign", "store.corrupt")
        assert path.read_bytes() == content

    def test_the_database_of_another_program_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "interlock.db"
        with contextlib.closing(sqlite3.connect(path)) as album:
            album.execute("CREATE TABLE photos (name TEXT)")
            album.commit()
        before = path.read_bytes()
        assert refused(path) == "store.foreign"
        assert path.read_bytes() == before

    async def test_a_store_from_a_newer_version_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "interlock.db"
        await filled(path, 1)
        with contextlib.closing(sqlite3.connect(path)) as newer:
            newer.execute(f"PRAGMA user_version = {len(migrations()) + 1}")
        before = path.read_bytes()
        assert refused(path) == "store.newer"
        assert path.read_bytes() == before

    async def test_an_empty_file_becomes_a_store(self, tmp_path: Path) -> None:
        path = tmp_path / "interlock.db"
        path.touch()
        await filled(path, 1)
        assert path.read_bytes().startswith(b"SQLite format 3\x00")

    async def test_a_store_is_readable_for_its_owner_only(self, tmp_path: Path) -> None:
        path = tmp_path / "home" / "interlock.db"
        await filled(path, 1)
        assert path.stat().st_mode & 0o077 == 0
        assert path.parent.stat().st_mode & 0o077 == 0
        assert (path.parent / "drivers").stat().st_mode & 0o077 == 0


class TestWhatIsDamaged:
    @pytest.mark.parametrize("part", [0.3, 0.5, 0.9, 0.999])
    async def test_a_store_that_is_cut_short_is_refused(self, tmp_path: Path, part: float) -> None:
        path = tmp_path / "interlock.db"
        await filled(path)
        os.truncate(path, int(path.stat().st_size * part))
        assert refused(path) == "store.corrupt"

    @pytest.mark.parametrize("part", [0.2, 0.6, 0.95])
    async def test_a_store_whose_end_is_zeros_tells_no_lies(self, tmp_path: Path, part: float) -> None:
        path = tmp_path / "interlock.db"
        await filled(path)
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(int(size * part) // 4096 * 4096)
            file.write(b"\x00" * (size - file.tell()))

        async def read() -> None:
            journal = SqliteJournal(path)
            try:
                await journal.read("run")
            finally:
                await journal.close()

        with pytest.raises(StoreFailed) as damaged:
            await read()
        assert damaged.value.code == "store.corrupt"

    async def test_a_fact_that_was_written_over_is_damage_and_not_a_different_fact(self, tmp_path: Path) -> None:
        path = tmp_path / "interlock.db"
        await filled(path, 3)
        with contextlib.closing(sqlite3.connect(path)) as vandal:
            vandal.execute("UPDATE facts SET body = '{\"level\": 7' WHERE seq = 3")
            vandal.execute("UPDATE facts SET kind = 'noted.v9' WHERE seq = 4")
            vandal.commit()
        journal = SqliteJournal(path)
        for after, code in ((2, "store.corrupt"), (3, "store.unknown_fact")):
            with pytest.raises(StoreFailed) as damaged:
                await journal.read("run", after=after, limit=1)
            assert damaged.value.code == code
        assert len(await journal.read("run", limit=2)) == 2
        await journal.close()


class TestWhereItCannotBe:
    def test_a_folder_in_place_of_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "interlock.db").mkdir()
        assert refused(tmp_path / "interlock.db") == "store.missing"

    def test_a_file_in_place_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "home").write_text("not a folder")
        assert refused(tmp_path / "home" / "interlock.db") == "store.missing"

    def test_a_file_in_place_of_the_drivers_folder(self, tmp_path: Path) -> None:
        (tmp_path / "drivers").write_text("not a folder")
        assert refused(tmp_path / "interlock.db") == "store.missing"

    def test_a_place_where_nobody_may_write(self) -> None:
        assert refused(UNWRITABLE) in ("store.missing", "store.read_only")

    def test_a_disk_that_is_full_from_the_start(self, tmp_path: Path) -> None:
        program = (
            "import resource, signal, sys\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
            "from interlock.errors import StoreFailed\n"
            "from interlock.stores.sqlite import SqliteJournal\n"
            "try:\n    SqliteJournal(sys.argv[1])\n"
            "except StoreFailed as error:\n    print(error.code)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "interlock.db")],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout.strip() in ("store.full", "store.io")


class TestOpeningTogether:
    def test_many_that_open_a_new_store_at_once_all_get_it(self, tmp_path: Path) -> None:
        async def used(path: Path, number: int) -> int:
            journal = SqliteJournal(path)
            await new_claimed_run(journal, f"run-{number}")
            found = len(await journal.runs(Query(run_id=f"run-{number}")))
            await journal.close()
            return found

        with ThreadPoolExecutor(8) as threads:
            for turn in range(12):
                path = tmp_path / f"home-{turn}" / "interlock.db"
                found = threads.map(lambda number, path=path: asyncio.run(used(path, number)), range(8))
                assert list(found) == [1] * 8

    def test_one_that_is_just_being_made_by_another_process_is_waited_for(self, tmp_path: Path) -> None:
        path = tmp_path / "interlock.db"
        maker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        maker.execute("BEGIN IMMEDIATE")
        threading.Timer(0.1, maker.execute, ("ROLLBACK",)).start()
        open_writer(path).close()
        maker.close()


def test_opening_a_store_twice_in_a_process_keeps_its_locks(tmp_path: Path) -> None:
    """Another process that comes and goes must not take the write-ahead log away under one that has it open."""
    path = tmp_path / "interlock.db"
    first = open_writer(path)
    first.execute("CREATE TABLE mine (x)")
    open_writer(path).close()
    reader = open_reader(path)
    script = (
        "import sys, pathlib; from interlock.stores.sqlite_file import open_writer;"
        "db = open_writer(pathlib.Path(sys.argv[1])); db.execute('INSERT INTO mine VALUES (7)'); db.close()"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True, timeout=60)
    assert path.with_name("interlock.db-wal").exists()
    assert reader.execute("SELECT x FROM mine").fetchall() == [(7,)]
    reader.close()
    first.close()
