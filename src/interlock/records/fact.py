"""Facts: the closed union of everything that may be written to a run's journal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

from interlock.records.money import NOTHING_USED, Usage

#: What a step does: it asks a model, uses a tool, calls a function or an agent, holds other steps, or waits.
StepKind = Literal["model", "tool", "function", "agent", "step", "timer"]
FinalStatus = Literal["completed", "failed", "blocked", "cancelled"]
WaitReason = Literal["timer", "person", "paused", "shutdown", "child"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error as it is written down: enough to show people and to decide, nothing internal.

    Args:
        code: The stable code of the error tree.
        says: One sentence for people.
        do: The next step.
        retryable: Whether the same act may succeed later.
        retry_after: Seconds the other side asked us to wait.
    """

    code: str
    says: str
    do: str = ""
    retryable: bool = False
    retry_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAdmitted:
    """A task was accepted (or refused at the door) and a run exists. Always the first fact."""

    kind: ClassVar[str] = "run.admitted"
    task: dict[str, Any]
    task_id: str
    flow: str
    digest: str
    parent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRouted:
    """Who gets the work, and why."""

    kind: ClassVar[str] = "run.routed"
    platform: str
    candidates: list[str]
    reasons: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateAnswered:
    """A gate judged an act. Of what was not allowed, `parts` are all answers and `tried` is what was to be done."""

    kind: ClassVar[str] = "gate.answered"
    path: str
    act: str
    name: str
    effect: Literal["allow", "approval", "block"]
    rule: str = ""
    reason: str = ""
    place: str = ""
    approver: str | None = None
    parts: list[dict[str, str]] = field(default_factory=list)
    tried: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """A driver took the run, for the first time or again."""

    kind: ClassVar[str] = "run.started"
    driver: str
    fence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted:
    """The intent: this is about to be done, under this idempotency key; `hold_micros` is reserved for it."""

    kind: ClassVar[str] = "step.started"
    path: str
    what: StepKind
    name: str
    attempt: int
    key: str
    repeatable: bool
    input: Any = None
    hold_micros: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished:
    """The outcome: it was done, and this came back. Never done again. `agent` and `model` say what was paid for."""

    kind: ClassVar[str] = "step.finished"
    path: str
    attempt: int
    output: Any
    seconds: float
    usage: Usage = NOTHING_USED
    cost_micros: int | None = 0
    agent: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFailed:
    """The outcome: it did not work. `again_at` says when it is tried again; without it, this was the last try."""

    kind: ClassVar[str] = "step.failed"
    path: str
    attempt: int
    failure: Failure
    seconds: float
    again_at: float | None = None
    usage: Usage = NOTHING_USED
    cost_micros: int | None = 0
    agent: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInherited:
    """What came of a step in the run this one was forked from; it counts as done here and cost nothing here.

    `failure` is set where it had failed and the work went on from that. Approvals are never inherited.
    """

    kind: ClassVar[str] = "step.inherited"
    parent: str
    path: str
    what: StepKind
    name: str
    input: Any = None
    output: Any = None
    failure: Failure | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionAsked:
    """A person must answer before this step can go on. `asks` is exactly what is shown, `digest` its SHA-256."""

    kind: ClassVar[str] = "question.asked"
    path: str
    question_id: str
    about: Literal["approval", "in_doubt"]
    says: str
    approver: str | None = None
    asks: dict[str, Any] = field(default_factory=dict)
    digest: str = ""
    quorum: int = 1
    expires_at: float | None = None
    grants: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionAnswered:
    """A person answered, having seen what has this `digest`. The first answer wins."""

    kind: ClassVar[str] = "question.answered"
    question_id: str
    answer: Literal["allow", "deny", "repeat", "skip"]
    by: str
    reason: str = ""
    digest: str = ""
    scope: Literal["once", "run"] = "once"
    edited: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalUsed:
    """A step begins on a person's approval; written together with its intent, and never taken back."""

    kind: ClassVar[str] = "approval.used"
    question_id: str
    path: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWaiting:
    """The run has nothing to do until then; it holds no task, thread or connection."""

    kind: ClassVar[str] = "run.waiting"
    reason: WaitReason
    until: float | None = None
    ref: str | None = None
    says: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAsked:
    """Someone wants the run to stop for good."""

    kind: ClassVar[str] = "cancel.asked"
    by: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseAsked:
    """Someone wants the run to start nothing new until it is resumed."""

    kind: ClassVar[str] = "pause.asked"
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeAsked:
    """Someone wants a paused, failed or interrupted run to go on. `retry` forgets given-up steps."""

    kind: ClassVar[str] = "resume.asked"
    by: str
    retry: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """Something an operator should see that changes nothing."""

    kind: ClassVar[str] = "noted"
    level: Literal["info", "warning"]
    code: str
    says: str
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    """The run is over."""

    kind: ClassVar[str] = "run.finished"
    status: FinalStatus
    output: Any = None
    failure: Failure | None = None
    guardrail: str | None = None
    agent: str = ""
    stages: dict[str, Any] = field(default_factory=dict)
    usage: Usage = NOTHING_USED
    cost_micros: int | None = 0
    seconds: float = 0.0


Fact: TypeAlias = (
    RunAdmitted
    | RunRouted
    | GateAnswered
    | RunStarted
    | StepStarted
    | StepFinished
    | StepFailed
    | StepInherited
    | QuestionAsked
    | QuestionAnswered
    | ApprovalUsed
    | RunWaiting
    | CancelAsked
    | PauseAsked
    | ResumeAsked
    | Noted
    | RunFinished
)

#: Every kind of fact by its written name.
KINDS: dict[str, type[Fact]] = {
    cls.kind: cls
    for cls in (
        RunAdmitted,
        RunRouted,
        GateAnswered,
        RunStarted,
        StepStarted,
        StepFinished,
        StepFailed,
        StepInherited,
        QuestionAsked,
        QuestionAnswered,
        ApprovalUsed,
        RunWaiting,
        CancelAsked,
        PauseAsked,
        ResumeAsked,
        Noted,
        RunFinished,
    )
}

#: What may be written by someone who does not drive the run.
FROM_OUTSIDE = (CancelAsked, PauseAsked, ResumeAsked, QuestionAnswered)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A fact at its place in the journal.

    Args:
        position: Its place among all facts of the store; grows, may have gaps.
        run_id: The run it belongs to.
        seq: Its place in the run: 1, 2, 3 ... without gaps.
        at: When it was written, in seconds since 1970 (UTC).
        fact: What happened.
    """

    position: int
    run_id: str
    seq: int
    at: float
    fact: Fact
