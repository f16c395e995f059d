"""Each step is done once and only once: its intent before, its outcome after, and a replay in between."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from interlock.agents.agent import Attempt, Done
from interlock.engine.bench import RunBench
from interlock.engine.drive import Outcome
from interlock.engine.retry import RetryPolicy
from interlock.errors import AgentFailed, AuthenticationError, RateLimitError, ToolFailed
from interlock.records.fact import Noted, StepFailed, StepFinished
from interlock.records.money import Usage
from interlock.records.run import Run
from interlock.records.task import TaskStatus
from interlock.records.verdict import Act
from interlock.testing.clock import FakeClock
from tests.engine.rig import Stays, Works, rig, steps, until, until_status


class TestOnce:
    async def test_a_step_is_written_down_before_and_after(self) -> None:
        async with rig(steps(Works())) as test:
            end = await test.go()
            assert end.finished is not None
            assert end.finished.status == "completed"
            assert end.finished.output == ["done"]
            assert await test.kinds() == [
                "run.admitted",
                "run.started",
                "step.started",
                "step.finished",
                "run.finished",
            ]

    async def test_the_intent_is_durable_before_the_act_begins(self) -> None:
        seen: list[list[str]] = []

        async def act(attempt: Attempt) -> None:
            seen.append(await test.kinds())

        async with rig(steps(act)) as test:
            await test.go()
        assert seen == [["run.admitted", "run.started", "step.started"]]

    async def test_an_outcome_is_durable_before_the_next_act_begins(self) -> None:
        seen: list[str] = []

        async def look(attempt: Attempt) -> None:
            seen.extend(await test.kinds())

        async with rig(steps(Works(), look)) as test:
            await test.go()
        assert seen.count("step.finished") == 1

    async def test_an_outcome_is_durable_soon_even_when_nothing_follows(self) -> None:
        stay = asyncio.Event()

        async def flow(bench: RunBench, run: Run) -> Outcome:
            await bench.step("only", Works(), what="function")
            await stay.wait()
            return Outcome(output=None)

        async with rig(flow) as test:
            await test.submit()
            async with asyncio.timeout(5):
                while "step.finished" not in await test.kinds():
                    await asyncio.sleep(0.005)
            stay.set()
            await test.wait()

    async def test_a_finished_step_is_not_done_again_when_the_run_goes_on(self) -> None:
        first, second = Works(output={"n": 1}), Works(ToolFailed("no"))
        async with rig(steps(first, second)) as test:
            assert (await test.go()).finished.status == "failed"  # type: ignore[union-attr]
            end = await test.resume()
            assert end.finished is not None
            assert end.finished.output == [{"n": 1}, "done"]
        assert (first.times, second.times) == (1, 2)

    async def test_a_run_that_completed_is_not_driven_again(self) -> None:
        act = Works()
        async with rig(steps(act)) as test:
            first = await test.go()
            assert await test.resume() == first
        assert act.times == 1

    async def test_the_flow_sees_live_what_it_would_see_on_replay(self) -> None:
        seen: list[Any] = []

        async def flow(bench: RunBench, run: Run) -> Outcome:
            seen.append(await bench.step("a", Works(output=(1, {2: "two"})), what="function"))
            await bench.step("b", fails, what="function")
            return Outcome(output=None)

        fails = Works(ToolFailed("no"))
        async with rig(flow) as test:
            await test.go()
            await test.resume()
        assert seen == [[1, {"2": "two"}]] * 2

    async def test_two_steps_of_one_name_are_refused(self) -> None:
        async def flow(bench: RunBench, run: Run) -> Outcome:
            for _ in range(2):
                await bench.scope("plan").step("same", act, what="function")
            return Outcome(output=None)

        act = Works()
        async with rig(flow) as test:
            end = await test.go()
            assert end.finished is not None
            assert end.finished.failure is not None
            assert end.finished.failure.code == "usage.step_name"
            assert "plan/same" in end.finished.failure.says
        assert act.times == 1

    async def test_steps_of_the_same_name_in_other_scopes_are_other_steps(self) -> None:
        async def flow(bench: RunBench, run: Run) -> Outcome:
            async with asyncio.TaskGroup() as group:
                for scope in ("a", "b"):
                    group.create_task(bench.scope(scope).scope("x").step("same", Works(), what="function"))
            return Outcome(output=None)

        async with rig(flow) as test:
            await test.go()
            assert sorted(await test.starts()) == [("a/x/same", 1, "run/a/x/same"), ("b/x/same", 1, "run/b/x/same")]

    async def test_usage_and_cost_add_up_and_an_unknown_cost_stays_unknown(self) -> None:
        used = Usage(input_tokens=10, output_tokens=1, requests=1)
        for cost, total in ((5, 10), (None, None)):
            acts = [Works(output=Done(output=1, usage=used, cost_micros=5)), Works()]
            acts.append(Works(output=Done(output=2, usage=used, cost_micros=cost)))
            async with rig(steps(*acts)) as test:
                end = await test.go()
                assert end.finished is not None
                assert (end.finished.cost_micros, end.finished.usage) == (total, used + used)
                run = await test.load()
                assert (run.cost_micros, run.usage.total_tokens) == (total, 22)

    async def test_a_note_is_written_once_however_often_the_run_is_replayed(self) -> None:
        async def flow(bench: RunBench, run: Run) -> Outcome:
            await bench.note("warning", "test.note", "Look at this.")
            await bench.step("a", fails, what="function")
            return Outcome(output=None)

        fails = Works(ToolFailed("no"), ToolFailed("no"))
        async with rig(flow) as test:
            await test.go()
            await test.resume()
            await test.resume()
            assert await test.facts("run", "noted") == [
                Noted(level="warning", code="test.note", says="Look at this.", path="")
            ]


class TestTryingAgain:
    async def test_what_fails_for_a_moment_is_tried_again_under_the_same_key(self) -> None:
        act = Works(RateLimitError("busy"), RateLimitError("busy"))
        async with rig(steps(act)) as test:
            end = await test.go()
            assert end.finished is not None
            assert end.finished.output == ["done"]
            assert await test.starts() == [("1", n, "run/1") for n in (1, 2, 3)]
            failed = await test.facts("run", "step.failed")
            assert [isinstance(f, StepFailed) and f.again_at is not None for f in failed] == [True, True]
        assert [(attempt.number, attempt.key) for attempt in act.attempts] == [(n, "run/1") for n in (1, 2, 3)]

    async def test_after_the_last_try_the_run_fails_with_what_went_wrong(self) -> None:
        act = Works(*[RateLimitError("busy", "Wait.")] * 9)
        async with rig(steps(act), retry=RetryPolicy(attempts=3, base=0.0)) as test:
            end = await test.go()
            assert end.finished is not None
            assert end.finished.failure is not None
            assert (end.finished.failure.code, end.finished.failure.do) == ("agent.rate_limit", "Wait.")
        assert act.times == 3

    @pytest.mark.parametrize("error", [AuthenticationError("no key"), ToolFailed("no"), ValueError("bug")])
    async def test_what_cannot_get_better_is_not_tried_again(self, error: Exception) -> None:
        act = Works(error)
        async with rig(steps(act)) as test:
            assert (await test.go()).finished.status == "failed"  # type: ignore[union-attr]
        assert act.times == 1

    async def test_a_step_may_have_its_own_number_of_tries(self) -> None:
        act = Works(RateLimitError("busy"), RateLimitError("busy"))
        async with rig(steps(act, attempts=2)) as test:
            assert (await test.go()).finished.status == "failed"  # type: ignore[union-attr]
        assert act.times == 2

    async def test_a_short_pause_is_waited_for_as_long_as_the_other_side_asked(self) -> None:
        act, clock = Works(RateLimitError("busy", retry_after=1.5)), FakeClock(auto=True)
        async with rig(steps(act), clock=clock) as test:
            assert (await test.go()).finished.status == "completed"  # type: ignore[union-attr]
        assert clock.slept == [1.5]

    async def test_a_long_pause_parks_the_run_and_a_timer_brings_it_back(self) -> None:
        act, clock = Works(RateLimitError("busy", retry_after=60.0)), FakeClock()
        async with rig(steps(Works(), act), clock=clock) as test:
            await test.submit()
            waiting = asyncio.ensure_future(test.wait())
            await until(lambda: act.times == 1 and test.engine.driving == 0)
            run = await test.load()
            assert run.status is TaskStatus.WAITING
            assert run.waiting is not None
            assert run.waiting.until == clock.now() + 60.0
            await clock.advance(59.0)
            assert (act.times, test.engine.driving) == (1, 0)
            await clock.advance(1.0)
            assert (await waiting).finished.output == ["done", "done"]  # type: ignore[union-attr]
            assert await test.starts() == [("1", 1, "run/1"), ("2", 1, "run/2"), ("2", 2, "run/2")]

    async def test_the_earliest_of_many_timers_rings_first_whatever_their_priority(self) -> None:
        clock, woken = FakeClock(), []

        async def flow(bench: RunBench, run: Run) -> Outcome:
            await bench.sleep("nap", {"urgent": 3600.0, "early": 5.0, "late": 10.0}[run.run_id])
            woken.append(run.run_id)
            return Outcome(output=None)

        async with rig(flow, clock=clock) as test:
            for run_id, priority in (("urgent", 1), ("early", 3), ("late", 5)):
                await test.submit(run_id, priority=priority)
                await until_status(test, "waiting", run_id)
            await clock.advance(5.0)
            await until(lambda: woken == ["early"])
            await test.wait("early")
            await clock.advance(5.0)
            await until(lambda: woken == ["early", "late"])

    async def test_a_durable_sleep_is_slept_once(self) -> None:
        clock, fails = FakeClock(), Works(ToolFailed("no"))

        async def flow(bench: RunBench, run: Run) -> Outcome:
            await bench.sleep("nap", 100.0)
            await bench.step("after", fails, what="function")
            return Outcome(output="awake")

        async with rig(flow, clock=clock) as test:
            await test.submit()
            await until_status(test, "waiting")
            await clock.advance(100.0)
            await test.wait()
            assert (await test.resume()).finished.output == "awake"  # type: ignore[union-attr]
            assert (await test.load()).steps["nap"].status == "finished"

    async def test_a_failure_keeps_its_traceback_to_itself(self) -> None:
        async with rig(steps(Works(ValueError("what happened")))) as test:
            end = await test.go()
            assert end.finished is not None
            assert end.finished.failure is not None
            assert end.finished.failure.code == "agent.crashed"
            assert end.finished.failure.says == "It raised ValueError: what happened"
            assert not any("Traceback" in str(fact) for fact in await test.facts())
            assert any("Traceback" in error.detail for error in test.observer.errors)


class TestTime:
    async def test_a_try_that_takes_too_long_is_cut_off_and_made_again(self) -> None:
        act, stays = Works(), Stays()

        async def slow_first(attempt: Attempt) -> Any:
            return await (stays if attempt.number == 1 else act)(attempt)

        async with rig(steps(slow_first, timeout=0.02)) as test:
            end = await test.go()
            assert end.finished is not None
            assert end.finished.output == ["done"]
            (failed,) = await test.facts("run", "step.failed")
            assert isinstance(failed, StepFailed)
            assert failed.failure.code == "agent.timeout"
        assert (stays.cut_off, act.times) == (1, 1)

    async def test_a_try_that_was_cut_off_and_may_have_happened_is_not_made_again(self) -> None:
        act = Stays()
        async with rig(steps(act, timeout=0.02, repeatable=False)) as test:
            end = await test.go()
            assert end.finished is not None
            assert end.finished.failure is not None
            assert end.finished.failure.code == "agent.timeout"
        assert act.times == 1

    async def test_a_step_that_gives_no_sign_of_life_is_given_up(self) -> None:
        async with rig(steps(Stays(), heartbeat=0.02, attempts=1)) as test:
            end = await test.go()
            assert end.finished is not None
            assert end.finished.failure is not None
            assert "sign of life" in end.finished.failure.says

    async def test_a_step_that_beats_may_take_as_long_as_it_likes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop, passed = asyncio.get_running_loop(), 0.0
        real = loop.time
        monkeypatch.setattr(loop, "time", lambda: real() + passed)

        async def beats(attempt: Attempt) -> str:
            nonlocal passed
            for _ in range(3):
                passed += 2
                for _ in range(3):
                    await asyncio.sleep(0)  # whatever is due by now happens
                attempt.beat()
            return "alive"

        async with rig(steps(beats, heartbeat=4, attempts=1)) as test:
            assert (await test.go()).finished.output == ["alive"]  # type: ignore[union-attr]

    async def test_a_timeout_of_the_act_itself_is_a_crash_and_not_ours(self) -> None:
        async with rig(steps(Works(TimeoutError("its own")), timeout=5.0)) as test:
            end = await test.go()
            assert end.finished is not None
            assert end.finished.failure is not None
            assert end.finished.failure.code == "agent.crashed"


class TestOutputs:
    @pytest.mark.parametrize("output", [object(), {"a": [object()]}, "half \ud800", {(1, 2): 3}])
    async def test_a_step_that_returns_what_json_cannot_carry_fails(self, output: Any) -> None:
        act, after = Works(output=output), Works()
        async with rig(steps(act, after)) as test:
            end = await test.go()
            assert end.finished is not None
            assert end.finished.failure is not None
            assert end.finished.failure.code == "agent.output_not_json"
            assert (await test.load()).steps["1"].status == "failed"
        assert (act.times, after.times) == (1, 0)

    async def test_a_run_that_returns_what_json_cannot_carry_fails(self) -> None:
        async def flow(bench: RunBench, run: Run) -> Outcome:
            return Outcome(output={"it": object()})

        async with rig(flow) as test:
            end = await test.go()
            assert end.finished is not None
            assert (end.finished.status, end.finished.output) == ("failed", None)
            assert end.finished.failure is not None
            assert end.finished.failure.code == "agent.output_not_json"
            assert (await test.load()).finished == end.finished

    async def test_a_bug_in_a_flow_ends_its_run_and_nothing_else(self) -> None:
        async def flow(bench: RunBench, run: Run) -> Outcome:
            raise KeyError("bug")

        async with rig({"task": flow, "good": steps(Works())}) as test:
            end = await test.go()
            assert end.finished is not None
            assert end.finished.failure is not None
            assert end.finished.failure.code == "agent.crashed"
            assert (await test.go("other", flow="good")).finished.status == "completed"  # type: ignore[union-attr]

    async def test_an_error_that_holds_half_a_character_is_written_all_the_same(self) -> None:
        async def flow(bench: RunBench, run: Run) -> Outcome:
            await bench.note("info", "test.note", "no file \udcff")
            await bench.step("1", Works(OSError("no file \udcff")), what="function")
            return Outcome(output=None)

        async with rig(flow) as test:
            end = await test.go()
            assert end.finished is not None
            assert end.finished.failure is not None
            assert end.finished.failure.says == "It raised OSError: no file ?"

    async def test_an_outcome_may_be_a_failure_that_keeps_its_output(self) -> None:
        async def flow(bench: RunBench, run: Run) -> Outcome:
            failure = AgentFailed("Not good enough.", code="agent.not_verified")
            return Outcome(output="a draft", stages={"one": 1}, failure=failure)

        async with rig(flow) as test:
            end = await test.go()
            assert end.finished is not None
            assert (end.finished.status, end.finished.output, end.finished.stages) == ("failed", "a draft", {"one": 1})

    async def test_what_a_task_group_raised_is_named_by_what_was_in_it(self) -> None:
        async def flow(bench: RunBench, run: Run) -> Outcome:
            async with asyncio.TaskGroup() as group:
                group.create_task(bench.step("a", Works(AuthenticationError("no key")), what="function"))
                group.create_task(bench.step("b", Stays(), what="function"))
            return Outcome(output=None)

        async with rig(flow) as test:
            end = await test.go()
            assert end.finished is not None
            assert end.finished.failure is not None
            assert end.finished.failure.code == "agent.authentication"

    async def test_a_cancellation_of_the_acts_own_making_is_its_failure(self) -> None:
        async with rig(steps(Works(asyncio.CancelledError()), Works())) as test:
            end = await test.go()
            assert end.finished is not None
            assert end.finished.failure is not None
            assert end.finished.failure.code == "agent.crashed"
            assert (await test.load()).steps["1"].status == "failed"

    async def test_a_cancellation_of_the_flows_own_making_ends_the_run(self) -> None:
        async def flow(bench: RunBench, run: Run) -> Outcome:
            raise asyncio.CancelledError

        async with rig(flow) as test:
            assert (await test.go()).finished.status == "failed"  # type: ignore[union-attr]

    async def test_step_outputs_are_kept_as_they_are(self) -> None:
        output = {"ünï": [1, 2.5, None, True, "\x00\U0001f600"], "deep": {"deeper": [[]]}}
        async with rig(steps(Works(output=output))) as test:
            await test.go()
            (fact,) = await test.facts("run", "step.finished")
            assert isinstance(fact, StepFinished)
            assert fact.output == output


class TestWhoWorks:
    async def test_acts_are_judged_under_the_name_tasks_are_routed_to_whatever_an_agent_calls_itself(self) -> None:
        async def flow(bench: RunBench, run: Run) -> Outcome:
            own = bench.lent_to("writer").scope("work")
            await own.step("tool", Works(), what="tool", judge=Act(kind="tool", name="sql", agent="someone else"))
            await own.step("whole", Works(), what="agent", label="someone else")
            return Outcome(output="done", agent="writer")

        async with rig(flow) as house:
            await house.go()
        asked = [(act.kind, act.name, act.agent) for act in house.gate.asked if act.path]
        assert [one for one in asked if one[0] in ("tool", "agent")] == [
            ("tool", "sql", "writer"),
            ("agent", "writer", "writer"),
        ]
