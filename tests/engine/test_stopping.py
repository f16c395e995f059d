"""Cancel, pause, deadline and shutdown: each reaches a run wherever it is, and none hangs or repeats anything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any

import pytest

from interlock.agents.agent import Attempt
from interlock.engine.bench import RunBench
from interlock.engine.drive import Outcome
from interlock.errors import AgentFailed, Conflict, NotFound, RateLimitError
from interlock.records.fact import CancelAsked, Fact, PauseAsked, ResumeAsked, RunFinished
from interlock.records.run import Run
from interlock.records.task import TaskStatus
from interlock.records.verdict import Act, Effect, Verdict
from interlock.stores.journal import Claim, Query
from interlock.stores.sqlite import SqliteJournal
from interlock.testing.clock import FakeClock
from tests.engine.rig import Rig, Stays, ToldGate, Works, rig, steps, until, until_status


async def status_of(test: Rig, run_id: str = "run") -> str:
    return (await test.load(run_id)).status.value


class HoldsTheEnd(SqliteJournal):
    """A journal on a disk that takes its time over the end of a run."""

    def __init__(self, path: Path | None) -> None:
        super().__init__(path)
        self.writing, self.leave = asyncio.Event(), asyncio.Event()

    def append(  # type: ignore[override]
        self, run_id: str, facts: Sequence[Fact], *, claim: Claim | None = None, **more: Any
    ) -> Awaitable[int]:
        if not any(isinstance(fact, RunFinished) for fact in facts):
            return super().append(run_id, facts, claim=claim, **more)
        return self._late(run_id, facts, claim)

    async def _late(self, run_id: str, facts: Sequence[Fact], claim: Claim | None) -> int:
        self.writing.set()
        await self.leave.wait()
        return await super().append(run_id, facts, claim=claim)


class TestCancel:
    async def test_it_reaches_a_step_in_the_middle(self) -> None:
        act, after = Stays(), Works()
        async with rig(steps(act, after)) as test:
            await test.submit()
            await act.begun.wait()
            assert await test.engine.cancel("run", by="ann", reason="wrong host")
            end = await test.wait()
            assert end.finished is not None
            assert end.finished.status == "cancelled"
            assert end.finished.failure is not None
            assert (end.finished.failure.code, end.finished.failure.says) == (
                "run.cancelled",
                "Cancelled by ann: wrong host",
            )
            assert (await test.load()).steps["1"].status == "failed"
            assert not await test.engine.cancel("run", by="ann")
        assert (act.cut_off, after.times) == (1, 0)

    async def test_it_reaches_a_run_that_waits_for_its_turn(self) -> None:
        act, queued = Stays(), Works()
        async with rig({"busy": steps(act), "task": steps(queued)}, max_runs=1) as test:
            await test.submit("first", flow="busy")
            await act.begun.wait()
            await test.submit("second")
            waiting = asyncio.ensure_future(test.wait("second"))
            assert await test.engine.cancel("second", by="ann")
            act.leave.set()
            assert (await waiting).finished.status == "cancelled"  # type: ignore[union-attr]
        assert queued.times == 0

    async def test_it_reaches_a_run_that_waits_for_a_timer_or_a_person(self) -> None:
        gate = ToldGate()
        gate.verdicts["tool"] = Verdict(effect=Effect.APPROVAL, reason="Ask.")

        async def asks(bench: RunBench, run: Run) -> Outcome:
            await bench.step("tool", Works(), what="tool", judge=Act(kind="tool", name="deploy"))
            return Outcome(output=None)

        later = steps(Works(RateLimitError("busy", retry_after=3600.0)))
        async with rig({"asks": asks, "later": later}, gate=gate, clock=FakeClock()) as test:
            await test.submit("person", flow="asks")
            await test.submit("timer", flow="later")
            for run_id, status in (("person", "awaiting_approval"), ("timer", "waiting")):
                await until_status(test, status, run_id)
                assert await test.engine.cancel(run_id, by="ann")
                assert (await test.wait(run_id)).finished.status == "cancelled"  # type: ignore[union-attr]

    async def test_it_needs_no_program_to_end_a_run(self, tmp_path: Path) -> None:
        later = steps(Works(RateLimitError("busy", retry_after=3600.0)))
        async with rig({"task": later}, path=tmp_path / "j.db") as one:
            await one.submit()
            await until_status(one, "waiting")
        async with rig({}, path=tmp_path / "j.db") as two:
            assert await two.engine.cancel("run", by="ann")
            assert (await two.wait()).finished.status == "cancelled"  # type: ignore[union-attr]

    async def test_it_reaches_a_run_that_another_process_drives(self, tmp_path: Path) -> None:
        act = Stays()
        async with (
            rig(steps(act), path=tmp_path / "j.db") as driver,
            rig({}, path=tmp_path / "j.db") as other,
        ):
            await driver.submit()
            await act.begun.wait()
            watching = asyncio.ensure_future(other.wait())
            assert await other.engine.cancel("run", by="someone else")
            for end in (await watching, await driver.wait()):
                assert end.finished is not None
                assert end.finished.status == "cancelled"
        assert act.cut_off == 1

    async def test_an_agent_that_swallows_it_begins_nothing_new_and_is_cancelled_again(self) -> None:
        second = Works()

        async def stubborn(attempt: Attempt) -> str:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return "I go on"
            return ""

        begun = asyncio.Event()
        async with rig(steps(stubborn, second)) as test:
            await test.submit()
            await begun.wait()
            await test.engine.cancel("run", by="ann")
            assert (await test.wait()).finished.status == "cancelled"  # type: ignore[union-attr]
        assert second.times == 0

    async def test_an_agent_that_clings_on_is_cancelled_again_and_again(self) -> None:
        clock, swallowed = FakeClock(), 0

        async def clings(attempt: Attempt) -> None:
            nonlocal swallowed
            begun.set()
            while swallowed < 3:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    swallowed += 1

        begun = asyncio.Event()
        async with rig(steps(clings), clock=clock) as test:
            await test.submit()
            await begun.wait()
            await test.engine.cancel("run", by="ann")
            waiting = asyncio.ensure_future(test.wait())
            while not waiting.done():
                await clock.advance(1.0)
                await asyncio.sleep(0.001)
            assert (await waiting).finished.status == "cancelled"  # type: ignore[union-attr]
        assert swallowed == 3

    async def test_an_agent_that_makes_an_error_of_it_is_cancelled_all_the_same(self) -> None:
        async def translates(attempt: Attempt) -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise AgentFailed("My connection broke.") from None

        begun = asyncio.Event()
        async with rig(steps(translates)) as test:
            await test.submit()
            await begun.wait()
            await test.engine.cancel("run", by="ann")
            assert (await test.wait()).finished.status == "cancelled"  # type: ignore[union-attr]

    async def test_whenever_it_comes_the_run_ends_and_whoever_waits_is_told(self, tmp_path: Path) -> None:
        """Also in the moment in which the run's last fact is being written."""

        async def flow(bench: RunBench, run: Run) -> Outcome:
            for _ in range(int(run.run_id) % 7):
                await asyncio.sleep(0)
            return Outcome(output="done")

        async with rig(flow, path=tmp_path / "j.db") as test:
            for number in range(75):
                run_id = str(number)
                await test.submit(run_id)
                waiting = asyncio.ensure_future(test.wait(run_id))
                await asyncio.sleep(0.0001 * (number % 25))
                asking = asyncio.ensure_future(test.engine.cancel(run_id, by="ann"))
                end = await waiting
                assert end.finished is not None
                assert end.finished.status in ("completed", "cancelled")
                await asking
                assert await status_of(test, run_id) == end.finished.status

    async def test_it_comes_too_late_when_the_last_fact_is_being_written(self) -> None:
        journal = HoldsTheEnd(None)
        async with rig(steps(Works()), journal=journal) as test:
            await test.submit()
            waiting = asyncio.ensure_future(test.wait())
            await journal.writing.wait()
            assert await test.engine.cancel("run", by="ann")
            journal.leave.set()
            assert (await waiting).finished.status == "completed"  # type: ignore[union-attr]

    async def test_there_must_be_such_a_run(self) -> None:
        async with rig({}) as test:
            with pytest.raises(NotFound):
                await test.engine.cancel("nobody", by="ann")


