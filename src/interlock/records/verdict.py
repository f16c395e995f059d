"""May it? Acts, verdicts, and the Gate protocol that every task, tool call, command and spend must pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, Literal, Protocol

from interlock.errors import InterlockError, Refused, from_code
from interlock.records.charge import Charge

ActKind = Literal["task", "model", "agent", "tool", "command", "tool_result", "output", "message"]


class Effect(IntEnum):
    """What a verdict does; the larger is the stricter, and the strictest part wins."""

    ALLOW = 0
    APPROVAL = 1
    BLOCK = 2

    @property
    def word(self) -> str:
        """The effect as people and records write it: allow, approval or block."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One thing that wants to happen, exactly as it would happen.

    Args:
        kind: At which point it is judged.
        name: The task's type, the tool, the model or the program.
        arguments: Exactly what would be done, as JSON. What is judged is what is executed.
        run_id: The run it belongs to.
        path: The step it belongs to.
        agent: Who wants it.
        user: For whom.
        tenant: On whose behalf.
        cwd: The directory it would happen in, for commands and files.
        content: The text that is judged, for `tool_result` and `output`.
        crew: For a task: the agents it would be given to.
        flow: For a task: how it would be carried out; the steps of a `plan` are tasks of their own.
        max_cost_micros: The most its run may cost, in micro-dollars, where its task says so.
    """

    kind: ActKind
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    run_id: str = ""
    path: str = ""
    agent: str = ""
    user: str | None = None
    tenant: str | None = None
    cwd: str = ""
    content: str = ""
    crew: tuple[str, ...] = ()
    flow: str = ""
    max_cost_micros: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer to an act, with its reason and the place of the rule.

    Args:
        effect: Allow, ask a person, or block.
        rule: The rule's name, for example a guardrail's.
        reason: One sentence for people.
        place: Where the rule stands, for example `policy.toml:31`.
        approver: Who may answer, where a person must: a user or a role; None for anyone but who asked.
        quorum: How many different people must agree.
        expires_in: Seconds after which silence is a denial; None for the platform's own limit.
        grants: What else the rule lets a person answer: `run` allows the same act for the rest of the run, `rule`
            offers to save an allow rule.
        evidence: What the act would use as it is now, for example digests of files and of the policy. An approval
            holds only while this does not change.
        code: The stable code of the error that a block becomes; empty for a plain refusal.
        charge: What must fit on budgets and under limits before it begins; None where none applies.
        approved_by: The people who allowed it, where it was allowed by people and not by rules alone.
        parts: The answers it was combined from.
    """

    effect: Effect
    rule: str = ""
    reason: str = ""
    place: str = ""
    approver: str | None = None
    quorum: int = 1
    expires_in: float | None = None
    grants: tuple[Literal["run", "rule"], ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict, hash=False)
    code: str = ""
    charge: Charge | None = None
    approved_by: tuple[str, ...] = ()
    parts: tuple[Verdict, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether it may happen now."""
        return self.effect is Effect.ALLOW


ALLOWED = Verdict(effect=Effect.ALLOW)


def strictest(parts: list[Verdict]) -> Verdict:
    """Combine answers: block beats approval beats allow; the first of the strictest speaks.

    No answer at all is a block: nothing is allowed by silence.
    """
    if not parts:
        return Verdict(effect=Effect.BLOCK, rule="default", reason="No rule allows it.")
    if len(parts) == 1:
        return parts[0]
    worst = max(parts, key=lambda part: part.effect)
    charge = next((part.charge for part in parts if part.charge is not None), None)
    return replace(worst, charge=charge, parts=tuple(parts))


def refusal(verdict: Verdict) -> InterlockError:
    """The error that tells a person about a verdict that did not allow."""
    if verdict.code:  # the rule has its own words
        return from_code(verdict.code, verdict.reason or "A rule forbids it.")
    rule = f" ({verdict.rule})" if verdict.rule else ""
    return Refused(f"{verdict.reason or 'A rule forbids it.'}{rule}")


@dataclass(frozen=True, slots=True)
class Permit:
    """Proof that a gate allowed an act. Tools run permits, not requests: what was judged is what is done.

    Raises:
        InterlockError: the verdict does not allow the act; usually a `Refused`.
    """

    act: Act
    verdict: Verdict

    def __post_init__(self) -> None:
        if not self.verdict.allowed:
            raise refusal(self.verdict)


class Gate(Protocol):
    """What governance answers and the engine asks; the two rooms know each other only by this."""

    async def admit(self, act: Act) -> Verdict:
        """May this happen? Never raises: an error inside is a block."""
        ...
