"""Many runs: the urgent first, never more at once than allowed, and those that wait cost nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

from interlock.engine.bench import RunBench
from interlock.engine.clock import SystemClock
from interlock.engine.dispatch import EmbeddedDispatch
from interlock.engine.drive import Outcome
from interlock.errors import RateLimitError, StoreFailed
from interlock.records.run import Run
from interlock.records.task import TaskStatus
from interlock.stores.journal import Query
from interlock.testing.clock import FakeClock
from tests.engine.rig import Stays, Works, rig, steps, until


class TestOrder:
    async def test_the_more_urgent_goes_first_and_among_equals_the_older(self) -> None:
        order: list[str] = []
        blocker = Stays()

        async def flow(bench: RunBench, run: Run) -> Outcome:
            order.append(run.run_id)
            return Outcome(output=None)

        async with rig({"task": flow, "block": steps(blocker)}, max_runs=1) as test:
            await test.submit("first", flow="block", priority=5)
            await blocker.begun.wait()
            for run_id, priority in (("low", 5), ("mid-1", 3), ("high", 1), ("mid-2", 3), ("low-2", 5)):
                await test.submit(run_id, priority=priority)
            blocker.leave.set()
            await test.wait("low-2")
        assert order == ["high", "mid-1", "mid-2", "low", "low-2"]

    async def test_never_more_at_once_than_allowed(self) -> None:
        now = most = 0
        leave = asyncio.Event()

        async def flow(bench: RunBench, run: Run) -> Outcome:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await leave.wait()
            now -= 1
            return Outcome(output=None)

        async with rig(flow, max_runs=3) as test:
            await asyncio.gather(*(test.submit(str(number)) for number in range(30)))
            await until(lambda: now == 3)
            assert test.engine.driving == 3
            leave.set()
            for number in range(30):
                await test.wait(str(number))
        assert most == 3


class TestCrowds:
    async def test_two_thousand_at_once_all_complete(self, tmp_path: Path) -> None:
        act = Works()
        async with rig(steps(act, act), path=tmp_path / "j.db") as test:
            numbers = [str(number) for number in range(2_000)]
            await asyncio.gather(*(test.submit(number) for number in numbers))
            async with asyncio.timeout(60):
                ends = await asyncio.gather(*(test.engine.wait(number) for number in numbers))
            assert {end.finished.status for end in ends if end.finished} == {"completed"}
            assert len([end for end in ends if end.finished]) == 2_000
            rows = await test.journal.runs(Query(status=(TaskStatus.COMPLETED,), limit=5_000))
            assert len(rows) == 2_000
        assert act.times == 4_000

    async def test_more_than_are_kept_in_memory_all_have_their_turn(self) -> None:
        blocker, act = Stays(), Works()
        async with rig({"task": steps(act), "block": steps(blocker)}, max_runs=1) as test:
            await test.submit("first", flow="block")
            await blocker.begun.wait()
            numbers = [str(number) for number in range(2_300)]
            await asyncio.gather(*(test.submit(number) for number in numbers))
            waiting = [asyncio.ensure_future(test.engine.wait(number)) for number in numbers]
            blocker.leave.set()
            async with asyncio.timeout(60):
                ends = await asyncio.gather(*waiting)
            assert all(end.finished for end in ends)
        assert act.times == 2_300

    async def test_ten_thousand_that_wait_hold_no_task(self, tmp_path: Path) -> None:
        clock = FakeClock()

        async def flow(bench: RunBench, run: Run) -> Outcome:
            await bench.sleep("nap", 3600.0)
            return Outcome(output=None)

        async with rig(flow, path=tmp_path / "j.db", clock=clock, max_runs=500) as test:
            before = len(asyncio.all_tasks())
            for start in range(0, 10_000, 500):
                await asyncio.gather(*(test.submit(str(number)) for number in range(start, start + 500)))
            async with asyncio.timeout(60):
                while len(await test.journal.runs(Query(status=(TaskStatus.WAITING,), limit=20_000))) < 10_000:
                    await asyncio.sleep(0.05)
            await until(lambda: test.engine.driving == 0)
            assert len(asyncio.all_tasks()) - before <= 2  # the one that hears what other processes write
            engine = test.engine
            held = (engine._live, engine._ready, engine._queued, engine._busy, engine._again)
            assert [len(one) for one in held] == [0] * 5

    async def test_many_timers_that_ring_together_all_wake_their_run_once(self) -> None:
        clock, act = FakeClock(), Works()

        async def flow(bench: RunBench, run: Run) -> Outcome:
            await bench.sleep("nap", 100.0)
            return Outcome(output=await bench.step("a", act, what="function"))

        async with rig(flow, clock=clock, max_runs=20) as test:
            await asyncio.gather(*(test.submit(str(number)) for number in range(450)))
            async with asyncio.timeout(30):
                while len(await test.journal.runs(Query(status=(TaskStatus.WAITING,), limit=500))) < 450:
                    await asyncio.sleep(0.01)
                await clock.advance(100.0)
                while len(await test.journal.runs(Query(status=(TaskStatus.COMPLETED,), limit=500))) < 450:
                    await clock.advance(0.05)
                    await asyncio.sleep(0.005)
            assert {run.starts for run in [await test.load(str(number)) for number in range(450)]} == {2}
        assert act.times == 450


class TestDispatch:
    async def test_a_run_that_is_queued_twice_is_advanced_once_and_as_the_more_urgent(self) -> None:
        order: list[str] = []

        async def advance(run_id: str) -> None:
            order.append(run_id)
            await asyncio.sleep(0)

        async def due() -> float | None:
            return None

        dispatch = EmbeddedDispatch(advance, due, most=1, clock=SystemClock())
        for run_id, priority in (("busy", 1), ("a", 3), ("b", 3), ("b", 2), ("a", 3), ("a", 4), ("b", 3)):
            dispatch.submit(run_id, priority=priority)
        assert await dispatch.idle(5.0)
        assert order == ["busy", "b", "a"]

    async def test_timers_outlive_a_store_that_cannot_be_read_for_a_while(self) -> None:
        clock, asked = FakeClock(), 0

        async def advance(run_id: str) -> None:
            raise AssertionError

        async def due() -> float | None:
            nonlocal asked
            asked += 1
            if asked == 1:
                raise StoreFailed("locked", code="store.locked")
            return None

        dispatch = EmbeddedDispatch(advance, due, most=1, clock=clock)
        dispatch.submit("", priority=3, not_before=clock.now() + 5.0)
        await clock.advance(5.0)
        assert asked == 1
        await clock.advance(1.0)
        assert asked == 2
        await dispatch.stop()

    async def test_an_earlier_time_is_not_missed_for_a_later_one(self) -> None:
        clock, rang = FakeClock(), 0

        async def advance(run_id: str) -> None:
            raise AssertionError

        async def due() -> float | None:
            nonlocal rang
            rang += 1
            return None

        begun = clock.now()
        dispatch = EmbeddedDispatch(advance, due, most=1, clock=clock)
        for after in (50.0, 5.0, 20.0):
            dispatch.submit("", priority=3, not_before=begun + after)
        await clock.advance(4.9)
        assert rang == 0
        await clock.advance(0.1)
        assert rang == 1
        await dispatch.stop()


async def test_a_retry_storm_leaves_nothing_behind() -> None:
    act = Works(*[RateLimitError("busy")] * 200)
    async with rig(steps(act), max_runs=50) as test:
        for number in range(100):
            await test.submit(str(number))
        for number in range(100):
            assert (await test.wait(str(number))).finished is not None
        assert test.engine.driving == 0