class TestPause:
    async def test_the_step_it_is_in_is_finished_and_nothing_new_is_begun(self) -> None:
        act, after = Stays(), Works()
        async with rig(steps(act, after)) as test:
            await test.submit()
            await act.begun.wait()
            await test.engine.pause("run", by="ann")
            act.leave.set()
            end = await test.wait()
            assert end.waiting is not None
            assert (end.waiting.reason, after.times) == ("paused", 0)
            assert (await test.load()).steps["1"].status == "finished"
            assert (await test.resume()).finished.output == ["stayed", "done"]  # type: ignore[union-attr]
        assert (act.times, after.times) == (1, 1)

    async def test_a_run_in_another_process_is_paused_through_the_journal(self, tmp_path: Path) -> None:
        act, after = Stays(), Works()
        async with (
            rig(steps(act, after), path=tmp_path / "j.db") as driver,
            rig({}, path=tmp_path / "j.db") as other,
        ):
            await driver.submit()
            await act.begun.wait()
            await other.engine.pause("run", by="someone else")
            await asyncio.sleep(0.25)  # the driver looks ten times a second
            act.leave.set()
            assert (await driver.wait()).waiting.reason == "paused"  # type: ignore[union-attr]
        assert after.times == 0

    async def test_a_resume_before_it_took_effect_takes_it_back(self) -> None:
        act, after = Stays(), Works()
        async with rig(steps(act, after)) as test:
            await test.submit()
            await act.begun.wait()
            await test.engine.pause("run", by="ann")
            await test.engine.resume("run", by="ann")
            act.leave.set()
            assert (await test.wait()).finished.status == "completed"  # type: ignore[union-attr]
        assert after.times == 1

    async def test_a_resume_while_it_takes_effect_is_not_lost(self) -> None:
        async with rig(steps(Works(), Works(), Works())) as test:
            for number in range(30):
                run_id = str(number)
                await test.submit(run_id)
                for _ in range(number % 7):
                    await asyncio.sleep(0)
                if await status_of(test, run_id) == "completed":
                    continue
                await test.journal.append(run_id, [PauseAsked(by="ann"), ResumeAsked(by="ann")])
                assert (await test.resume(run_id)).finished.status == "completed"  # type: ignore[union-attr]

    async def test_what_is_over_cannot_be_paused(self) -> None:
        async with rig(steps(Works())) as test:
            await test.go()
            with pytest.raises(Conflict) as over:
                await test.engine.pause("run", by="ann")
            assert over.value.code == "run.over"


