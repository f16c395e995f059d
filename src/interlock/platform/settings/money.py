"""The sections of the settings about money and pace: prices, budgets, rate limits."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta

from interlock.platform.settings.people import Name

Most = Annotated[int, Meta(ge=1, le=10**9, description="a whole number from 1 to 1,000,000,000")]
Part = Annotated[float, Meta(gt=0, le=1, description="a number above 0 and at most 1")]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSettings:
    """`[prices."MODEL"]`: what a model costs, in USD per million tokens, instead of the price table's figures.

    Args:
        input: For tokens sent.
        output: For tokens received.
        cached_input: For tokens read from the provider's cache; None for the price of `input`.
    """

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSettings:
    """`[budgets.NAME]`: how much may be spent in a period. What does not fit any more is not begun.

    Args:
        limit: US dollars, like "50 USD".
        per: The period: of the calendar in UTC, a run, or for ever.
        scope: Whose money it is; every run, agent, user or tenant has an account of its own.
        alert_at: At which part of the limit people are warned.
        unknown_price: Whether a model call that nobody can price is refused or let through.
    """

    limit: Name
    per: Literal["run", "task", "hour", "day", "month", "total"] = "day"
    scope: Literal["platform", "run", "task", "agent", "user", "tenant"] = "platform"
    alert_at: Part = 0.8
    unknown_price: Literal["block", "allow"] = "block"


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitSettings:
    """`[rate_limits]`: how much may be begun in a time; None for no limit.

    Args:
        max_tasks_per_minute: Tasks of the whole platform.
        max_tasks_per_day: The same, in a day of the calendar in UTC.
        max_cost_per_day: US dollars in a day, like "100 USD".
        max_claude_executions_per_hour: Tasks that the agent claude works on.
        max_requests_per_minute: Model requests to each provider.
        max_tokens_per_minute: Tokens sent to and received from each provider.
        queue: Whether a task without room waits for its turn instead of being refused.
    """

    max_tasks_per_minute: Most | None = None
    max_tasks_per_day: Most | None = None
    max_cost_per_day: Name | None = None
    max_claude_executions_per_hour: Most | None = None
    max_requests_per_minute: Most | None = None
    max_tokens_per_minute: Most | None = None
    queue: bool = False
