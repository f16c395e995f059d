"""Rate limits: what is counted by the calendar, what comes back evenly, and who has which tier."""

from __future__ import annotations

from typing import Any

import pytest

from interlock.errors import UsageError
from interlock.governance.limits import TIERS, RateLimits
from interlock.records.charge import Rate
from interlock.records.verdict import Act

NOW = 1_800_000_000.0


def task(**more: Any) -> Act:
    return Act(kind="task", name="task", **more)


def request(provider: str = "openai") -> Act:
    return Act(kind="model", name="m", arguments={"provider": provider})


def rates(limits: RateLimits, act: Act, tokens: int = 0, tier: str | None = None) -> dict[str, Rate]:
    return {rate.name: rate for rate in limits.rates(act, tokens, lambda user, tenant: tier)}


def test_without_limits_there_is_nothing_to_take() -> None:
    assert not rates(RateLimits(), task(user="ann"))
    assert not rates(RateLimits(), request())
    assert not list(RateLimits().counts(task(), NOW))


def test_a_limit_per_minute_is_a_burst_that_comes_back_evenly() -> None:
    (rate,) = rates(RateLimits(max_tasks_per_minute=10), task()).values()
    assert (rate.burst, rate.interval, rate.quantity) == (10, 6 * 10**9, 1)
    assert rate.says == "at most 10 tasks a minute"


def test_a_limit_per_day_is_a_count_that_begins_anew_at_midnight() -> None:
    (count,) = RateLimits(max_tasks_per_day=2).counts(task(), NOW)
    assert (count.unit, count.limit, count.window) == ("count", 2, "2027-01-15")
    assert count.until == 1_800_057_600.0
    assert not list(RateLimits(max_tasks_per_day=2).counts(request(), NOW))


def test_only_tasks_for_claude_take_a_place_among_claudes() -> None:
    limits = RateLimits(max_claude_executions_per_hour=5)
    assert not rates(limits, task(crew=("openai",)))
    (rate,) = rates(limits, task(crew=("openai", "claude", "openai"))).values()
    assert (rate.burst, rate.interval) == (5, 720 * 10**9)


def test_each_provider_has_its_own_requests_and_tokens() -> None:
    limits = RateLimits(max_requests_per_minute=60, max_tokens_per_minute={"openai": 1_000})
    found = rates(limits, request(), tokens=300)
    assert {name: (rate.quantity, rate.refunded) for name, rate in found.items()} == {
        "max_requests_per_minute": (1, False),
        "max_tokens_per_minute": (300, True),
    }
    other = rates(limits, request("anthropic"))
    assert list(other) == ["max_requests_per_minute"]
    assert other["max_requests_per_minute"].key != found["max_requests_per_minute"].key


@pytest.mark.parametrize(("tier", "most"), [("free", 10), ("pro", 100), ("enterprise", 1000)])
def test_a_user_has_the_places_of_their_tier(tier: str, most: int) -> None:
    (ann,) = rates(RateLimits(), task(user="ann", tenant="acme"), tier=tier).values()
    (bob,) = rates(RateLimits(), task(user="bob", tenant="acme"), tier=tier).values()
    assert ann.burst == TIERS[tier] == most
    assert ann.key != bob.key


def test_a_tenant_counts_where_there_is_no_user() -> None:
    (rate,) = rates(RateLimits(), task(tenant="acme"), tier="pro").values()
    assert "tenant acme" in rate.key


def test_who_has_no_tier_is_not_limited_by_one() -> None:
    assert not rates(RateLimits(), task(user="ann"))
    assert not rates(RateLimits(), task(), tier="free")


def test_an_unknown_tier_is_an_error_that_says_which_there_are() -> None:
    with pytest.raises(UsageError) as caught:
        rates(RateLimits(), task(user="ann"), tier="gold")
    assert caught.value.code == "usage.tier"
    assert "free, pro, enterprise" in caught.value.do


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tasks_per_minute": 0},
        {"max_tasks_per_day": -1},
        {"max_tasks_per_day": 1.5},
        {"max_requests_per_minute": {"openai": 0}},
        {"tiers": {"free": True}},
        {"queue": "yes"},
        {"max_cost_per_day": "much"},
    ],
)
def test_a_wrong_limit_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        RateLimits(**wrong)


def test_a_daily_cost_is_a_budget() -> None:
    budget = RateLimits(max_cost_per_day=100.0).budget
    assert budget is not None
    assert (budget.name, budget.micros, budget.per) == ("max_cost_per_day", 100_000_000, "day")
