"""What the gate says, what people answer, and what is done about a step that may have happened."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from interlock.agents.agent import Attempt
from interlock.engine.bench import RunBench
from interlock.engine.drive import Flow, Outcome
from interlock.errors import Refused
from interlock.records.fact import GateAnswered, QuestionAsked
from interlock.records.run import Run
from interlock.records.task import TaskStatus
from interlock.records.verdict import Act, Effect, Verdict
from tests.engine.rig import Stays, ToldGate, Works, rig, steps, until, until_status

BLOCK = Verdict(effect=Effect.BLOCK, rule="no-rm", reason="It would delete things.", place="policy.toml:31")
ASK = Verdict(effect=Effect.APPROVAL, rule="deploys", reason="Deploys need a yes.", approver="ops")


def judged(act: Any, arguments: Mapping[str, Any] | None = None, **options: Any) -> Flow:
    """A flow with one tool call that the gate judges, and one step after it."""

    async def flow(bench: RunBench, run: Run) -> Outcome:
        wanted = Act(kind="tool", name="shell", arguments=arguments or {"argv": ["deploy"]})
        output = await bench.step("tool/1", act, what="tool", judge=wanted, **options)
        await bench.step("after", Works(), what="function")
        return Outcome(output=output)

    return flow


def gate(**verdicts: Verdict) -> ToldGate:
    found = ToldGate()
    found.verdicts = verdicts
    return found


class TestTheGate:
    async def test_a_refused_act_is_never_done(self) -> None:
        act, told = Works(), gate(tool=BLOCK)
        async with rig(judged(act), gate=told) as test:
            end = await test.go()
            assert end.finished is not None
            assert end.finished.status == "blocked"
            assert end.finished.failure is not None
            assert end.finished.failure.code == "policy.refused"
            (answered,) = await test.facts("run", "gate.answered")
            assert isinstance(answered, GateAnswered)
            assert (answered.effect, answered.rule, answered.place) == ("block", "no-rm", "policy.toml:31")
            assert "step.started" not in await test.kinds()
        assert act.times == 0

    async def test_an_agent_may_find_another_way_when_it_is_refused(self) -> None:
        async def flow(bench: RunBench, run: Run) -> Outcome:
            try:
                await bench.step("rm", act, what="tool", judge=Act(kind="tool", name="rm"))
            except Refused as refused:
                return Outcome(output=refused.says)
            raise AssertionError

        act = Works()
        async with rig(flow, gate=gate(tool=BLOCK)) as test:
            end = await test.go()
            assert end.finished is not None
            assert (end.finished.status, end.finished.output) == ("completed", "It would delete things. (no-rm)")
        assert act.times == 0

    async def test_the_act_gets_the_permit_for_exactly_what_was_judged(self) -> None:
        act, told = Works(), gate()
        async with rig(judged(act), gate=told) as test:
            await test.go()
        permit = act.attempts[0].permit
        assert permit is not None
        assert permit.act == told.asked[0]
        assert (permit.act.run_id, permit.act.path, permit.act.user, permit.act.tenant) == (
            "run",
            "tool/1",
            "ann",
            "acme",
        )

    async def test_what_a_tool_brought_back_is_not_even_written_down_when_the_gate_stops_it(self) -> None:
        told = gate(tool_result=Verdict(effect=Effect.BLOCK, rule="secrets", reason="It holds a key."))
        async with rig(judged(Works(output="key=hunter2")), gate=told) as test:
            end = await test.go()
            assert end.finished is not None
            assert end.finished.status == "blocked"
            assert "hunter2" not in str(await test.facts())
            assert (await test.load()).steps["tool/1"].status == "failed"
        assert told.asked[1].content == "key=hunter2"

    async def test_an_output_that_the_gate_stops_leaves_the_run_blocked(self) -> None:
        told = gate(output=Verdict(effect=Effect.BLOCK, rule="tone", reason="Rude."))
        async with rig(steps(Works(output="rude words")), gate=told) as test:
            end = await test.go()
            assert end.finished is not None
            assert (end.finished.status, end.finished.guardrail, end.finished.output) == ("blocked", "tone", None)


class TestApproval:
    async def test_an_act_that_needs_a_yes_parks_the_run_and_is_done_after_it(self) -> None:
        act = Works()
        async with rig(judged(act), gate=gate(tool=ASK)) as test:
            end = await test.go()
            assert end.waiting is not None
            assert (end.waiting.reason, test.engine.driving, act.times) == ("person", 0, 0)
            run = await test.load()
            assert run.status is TaskStatus.AWAITING_APPROVAL
            (question,) = run.open_questions()
            assert (question.approver, question.says, question.path) == ("ops", "Deploys need a yes.", "tool/1")
            assert end.waiting.ref == question.question_id
            await test.answer(question.question_id, "allow")
            await until_status(test, "completed")
        assert act.times == 1

    async def test_a_no_means_it_is_never_done(self) -> None:
        act = Works()
        async with rig(judged(act), gate=gate(tool=ASK)) as test:
            waiting = (await test.go()).waiting
            assert waiting is not None
            await test.answer(waiting.ref or "", "deny", reason="not on a Friday")
            run = await until_status(test, "blocked")
            assert run.finished is not None
            assert run.finished.failure is not None
            assert "not on a Friday" in run.finished.failure.says
        assert act.times == 0

    @pytest.mark.parametrize("answer", ["repeat", "skip"])
    async def test_an_answer_to_another_kind_of_question_is_a_no(self, answer: str) -> None:
        act = Works()
        async with rig(judged(act), gate=gate(tool=ASK)) as test:
            waiting = (await test.go()).waiting
            assert waiting is not None
            await test.answer(waiting.ref or "", answer)
            await until_status(test, "blocked")
        assert act.times == 0

    async def test_silence_is_not_a_yes(self) -> None:
        act = Works()
        async with rig(judged(act), gate=gate(tool=ASK)) as test:
            await test.go()
            end = await test.resume()
            assert end.waiting is not None
            assert end.waiting.reason == "person"
            assert len(await test.facts("run", "question.asked")) == 1
        assert act.times == 0

    async def test_a_yes_to_other_arguments_is_no_yes(self, tmp_path: Path) -> None:
        act = Works()
        async with rig(
            judged(act, {"argv": ["deploy", "staging"]}), path=tmp_path / "j.db", gate=gate(tool=ASK)
        ) as one:
            first = (await one.go()).waiting
            assert first is not None
        async with rig(judged(act, {"argv": ["deploy", "live"]}), path=tmp_path / "j.db", gate=gate(tool=ASK)) as two:
            await two.answer(first.ref or "", "allow")
            end = await two.resume()
            assert end.waiting is not None
            assert end.waiting.ref != first.ref
            asked = await two.facts("run", "question.asked")
            assert len({fact.question_id for fact in asked if isinstance(fact, QuestionAsked)}) == 2
        assert act.times == 0

    async def test_the_first_answer_counts(self) -> None:
        act = Works()
        async with rig(judged(act), gate=gate(tool=ASK)) as test:
            waiting = (await test.go()).waiting
            assert waiting is not None
            await test.answer(waiting.ref or "", "deny")
            await test.answer(waiting.ref or "", "allow")
            await until_status(test, "blocked")
        assert act.times == 0

    async def test_an_answer_that_comes_while_the_run_is_still_parking_is_not_missed(self) -> None:
        act = Works()

        async def answers_at_once(kind: str, record: Any) -> None:
            await test.answer(record.fact.question_id, "allow")

        pending: list[asyncio.Future[None]] = []

        def listener(kind: str, record: Any) -> None:
            if kind == "fact" and isinstance(record.fact, QuestionAsked):
                pending.append(asyncio.ensure_future(answers_at_once(kind, record)))

        async with rig(judged(act), gate=gate(tool=ASK)) as test:
            test.engine.listen("run", listener)
            await test.submit()
            await until_status(test, "completed")
            await asyncio.gather(*pending)
        assert act.times == 1

    async def test_an_approval_for_one_run_wakes_no_other_of_a_similar_name(self) -> None:
        act = Works()
        async with rig(judged(act), gate=gate(tool=ASK)) as test:
            waiting = (await test.go("job")).waiting
            for number in range(7):
                await test.go(f"job-{number}")
            assert waiting is not None
            await test.answer(waiting.ref or "", "allow", "job")
            await until_status(test, "completed", "job")
        assert act.times == 1

    async def test_an_agent_that_swallows_exceptions_cannot_swallow_parking(self) -> None:
        async def flow(bench: RunBench, run: Run) -> Outcome:
            try:
                await bench.step("tool", act, what="tool", judge=Act(kind="tool", name="deploy"))
            except Exception:
                return Outcome(output="I did it anyway")
            return Outcome(output="asked first")

        act = Works()
        async with rig(flow, gate=gate(tool=ASK)) as test:
            assert (await test.go()).waiting is not None

    async def test_one_of_several_at_once_may_park_the_run(self) -> None:
        async def flow(bench: RunBench, run: Run) -> Outcome:
            async with asyncio.TaskGroup() as group:
                group.create_task(bench.step("ask", act, what="tool", judge=Act(kind="tool", name="deploy")))
                group.create_task(bench.step("stay", stays, what="function"))
            return Outcome(output="both")

        act, stays = Works(), Stays()
        stays.leave.set()
        async with rig(flow, gate=gate(tool=ASK)) as test:
            waiting = (await test.go()).waiting
            assert waiting is not None
            assert test.engine.driving == 0
            await test.answer(waiting.ref or "", "allow")
            run = await until_status(test, "completed")
            assert run.finished is not None
            assert run.finished.output == "both"
        assert act.times == 1


class Cut:
    """An act whose process, as far as its run can tell, dies in the middle of the first times it is done."""

    def __init__(self, times: int = 1) -> None:
        self.keys: list[tuple[int, str]] = []
        self.begun = asyncio.Event()
        self._cut = times

    async def __call__(self, attempt: Attempt) -> str:
        self.keys.append((attempt.number, attempt.key))
        if len(self.keys) <= self._cut:
            self.begun.set()
            await asyncio.Event().wait()
        return "done"


async def cut_off(act: Cut, path: Path, **options: Any) -> None:
    """Drive the run until it is in the middle of the act, and let go of it there."""
    act.begun.clear()
    async with rig(steps(Works(), act, **options), path=path, grace=0.0) as test:
        if await test.journal.read("run"):
            await test.engine.resume("run", by="ann", answer="repeat")
        else:
            await test.submit()
        await until(act.begun.is_set)


class TestDoubt:
    async def test_what_is_safe_to_repeat_is_repeated_under_the_same_key(self, tmp_path: Path) -> None:
        act = Cut()
        await cut_off(act, tmp_path / "j.db")
        async with rig(steps(Works(), act), path=tmp_path / "j.db") as test:
            end = await test.resume()
            assert end.finished is not None
            assert end.finished.output == ["done", "done"]
        assert act.keys == [(1, "run/2"), (1, "run/2")]

    async def test_what_is_not_safe_to_repeat_becomes_a_question(self, tmp_path: Path) -> None:
        act = Cut()
        await cut_off(act, tmp_path / "j.db", repeatable=False)
        async with rig(steps(Works(), act, repeatable=False), path=tmp_path / "j.db") as test:
            end = await test.resume()
            assert end.waiting is not None
            run = await test.load()
            assert run.status is TaskStatus.AWAITING_APPROVAL
            (question,) = run.open_questions()
            assert (question.about, question.path) == ("in_doubt", "2")
            assert (await test.resume()).waiting is not None
            assert len((await test.load()).questions) == 1
            assert len(act.keys) == 1
            assert (await test.resume(answer="repeat")).finished.output == ["done", "done"]  # type: ignore[union-attr]
        assert act.keys == [(1, "run/2"), (2, "run/2")]

    async def test_what_is_skipped_is_not_done_and_not_forgotten(self, tmp_path: Path) -> None:
        act = Cut()
        await cut_off(act, tmp_path / "j.db", repeatable=False)
        async with rig(steps(Works(), act, repeatable=False), path=tmp_path / "j.db") as test:
            await test.resume()
            end = await test.resume(answer="skip")
            assert end.finished is not None
            assert end.finished.failure is not None
            assert end.finished.failure.code == "step.skipped"
        assert len(act.keys) == 1

    async def test_a_second_doubt_is_a_second_question(self, tmp_path: Path) -> None:
        act = Cut(times=2)
        await cut_off(act, tmp_path / "j.db", repeatable=False)
        async with rig(steps(Works(), act, repeatable=False), path=tmp_path / "j.db") as test:
            await test.resume()
        await cut_off(act, tmp_path / "j.db", repeatable=False)  # someone says: repeat
        assert len(act.keys) == 2
        async with rig(steps(Works(), act, repeatable=False), path=tmp_path / "j.db") as test:
            assert (await test.resume()).waiting is not None
            assert len(act.keys) == 2
            assert (await test.resume(answer="repeat")).finished is not None
        assert [number for number, _ in act.keys] == [1, 2, 3]

    async def test_an_agent_may_live_with_a_skipped_step(self, tmp_path: Path) -> None:
        async def flow(bench: RunBench, run: Run) -> Outcome:
            try:
                await bench.step("risky", act, what="tool", repeatable=False)
            except Exception as error:
                return Outcome(output=str(error))
            raise AssertionError

        act = Cut()
        async with rig(flow, path=tmp_path / "j.db", grace=0.0) as test:
            await test.submit()
            await until(act.begun.is_set)
        async with rig(flow, path=tmp_path / "j.db") as test:
            await test.resume()
            end = await test.resume(answer="skip")
            assert end.finished is not None
            assert end.finished.status == "completed"
            assert "step.skipped" in end.finished.output