class TestDeadline:
    async def test_a_run_that_takes_too_long_fails_in_time(self) -> None:
        act = Stays()
        async with rig(steps(act)) as test:
            begun = time.monotonic()
            end = await test.go(timeout=0.1)
            assert time.monotonic() - begun < 2.0
            assert end.finished is not None
            assert (end.finished.status, act.cut_off) == ("failed", 1)
            assert end.finished.failure is not None
            assert end.finished.failure.code == "agent.timeout"
            assert "0.1 s" in end.finished.failure.says

    async def test_a_pause_that_would_pass_it_is_not_made(self) -> None:
        clock, act = FakeClock(), Works(RateLimitError("busy", retry_after=100.0))
        async with rig(steps(act), clock=clock) as test:
            end = await test.go(timeout=60.0)
            assert end.finished is not None
            assert end.finished.failure is not None
            assert end.finished.failure.code == "agent.rate_limit"

    async def test_the_time_of_retries_counts_and_the_time_of_people_does_not(self) -> None:
        clock, gate = FakeClock(), ToldGate()
        gate.verdicts["tool"] = Verdict(effect=Effect.APPROVAL, reason="Ask.")
        act = Works(RateLimitError("busy", retry_after=40.0))

        async def flow(bench: RunBench, run: Run) -> Outcome:
            await bench.step("tool", Works(), what="tool", judge=Act(kind="tool", name="deploy"))
            await bench.step("busy", act, what="model")
            await bench.sleep("nap", 30.0)
            return Outcome(output="in time")

        async with rig(flow, clock=clock, gate=gate) as test:
            await test.submit(timeout=60.0)
            run = await until_status(test, "awaiting_approval")
            await clock.advance(10_000.0)
            await test.answer(run.open_questions()[0].question_id, "allow")
            await until_status(test, "waiting")
            await clock.advance(40.0)
            await until_status(test, "waiting")
            await until(lambda: act.times == 2)
            run = await until_status(test, "waiting")
            assert run.waiting is not None
            assert run.waiting.until is not None
            assert run.waiting.until - clock.now() == pytest.approx(20.0, abs=1.0)
            await clock.advance(30.0)
            end = await test.wait()
            assert end.finished is not None
            assert end.finished.failure is not None
            assert end.finished.failure.code == "agent.timeout"

    async def test_a_shutdown_does_not_use_it_up(self, tmp_path: Path) -> None:
        clock, act = FakeClock(), Stays()
        async with rig(steps(act), path=tmp_path / "j.db", clock=clock, grace=0.0) as one:
            await one.submit(timeout=60.0)
            await act.begun.wait()
            await clock.advance(10.0)
        await clock.advance(10_000.0)
        act.leave.set()
        async with rig(steps(act), path=tmp_path / "j.db", clock=clock) as two:
            end = await two.resume()
            assert end.finished is not None
            assert (end.finished.status, end.finished.seconds) == ("completed", 10.0)


