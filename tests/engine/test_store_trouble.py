"""A store that fails in mid-run: whoever waits is told with an error, nothing hangs, and the run can go on later."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from interlock.engine.bench import RunBench
from interlock.engine.drive import Outcome
from interlock.errors import StoreFailed
from interlock.records.fact import CancelAsked
from interlock.records.run import Run
from interlock.stores.sqlite import SqliteJournal
from interlock.testing.clock import FakeClock
from tests.engine.rig import Rig, Stays, Works, rig, steps, until, until_status


def limit(test: Rig, pages: int) -> None:
    journal = test.journal
    assert isinstance(journal, SqliteJournal)
    used = journal._connection.execute("PRAGMA page_count").fetchone()[0]
    journal._connection.execute(f"PRAGMA max_page_count = {used + pages}")


async def test_a_journal_closed_in_mid_run_ends_in_an_error_and_not_in_a_hang(tmp_path: Path) -> None:
    act, after = Stays(), Works()
    async with rig(steps(act, after), path=tmp_path / "j.db") as test:
        await test.submit()
        waiting = asyncio.ensure_future(test.wait())
        await act.begun.wait()
        await test.journal.close()
        act.leave.set()
        end = await waiting
        assert isinstance(end.error, StoreFailed)
        assert end.error.code in ("store.closed", "store.fenced")
        assert after.times == 0
    act.leave.set()
    async with rig(steps(act, after), path=tmp_path / "j.db") as again:
        assert (await again.resume()).finished.output == ["stayed", "done"]  # type: ignore[union-attr]
    assert (act.times, after.times) == (2, 1)  # its outcome had not been written


async def test_a_full_store_ends_in_an_error_and_the_run_goes_on_when_there_is_room(tmp_path: Path) -> None:
    big, after = Works(output="x" * 400_000), Works()
    async with rig(steps(Works(), big, after), path=tmp_path / "j.db") as test:
        await test.submit("warm", flow="task")
        await test.wait("warm")
        limit(test, 20)
        await test.submit()
        refused = (await test.wait()).error
        assert isinstance(refused, StoreFailed)
        assert refused.code == "store.full"
        times = (big.times, after.times)
        assert times == (2, 1)  # in the run `run` it was done, but nothing came after it
        limit(test, 10_000)
        end = await test.resume()
        assert end.finished is not None
        assert end.finished.status == "completed"
        assert (await test.load()).steps["1"].attempts == 1
    assert (big.times, after.times) == (3, 2)


async def test_an_outcome_that_could_not_be_written_stops_the_run_before_its_next_act(tmp_path: Path) -> None:
    after = Works()

    async def flow(bench: RunBench, run: Run) -> Outcome:
        with contextlib.suppress(Exception):
            await bench.step("a", Works(output="x" * 400_000), what="function")
        await asyncio.sleep(0.05)
        with contextlib.suppress(Exception):
            await bench.step("b", after, what="function")
        return Outcome(output="all well")

    async with rig(flow, path=tmp_path / "j.db") as test:
        await test.submit("warm")
        await test.wait("warm")
        limit(test, 20)
        await test.submit()
        end = await test.wait()
        assert isinstance(end.error, StoreFailed)
        assert end.error.code == "store.full"
    assert after.times == 1


async def test_a_locked_store_refuses_new_work_and_takes_it_again_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    journal = SqliteJournal(path, patience=0.05)
    async with rig(steps(Works()), journal=journal) as test:
        await test.go("before")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(StoreFailed) as locked:
                await test.submit("during")
            assert locked.value.code == "store.locked"
            other.execute("ROLLBACK")
        assert (await test.go("after")).finished is not None


async def test_what_others_write_is_heard_again_after_the_store_could_not_be_read(tmp_path: Path) -> None:
    """The listener survives; and closing an engine whose listener had trouble raises nothing."""

    class Deaf(SqliteJournal):
        deaf = True

        async def watch(self, **where: Any) -> Any:  # type: ignore[override]
            if self.deaf:
                self.deaf = False
                raise StoreFailed("locked", code="store.locked")
            async for record in super().watch(**where):
                yield record

    act, clock = Stays(), FakeClock()
    journal = Deaf(tmp_path / "j.db")
    async with rig(steps(act), journal=journal, clock=clock) as test:
        await test.submit()
        await act.begun.wait()
        await until(lambda: any(error.code == "store.locked" for error in test.observer.errors))
        await clock.advance(1.0)
        await asyncio.sleep(0.1)
        await journal.append("run", [CancelAsked(by="another process")])
        await until_status(test, "cancelled")


async def test_an_engine_on_a_closed_journal_can_be_closed() -> None:
    async with rig(steps(Works())) as test:
        await test.go()
        await test.journal.close()
        await asyncio.sleep(0.15)
        await test.engine.close()
