"""Guardrails: named conditions on a task that block it or ask a person first."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from interlock.errors import UsageError
from interlock.governance.wording import asks_to_destroy
from interlock.records.task import Task
from interlock.records.verdict import ALLOWED, Effect, Verdict, strictest

_log = logging.getLogger(__name__)


class GuardrailType(StrEnum):
    """What a guardrail is for; all block what they match, except APPROVAL_REQUIRED, which asks a person."""

    VALIDATION = "validation"
    BLOCK = "block"
    APPROVAL_REQUIRED = "approval_required"
    RATE_LIMIT = "rate_limit"
    COST_LIMIT = "cost_limit"

    @property
    def effect(self) -> Effect:
        """What a match does."""
        return Effect.APPROVAL if self is GuardrailType.APPROVAL_REQUIRED else Effect.BLOCK


@dataclass(frozen=True, slots=True)
class Guardrail:
    """A condition that no task may meet, or only with a person's consent.

    Args:
        name: What it is called in results and records.
        type: What it is for.
        condition: Whether it matches a task. A condition that raises counts as matched.
        message: What a person is told when it matches.
        approver: Who may consent, for APPROVAL_REQUIRED.

    Raises:
        UsageError: code `usage.guardrail`: a part has the wrong type.
    """

    name: str
    type: GuardrailType
    condition: Callable[[Task], Any]
    message: str
    approver: str | None = None

    def __post_init__(self) -> None:
        for part in ("name", "message"):
            value = getattr(self, part)
            if not isinstance(value, str) or not value.strip():
                raise _unusable(f"A guardrail's {part} must be a text, not {value!r:.80}.")
        if not callable(self.condition) or inspect.iscoroutinefunction(self.condition):
            raise _unusable(f"The condition of {self.name} must be a function of a task that is not async.")
        if self.approver is not None and not isinstance(self.approver, str):
            raise _unusable(f"The approver of {self.name} must be a text, not {self.approver!r:.80}.")
        try:
            object.__setattr__(self, "type", GuardrailType(str(self.type).lower()))
        except ValueError:
            known = ", ".join(GuardrailType)
            raise _unusable(f"{self.type!r:.80} is no guardrail type; there are: {known}.") from None

    def judge(self, task: Task) -> Verdict | None:
        """What this guardrail says about a task; None when it does not match. Never raises."""
        reason = self.message
        try:
            matched = self.condition(task)
            if inspect.isawaitable(matched):
                getattr(matched, "close", lambda: None)()
                raise TypeError("the condition is async")
            if not matched:
                return None
        except Exception as error:  # noqa: BLE001 - fail closed: a condition that raises counts as matched
            _log.exception("guardrail %s could not be evaluated", self.name)
            reason = f"{self.message} (It could not be evaluated, {type(error).__name__}, and so counts as matched.)"
        return Verdict(effect=self.type.effect, rule=self.name, reason=reason, approver=self.approver)


class GuardrailPresets:
    """Guardrails that most operators want."""

    @staticmethod
    def production_safety(approver: str) -> Guardrail:
        """Ask before any task whose context says `"env": "production"`.

        Args:
            approver: Who may consent.
        """
        return Guardrail(
            name="production_safety",
            type=GuardrailType.APPROVAL_REQUIRED,
            condition=lambda task: str(task.context.get("env", "")).strip().lower() == "production",
            message="Production changes require approval",
            approver=approver,
        )

    @staticmethod
    def cost_limit(max_cost: float) -> Guardrail:
        """Block tasks whose estimated cost is above a limit.

        Args:
            max_cost: The limit in USD; exactly this much is still allowed.
        """
        if isinstance(max_cost, bool) or not isinstance(max_cost, (int, float)) or not 0 <= max_cost < float("inf"):
            raise _unusable(f"A cost limit must be 0 USD or more, not {max_cost!r:.80}.")
        return Guardrail(
            name="cost_limit",
            type=GuardrailType.BLOCK,
            condition=lambda task: task.estimated_cost > max_cost,
            message=f"Exceeds ${max_cost} cost limit",
        )

    @staticmethod
    def no_destructive_ops(
        approver: str | None = None, *, type: GuardrailType = GuardrailType.APPROVAL_REQUIRED
    ) -> Guardrail:
        """Ask before tasks whose text reads like an order to destroy something.

        A text can only be a hint; what is really done is judged again at every command and tool call.

        Args:
            approver: Who may consent.
            type: BLOCK to refuse such tasks instead.
        """
        return Guardrail(
            name="no_destructive_ops",
            type=type,
            condition=lambda task: asks_to_destroy(task.description),
            message="Destructive operations require approval"
            if GuardrailType(type) is GuardrailType.APPROVAL_REQUIRED
            else "Destructive operations blocked",
            approver=approver,
        )


def judge_task(guardrails: Sequence[Guardrail], task: Task) -> Verdict:
    """What all guardrails together say about a task: the strictest that matches; none means allowed."""
    found = [verdict for guardrail in guardrails if (verdict := guardrail.judge(task)) is not None]
    return strictest(found) if found else ALLOWED


def _unusable(says: str) -> UsageError:
    return UsageError(says, code="usage.guardrail")
