"""Rate limits: how much work may be begun in a time, as places in rates and counting accounts that an act takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from interlock.errors import UsageError
from interlock.governance.budgets import Budget, window_of
from interlock.records.charge import Account, Rate
from interlock.records.verdict import Act

#: Tasks that one user may begin in a minute, by tier.
TIERS: Mapping[str, int] = MappingProxyType({"free": 10, "pro": 100, "enterprise": 1000})
#: Says in which tier a user of a tenant is; None for none.
TierOf = Callable[[str | None, str | None], str | None]

_MINUTE, _HOUR = 60, 3600
_PERIODS = {_MINUTE: "minute", _HOUR: "hour"}


class UnknownTier(UsageError):
    """There is no such tier."""

    code = "usage.tier"


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """How much may be begun in a time; None for no limit.

    Limits per minute and hour are rates: as many may be begun at once, and each place comes back evenly in the time.
    Limits per day are counts of the calendar's day in UTC.

    Args:
        max_tasks_per_minute: Tasks of the whole platform.
        max_tasks_per_day: The same, in a day.
        max_cost_per_day: US dollars in a day, for the whole platform: a budget.
        max_claude_executions_per_hour: Tasks that the agent `claude` works on.
        max_requests_per_minute: Model requests to each provider; or by provider's name.
        max_tokens_per_minute: Tokens sent to and received from each provider; or by provider's name.
        tiers: Tasks in a minute for each user (each tenant where there is no user), by tier.
        queue: Whether a task without room waits for its turn instead of being refused.

    Raises:
        UsageError: code `usage.rate_limit`, when a limit is no whole number of 1 or more.
    """

    max_tasks_per_minute: int | None = None
    max_tasks_per_day: int | None = None
    max_cost_per_day: str | int | float | Decimal | None = None
    max_claude_executions_per_hour: int | None = None
    max_requests_per_minute: int | Mapping[str, int] | None = None
    max_tokens_per_minute: int | Mapping[str, int] | None = None
    tiers: Mapping[str, int] = field(default_factory=lambda: TIERS)
    queue: bool = False
    budget: Budget | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for spec in fields(self):
            if spec.name not in ("queue", "budget", "max_cost_per_day"):
                _check(spec.name, getattr(self, spec.name))
        if not isinstance(self.queue, bool):
            raise _unusable(f"queue is True or False, not {self.queue!r:.40}.")
        cost = self.max_cost_per_day
        made = Budget(limit=cost, per="day", name="max_cost_per_day") if cost is not None else None
        object.__setattr__(self, "budget", made)

    def counts(self, act: Act, now: float) -> Iterator[Account]:
        """The accounts in which a task is counted."""
        if act.kind == "task" and self.max_tasks_per_day is not None:
            day = window_of("day", now)
            yield Account(
                key=f"max_tasks_per_day|{day.name}|",
                name="max_tasks_per_day",
                limit=self.max_tasks_per_day,
                scope="platform",
                window=day.name,
                until=day.until,
                unit="count",
            )

    def rates(self, act: Act, tokens: int, tier_of: TierOf | None) -> Iterator[Rate]:
        """The rates in which an act takes a place.

        Args:
            act: A task, or a model request.
            tokens: The most tokens a model request can use.
            tier_of: Says in which tier the act's user is.

        Raises:
            UnknownTier: the user is in a tier that has no limit here.
        """
        if act.kind == "task":
            yield from self._rates_of_task(act, tier_of)
        elif act.kind == "model":
            provider = str(act.arguments.get("provider", ""))
            if (most := _of(self.max_requests_per_minute, provider)) is not None:
                yield _rate("max_requests_per_minute", provider, most, _MINUTE, f"requests to {provider}")
            if (most := _of(self.max_tokens_per_minute, provider)) is not None:
                yield _rate(
                    "max_tokens_per_minute", provider, most, _MINUTE, f"tokens of {provider}", tokens, refunded=True
                )

    def _rates_of_task(self, act: Act, tier_of: TierOf | None) -> Iterator[Rate]:
        if self.max_tasks_per_minute is not None:
            yield _rate("max_tasks_per_minute", "", self.max_tasks_per_minute, _MINUTE, "tasks")
        if self.max_claude_executions_per_hour is not None and "claude" in act.crew:
            name = "max_claude_executions_per_hour"
            yield _rate(name, "", self.max_claude_executions_per_hour, _HOUR, "tasks of claude")
        tier = tier_of(act.user, act.tenant) if tier_of is not None and (act.user or act.tenant) else None
        if tier:
            whose = f"user {act.user}" if act.user else f"tenant {act.tenant}"
            yield tier_rate(self.tiers, tier, whose)


def tier_rate(tiers: Mapping[str, int], tier: str, whose: str) -> Rate:
    """The rate of one user or tenant in a tier.

    Raises:
        UnknownTier: the tier has no limit.
    """
    if tier not in tiers:
        raise UnknownTier(f"There is no tier {tier!r:.60}.", f"The tiers are: {', '.join(tiers) or 'none'}.")
    return _rate(f"tier_{tier}", whose, tiers[tier], _MINUTE, f"tasks of a {tier} user")


def _rate(
    name: str, value: str, most: int, period: int, what: str, quantity: int = 1, *, refunded: bool = False
) -> Rate:
    return Rate(
        key=f"{name}|{value}",
        name=name,
        quantity=quantity,
        interval=max(1, period * 1_000_000_000 // most),
        burst=most,
        says=f"at most {most:,} {what} a {_PERIODS[period]}",
        refunded=refunded,
    )


def _of(limit: int | Mapping[str, int] | None, provider: str) -> int | None:
    return limit.get(provider) if isinstance(limit, Mapping) else limit


def _check(name: str, value: Any) -> None:
    values = value.values() if isinstance(value, Mapping) else () if value is None else (value,)
    for one in values:
        if isinstance(one, bool) or not isinstance(one, int) or not 1 <= one <= 10**9:
            raise _unusable(f"{name} is a whole number of 1 or more, not {one!r:.40}.")


def _unusable(says: str) -> UsageError:
    return UsageError(says, code="usage.rate_limit")
