"""What a person's yes is good for: exactly what was shown, once, in time, from someone else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interlock.agents.agent import Attempt
from interlock.engine.bench import RunBench
from interlock.engine.drive import Flow, Outcome
from interlock.errors import RateLimitError, Refused, ToolFailed
from interlock.records.fact import ApprovalUsed, QuestionAnswered, QuestionAsked, StepStarted
from interlock.records.question import Question, digest_of
from interlock.records.run import Run
from interlock.records.verdict import ALLOWED, Act, Effect, Verdict, strictest
from interlock.testing import FakeClock
from tests.engine.rig import Rig, Stays, ToldGate, Works, rig, until, until_status

ASK = Verdict(effect=Effect.APPROVAL, rule="deploys", reason="Deploys need a yes.", approver="ops")
BLOCK = Verdict(effect=Effect.BLOCK, rule="no-rm", reason="It would delete things.")


def asking(verdict: Verdict = ASK) -> ToldGate:
    gate = ToldGate()
    gate.verdicts = {"tool": verdict}
    return gate


def calls(*acts: Any, name: str = "deploy", **options: Any) -> Flow:
    """A flow of tool calls that are all alike; a refusal is an outcome like any other, as for an agent."""

    async def flow(bench: RunBench, run: Run) -> Outcome:
        outputs = []
        for number, act in enumerate(acts, 1):
            wanted = Act(kind="tool", name=name, arguments={"to": "live"}, agent="claude")
            try:
                outputs.append(await bench.step(f"tool/{number}", act, what="tool", judge=wanted, **options))
            except (Refused, ToolFailed) as error:
                outputs.append(str(error))
        return Outcome(output=outputs, agent="tester")

    return flow


async def asked(test: Rig, run_id: str = "run") -> Question:
    """The one question that is open."""
    (question,) = (await test.load(run_id)).open_questions()
    return question


async def output(test: Rig, run_id: str = "run") -> Any:
    run = await until_status(test, "completed", run_id)
    assert run.finished is not None
    return run.finished.output


class TestWhatIsAsked:
    async def test_a_question_shows_exactly_what_would_be_done_and_carries_its_digest(self) -> None:
        verdict = replace(ASK, place="policy.toml:31", evidence={"files": {"go.sh": "sha256:1"}})
        async with rig(calls(Works()), gate=asking(verdict)) as test:
            await test.go()
            question = await asked(test)
        assert question.asks["arguments"] == {"to": "live"}
        assert (question.asks["kind"], question.asks["name"], question.asks["agent"]) == ("tool", "deploy", "claude")
        assert (question.asks["user"], question.asks["tenant"]) == ("ann", "acme")
        assert (question.asks["rule"], question.asks["place"]) == ("deploys", "policy.toml:31")
        assert question.asks["evidence"] == {"files": {"go.sh": "sha256:1"}}
        assert question.digest == digest_of(question.asks)

    async def test_everyone_that_some_rule_wants_to_hear_is_asked(self) -> None:
        both = strictest([ASK, replace(ASK, rule="money", approver="finance"), ALLOWED])
        act = Works()
        async with rig(calls(act), gate=asking(both)) as test:
            await test.go()
            ops, finance = (await test.load()).open_questions()
            assert {ops.approver, finance.approver} == {"ops", "finance"}
            assert ops.digest == finance.digest
            await test.answer(ops.question_id, "allow")
            await test.resume()
            assert act.times == 0
            await test.answer(finance.question_id, "allow", by="cem")
            assert await output(test) == ["done"]
            assert len(await test.facts("run", "approval.used")) == 2
        assert act.times == 1

    async def test_one_no_of_several_is_a_no(self) -> None:
        both = strictest([ASK, replace(ASK, rule="money", approver="finance")])
        act = Works()
        async with rig(calls(act), gate=asking(both)) as test:
            await test.go()
            ops, finance = (await test.load()).open_questions()
            await test.answer(ops.question_id, "allow")
            await test.answer(finance.question_id, "deny", by="cem", reason="too dear")
            assert "cem said no: too dear" in (await output(test))[0]
        assert act.times == 0


class TestWhoseAnswerCounts:
    @pytest.mark.parametrize("by", ["ann", " ANN ", "claude"])
    async def test_nobody_allows_their_own_request(self, by: str) -> None:
        act = Works()
        async with rig(calls(act), gate=asking()) as test:
            await test.go()
            await test.answer((await asked(test)).question_id, "allow", by=by)
            assert (await test.resume()).waiting is not None
            assert (await asked(test)).state == "pending"
        assert act.times == 0

    async def test_as_many_different_people_must_agree_as_the_rule_says(self) -> None:
        act = Works()
        async with rig(calls(act), gate=asking(replace(ASK, quorum=2))) as test:
            await test.go()
            question = (await asked(test)).question_id
            for by in ("ben", "Ben", "ann"):
                await test.answer(question, "allow", by=by)
            assert (await test.resume()).waiting is not None
            assert (await asked(test)).allowed_by == ["ben"]
            await test.answer(question, "allow", by="cem")
            assert await output(test) == ["done"]
        assert act.times == 1

    async def test_an_answer_to_something_else_than_what_is_shown_does_not_count(self) -> None:
        act = Works()
        async with rig(calls(act), gate=asking()) as test:
            await test.go()
            for digest in ("", "0" * 64):
                await test.answer((await asked(test)).question_id, "allow", digest=digest)
            assert (await test.resume()).waiting is not None
        assert act.times == 0


class TestTime:
    async def test_silence_is_a_denial_that_a_timer_brings_and_the_agent_hears(self) -> None:
        clock, act = FakeClock(), Works()
        async with rig(calls(act), gate=asking(replace(ASK, expires_in=900)), clock=clock) as test:
            waiting = (await test.go()).waiting
            assert waiting is not None
            assert waiting.until == clock.now() + 900
            await clock.advance(899)
            assert (await test.load()).status == "awaiting_approval"
            await clock.advance(1)
            assert "nobody answered in time" in (await output(test))[0]
            (answer,) = await test.facts("run", "question.answered")
            assert isinstance(answer, QuestionAnswered)
            assert (answer.answer, answer.by) == ("deny", "interlock")
            assert [one.state for one in (await test.load()).questions.values()] == ["expired"]
        assert act.times == 0

    async def test_a_yes_that_comes_too_late_is_none(self) -> None:
        clock, act = FakeClock(), Works()
        async with rig(calls(act), gate=asking(), clock=clock, expires_after=60) as test:
            await test.go()
            question = (await asked(test)).question_id
            clock._move(clock.now() + 61)
            await test.answer(question, "allow")
            assert "nobody answered in time" in (await output(test))[0]
        assert act.times == 0

    async def test_another_process_brings_back_what_was_answered_and_leaves_what_still_waits(
        self, tmp_path: Path
    ) -> None:
        clock, act = FakeClock(), Works()
        async with rig(calls(act), path=tmp_path / "j.db", gate=asking(), clock=clock) as one:
            await one.go("answered")
            await one.go("late")
            clock._move(clock.now() + 50_000)
            await one.go("waits")
        async with rig(calls(act), path=tmp_path / "j.db", gate=asking(), clock=clock) as two:
            await two.answer((await asked(two, "answered")).question_id, "allow", "answered")
            clock._move(clock.now() + 50_000)
            assert sorted(await two.engine.recover()) == ["answered", "late"]
            assert await output(two, "answered") == ["done"]
            assert "nobody answered" in (await output(two, "late"))[0]
            assert (await two.load("waits")).status == "awaiting_approval"
        assert act.times == 1


class TestSingleUse:
    async def test_the_use_is_written_in_the_same_stroke_as_the_intent(self) -> None:
        async with rig(calls(Works()), gate=asking()) as test:
            await test.go()
            question = (await asked(test)).question_id
            await test.answer(question, "allow")
            await output(test)
            recorded = await test.journal.read("run")
            (at,) = [n for n, one in enumerate(recorded) if isinstance(one.fact, ApprovalUsed)]
            used, intent = recorded[at], recorded[at + 1]
            assert used.fact == ApprovalUsed(question_id=question, path="tool/1", attempt=1)
            assert isinstance(intent.fact, StepStarted)
            assert used.at == intent.at
            assert (await test.load()).questions[question].state == "used"

    async def test_what_runs_on_an_approval_is_tried_once(self) -> None:
        act = Works(ToolFailed("It broke."), RateLimitError("busy"))
        async with rig(calls(act, act), gate=asking()) as test:
            await test.go()
            await test.answer((await asked(test)).question_id, "allow")
            await until(lambda: act.times == 1)
            await until_status(test, "awaiting_approval")  # the same act in the next step is another question
            await test.answer((await asked(test)).question_id, "allow")
            await until_status(test, "failed")
        assert act.times == 2

    async def test_a_failed_run_that_is_resumed_asks_again(self) -> None:
        act = Works(RateLimitError("busy"))
        async with rig(calls(act), gate=asking()) as test:
            await test.go()
            first = await asked(test)
            await test.answer(first.question_id, "allow")
            await until_status(test, "failed")
            assert (await test.resume()).waiting is not None
            second = await asked(test)
            assert second.question_id != first.question_id
            assert act.times == 1
            await test.answer(second.question_id, "allow")
            assert await output(test) == ["done"]
        assert act.times == 2

    @pytest.mark.parametrize("repeatable", [True, False])
    async def test_after_a_crash_in_the_middle_it_must_be_allowed_again(self, tmp_path: Path, repeatable: bool) -> None:
        act = Stays()
        flow = calls(act, repeatable=repeatable)
        async with rig(flow, path=tmp_path / "j.db", gate=asking(), grace=0.0) as one:
            await one.go()
            await one.answer((await asked(one)).question_id, "allow")
            await until(act.begun.is_set)
        async with rig(flow, path=tmp_path / "j.db", gate=asking()) as two:
            await two.resume(answer=None)
            if not repeatable:
                assert (await asked(two)).about == "in_doubt"
                await two.resume(answer="repeat")
            question = await asked(two)
            assert (question.about, question.path) == ("approval", "tool/1")
            assert act.times == 1
            act.leave.set()
            await two.answer(question.question_id, "allow")
            assert await output(two) == ["stayed"]
            assert (await two.load()).approvals_used == {"tool/1": 2}
        assert act.times == 2

    async def test_the_same_act_in_another_run_is_another_question(self) -> None:
        act = Works()
        async with rig(calls(act), gate=asking()) as test:
            await test.go("mother")
            await test.go("child")
            mother, child = await asked(test, "mother"), await asked(test, "child")
            assert mother.digest == child.digest
            assert mother.question_id != child.question_id
            answer = QuestionAnswered(question_id=mother.question_id, answer="allow", by="ben", digest=mother.digest)
            await test.journal.append("child", [answer])
            assert (await test.resume("child")).waiting is not None
        assert act.times == 0


class TestTheSecondLook:
    async def test_what_changed_since_it_was_shown_makes_the_yes_void(self) -> None:
        act, gate = Works(), asking(replace(ASK, evidence={"files": {"go.sh": "sha256:1"}}))
        async with rig(calls(act), gate=gate) as test:
            await test.go()
            first = await asked(test)
            gate.verdicts["tool"] = replace(ASK, evidence={"files": {"go.sh": "sha256:2"}})
            await test.answer(first.question_id, "allow")
            run = await until_status(test, "awaiting_approval")
            while len(run.questions) < 2:
                run = await until_status(test, "awaiting_approval")
                await asyncio.sleep(0.005)
            assert run.questions[first.question_id].state == "void"
            second = await asked(test)
            assert second.asks["evidence"] != first.asks["evidence"]
            assert act.times == 0
            # Changed back, it is asked about as if for the first time: the old yes stays void.
            gate.verdicts["tool"] = replace(ASK, evidence={"files": {"go.sh": "sha256:1"}})
            await test.resume()
            third = await asked(test)
            assert third.question_id == first.question_id
            assert act.times == 0
            await test.answer(third.question_id, "allow")
            assert await output(test) == ["done"]
        assert act.times == 1

    async def test_a_block_wins_over_a_yes(self) -> None:
        act, gate = Works(), asking()
        async with rig(calls(act), gate=gate) as test:
            await test.go()
            gate.verdicts["tool"] = BLOCK
            await test.answer((await asked(test)).question_id, "allow")
            assert "delete things" in (await output(test))[0]
            assert await test.facts("run", "approval.used") == []
        assert act.times == 0

    async def test_what_is_allowed_meanwhile_needs_no_answer_any_more(self) -> None:
        act, gate = Works(), asking()
        async with rig(calls(act), gate=gate) as test:
            await test.go()
            question = (await asked(test)).question_id
            gate.verdicts["tool"] = ALLOWED
            await test.resume()
            assert (await test.load()).questions[question].state == "void"
            assert await test.facts("run", "approval.used") == []
        assert act.times == 1

    async def test_a_no_stays_a_no_though_the_rule_is_gone(self) -> None:
        act, gate = Works(), asking()
        async with rig(calls(act), gate=gate) as test:
            await test.go()
            gate.verdicts["tool"] = ALLOWED
            await test.answer((await asked(test)).question_id, "deny", reason="no")
            assert "ben said no" in (await output(test))[0]
        assert act.times == 0


class Deploys:
    """A tool whose act is remade from edited arguments, and what it was really run with."""

    def __init__(self) -> None:
        self.did: list[Mapping[str, Any]] = []

    async def __call__(self, attempt: Attempt) -> str:
        assert attempt.permit is not None
        self.did.append(attempt.permit.act.arguments)
        return "deployed"

    def remake(self, arguments: Mapping[str, Any]) -> Act:
        if set(arguments) != {"to"}:
            raise ToolFailed("`to` is missing.", code="tool.arguments")
        return Act(kind="tool", name="deploy", arguments=arguments)


class JudgesPlaces(ToldGate):
    """Asks ops for `live`, asks the chiefs for `prod`, forbids `mars`, allows `test`."""

    async def admit(self, act: Act) -> Verdict:
        if act.kind != "tool":
            return ALLOWED
        chiefs = replace(ASK, approver="chiefs")
        return {"live": ASK, "home": ASK, "prod": chiefs, "mars": BLOCK}.get(act.arguments["to"], ALLOWED)


class TestEdits:
    @pytest.mark.parametrize("to", ["test", "home"])
    async def test_what_a_person_wrote_is_done_instead_and_the_agent_is_told(self, to: str) -> None:
        tool = Deploys()
        async with rig(calls(tool, remake=tool.remake), gate=JudgesPlaces()) as test:
            await test.go()
            await test.answer((await asked(test)).question_id, "allow", edited={"to": to})
            (told,) = await output(test)
            assert told["result"] == "deployed"
            assert "ben changed this call" in told["changed"]
            assert f'"to":"{to}"' in told["changed"]
            assert (await test.load()).steps["tool/1"].repeatable is False
        assert tool.did == [{"to": to}]

    @pytest.mark.parametrize(
        ("edited", "says"),
        [
            ({"to": "mars"}, "It would delete things"),
            ({"to": "prod"}, "someone else must allow"),
            ({"too": "x"}, "cannot be made"),
        ],
    )
    async def test_what_a_person_wrote_is_judged_like_everything(self, edited: dict[str, Any], says: str) -> None:
        tool = Deploys()
        async with rig(calls(tool, remake=tool.remake), gate=JudgesPlaces()) as test:
            await test.go()
            await test.answer((await asked(test)).question_id, "allow", edited=edited)
            assert says in (await output(test))[0]
        assert tool.did == []

    async def test_a_call_that_cannot_be_made_anew_is_refused(self) -> None:
        tool = Deploys()
        async with rig(calls(tool), gate=JudgesPlaces()) as test:
            await test.go()
            await test.answer((await asked(test)).question_id, "allow", edited={"to": "test"})
            assert "cannot be changed" in (await output(test))[0]
        assert tool.did == []

    async def test_one_of_two_cannot_change_what_both_must_allow(self) -> None:
        tool, gate = Deploys(), asking(replace(ASK, quorum=2))
        async with rig(calls(tool, remake=tool.remake), gate=gate) as test:
            await test.go()
            question = (await asked(test)).question_id
            await test.answer(question, "allow", edited={"to": "test"})
            assert (await asked(test)).allowed_by == []
            await test.answer(question, "allow")
            await test.answer(question, "allow", by="cem")
            assert await output(test) == ["deployed"]
        assert tool.did == [{"to": "live"}]

    async def test_an_edit_is_not_forgotten_when_the_rule_that_asked_is_gone(self) -> None:
        tool, gate = Deploys(), asking()
        async with rig(calls(tool, remake=tool.remake), gate=gate) as test:
            await test.go()
            gate.verdicts["tool"] = ALLOWED
            await test.answer((await asked(test)).question_id, "allow", edited={"to": "test"})
            await output(test)
        assert tool.did == [{"to": "test"}]


class TestForTheRun:
    async def test_the_same_act_passes_for_the_rest_of_the_run_where_the_rule_offers_it(self) -> None:
        act = Works()
        async with rig(calls(act, act, act), gate=asking(replace(ASK, grants=("run",)))) as test:
            await test.go()
            await test.answer((await asked(test)).question_id, "allow", scope="run")
            assert await output(test) == ["done"] * 3
            assert len(await test.facts("run", "question.asked")) == 1
            assert len(await test.facts("run", "approval.used")) == 3
        assert act.times == 3

    async def test_a_rule_that_does_not_offer_it_asks_each_time(self) -> None:
        act = Works()
        async with rig(calls(act, act), gate=asking()) as test:
            await test.go()
            await test.answer((await asked(test)).question_id, "allow", scope="run")
            await until(lambda: act.times == 1)
            await until_status(test, "awaiting_approval")
            assert (await asked(test)).path == "tool/2"
        assert act.times == 1

    async def test_it_ends_when_what_the_act_uses_has_changed_and_never_beats_a_block(self) -> None:
        gate = asking(replace(ASK, grants=("run",)))

        async def changes(attempt: Attempt) -> str:
            gate.verdicts["tool"] = replace(ASK, grants=("run",), evidence={"policy": "new"})
            return "done"

        act = Works()
        async with rig(calls(changes, act), gate=gate) as test:
            await test.go()
            await test.answer((await asked(test)).question_id, "allow", scope="run")
            while not (run := await until_status(test, "awaiting_approval")).open_questions():
                await asyncio.sleep(0.005)
            assert [one.path for one in run.open_questions()] == ["tool/2"]
            gate.verdicts["tool"] = BLOCK
            await test.resume()
            assert "delete things" in (await output(test))[1]
        assert act.times == 0


async def held(test: Rig) -> QuestionAsked:
    """Put a run before the door as `platform.admission` does."""
    from interlock.engine.approving import questions_for, task_act
    from interlock.records.fact import RunWaiting
    from interlock.records.veil import NO_VEIL
    from tests.engine.rig import admitted

    first = admitted()
    judge = task_act(first.task, "run")
    now = test.engine._clock.now()
    (question,) = questions_for(judge, await test.gate.admit(judge), used=0, now=now, expires_after=60, veil=NO_VEIL)
    waits = RunWaiting(reason="person", ref=question.question_id, until=question.expires_at)
    await test.engine.submit("run", [first, question, waits])
    return question


class TestTheDoor:
    async def test_a_yes_lets_the_task_in_once_and_a_new_beginning_asks_again(self) -> None:
        act, gate = Works(RateLimitError("busy")), ToldGate()
        gate.verdicts = {"task": ASK}

        async def flow(bench: RunBench, run: Run) -> Outcome:
            return Outcome(output=await bench.step("1", act, what="function", attempts=1))

        async with rig(flow, gate=gate) as test:
            question = await held(test)
            await test.answer(question.question_id, "allow")
            await until_status(test, "failed")
            assert len(await test.facts("run", "approval.used")) == 1
            assert (await test.resume()).waiting is not None
            again = await asked(test)
            assert again.question_id != question.question_id
            await test.answer(again.question_id, "allow")
            assert await output(test) == "done"
        assert act.times == 2

    async def test_a_task_that_a_rule_forbids_meanwhile_is_not_let_in(self) -> None:
        act, gate = Works(), ToldGate()
        gate.verdicts = {"task": ASK}
        async with rig(calls(act), gate=gate) as test:
            question = await held(test)
            gate.verdicts = {"task": BLOCK}
            await test.answer(question.question_id, "allow")
            await until_status(test, "blocked")
        assert act.times == 0

    async def test_nobody_answers_and_the_task_ends_blocked(self) -> None:
        clock, gate = FakeClock(), ToldGate()
        gate.verdicts = {"task": ASK}
        async with rig(calls(Works()), gate=gate, clock=clock) as test:
            await held(test)
            await clock.advance(60)
            run = await until_status(test, "blocked")
            assert run.finished is not None
            assert run.finished.failure is not None
            assert run.finished.failure.code == "approval.denied"
