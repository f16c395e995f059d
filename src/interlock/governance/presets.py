"""Guardrails that most operators want, ready made."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from interlock.agents.injection import injection_signal
from interlock.governance.guardrails import Guardrail, GuardrailType, unusable
from interlock.governance.wording import asks_to_destroy
from interlock.records.task import Task
from interlock.records.verdict import Act

if TYPE_CHECKING:
    from interlock.governance.redaction import Redactor

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: Seconds that a look through a whole text may take; it is linear in its length.
_READING = 5.0


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

        It compares what the task itself says. What is really spent is held by `Task.max_cost` and by budgets.

        Args:
            max_cost: The limit in USD; exactly this much is still allowed.
        """
        if isinstance(max_cost, bool) or not isinstance(max_cost, (int, float)) or not 0 <= max_cost < float("inf"):
            raise unusable(f"A cost limit must be 0 USD or more, not {max_cost!r:.80}.")
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

    @staticmethod
    def max_prompt_length(characters: int) -> Guardrail:
        """Refuse tasks with a longer description.

        Args:
            characters: Most characters; exactly so many are still allowed.
        """
        if isinstance(characters, bool) or not isinstance(characters, int) or characters < 1:
            raise unusable(f"A length must be 1 character or more, not {characters!r:.80}.")
        return Guardrail(
            name="max_prompt_length",
            type=GuardrailType.VALIDATION,
            condition=lambda task: len(task.description) > characters,
            message=f"Tasks may have at most {characters:,} characters",
        )

    @staticmethod
    def business_hours(
        approver: str | None = None,
        *,
        hours: tuple[int, int] = (9, 17),
        days: Sequence[str] = _DAYS[:5],
        zone: str = "UTC",
        clock: Callable[[], float] = time.time,
    ) -> Guardrail:
        """Ask before tasks outside of business hours.

        Args:
            approver: Who may consent.
            hours: The first hour, and the hour before which it ends.
            days: Days of the week: mon, tue ...
            zone: The time zone, as in `Europe/Berlin`.
            clock: Seconds since 1970.
        """
        if not set(days) <= set(_DAYS) or not 0 <= hours[0] < hours[1] <= 24:
            raise unusable(f"These are no business hours: {list(days)!r:.80}, {hours!r:.80}.")
        try:
            where = ZoneInfo(zone)
        except (ValueError, OSError, KeyError):
            raise unusable(f"There is no time zone {zone!r:.80}.") from None

        def closed(task: Task) -> bool:
            now = datetime.fromtimestamp(clock(), where)
            return _DAYS[now.weekday()] not in days or not hours[0] <= now.hour < hours[1]

        return Guardrail(
            name="business_hours",
            type=GuardrailType.APPROVAL_REQUIRED,
            condition=closed,
            message="Outside of business hours tasks require approval",
            approver=approver,
        )

    @staticmethod
    def prompt_injection() -> Guardrail:
        """Hold back results of tools that read as if they wanted to give the agent orders.

        Without it such a result reaches the model with a mark before it; with it, the model only learns that
        something was held back.
        """
        return Guardrail(
            name="prompt_injection",
            type=GuardrailType.BLOCK,
            condition=lambda act: injection_signal(act.content),
            message="The result reads like instructions to the agent and was held back",
            on=("tool_result",),
            budget=_READING,
        )

    @staticmethod
    def secrets_in_output() -> Guardrail:
        """Refuse an answer that holds credentials: keys, tokens, passwords, private keys."""
        return Guardrail(
            name="secrets_in_output",
            type=GuardrailType.BLOCK,
            condition=lambda act: holds_credentials(act.content),
            message="The answer holds what looks like a credential and was held back",
            on=("output",),
            budget=_READING,
        )

    @staticmethod
    def pii_in_output() -> Guardrail:
        """Refuse an answer that holds personal data: e-mail addresses, phone, card and bank account numbers."""
        return Guardrail(
            name="pii_in_output",
            type=GuardrailType.BLOCK,
            condition=_holds_personal,
            message="The answer holds personal data and was held back",
            on=("output",),
            budget=_READING,
        )


def holds_credentials(text: str) -> bool:
    """Whether a text holds what looks like a credential."""
    from interlock.governance.redaction import Scope

    return bool(_redactor().find(text.encode("utf-8", "surrogatepass"), Scope.CREDENTIALS))


def _holds_personal(act: Act) -> bool:
    from interlock.governance.redaction.personal import find_personal

    return any(True for _ in find_personal(act.content.encode("utf-8", "surrogatepass")))


@cache
def _redactor() -> Redactor:
    from interlock.governance.redaction import Redactor

    return Redactor(key=b"it only looks")
