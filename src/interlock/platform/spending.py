"""Money and pace on a platform: budgets and limits from the settings, and the report on what was spent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, get_args

from interlock.errors import SettingsError, UsageError
from interlock.governance.budgets import Budget
from interlock.governance.charging import Till
from interlock.governance.limits import RateLimits
from interlock.platform.settings import Settings
from interlock.platform.settings.layers import nearest
from interlock.records.charge import AccountRow, SpendRow
from interlock.records.money import micros_to_text
from interlock.records.verdict import Act
from interlock.stores.journal import Grouping, Journal

if TYPE_CHECKING:
    from collections.abc import Callable

    from interlock.agents.prices import PriceTable
    from interlock.governance.gate import Judge
    from interlock.platform.registry import Registry
    from interlock.records.verdict import ActKind


def first_budgets(settings: Settings) -> list[Budget]:
    """The budgets of the settings.

    Raises:
        SettingsError: one of them cannot be used.
    """
    found = []
    for name, given in settings.budgets.items():
        try:
            found.append(
                Budget(
                    limit=given.limit,
                    per=given.per,
                    scope=given.scope,
                    alert_at=given.alert_at,
                    name=name,
                    unknown_price=given.unknown_price,
                )
            )
        except UsageError as error:
            raise SettingsError(f"budgets.{name}: {error.says}", error.do) from None
    return found


def first_limits(settings: Settings) -> RateLimits:
    """The rate limits of the settings.

    Raises:
        SettingsError: the daily cost is no amount of money.
    """
    given = settings.rate_limits
    try:
        return RateLimits(
            max_tasks_per_minute=given.max_tasks_per_minute,
            max_tasks_per_day=given.max_tasks_per_day,
            max_cost_per_day=given.max_cost_per_day,
            max_claude_executions_per_hour=given.max_claude_executions_per_hour,
            max_requests_per_minute=given.max_requests_per_minute,
            max_tokens_per_minute=given.max_tokens_per_minute,
            queue=given.queue,
        )
    except UsageError as error:
        raise SettingsError(f"rate_limits: {error.says}", error.do) from None


def money_voices(registry: Registry, prices: PriceTable, now: Callable[[], float]) -> dict[ActKind, list[Judge]]:
    """What budgets and limits have to say at the gate, by kind of act."""
    tier_of = registry.access.tier_of if registry.access is not None else None
    till = Till(lambda: registry.budgets, lambda: registry.limits, prices.at_most, now, tier_of)
    return {"task": [till], "model": [till], "agent": [till]}


def add_budget(budgets: list[Budget], budget: Budget) -> None:
    """Add a budget to those there are.

    Raises:
        UsageError: it is no budget, or its name is taken.
    """
    if not isinstance(budget, Budget):
        raise UsageError("add_budget takes a Budget.", code="usage.budget")
    if any(one.name == budget.name for one in budgets):
        raise UsageError(
            f"There is already a budget {budget.name!r}.",
            "Give this one a name: Budget(name=...).",
            code="usage.budget",
        )
    budgets.append(budget)


def rate_limits(given: Mapping[str, Any]) -> RateLimits:
    """Rate limits by the names of their fields.

    Raises:
        UsageError: a limit is wrong, or there is no such limit.
    """
    known = [spec.name for spec in fields(RateLimits) if spec.init]
    for name in given:
        if name not in known:
            says = f"There is no rate limit {name!r:.60} (did you mean {nearest(name, known)}?)."
            raise UsageError(says, code="usage.rate_limit")
    return RateLimits(**given)


async def cost_report(journal: Journal | None, by: str, budgets: Sequence[Budget], now: float) -> dict[str, Any]:
    """What is spent, reserved and left on each budget, and what the work cost in groups.

    Args:
        journal: The store; None where nothing was ever written.
        by: How to group: `run`, `agent`, `model`, `tenant`, `user`, `label` or `day`.
        budgets: The budgets there are; those of the whole platform are told of also before anything was spent.
        now: Seconds since 1970.

    Returns:
        `budgets`, each with `name`, `scope`, `window`, `limit_usd`, `spent_usd`, `reserved_usd`, `left_usd`;
        `limits`, each with `name`, `window`, `limit`, `used`, `left`; `spending`, each with `name`, `cost_usd`,
        `tokens`, `requests`, `unknown` (requests whose price is not known), the dearest first; and `total_usd`.

    Raises:
        UsageError: it cannot be grouped so.
    """
    wanted: Grouping | None = next((one for one in get_args(Grouping) if one == by), None)
    if wanted is None:
        known = ", ".join(get_args(Grouping))
        raise UsageError(f"Cost cannot be grouped by {by!r:.40}.", f"Use one of: {known}.", code="usage.group")
    accounts = await journal.accounts() if journal is not None else []
    accounts += _untouched(budgets, {row.key for row in accounts}, now)
    rows = await journal.spending(wanted) if journal is not None else []
    # By label a run counts under each of its labels.
    every = rows if wanted != "label" or journal is None else await journal.spending("run")
    return {
        "by": by,
        "budgets": [_budget(row) for row in accounts if row.unit == "usd"],
        "limits": [_limit(row) for row in accounts if row.unit == "count"],
        "spending": [_spent(row) for row in rows],
        "total_usd": micros_to_text(sum(row.micros for row in every)),
        "unknown": sum(row.unknown for row in every),
    }


def _untouched(budgets: Sequence[Budget], known: set[str], now: float) -> Iterator[AccountRow]:
    for budget in budgets:
        account = budget.account(Act(kind="task", name="task"), now)
        if budget.scope == "platform" and budget.per not in ("run", "task") and account.key not in known:
            yield AccountRow(
                key=account.key,
                name=account.name,
                scope=account.scope,
                window=account.window,
                until=account.until,
                unit=account.unit,
                limit=account.limit,
                spent=0,
                reserved=0,
            )


def all_budgets(budgets: Sequence[Budget], limits: RateLimits) -> list[Budget]:
    """The budgets there are, the one among the rate limits too."""
    return [*budgets, *([limits.budget] if limits.budget is not None else [])]


def _budget(row: AccountRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "scope": row.scope,
        "window": row.window or None,
        "until": row.until,
        "limit_usd": micros_to_text(row.limit),
        "spent_usd": micros_to_text(row.spent),
        "reserved_usd": micros_to_text(row.reserved),
        "left_usd": micros_to_text(row.left),
    }


def _limit(row: AccountRow) -> dict[str, Any]:
    return {"name": row.name, "window": row.window, "until": row.until, "limit": row.limit} | {
        "used": row.spent,
        "left": row.left,
    }


def _spent(row: SpendRow) -> dict[str, Any]:
    return {
        "name": row.name or None,
        "cost_usd": micros_to_text(row.micros),
        "tokens": row.tokens,
        "requests": row.requests,
        "unknown": row.unknown,
    }
