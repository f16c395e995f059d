"""The laws of facts and runs: whatever is legally written can be folded, and folding it again changes nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.errors import StoreFailed
from interlock.records.fact import (
    FROM_OUTSIDE,
    KINDS,
    CancelAsked,
    Fact,
    Failure,
    Recorded,
    ResumeAsked,
    RunAdmitted,
    RunFinished,
    RunStarted,
    RunWaiting,
    StepFailed,
    StepFinished,
    StepStarted,
)
from interlock.records.run import MOVES, Run, fold, fold_one, status_after, worked_before
from interlock.records.task import FINAL, TaskStatus
from interlock.stores.encoding import as_read_back, decode, encode
from interlock.stores.projection import advance, new_row
from tests.laws.facts import FACTS, anything, json_values, legal_runs


def test_there_is_a_strategy_for_every_kind_of_fact() -> None:
    assert set(FACTS) == set(KINDS)


class TestFolding:
    @given(legal_runs())
    def test_every_legal_run_has_a_meaning(self, recorded: list[Recorded]) -> None:
        run = fold("run", recorded)
        assert run.seq == len(recorded)
        assert run.admitted is not None
        assert (run.finished is not None) == (run.status in FINAL)
        assert run.active_seconds >= 0
        assert run.starts == sum(isinstance(record.fact, RunStarted) for record in recorded)
        assert all(step.path == path for path, step in run.steps.items())

    @given(legal_runs(), st.data())
    def test_reading_pages_that_overlap_is_the_same_as_reading_once(
        self, recorded: list[Recorded], data: st.DataObject
    ) -> None:
        once = fold("run", recorded)
        assert fold("run", [*recorded, *recorded]) == once
        run = Run(run_id="run")
        place = 0
        while place < len(recorded):
            place = data.draw(st.integers(place + 1, len(recorded)))
            back = data.draw(st.integers(0, place - 1))
            for record in recorded[min(back, run.seq) : place]:
                fold_one(run, record)
        assert run == once

    @given(legal_runs().filter(lambda recorded: len(recorded) > 2), st.data())
    def test_a_missing_fact_is_noticed(self, recorded: list[Recorded], data: st.DataObject) -> None:
        gone = data.draw(st.integers(0, len(recorded) - 2))
        with pytest.raises(StoreFailed) as gap:
            fold("run", [*recorded[:gone], *recorded[gone + 1 :]])
        assert gap.value.code == "store.gap"

    @given(legal_runs())
    def test_the_row_and_the_fold_agree(self, recorded: list[Recorded]) -> None:
        first = recorded[0]
        row = (
            new_row("run", first.fact, first.at) if isinstance(first.fact, RunAdmitted) and _plain(first.fact) else None
        )
        if row is None:
            return
        for record in recorded:
            advance(row, record.fact, record.at)
        run = fold("run", recorded)
        assert (row.status, row.seq, row.finished_at) == (run.status.value, run.seq, run.finished_at)

    @given(legal_runs(), st.lists(anything, max_size=3))
    def test_wishes_from_outside_never_move_a_run_except_a_failed_one(
        self, recorded: list[Recorded], facts: list[Fact]
    ) -> None:
        run = fold("run", recorded)
        for wish in (fact for fact in facts if isinstance(fact, FROM_OUTSIDE)):
            moved = status_after(run.status, wish)
            assert moved is run.status or (run.status, moved) == (TaskStatus.FAILED, TaskStatus.PENDING)


def _plain(fact: RunAdmitted) -> bool:
    """Whether the task has the fields and types that `Task.to_json` writes."""
    return isinstance(fact.task.get("priority", 3), int)


def recorded(*facts: Fact, every: float = 10.0) -> list[Recorded]:
    return [
        Recorded(position=seq, run_id="run", seq=seq, at=seq * every, fact=fact) for seq, fact in enumerate(facts, 1)
    ]


ADMITTED = RunAdmitted(task={}, task_id="t", flow="task", digest="d")
BEGUN = RunStarted(driver="p1-a", fence=1)
FAILED = RunFinished(status="failed", failure=Failure(code="agent.failed", says="It broke."))


def step(path: str) -> StepStarted:
    return StepStarted(path=path, what="tool", name=path, attempt=1, key=path, repeatable=False)


class TestBeginningAgain:
    def test_a_failed_run_forgets_what_it_gave_up_and_keeps_what_it_finished(self) -> None:
        finished = StepFinished(path="a", attempt=1, output=1, seconds=0)
        gave_up = StepFailed(path="b", attempt=1, failure=Failure(code="x", says="x"), seconds=0)
        ended = RunFinished(status="failed", failure=gave_up.failure)
        run = fold(
            "run",
            recorded(
                ADMITTED, BEGUN, step("a"), finished, step("b"), gave_up, ended, ResumeAsked(by="ann", retry=True)
            ),
        )
        assert run.status is TaskStatus.PENDING
        assert run.finished is None
        assert list(run.steps) == ["a"]

    def test_a_failure_that_the_work_went_on_from_stays_an_outcome(self) -> None:
        taken_in = StepFailed(path="a", attempt=1, failure=Failure(code="tool.error", says="no"), seconds=0)
        gave_up = StepFailed(path="b", attempt=1, failure=Failure(code="x", says="x"), seconds=0)
        ended = RunFinished(status="failed", failure=gave_up.failure)
        again = ResumeAsked(by="ann", retry=True)
        run = fold("run", recorded(ADMITTED, BEGUN, step("a"), taken_in, step("b"), gave_up, ended, again))
        assert {path: found.status for path, found in run.steps.items()} == {"a": "failed"}

    def test_a_step_that_may_have_happened_is_in_doubt_and_not_forgotten(self) -> None:
        late = StepFailed(path="a", attempt=1, failure=Failure(code="agent.timeout", says="late"), seconds=0)
        ended = RunFinished(status="failed", failure=late.failure)
        run = fold("run", recorded(ADMITTED, BEGUN, step("a"), late, ended, ResumeAsked(by="ann", retry=True)))
        assert run.steps["a"].status == "running"

    @pytest.mark.parametrize("ended", [RunFinished(status="completed"), RunFinished(status="cancelled")])
    def test_a_wish_that_comes_too_late_does_not_unmake_the_end(self, ended: RunFinished) -> None:
        run = fold("run", recorded(ADMITTED, BEGUN, ended, ResumeAsked(by="late", retry=True)))
        assert run.finished == ended
        assert run.finished_at == 30.0

    def test_a_running_run_keeps_its_failed_steps_whoever_wishes_a_retry(self) -> None:
        gave_up = StepFailed(path="b", attempt=1, failure=Failure(code="x", says="x"), seconds=0)
        run = fold("run", recorded(ADMITTED, BEGUN, step("b"), gave_up, ResumeAsked(by="ann", retry=True)))
        assert run.steps["b"].status == "failed"

    def test_a_cancel_that_came_after_the_failure_does_not_end_the_next_try(self) -> None:
        run = fold("run", recorded(ADMITTED, BEGUN, FAILED, CancelAsked(by="late"), ResumeAsked(by="ann", retry=True)))
        assert run.cancel is None


class TestTimeWorked:
    def test_waiting_for_people_is_not_work_and_waiting_for_a_timer_is(self) -> None:
        for reason, worked in (("person", 10.0), ("timer", 30.0)):
            waiting = RunWaiting(reason=reason)  # type: ignore[arg-type]
            run = fold("run", recorded(ADMITTED, BEGUN, waiting, CancelAsked(by="ann")))
            assert worked_before(run, 50.0) == worked

    def test_a_dead_driver_worked_until_its_last_fact_and_not_until_someone_noticed(self) -> None:
        facts = recorded(ADMITTED, BEGUN, step("a"))
        facts.append(replace(facts[-1], seq=4, at=100_000.0, fact=ResumeAsked(by="the next morning")))
        run = fold("run", facts)
        assert worked_before(run, 100_001.0) == 10.0
        fold_one(run, replace(facts[-1], seq=5, at=100_001.0, fact=RunStarted(driver="p2-b", fence=2)))
        assert run.active_seconds == 10.0


class TestMoves:
    @given(st.sampled_from(list(TaskStatus)), anything)
    def test_only_listed_moves_are_made(self, status: TaskStatus, fact: Fact) -> None:
        try:
            moved = status_after(status, fact)
        except StoreFailed:
            return
        assert moved is status or moved in MOVES[status]

    @given(st.sampled_from(sorted(FINAL - {TaskStatus.FAILED})), FACTS["run.started"])
    def test_what_is_over_is_not_started(self, status: TaskStatus, fact: Fact) -> None:
        with pytest.raises(StoreFailed) as refused:
            status_after(status, fact)
        assert refused.value.code == "store.illegal_move"

    def test_nothing_follows_the_end_except_a_new_try_of_what_failed(self) -> None:
        assert {status for status, moves in MOVES.items() if not moves} == FINAL - {TaskStatus.FAILED}
        assert MOVES[TaskStatus.FAILED] == {TaskStatus.PENDING}
        assert set(MOVES) == set(TaskStatus)

    def test_only_a_running_run_completes(self) -> None:
        assert [s for s, moves in MOVES.items() if TaskStatus.COMPLETED in moves] == [TaskStatus.RUNNING]


class TestWriting:
    @given(anything)
    def test_every_fact_is_read_back_as_it_was_written(self, fact: Fact) -> None:
        assert decode(fact.kind, encode(fact)) == fact

    @given(json_values)
    def test_what_a_step_returns_is_what_a_replay_finds(self, value: object) -> None:
        assert as_read_back(value) == value
        fact = StepFinished(path="a", attempt=1, output=value, seconds=0.0)
        found = decode(fact.kind, encode(fact))
        assert isinstance(found, StepFinished)
        assert found.output == as_read_back(value)

    @pytest.mark.parametrize("value", [(1, (2,)), {1: "one"}, {"a": {2, 3}}, math.nan, b"bytes"])
    def test_what_only_looks_like_json_is_changed_at_once_and_not_on_resume(self, value: object) -> None:
        once = as_read_back(value)
        assert once != value
        assert as_read_back(once) == once
