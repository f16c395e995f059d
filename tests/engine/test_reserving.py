"""A step is begun with its price reserved, or not at all; and what it came to settles that, whatever happens."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from interlock.agents.agent import Done
from interlock.engine.bench import RunBench
from interlock.engine.drive import Flow, Outcome
from interlock.engine.retry import RetryPolicy
from interlock.errors import (
    AgentAPIError,
    AgentTimeoutError,
    ConnectionFailed,
    InterlockError,
    OutputInvalid,
    RateLimitError,
)
from interlock.records.charge import Account, Charge, Rate
from interlock.records.fact import GateAnswered, Noted, RunWaiting, StepFailed, StepFinished, StepStarted
from interlock.records.money import Usage
from interlock.records.run import QUEUED, Run
from interlock.records.verdict import ALLOWED, Act, Effect, Verdict
from interlock.stores.sqlite import SqliteJournal
from interlock.testing import FakeClock
from tests.engine.rig import Rig, Stays, ToldGate, Works, admitted, rig, until

DAY = Account(key="day", name="daily", limit=100, scope="platform", alert_at=(0.8, 1.0))
USED = Usage(input_tokens=5, output_tokens=2, requests=1)


def gate(*rates: Rate, micros: int = 40, accounts: tuple[Account, ...] = (DAY,), tokens: int = 10) -> ToldGate:
    told = ToldGate()
    charge = Charge(micros=micros, tokens=tokens, accounts=accounts, rates=rates, agent="ann", model="sim/m")
    told.verdicts["model"] = Verdict(effect=Effect.ALLOW, charge=charge)
    return told


def per(seconds: float, burst: int = 1) -> Rate:
    return Rate(key="rate", name="max_requests", quantity=1, interval=round(seconds * 10**9), burst=burst)


def asks(*acts: Any, at_once: bool = False) -> Flow:
    judge = Act(kind="model", name="m", agent="ann", arguments={"provider": "sim"})

    async def flow(bench: RunBench, run: Run) -> Outcome:
        async def one(number: int, act: Any) -> Any:
            return await bench.step(f"model/{number}", act, what="model", label="sim:m", judge=judge)

        if at_once:
            return Outcome(output=await asyncio.gather(*(one(n, act) for n, act in enumerate(acts, 1))))
        return Outcome(output=[await one(number, act) for number, act in enumerate(acts, 1)], agent="ann")

    return flow


async def balance(test: Rig, key: str = "day") -> tuple[int, int]:
    found = {row.key: row for row in await test.journal.accounts()}
    return (found[key].spent, found[key].reserved) if key in found else (0, 0)


class TestBudget:
    async def test_a_call_is_held_for_while_it_goes_on_and_costs_what_it_cost(self) -> None:
        stays = Stays(Done(output="ok", usage=USED, cost_micros=15))
        async with rig(asks(stays), gate=gate()) as test:
            await test.submit()
            await stays.begun.wait()
            assert await balance(test) == (0, 40)
            stays.leave.set()
            end = await test.wait()
            assert end.finished is not None
            assert end.finished.cost_micros == 15
            assert await balance(test) == (15, 0)
            (started,) = await test.facts("run", "step.started")
            (finished,) = await test.facts("run", "step.finished")
        assert isinstance(started, StepStarted)
        assert isinstance(finished, StepFinished)
        assert (started.hold_micros, finished.agent, finished.model) == (40, "ann", "sim/m")

    async def test_what_does_not_fit_is_not_begun_and_fails_the_run_for_now(self) -> None:
        spends = [Works(output=Done(output=n, cost_micros=35)) for n in range(3)]
        async with rig(asks(*spends), gate=gate()) as test:
            end = await test.go()
            assert end.finished is not None
            assert end.finished.failure is not None
            assert (end.finished.status, end.finished.failure.code) == ("failed", "budget.exceeded")
            assert "daily" in end.finished.failure.says
            assert [act.times for act in spends] == [1, 1, 0]
            assert await balance(test) == (70, 0)
            (failed,) = await test.facts("run", "step.failed")
            assert isinstance(failed, StepFailed)
            assert (failed.path, failed.attempt, failed.cost_micros) == ("model/3", 0, 0)
            # Once there is more money, it goes on where it stopped.
            test.gate.verdicts["model"] = gate(accounts=(Account(key="day", name="daily", limit=200),)).verdicts[
                "model"
            ]
            again = await test.resume()
            assert again.finished is not None
            assert (again.finished.status, again.finished.cost_micros) == ("completed", 105)
        assert [act.times for act in spends] == [1, 1, 1]

    async def test_of_many_at_once_only_those_that_fit_are_begun(self) -> None:
        spends = [Works(output=Done(output=n, cost_micros=40)) for n in range(5)]
        async with rig(asks(*spends, at_once=True), gate=gate()) as test:
            end = await test.go()
            assert end.finished is not None
            assert end.finished.status == "failed"
            assert sum(act.times for act in spends) == 2
            spent, reserved = await balance(test)
            assert (reserved, spent) == (0, 80)

    @pytest.mark.parametrize(
        ("error", "cost"),
        [
            (RateLimitError("busy"), 0),
            (AgentAPIError("500"), 0),
            (AgentTimeoutError("late"), 40),
            (ConnectionFailed("broken"), 40),
            (OutputInvalid("no JSON"), 40),
            (ValueError("bug"), 40),
        ],
    )
    async def test_a_failure_is_free_only_where_that_is_known(self, error: Exception, cost: int) -> None:
        async with rig(asks(Works(error)), gate=gate(), retry=RetryPolicy(attempts=1)) as test:
            end = await test.go()
            assert end.finished is not None
            assert end.finished.status == "failed"
            (failed,) = await test.facts("run", "step.failed")
            assert isinstance(failed, StepFailed)
            assert (failed.cost_micros, end.finished.cost_micros) == (cost, cost)
            assert await balance(test) == (cost, 0)

    async def test_each_try_is_reserved_for_anew(self) -> None:
        act = Works(AgentTimeoutError("late"), AgentTimeoutError("late"), output=Done(output="ok", cost_micros=1))
        async with rig(asks(act), gate=gate()) as test:
            end = await test.go()
            assert end.finished is not None
            assert end.finished.failure is not None
            assert end.finished.failure.code == "budget.exceeded"
            assert act.times == 2
            assert await balance(test) == (80, 0)

    async def test_a_cancelled_call_is_charged_in_full(self) -> None:
        stays = Stays()
        async with rig(asks(stays), gate=gate()) as test:
            await test.submit()
            await stays.begun.wait()
            await test.engine.cancel("run", by="ann")
            end = await test.wait()
            assert end.finished is not None
            assert (end.finished.status, end.finished.cost_micros) == ("cancelled", 40)
            assert await balance(test) == (40, 0)

    async def test_a_call_that_was_cut_off_is_charged_in_full_before_it_is_made_again(self, tmp_path: Path) -> None:
        stays, after = Stays(), Works(output=Done(output="ok", cost_micros=3))
        path = tmp_path / "interlock.db"
        async with rig(asks(stays), gate=gate(), path=path, grace=0.0) as test:
            await test.submit()
            await stays.begun.wait()
        async with rig(asks(after), gate=gate(), path=path) as test:
            assert await balance(test) == (0, 40)
            end = await test.resume()
            assert end.finished is not None
            assert (end.finished.status, end.finished.cost_micros) == ("completed", 43)
            assert await balance(test) == (43, 0)
            run = await test.load()
            assert run.cost_micros == 43
            assert sum(row.micros for row in await test.journal.spending("model")) == 43

    async def test_a_second_try_that_does_not_fit_keeps_the_charge_of_the_first(self, tmp_path: Path) -> None:
        stays, after = Stays(), Works()
        path = tmp_path / "interlock.db"
        async with rig(asks(stays), gate=gate(micros=60), path=path, grace=0.0) as test:
            await test.submit()
            await stays.begun.wait()
        async with rig(asks(after), gate=gate(micros=60), path=path) as test:
            end = await test.resume()
            assert end.finished is not None
            assert (end.finished.status, end.finished.cost_micros) == ("failed", 60)
            assert await balance(test) == (60, 0)
        assert after.times == 0

    async def test_an_answer_that_cannot_be_kept_has_cost_what_it_cost(self) -> None:
        act = Works(output=Done(output=object(), usage=USED, cost_micros=9))
        async with rig(asks(act), gate=gate()) as test:
            end = await test.go()
            assert end.finished is not None
            assert end.finished.status == "failed"
            assert await balance(test) == (9, 0)
            assert (await test.load()).cost_micros == 9

    async def test_a_threshold_is_noted_once_and_whoever_listens_is_told(self) -> None:
        heard: list[Any] = []
        acts = [Works(output=Done(output=n, cost_micros=21)) for n in range(4)]
        async with rig(asks(*acts), gate=gate(micros=21)) as test:
            await test.submit()
            test.engine.listen("run", lambda kind, record: heard.append(record))
            await test.wait()
            notes = await test.facts("run", "noted")
            seqs = [record.seq for record in await test.journal.read("run")]
        assert [note.code for note in notes if isinstance(note, Noted)] == ["budget.threshold"]
        told = [record for record in heard if hasattr(record, "fact")]
        assert [record.seq for record in told] == seqs[-len(told) :]
        assert [record.fact.kind for record in told].count("noted") == 1

    async def test_a_loop_of_cheap_successes_comes_to_its_end(self) -> None:
        acts = [Works(output=Done(output=n, cost_micros=1)) for n in range(200)]
        async with rig(asks(*acts), gate=gate(micros=1)) as test:
            end = await test.go()
            assert end.finished is not None
            assert end.finished.status == "failed"
            assert sum(act.times for act in acts) == 100

    async def test_without_a_charge_there_is_nothing_to_settle(self) -> None:
        told = ToldGate()
        told.verdicts["model"] = ALLOWED
        async with rig(asks(Works(output=Done(output=1, cost_micros=5))), gate=told) as test:
            end = await test.go()
            assert end.finished is not None
            assert end.finished.cost_micros == 5
            assert await test.journal.accounts() == []


class TestRate:
    async def test_a_call_waits_for_its_turn_and_that_is_no_try(self) -> None:
        clock = FakeClock(auto=True)
        act = [Works(), Works()]
        async with rig(asks(*act), gate=gate(per(1.0), accounts=()), clock=clock) as test:
            end = await test.go()
            assert end.finished is not None
            assert end.finished.status == "completed"
            assert [attempt for _, attempt, _ in await test.starts()] == [1, 1]
        assert clock.slept == [pytest.approx(1.0, abs=0.1)]

    async def test_a_long_wait_parks_the_run(self) -> None:
        clock = FakeClock()
        async with rig(asks(Works(), Works()), gate=gate(per(3_600.0), accounts=()), clock=clock) as test:
            await test.submit()
            await until(lambda: test.engine.driving == 0)
            (waiting,) = await test.facts("run", "run.waiting")
            assert isinstance(waiting, RunWaiting)
            assert waiting.until == pytest.approx(clock.now() + 3_600, abs=500)
            await clock.advance(4_100)
            end = await test.wait()
            assert end.finished is not None
            assert end.finished.status == "completed"

    async def test_a_wait_beyond_the_deadline_is_a_failure_with_its_reason(self) -> None:
        clock = FakeClock()
        async with rig(asks(Works(), Works()), gate=gate(per(3_600.0), accounts=()), clock=clock) as test:
            end = await test.go(timeout=60.0)
            assert end.finished is not None
            assert end.finished.failure is not None
            failure = end.finished.failure
            assert (end.finished.status, failure.code) == ("failed", "agent.rate_limit")
            assert failure.retry_after == pytest.approx(3_600.0)


class TestDoor:
    def told(self, clock: FakeClock) -> ToldGate:
        told = ToldGate()
        rate = Rate(key="door", name="max_tasks", quantity=1, interval=60 * 10**9, burst=1)
        told.verdicts["task"] = Verdict(effect=Effect.ALLOW, charge=Charge(rates=(rate,), queue=True))
        return told

    async def queue(self, test: Rig, run_id: str, until: float) -> None:
        waiting = RunWaiting(reason="timer", until=until, ref=QUEUED)
        await test.engine.submit(run_id, [admitted(), waiting])

    async def test_a_queued_task_takes_its_place_when_there_is_room_and_only_then(self) -> None:
        clock, act = FakeClock(), Works()
        told = self.told(clock)
        async with rig(asks(act), gate=told, clock=clock) as test:
            charge = told.verdicts["task"].charge
            await test.engine.submit("first", [admitted()], charge=charge)
            await test.wait("first")
            with pytest.raises(InterlockError) as caught:
                await test.engine.submit("run", [admitted()], charge=charge)
            assert caught.value.retry_after == pytest.approx(60.0)
            await self.queue(test, "run", clock.now() + 30)  # it comes back too early, and waits once more
            await clock.advance(31)
            await until(lambda: test.engine.driving == 0)
            assert (await test.load()).status.value == "waiting"
            assert act.times == 1
            await clock.advance(30)
            end = await test.wait()
            assert end.finished is not None
            assert end.finished.status == "completed"
            run = await test.load()
            assert not run.queued
            (answer,) = await test.facts("run", "gate.answered")
            assert isinstance(answer, GateAnswered)
            assert (answer.act, answer.effect) == ("task", "allow")
        assert act.times == 2

    async def test_a_queued_task_that_was_let_in_is_not_counted_again(self, tmp_path: Path) -> None:
        clock, stays = FakeClock(), Stays()
        path = tmp_path / "interlock.db"
        async with rig(asks(stays), gate=self.told(clock), clock=clock, path=path, grace=0.0) as test:
            await self.queue(test, "run", clock.now() + 1)
            await clock.advance(2)
            await stays.begun.wait()
        async with rig(asks(Works()), gate=self.told(clock), clock=clock, path=path) as test:
            end = await test.resume()
            assert end.finished is not None
            assert end.finished.status == "completed"

    async def test_a_queued_task_that_the_gate_does_not_want_any_more_is_refused(self) -> None:
        clock, act = FakeClock(), Works()
        told = self.told(clock)
        async with rig(asks(act), gate=told, clock=clock) as test:
            await self.queue(test, "run", clock.now() + 30)
            told.verdicts["task"] = Verdict(effect=Effect.BLOCK, rule="new", reason="Not any more.")
            await clock.advance(31)
            end = await test.wait()
            assert end.finished is not None
            assert end.finished.status == "blocked"
        assert act.times == 0


async def test_a_refusal_loses_nothing_that_was_done_before_it() -> None:
    """Outcomes travel with the next intent; when that is refused, they are written all the same."""
    journal = SqliteJournal(None)
    acts = [Works(output=Done(output="kept", cost_micros=40)), Works(), Works()]
    async with rig(asks(*acts), gate=gate(micros=61), journal=journal) as test:
        end = await test.go()
        assert end.finished is not None
        assert end.finished.failure is not None
        assert end.finished.failure.code == "budget.exceeded"
        run = await test.load()
        assert run.steps["model/1"].output == "kept"


@pytest.mark.parametrize("cost", [-5, 10**30, 1.5, float("nan"), True])
async def test_a_cost_that_cannot_be_is_charged_as_all_that_was_held(cost: Any) -> None:
    async with rig(asks(Works(output=Done(output="ok", usage=USED, cost_micros=cost))), gate=gate()) as test:
        end = await test.go()
        assert end.finished is not None
        assert (end.finished.status, end.finished.cost_micros) == ("completed", None)
        assert await balance(test) == (40, 0)


@pytest.mark.parametrize("tokens", [-(10**9), 10**30, float("nan"), None])
async def test_tokens_that_cannot_be_make_the_price_unknown(tokens: Any) -> None:
    used = Usage(input_tokens=5, output_tokens=tokens, requests=1)
    async with rig(asks(Works(output=Done(output="ok", usage=used, cost_micros=1))), gate=gate()) as test:
        end = await test.go()
        assert end.finished is not None
        assert end.finished.status == "completed"
        assert await balance(test) == (40, 0)
