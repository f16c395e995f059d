"""Strategies for facts: any value a fact may hold, and any sequence of facts that is legal."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from interlock.errors import StoreFailed
from interlock.records.fact import (
    ApprovalUsed,
    CancelAsked,
    Fact,
    Failure,
    GateAnswered,
    Noted,
    PauseAsked,
    QuestionAnswered,
    QuestionAsked,
    Recorded,
    ResumeAsked,
    RunAdmitted,
    RunFinished,
    RunRouted,
    RunStarted,
    RunWaiting,
    StepFailed,
    StepFinished,
    StepInherited,
    StepStarted,
)
from interlock.records.money import Usage
from interlock.records.run import status_after
from interlock.records.task import TaskStatus

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
counts = st.integers(0, 2**62)
numbers = st.floats(allow_nan=False, allow_infinity=False)
seconds = st.floats(0, 1e9)
costs = st.none() | counts
leaves: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers() | numbers | texts
json_values = st.recursive(
    leaves, lambda below: st.lists(below, max_size=3) | st.dictionaries(texts, below, max_size=3)
)
objects = st.dictionaries(texts, json_values, max_size=3)
#: Few paths, questions and drivers, so that facts meet each other.
paths = st.sampled_from(["plan", "plan/model/1", "tool/1"])
questions = st.sampled_from(["q_1", "q_2"])
digests = st.sampled_from(["", "d1", "d2"])
people = st.sampled_from(["ann", "ben", "Cem", "interlock"])

usages = st.builds(Usage, **dict.fromkeys(Usage.__slots__, counts))
failures = st.builds(
    Failure, code=texts, says=texts, do=texts, retryable=st.booleans(), retry_after=st.none() | seconds
)
FACTS: dict[str, st.SearchStrategy[Fact]] = {
    "run.admitted": st.builds(
        RunAdmitted, task=objects, task_id=texts, flow=texts, digest=texts, parent=st.none() | texts
    ),
    "run.routed": st.builds(RunRouted, platform=texts, candidates=st.lists(texts), reasons=st.lists(texts)),
    "gate.answered": st.builds(
        GateAnswered,
        path=paths,
        act=texts,
        name=texts,
        effect=st.sampled_from(["allow", "approval", "block"]),
        rule=texts,
        reason=texts,
        place=texts,
        approver=st.none() | texts,
    ),
    "run.started": st.builds(RunStarted, driver=texts, fence=counts),
    "step.started": st.builds(
        StepStarted,
        path=paths,
        what=st.sampled_from(["model", "tool", "function", "agent", "timer"]),
        name=texts,
        attempt=st.integers(1, 9),
        key=texts,
        repeatable=st.booleans(),
        input=json_values,
    ),
    "step.finished": st.builds(
        StepFinished,
        path=paths,
        attempt=st.integers(1, 9),
        output=json_values,
        seconds=seconds,
        usage=usages,
        cost_micros=costs,
    ),
    "step.failed": st.builds(
        StepFailed,
        path=paths,
        attempt=st.integers(0, 9),
        failure=failures,
        seconds=seconds,
        again_at=st.none() | seconds,
        usage=usages,
        cost_micros=costs,
    ),
    "step.inherited": st.builds(
        StepInherited,
        parent=texts,
        path=paths,
        what=st.sampled_from(["model", "tool", "function", "agent", "timer"]),
        name=texts,
        input=json_values,
        output=json_values,
        failure=st.none() | failures,
        seconds=seconds,
    ),
    "question.asked": st.builds(
        QuestionAsked,
        path=paths,
        question_id=questions,
        about=st.sampled_from(["approval", "in_doubt"]),
        says=texts,
        approver=st.none() | texts,
        asks=objects,
        digest=digests,
        quorum=st.integers(1, 3),
        expires_at=st.none() | seconds,
        grants=st.lists(st.sampled_from(["run", "rule"]), max_size=2),
    ),
    "question.answered": st.builds(
        QuestionAnswered,
        question_id=questions,
        answer=st.sampled_from(["allow", "deny", "repeat", "skip"]),
        by=people,
        reason=texts,
        digest=digests,
        scope=st.sampled_from(["once", "run"]),
        edited=st.none() | objects,
    ),
    "approval.used": st.builds(ApprovalUsed, question_id=questions, path=paths, attempt=st.integers(1, 9)),
    "run.waiting": st.builds(
        RunWaiting,
        reason=st.sampled_from(["timer", "person", "paused", "shutdown", "child"]),
        until=st.none() | seconds,
        ref=st.none() | texts,
        says=texts,
    ),
    "cancel.asked": st.builds(CancelAsked, by=texts, reason=texts),
    "pause.asked": st.builds(PauseAsked, by=texts),
    "resume.asked": st.builds(ResumeAsked, by=texts, retry=st.booleans()),
    "noted": st.builds(Noted, level=st.sampled_from(["info", "warning"]), code=texts, says=texts, path=paths),
    "run.finished": st.builds(
        RunFinished,
        status=st.sampled_from(["completed", "failed", "blocked", "cancelled"]),
        output=json_values,
        failure=st.none() | failures,
        guardrail=st.none() | texts,
        agent=texts,
        stages=objects,
        usage=usages,
        cost_micros=costs,
        seconds=seconds,
    ),
}
anything = st.one_of(*FACTS.values())
after_the_first = st.one_of(*(strategy for kind, strategy in FACTS.items() if kind != "run.admitted"))


@st.composite
def legal_runs(draw: st.DrawFn, most: int = 25) -> list[Recorded]:
    """A run as a journal would hold it: an admission, and then whatever is a legal move."""
    facts: list[Fact] = [draw(FACTS["run.admitted"])]
    status = TaskStatus.PENDING
    for fact in draw(st.lists(after_the_first, max_size=most)):
        try:
            status = status_after(status, fact)
        except StoreFailed:
            continue
        facts.append(fact)
    at = draw(st.floats(0, 2e9))
    steps = draw(st.lists(st.floats(0, 1e6), min_size=len(facts), max_size=len(facts)))
    recorded = []
    for seq, (fact, step) in enumerate(zip(facts, steps, strict=True), 1):
        at += step
        recorded.append(Recorded(position=seq * 7, run_id="run", seq=seq, at=at, fact=fact))
    return recorded
