"""Guardrails: named conditions on tasks, tool calls, their results and output, which block, hold or ask."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal, get_args

from interlock.errors import UsageError
from interlock.governance.redaction.logs import RedactedLog
from interlock.governance.terms import NO_TERMS, Terms
from interlock.records.task import Task
from interlock.records.verdict import ALLOWED, Act, ActKind, Effect, Verdict, strictest

_log = logging.getLogger(__name__)
_log.addFilter(RedactedLog())

#: Where a guardrail stands: before a task, before a tool or command is called, at what it brought back, at the answer.
Point = Literal["task", "tool_call", "tool_result", "output"]
POINTS: tuple[Point, ...] = get_args(Point)
#: At which point an act is judged.
POINT_OF: dict[ActKind, Point] = {
    "task": "task",
    "tool": "tool_call",
    "command": "tool_call",
    "tool_result": "tool_result",
    "output": "output",
}
#: Seconds a condition may take, unless it says otherwise.
BUDGET = 0.05


class GuardrailType(StrEnum):
    """What a guardrail is for, and so what becomes of what it matches.

    VALIDATION and BLOCK refuse it, APPROVAL_REQUIRED asks a person, RATE_LIMIT refuses it for now, and COST_LIMIT
    refuses it as too dear.
    """

    VALIDATION = "validation"
    BLOCK = "block"
    APPROVAL_REQUIRED = "approval_required"
    RATE_LIMIT = "rate_limit"
    COST_LIMIT = "cost_limit"

    @property
    def effect(self) -> Effect:
        """What a match does."""
        return Effect.APPROVAL if self is GuardrailType.APPROVAL_REQUIRED else Effect.BLOCK

    @property
    def code(self) -> str:
        """The code of the error that a match becomes."""
        plain = self in (GuardrailType.BLOCK, GuardrailType.APPROVAL_REQUIRED)
        return "guardrail.blocked" if plain else f"guardrail.{self.value}"


@dataclass(frozen=True, slots=True)
class Guardrail:
    """A condition that nothing may meet at its points, or only with a person's consent.

    Args:
        name: What it is called in results and records.
        type: What it is for.
        condition: Whether it matches. It gets the `Task` at the point `task`, and the `Act` (`name`, `arguments`,
            `content`, `agent`, `user` ...) at the others. It must be quick and change nothing, for it may be asked
            twice. One that raises, or takes too long twice in a row, counts as matched.
        message: What a person is told when it matches.
        approver: Who may consent, for APPROVAL_REQUIRED.
        on: Where it stands: `task`, `tool_call` (commands too), `tool_result`, `output`. What stands at the last two
            cannot wait for a person: there APPROVAL_REQUIRED refuses.
        terms: Where it is written, and further terms of the approval.
        budget: Seconds the condition may take.

    Raises:
        UsageError: code `usage.guardrail`: a part has the wrong type.
    """

    name: str
    type: GuardrailType
    condition: Callable[[Any], Any]
    message: str
    approver: str | None = None
    on: Sequence[Point] = ("task",)
    terms: Terms = field(default=NO_TERMS, kw_only=True)
    budget: float = field(default=BUDGET, kw_only=True)

    def __post_init__(self) -> None:
        for part in ("name", "message"):
            value = getattr(self, part)
            if not isinstance(value, str) or not value.strip():
                raise unusable(f"A guardrail's {part} must be a text, not {value!r:.80}.")
        if not callable(self.condition) or inspect.iscoroutinefunction(self.condition):
            raise unusable(f"The condition of {self.name} must be a function of a task that is not async.")
        if self.approver is not None and not isinstance(self.approver, str):
            raise unusable(f"The approver of {self.name} must be a text, not {self.approver!r:.80}.")
        try:
            object.__setattr__(self, "type", GuardrailType(str(self.type).lower()))
        except ValueError:
            known = ", ".join(GuardrailType)
            raise unusable(f"{self.type!r:.80} is no guardrail type; there are: {known}.") from None
        points: Iterable[str] = (self.on,) if isinstance(self.on, str) else self.on
        if not (points := tuple(points)) or not set(points) <= set(POINTS):
            raise unusable(f"{self.name} must stand at one or more of {', '.join(POINTS)}, not at {self.on!r:.80}.")
        object.__setattr__(self, "on", points)

    def judge(self, subject: Task | Act, clock: Callable[[], float] = time.perf_counter) -> Verdict | None:
        """What this guardrail says; None when it does not match. Never raises.

        Args:
            subject: The task, or the act at the other points.
            clock: Seconds, to measure the condition by.
        """
        reason = self.message
        try:
            begun = clock()
            matched = self._ask(subject)
            if clock() - begun > self.budget:
                matched, reason = self._once_more(subject, clock)
            if not matched:
                return None
        except Exception as error:  # noqa: BLE001 - fail closed: a condition that raises counts as matched
            _log.exception("guardrail %s could not be evaluated", self.name)
            reason = f"{self.message} (It could not be evaluated, {type(error).__name__}, and so counts as matched.)"
        terms = replace(self.terms, approver=self.approver or self.terms.approver, reason="")
        return terms.verdict(self.type.effect, self.name, reason, usual=("run",), code=self.type.code)

    def _ask(self, subject: Task | Act) -> bool:
        matched = self.condition(subject)
        if inspect.isawaitable(matched):
            getattr(matched, "close", lambda: None)()
            raise TypeError("the condition is async")
        return bool(matched)

    def _once_more(self, subject: Task | Act, clock: Callable[[], float]) -> tuple[bool, str]:
        """The answer of a condition that was slow: a busy machine is not its fault, being slow again is."""
        begun = clock()
        matched = self._ask(subject)
        if (took := clock() - begun) <= self.budget:
            return matched, self.message
        _log.warning("guardrail %s takes %.0f ms; it may take %.0f", self.name, took * 1000, self.budget * 1000)
        return True, f"{self.message} (It took too long to evaluate and so counts as matched.)"


def judge_task(guardrails: Sequence[Guardrail], task: Task) -> Verdict:
    """What all guardrails together say about a task: the strictest that matches; none means allowed."""
    return judge_at("task", guardrails, task) or ALLOWED


def judge_at(point: Point, guardrails: Sequence[Guardrail], subject: Task | Act) -> Verdict | None:
    """What the guardrails that stand at a point say together: the strictest that matches, or None.

    What was brought back, and an answer, cannot wait: where a person would have to look first, they are refused.
    """
    found = [
        verdict
        for guardrail in guardrails
        if point in guardrail.on and (verdict := guardrail.judge(_own(subject))) is not None
    ]
    if not found:
        return None
    worst = strictest(found)
    if worst.effect is Effect.APPROVAL and point in ("tool_result", "output"):
        reason = f"{worst.reason} (Only a person could release it, and this cannot wait for one; it is held back.)"
        return replace(worst, effect=Effect.BLOCK, reason=reason, code="guardrail.blocked", approver=None, grants=())
    return worst


def _own(subject: Task | Act) -> Task | Act:
    """The subject for one condition alone: what it changes in it, nobody else sees, and nothing is done by it."""
    if isinstance(subject, Act) and subject.arguments:
        return replace(subject, arguments=deepcopy(dict(subject.arguments)))
    return subject


def unusable(says: str) -> UsageError:
    """The error for a guardrail that makes no sense."""
    return UsageError(says, code="usage.guardrail")
