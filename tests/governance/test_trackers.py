"""The limiter and the tracker that programs use by themselves, as the guides have them."""

from __future__ import annotations

import pytest

from interlock.errors import UsageError
from interlock.resilience import CostTracker, RateLimiter


class Clock:
    def __init__(self) -> None:
        self.at = 1_800_000_000.0

    def __call__(self) -> float:
        return self.at


class Agent:
    def calculate_cost(self, tokens: float) -> float:
        return tokens * 0.01


def test_a_free_user_gets_ten_of_fifteen_and_another_user_is_not_touched() -> None:
    clock = Clock()
    limiter = RateLimiter(now=clock)
    assert [limiter.is_allowed("ann", "free") for _ in range(15)] == [True] * 10 + [False] * 5
    assert limiter.retry_after("ann", "free") == pytest.approx(6.0)
    assert limiter.is_allowed("bob", "free")
    assert limiter.retry_after("bob", "free") == 0
    clock.at += 60
    assert [limiter.is_allowed("ann", "free") for _ in range(11)] == [True] * 10 + [False]


def test_an_unknown_tier_is_an_error_of_ours_and_counts_nothing() -> None:
    limiter = RateLimiter({"free": 1}, now=Clock())
    with pytest.raises(UsageError, match="gold"):
        limiter.is_allowed("ann", "gold")
    assert limiter.is_allowed("ann", "free")


def test_exactly_the_budget_is_affordable() -> None:
    tracker = CostTracker(monthly_budget=10, now=Clock())
    assert tracker.can_afford(Agent(), 1_000)
    assert not tracker.can_afford(Agent(), 1_001)
    tracker.track_usage(Agent(), 400)
    assert tracker.can_afford(Agent(), 600)
    assert not tracker.can_afford(Agent(), 601)


def test_the_alert_comes_at_the_first_crossing_only_and_anew_each_month() -> None:
    clock, alerts = Clock(), []
    tracker = CostTracker(monthly_budget=10, on_alert=lambda one: alerts.append(one.current_spend), now=clock)
    for tokens in (799, 1, 1, 100, 500):
        tracker.track_usage(Agent(), tokens)
    assert alerts == [pytest.approx(8.01)]
    clock.at += 40 * 86_400
    assert tracker.current_spend == 0
    tracker.track_usage(Agent(), 900)
    assert len(alerts) == 2


def test_by_default_the_alert_is_a_warning_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    CostTracker(monthly_budget=1, now=Clock()).track_usage(Agent(), 90)
    assert "0.900000 USD of the month's budget of 1.0 USD" in caplog.text


def test_results_without_a_price_are_estimated_by_their_length() -> None:
    tracker = CostTracker(monthly_budget=None, now=Clock())
    assert tracker.track_execution(["x" * 4_000, "y" * 4_000]) == pytest.approx(0.04)
    assert tracker.total_tokens == 2_000
    assert tracker.can_afford(None, 10**9)
