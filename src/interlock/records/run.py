"""A run: its states, the only legal moves between them, and `fold`, which makes a run out of facts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, assert_never

from interlock.errors import StoreFailed
from interlock.records.doubt import in_doubt
from interlock.records.fact import (
    FROM_OUTSIDE,
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
from interlock.records.money import NOTHING_USED, Usage, add_micros
from interlock.records.question import Question as Question
from interlock.records.question import question_of, take_answer, withdraw
from interlock.records.task import TaskStatus

S = TaskStatus
_OF_STEPS = frozenset((StepStarted, StepFinished, StepFailed))

#: The only legal moves. Everything not listed here is refused, on every journal.
MOVES: dict[TaskStatus, frozenset[TaskStatus]] = {
    S.PENDING: frozenset({S.RUNNING, S.AWAITING_APPROVAL, S.WAITING, S.BLOCKED, S.CANCELLED, S.FAILED}),
    S.RUNNING: frozenset({S.RUNNING, S.WAITING, S.AWAITING_APPROVAL, S.COMPLETED, S.FAILED, S.BLOCKED, S.CANCELLED}),
    S.WAITING: frozenset({S.RUNNING, S.WAITING, S.AWAITING_APPROVAL, S.CANCELLED, S.FAILED, S.BLOCKED}),
    S.AWAITING_APPROVAL: frozenset({S.RUNNING, S.WAITING, S.AWAITING_APPROVAL, S.CANCELLED, S.FAILED, S.BLOCKED}),
    S.COMPLETED: frozenset(),
    S.FAILED: frozenset({S.PENDING}),
    S.BLOCKED: frozenset(),
    S.CANCELLED: frozenset(),
}

#: What a run waits for (`RunWaiting.ref`) that was queued at the door because a limit had no room.
QUEUED = "limit"

StepStatus = Literal["running", "retrying", "finished", "failed"]


def status_after(status: TaskStatus, fact: Fact) -> TaskStatus:
    """The state a fact moves a run to; most facts move nothing.

    Raises:
        StoreFailed: the move is not legal; the journal refuses to write such a fact.
    """
    match fact:
        case RunStarted():
            wanted = S.RUNNING
        case RunWaiting(reason="person"):
            wanted = S.AWAITING_APPROVAL
        case RunWaiting():
            wanted = S.WAITING
        case RunFinished():
            wanted = S(fact.status)
        case ResumeAsked(retry=True) if status is S.FAILED:
            wanted = S.PENDING
        case _:
            return status
    if wanted not in MOVES[status]:
        raise StoreFailed(
            f"A run that is {status.value} cannot become {wanted.value}.", code="store.illegal_move", detail=fact.kind
        )
    return wanted


@dataclass(slots=True, kw_only=True)
class StepRun:
    """One step of a run as the facts tell it.

    Args:
        path: Its place in the run, for example `execution/tool/2`.
        status: Running also means in doubt, when no driver is at work.
        attempts: How often it was started.
        key: The idempotency key all its attempts share.
    """

    path: str
    what: str
    name: str
    status: StepStatus
    attempts: int
    key: str
    repeatable: bool
    input: Any = None
    output: Any = None
    failure: Failure | None = None
    #: Which try its newest failure ended; 0 where none was begun.
    failed_at: int = 0
    again_at: float | None = None
    started_at: float = 0.0
    seconds: float = 0.0
    usage: Usage = NOTHING_USED
    cost_micros: int | None = 0
    #: What is reserved for the try that is going on.
    hold_micros: int = 0
    #: In which round of the run it was given up; see `Run.rounds`.
    round: int = 0
    #: When its newest outcome was written; 0 while there is none.
    ended_at: float = 0.0
    #: The run its outcome was taken over from, where it was not done in this one.
    inherited: str = ""


@dataclass(slots=True, kw_only=True)
class Run:
    """Everything the facts say about one run. Made by `fold`, never written directly."""

    run_id: str
    status: TaskStatus = TaskStatus.PENDING
    admitted: RunAdmitted | None = None
    routed: RunRouted | None = None
    finished: RunFinished | None = None
    waiting: RunWaiting | None = None
    cancel: CancelAsked | None = None
    paused: bool = False
    fence: int = 0
    seq: int = 0
    created_at: float = 0.0
    updated_at: float = 0.0
    driven_until: float = 0.0
    finished_at: float | None = None
    driver: str = ""
    starts: int = 0
    #: How often it had failed and was made to go on.
    rounds: int = 0
    active_seconds: float = 0.0
    forgiven_seconds: float = 0.0
    gave_up: str = ""
    active_since: float | None = None
    steps: dict[str, StepRun] = field(default_factory=dict)
    questions: dict[str, Question] = field(default_factory=dict)
    approvals_used: dict[str, int] = field(default_factory=dict)
    let_in: bool = False
    #: Whether a limit had no room for it at the door, and it was not let in since.
    queued: bool = False
    gates: list[GateAnswered] = field(default_factory=list)
    notes: list[Noted] = field(default_factory=list)
    usage: Usage = NOTHING_USED
    cost_micros: int | None = 0

    def question_at(self, path: str, about: str) -> Question | None:
        """The newest question asked at a step, if there is one."""
        found = [q for q in self.questions.values() if q.path == path and q.about == about]
        return found[-1] if found else None

    def open_questions(self) -> list[Question]:
        """What people still have to answer."""
        return [q for q in self.questions.values() if q.state == "pending"]

    def requesters(self, question: Question) -> tuple[Any, ...]:
        """Who may not answer a question, because it is asked for them: the user and the agent."""
        user = self.admitted.task.get("user") if self.admitted is not None else None
        return (user, question.asks.get("user"), question.asks.get("agent"))


def fold(run_id: str, recorded: Iterable[Recorded]) -> Run:
    """Make a run out of its facts, oldest first. Total: every fact there is has a meaning.

    Args:
        run_id: The run's id.
        recorded: Its facts in order; a fact that was already folded is passed over, so that reading
            the same page twice changes nothing.

    Raises:
        StoreFailed: facts are missing in the middle, or a move is not legal.
    """
    run = Run(run_id=run_id)
    for record in recorded:
        fold_one(run, record)
    return run


def fold_one(run: Run, record: Recorded) -> None:
    """Add one fact to a run; one that is already in it changes nothing."""
    if record.seq <= run.seq:
        return
    if record.seq != run.seq + 1:
        raise StoreFailed(
            f"Facts {run.seq + 1} to {record.seq - 1} of run {run.run_id} are missing.",
            "Restore the store from a backup; `interlock doctor` checks it.",
            code="store.gap",
        )
    fact = record.fact
    if type(fact) in _OF_STEPS:  # most facts: they move nothing, and are a driver's
        run.seq = record.seq
        _apply_step(run, fact, record.at)  # type: ignore[arg-type]
        run.updated_at = run.driven_until = record.at
        return
    before, run.status = run.status, status_after(run.status, fact)
    run.seq = record.seq
    _apply(run, fact, record.at)
    if isinstance(fact, ResumeAsked) and run.status is not before:
        _begin_again(run)
    run.updated_at = record.at
    if not isinstance(fact, FROM_OUTSIDE):
        run.driven_until = record.at


def _apply(run: Run, fact: Fact, at: float) -> None:
    match fact:
        case RunAdmitted() | RunRouted() | RunStarted() | RunWaiting() | RunFinished():
            _apply_course(run, fact, at)
        case StepStarted() | StepFinished() | StepFailed():
            _apply_step(run, fact, at)
        case StepInherited():
            _inherit(run, fact, at)
        case QuestionAsked() | QuestionAnswered() | ApprovalUsed():
            _apply_question(run, fact, at)
        case CancelAsked() | PauseAsked() | ResumeAsked():
            _apply_wish(run, fact)
        case GateAnswered():
            run.gates.append(fact)
            run.queued = run.queued and not (fact.act == "task" and fact.effect == "allow")
            if fact.effect != "approval":  # whatever was asked about this step need not be asked any more
                withdraw(run.questions, fact.path)
        case Noted():
            run.notes.append(fact)
        case _:
            assert_never(fact)


def _apply_course(run: Run, fact: RunAdmitted | RunRouted | RunStarted | RunWaiting | RunFinished, at: float) -> None:
    match fact:
        case RunAdmitted():
            run.admitted, run.created_at = fact, at
        case RunRouted():
            run.routed = fact
        case RunStarted():
            # A crash is not written down: the driver before this one worked until its last fact.
            run.active_seconds = worked_before(run, at)
            run.fence, run.driver, run.waiting = fact.fence, fact.driver, None
            run.starts += 1
            run.active_since = at
        case RunWaiting():
            run.waiting = fact
            run.queued = run.queued or fact.ref == QUEUED
            if fact.reason != "timer":  # a retry's pause is part of the work, a person's is not
                _stop_clock(run, at)
        case RunFinished():
            run.finished, run.finished_at, run.waiting = fact, at, None
            _stop_clock(run, at)
            withdraw(run.questions, None)
            if fact.status != "failed":  # then it may go on, and what is in doubt still is
                withdraw(run.questions, None, also="pending", about="in_doubt")
        case _:
            assert_never(fact)


def _stop_clock(run: Run, at: float) -> None:
    if run.active_since is not None:
        run.active_seconds += max(0.0, at - run.active_since)
        run.active_since = None


def _apply_step(run: Run, fact: StepStarted | StepFinished | StepFailed, at: float) -> None:
    step = run.steps.get(fact.path)
    if isinstance(fact, StepStarted):
        if step is None:
            run.steps[fact.path] = StepRun(
                path=fact.path,
                what=fact.what,
                name=fact.name,
                status="running",
                attempts=fact.attempt,
                key=fact.key,
                repeatable=fact.repeatable,
                input=fact.input,
                started_at=at,
                hold_micros=fact.hold_micros,
            )
        elif step.status != "finished":
            step.status, step.attempts, step.again_at = "running", fact.attempt, None
            step.hold_micros = fact.hold_micros
        return
    if step is None:  # refused before it was started: there was no intent, only an outcome
        step = run.steps[fact.path] = StepRun(
            path=fact.path, what="tool", name="", status="failed", attempts=0, key="", repeatable=True, started_at=at
        )
    if step.status == "finished":
        return
    step.seconds += fact.seconds
    step.hold_micros = 0
    step.ended_at, step.round = at, run.rounds
    if fact.cost_micros != 0 or fact.usage != NOTHING_USED:
        step.usage, run.usage = step.usage + fact.usage, run.usage + fact.usage
        step.cost_micros = add_micros(step.cost_micros, fact.cost_micros)
        run.cost_micros = add_micros(run.cost_micros, fact.cost_micros)
    if isinstance(fact, StepFinished):
        step.status, step.output, step.failure = "finished", fact.output, None
    else:
        step.failure, step.failed_at, step.again_at = fact.failure, fact.attempt, fact.again_at
        step.status = "failed" if fact.again_at is None else "retrying"
        if fact.again_at is None:
            run.gave_up = fact.path


def _inherit(run: Run, fact: StepInherited, at: float) -> None:
    """Take over an outcome; nothing that was done here is ever replaced by one."""
    if fact.path not in run.steps:
        run.steps[fact.path] = StepRun(
            path=fact.path,
            what=fact.what,
            name=fact.name,
            status="finished" if fact.failure is None else "failed",
            attempts=0,
            key="",
            repeatable=True,
            input=fact.input,
            output=fact.output,
            failure=fact.failure,
            started_at=at,
            ended_at=at,
            seconds=fact.seconds,
            inherited=fact.parent,
        )


def _apply_question(run: Run, fact: QuestionAsked | QuestionAnswered | ApprovalUsed, at: float) -> None:
    match fact:
        case QuestionAsked():
            if fact.about == "approval":
                withdraw(run.questions, fact.path, but=fact.digest)
            run.questions[fact.question_id] = question_of(fact, at)
        case QuestionAnswered():
            question = run.questions.get(fact.question_id)
            if question is not None:
                take_answer(question, fact, at=at, seq=run.seq, requesters=run.requesters(question))
        case ApprovalUsed():
            run.approvals_used[fact.path] = run.approvals_used.get(fact.path, 0) + 1
            run.let_in = run.let_in or not fact.path
            used = run.questions.get(fact.question_id)
            if used is not None and used.state == "allowed":
                used.state = "used"
            withdraw(run.questions, fact.path, also="pending")
        case _:
            assert_never(fact)


def _apply_wish(run: Run, fact: CancelAsked | PauseAsked | ResumeAsked) -> None:
    match fact:
        case CancelAsked():
            run.cancel = run.cancel or fact
        case PauseAsked():
            run.paused = True
        case ResumeAsked():
            run.paused = False
        case _:
            assert_never(fact)


def _begin_again(run: Run) -> None:
    """A failed run goes on: the step that ended it is tried again, and a wish that came after its end is forgotten.

    Failures that the work itself took in and went on from are outcomes like any other; doing those steps again
    would change what followed them. A step that may have happened is not forgotten but in doubt.
    """
    ended_by = run.steps.get(run.gave_up)
    if ended_by is not None and run.finished is not None and ended_by.failure == run.finished.failure:
        if in_doubt(ended_by):
            ended_by.status = "running"
        else:
            del run.steps[run.gave_up]
    run.rounds += 1
    run.finished, run.finished_at, run.cancel, run.let_in = None, None, None, False
    run.forgiven_seconds = run.active_seconds  # whoever tries again grants the task's whole timeout again


def worked_before(run: Run, at: float) -> float:
    """Seconds of work on a run before a driver takes it up `at` this time; waiting for people is no work."""
    if run.active_since is None:
        return run.active_seconds
    until = at if run.waiting is not None else run.driven_until  # a retry's pause is still going on
    return run.active_seconds + max(0.0, until - run.active_since)