class TestShutdown:
    async def test_running_steps_finish_and_the_next_ones_are_begun_by_another_process(self, tmp_path: Path) -> None:
        act, after = Stays(), Works()
        async with rig(steps(act, after), path=tmp_path / "j.db") as one:
            await one.submit()
            waiting = asyncio.ensure_future(one.wait())
            await act.begun.wait()
            closing = asyncio.ensure_future(one.engine.close())
            await asyncio.sleep(0.01)
            act.leave.set()
            await closing
            assert (await waiting).waiting.reason == "shutdown"  # type: ignore[union-attr]
            assert after.times == 0
        async with rig(steps(act, after), path=tmp_path / "j.db") as two:
            assert (await two.resume()).finished.output == ["stayed", "done"]  # type: ignore[union-attr]
        assert (act.times, act.cut_off, after.times) == (1, 0, 1)

    async def test_steps_that_take_longer_than_the_grace_are_cut_off(self, tmp_path: Path) -> None:
        act = Stays()
        async with rig(steps(Works(), act), path=tmp_path / "j.db", grace=0.02) as one:
            await one.submit()
            await act.begun.wait()
        act.leave.set()
        async with rig(steps(Works(), act), path=tmp_path / "j.db") as two:
            run = await two.load()
            assert (run.status, run.steps["2"].status) == (TaskStatus.WAITING, "running")
            assert (await two.resume()).finished.output == ["done", "stayed"]  # type: ignore[union-attr]
        assert (act.times, act.cut_off) == (2, 1)

    async def test_runs_that_never_had_their_turn_can_be_driven_by_others(self, tmp_path: Path) -> None:
        act, queued = Stays(), Works()
        flows = {"busy": steps(act), "task": steps(queued)}
        async with rig(flows, path=tmp_path / "j.db", max_runs=1) as one:
            await one.submit("first", flow="busy")
            await act.begun.wait()
            await one.submit("second")
            waiting = asyncio.ensure_future(one.wait("second"))
            await asyncio.sleep(0.01)
            act.leave.set()
            await one.engine.close()
            assert (await waiting).waiting.reason == "shutdown"  # type: ignore[union-attr]
            async with rig(flows, path=tmp_path / "j.db") as two:
                assert (await two.resume("second")).finished.status == "completed"  # type: ignore[union-attr]
        assert queued.times == 1

    async def test_nothing_is_taken_in_while_it_shuts_down(self) -> None:
        async with rig(steps(Works())) as test:
            await test.engine.close()
            for call in (test.submit("late"), test.engine.resume("late", by="ann")):
                with pytest.raises(Conflict) as closing:
                    await call
                assert closing.value.code == "run.closing"

    async def test_closing_twice_does_nothing(self) -> None:
        async with rig(steps(Works())) as test:
            await test.go()
            await test.engine.close()
            await test.engine.close()

    async def test_whoever_submits_and_is_gone_leaves_a_run_that_is_driven(self) -> None:
        act = Works()
        async with rig(steps(act)) as test:
            for number in range(10):
                submitting = asyncio.ensure_future(test.submit(str(number)))
                for _ in range(number % 3 + 1):
                    await asyncio.sleep(0)
                submitting.cancel()
                await asyncio.wait({submitting})
            rows: list[Any] = []
            async with asyncio.timeout(5):
                while not rows or any(not row.status.is_final for row in rows):
                    await asyncio.sleep(0.01)
                    rows = await _rows(test)
            assert act.times == len(rows)


async def _rows(test: Rig) -> list[Any]:
    return await test.journal.runs(Query())


async def test_a_wish_heard_late_does_not_stop_what_came_after_it() -> None:
    """The listener hears a cancel that the failed run's next try has already left behind."""
    act = Works(AgentFailed("no"))
    async with rig(steps(act)) as test:
        await test.go()
        await test.journal.append("run", [CancelAsked(by="late")])
        assert (await test.resume()).finished.status == "completed"  # type: ignore[union-attr]
