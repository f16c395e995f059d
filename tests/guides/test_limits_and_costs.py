"""What the guides say about limits and costs, as they say it: only import lines are changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from interlock import Platform as HybridPlatform
from interlock import Task
from interlock.agents.agent import Answer, Attempt, Bench, Brief, Done
from interlock.errors import UsageError
from interlock.records.money import Usage
from interlock.resilience import CostTracker, RateLimiter
from interlock.testing import ScriptedAgent

PRODUCTION: dict[str, Any] = {
    "max_tasks_per_minute": 10,
    "max_claude_executions_per_hour": 100,
}
STAGING: dict[str, Any] = {
    "max_tasks_per_minute": 50,
}


def _platform(folder: Path, profile: str | None = None) -> HybridPlatform:
    from interlock import GuardrailPresets

    platform = HybridPlatform(home=folder, profile=profile)
    for name in ("openai", "claude"):
        platform.register_agent(name, ScriptedAgent())
    platform.add_guardrail(GuardrailPresets.cost_limit(50.0))
    return platform


async def test_at_000_11_daily_limits_are_enforced(tmp_path: Path) -> None:
    async with _platform(tmp_path) as platform:
        platform.set_rate_limits(max_tasks_per_day=1000, max_cost_per_day=100.0)
        assert (await platform.run(Task(description="one"))).status == "completed"
        platform.set_rate_limits(max_tasks_per_day=2)
        results = [await platform.run(Task(description=f"task {number}")) for number in range(2)]
        assert [result["status"] for result in results] == ["completed", "blocked"]
        assert "UTC" in results[1]["error"]


class OneCent:
    """An agent whose every answer costs a cent."""

    id = "openai"

    async def work(self, brief: Brief, bench: Bench) -> Answer:
        async def act(attempt: Attempt) -> Done:
            return Done(output="done", usage=Usage(output_tokens=7, requests=1), cost_micros=10_000)

        return Answer(output=await bench.step("call", act, what="agent", label=self.id), agent=self.id)


async def test_at_000_11_the_cost_of_a_day_is_limited_likewise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with HybridPlatform(home=tmp_path) as platform:
        platform.register_agent("openai", OneCent())
        platform.set_rate_limits(
            max_tasks_per_day=1000,
            max_cost_per_day=0.02,
        )
        results = [await platform.run(Task(description=f"task {number}")) for number in range(3)]

        # Track token usage
        metrics = platform.get_metrics()
        print(f"Total tokens used: {metrics['total_tokens']}")
        print(f"Estimated cost: ${metrics['estimated_cost']:.2f}")
    assert [result["status"] for result in results] == ["completed", "completed", "blocked"]
    assert "max_cost_per_day" in results[2]["error"]
    assert "UTC" in results[2]["hint"]
    assert capsys.readouterr().out == "Total tokens used: 14\nEstimated cost: $0.02\n"


async def test_at_000_20_the_eleventh_task_in_a_minute_is_refused_in_production(tmp_path: Path) -> None:
    async with _platform(tmp_path / "production", "production") as platform:
        platform.set_rate_limits(**PRODUCTION)
        statuses = [(await platform.run(Task(description=f"task {number}"))).status for number in range(11)]
    assert statuses == ["completed"] * 10 + ["blocked"]
    async with _platform(tmp_path / "staging", "staging") as platform:
        platform.set_rate_limits(**STAGING)
        statuses = [(await platform.run(Task(description=f"task {number}"))).status for number in range(50)]
    assert statuses == ["completed"] * 50


async def test_at_000_20_executions_of_claude_are_counted_apart(tmp_path: Path) -> None:
    async with _platform(tmp_path) as platform:
        platform.set_rate_limits(max_claude_executions_per_hour=2)
        work = [Task(description=f"task {number}", requires_system_access=True) for number in range(3)]
        assert [(await platform.run(task)).status for task in work] == ["completed", "completed", "blocked"]
        assert (await platform.run(Task(description="talk"))).status == "completed"


def test_at_001_05_exactly_the_budget_is_affordable_and_the_alert_comes_once() -> None:
    class Agent:
        def calculate_cost(self, tokens: float) -> float:
            return tokens * 1.0

    alerts: list[CostTracker] = []
    tracker = CostTracker(monthly_budget=1000, on_alert=alerts.append)
    assert tracker.can_afford(Agent(), 1000)
    assert not tracker.can_afford(Agent(), 1001)
    for tokens in (700, 99, 2, 100):
        tracker.track_usage(Agent(), tokens)
    assert len(alerts) == 1
    assert tracker.current_spend == 901


def test_at_001_09_the_limiter_counts_for_each_user_and_knows_its_tiers() -> None:
    limiter = RateLimiter()
    assert sum(limiter.is_allowed("free-user", "free") for _ in range(15)) == 10
    assert limiter.is_allowed("another", "free")
    with pytest.raises(UsageError):
        limiter.is_allowed("free-user", "platinum")
