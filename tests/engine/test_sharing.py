"""Several engines on one store: one drives, the others are told, and what a dead one left behind is taken up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from interlock.engine.bench import RunBench
from interlock.engine.drive import Outcome
from interlock.errors import Conflict, DrivenElsewhere, InterlockError, NotFound, RateLimitError, StaleFence
from interlock.records.fact import RunFinished, RunStarted
from interlock.records.run import Run
from interlock.records.task import TaskStatus
from interlock.stores.journal import Claim, Query
from interlock.stores.sqlite import SqliteJournal
from interlock.testing.clock import FakeClock
from tests.engine.rig import Stays, Works, admitted, rig, steps, until, until_status


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "interlock.db"


async def left_behind(path: Path, run_id: str, *, priority: int = 3, flow: str = "task") -> None:
    """A run that was started by a journal that is gone, as after a crash."""
    journal = SqliteJournal(path)
    claim = Claim(run_id=run_id, owner=journal.owner, fence=1, seq=2)
    facts = [admitted(flow, priority=priority), RunStarted(driver=journal.owner, fence=1)]
    await journal.append(run_id, facts, claim=claim)
    # A crash: the lock is given back by the kernel, and the row still names the dead driver.
    journal._alive.close()
    journal._writer.close()
    journal._closed = True


class TestTwoEngines:
    async def test_one_drives_and_the_other_is_told(self, path: Path) -> None:
        act = Stays()
        async with rig(steps(act), path=path) as one, rig(steps(act), path=path) as two:
            await one.submit()
            await act.begun.wait()
            with pytest.raises(DrivenElsewhere):
                await two.engine.resume("run", by="bob")
            act.leave.set()
            await one.wait()
        assert act.times == 1

    async def test_the_other_may_wait_for_the_result(self, path: Path) -> None:
        act = Stays()
        async with rig(steps(act), path=path) as one, rig({}, path=path) as two:
            await one.submit()
            await act.begun.wait()
            waiting = [asyncio.ensure_future(two.wait()) for _ in range(3)]
            await asyncio.sleep(0.02)
            assert not any(one_of.done() for one_of in waiting)
            act.leave.set()
            ends = [await one_of for one_of in waiting]
            assert [end.finished.output for end in ends] == [["stayed"]] * 3  # type: ignore[union-attr]
            assert await two.wait() == ends[0]

    async def test_of_two_that_resume_at_once_one_drives(self, path: Path) -> None:
        await left_behind(path, "run")
        act = Stays()
        async with rig(steps(act), path=path) as one, rig(steps(act), path=path) as two:
            told = await asyncio.gather(
                one.engine.resume("run", by="ann"), two.engine.resume("run", by="bob"), return_exceptions=True
            )
            waiting = [asyncio.ensure_future(test.wait()) for test in (one, two)]
            await act.begun.wait()
            act.leave.set()
            ends = [await one_of for one_of in waiting]
        assert act.times == 1
        driven = [end for end in ends if end.finished is not None]
        refused = [end.error for end in ends if end.error] + [error for error in told if error]
        assert driven
        assert all(isinstance(error, DrivenElsewhere) for error in refused)

    async def test_resuming_twice_in_one_process_drives_once(self, path: Path) -> None:
        await left_behind(path, "run")
        act = Stays()
        async with rig(steps(act), path=path) as test:
            await asyncio.gather(*(test.engine.resume("run", by="ann") for _ in range(5)))
            waiting = asyncio.ensure_future(test.wait())
            await act.begun.wait()
            await test.engine.resume("run", by="ann")
            assert test.engine.driving == 1
            act.leave.set()
            assert (await waiting).finished.output == ["stayed"]  # type: ignore[union-attr]
            assert (await test.load()).starts == 2
        assert act.times == 1

    async def test_waiting_after_a_resume_does_not_see_what_was_before(self, path: Path) -> None:
        async def flow(bench: RunBench, run: Run) -> Outcome:
            return Outcome(output=await bench.step("a", stays, what="function"))

        stays = Stays()
        async with rig(flow, path=path, grace=0.0) as one:
            await one.submit()
            await stays.begun.wait()
        stays.leave.set()
        async with rig(flow, path=path) as two:
            assert (await two.load()).waiting is not None
            assert (await two.resume()).finished.output == "stayed"  # type: ignore[union-attr]

    async def test_a_run_parked_here_and_ended_elsewhere_is_noticed_here(self, path: Path) -> None:
        clock, act = FakeClock(), Works(RateLimitError("busy", retry_after=3600.0))
        async with rig(steps(act), path=path, clock=clock) as one:
            await one.submit()
            waiting = asyncio.ensure_future(one.wait())
            await until_status(one, "waiting")
            later = FakeClock(clock.now() + 7200.0)
            async with rig(steps(act), path=path, clock=later) as two:
                assert (await two.resume()).finished.status == "completed"  # type: ignore[union-attr]
            assert (await waiting).finished.status == "completed"  # type: ignore[union-attr]

    async def test_a_driver_that_was_overtaken_does_no_more_steps(self, path: Path) -> None:
        act, after = Stays(), Works()
        async with rig(steps(act, after), path=path) as one:
            await one.submit()
            waiting = asyncio.ensure_future(one.wait())
            await act.begun.wait()
            other = SqliteJournal(path)
            row = (await other.runs(Query(run_id="run")))[0]
            fence = next(r.fact.fence for r in await other.read("run") if isinstance(r.fact, RunStarted))
            await other.release(Claim(run_id="run", owner=row.driver, fence=fence, seq=row.seq))
            new = await other.claim("run")
            await other.append("run", [RunStarted(driver=new.owner, fence=new.fence)], claim=new)
            act.leave.set()
            end = await waiting
            assert isinstance(end.error, StaleFence)
            assert after.times == 0
            await other.append("run", [RunFinished(status="failed")], claim=new)
            assert [record.fact.kind for record in await other.read("run")].count("step.finished") == 0
            await other.close()

    async def test_a_flow_nobody_here_knows_is_said_so_and_left_for_others(self, path: Path) -> None:
        await left_behind(path, "run", flow="special")
        async with rig({}, path=path) as ignorant:
            end = await ignorant.resume()
            assert isinstance(end.error, Conflict)
            assert end.error.code == "run.unknown_flow"
            assert "special" in end.error.says
            async with rig({"special": steps(Works())}, path=path) as knows:
                assert (await knows.resume()).finished is not None

    async def test_there_must_be_such_a_run(self, path: Path) -> None:
        async with rig({}, path=path) as test:
            for call in (test.wait("nobody"), test.engine.resume("nobody", by="ann"), test.load("nobody")):
                with pytest.raises(NotFound):
                    await call

    @pytest.mark.parametrize("status", ["blocked", "cancelled"])
    async def test_what_is_over_for_good_is_not_resumed(self, path: Path, status: Any) -> None:
        async with rig(steps(Works()), path=path) as test:
            await test.engine.submit("run", [admitted(), RunFinished(status=status)])
            assert (await test.wait()).finished.status == status  # type: ignore[union-attr]
            with pytest.raises(Conflict) as over:
                await test.engine.resume("run", by="ann")
            assert over.value.code == "run.over"

    async def test_an_id_that_is_taken_is_a_conflict_for_whoever_comes_second(self, path: Path) -> None:
        async with rig(steps(Works()), path=path) as test:
            await test.go()
            with pytest.raises(Conflict) as taken:
                await test.submit()
            assert taken.value.code == "run.id_taken"
            assert (await test.wait()).finished.status == "completed"  # type: ignore[union-attr]

    async def test_an_id_that_is_taken_is_told_to_whoever_waits_when_nobody_waited_for_the_writing(
        self, path: Path
    ) -> None:
        act = Works()
        async with rig(steps(act), path=path) as test:
            await test.go()
            await test.engine.submit("run", [admitted()], durable=False)
            end = await test.wait()
            assert isinstance(end.error, InterlockError)
            assert end.error.code == "run.id_taken"
            assert len(await test.kinds()) == 5
        assert act.times == 1


class TestRecovering:
    async def test_runs_whose_driver_died_are_taken_up_the_urgent_ones_first(self, path: Path) -> None:
        order: list[str] = []

        async def flow(bench: RunBench, run: Run) -> Outcome:
            order.append(run.run_id)
            return Outcome(output=None)

        for run_id, priority in (("low", 5), ("high", 1), ("middle", 3)):
            await left_behind(path, run_id, priority=priority)
        async with rig(flow, path=path, max_runs=1) as test:
            assert await test.engine.recover() == ["high", "middle", "low"]
            for run_id in ("low", "high", "middle"):
                assert (await test.wait(run_id)).finished is not None
            assert await test.engine.recover() == []
        assert order == ["high", "middle", "low"]

    async def test_what_a_living_process_drives_is_left_to_it(self, path: Path) -> None:
        act = Stays()
        async with rig(steps(act), path=path) as one, rig(steps(act), path=path) as two:
            await one.submit()
            await act.begun.wait()
            assert await two.engine.recover() == []
            act.leave.set()
            await one.wait()
        assert act.times == 1

    async def test_timers_of_a_process_that_is_gone_ring_in_one_that_adopts(self, path: Path) -> None:
        clock, act = FakeClock(), Works(RateLimitError("busy", retry_after=60.0))
        async with rig(steps(act), path=path, clock=clock) as one:
            await one.submit()
            await until_status(one, "waiting")
        async with rig(steps(act), path=path, clock=clock, adopt=True) as two:
            await two.engine.recover()
            waiting = asyncio.ensure_future(two.wait())
            await clock.advance(30.0)
            assert act.times == 1
            await clock.advance(30.0)
            assert (await waiting).finished.status == "completed"  # type: ignore[union-attr]
        assert act.times == 2

    async def test_timers_that_rang_while_nobody_was_there_are_due_at_once(self, path: Path) -> None:
        clock, act = FakeClock(), Works(RateLimitError("busy", retry_after=60.0))
        async with rig(steps(act), path=path, clock=clock) as one:
            await one.submit()
            await until_status(one, "waiting")
        await clock.advance(3600.0)
        async with rig(steps(act), path=path, clock=clock, adopt=True) as two:
            await two.engine.recover()
            await until(lambda: act.times == 2)
            assert (await two.wait()).finished.status == "completed"  # type: ignore[union-attr]

    async def test_a_replay_reads_the_run_as_it_was_left(self, path: Path) -> None:
        seen: list[Any] = []

        async def flow(bench: RunBench, run: Run) -> Outcome:
            seen.append((run.status, run.starts, sorted(run.steps)))
            await bench.step("a", Works(), what="function")
            await bench.step("b", stays, what="function")
            return Outcome(output=None)

        stays = Stays()
        async with rig(flow, path=path, grace=0.0) as one:
            await one.submit()
            await stays.begun.wait()
        stays.leave.set()
        async with rig(flow, path=path) as two:
            await two.resume()
        assert seen == [(TaskStatus.RUNNING, 1, []), (TaskStatus.WAITING, 1, ["a", "b"])]
