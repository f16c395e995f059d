"""Budgets and limits on a whole platform: real requests to a simulated provider, real store, real refusals."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from interlock import Budget, Platform, Task
from interlock.errors import SettingsError, UsageError
from interlock.records.money import usd_to_micros
from interlock.testing import Calls, FakeClock, ScriptedAgent, SimulatedProvider, Text, call

#: Dollars for a million tokens: high, so that a small task is worth a budget.
PRICES = {"openai/*": {"input": "100", "output": "100"}}
MIDNIGHT = 1_800_057_600.0


@pytest.fixture
async def simulated() -> AsyncIterator[SimulatedProvider]:
    async with SimulatedProvider(default=Text("mocked")) as provider:
        yield provider


def platform(
    folder: Path, simulated: SimulatedProvider | None = None, clock: FakeClock | None = None, **settings: Any
) -> Platform:
    if simulated is None:
        made = Platform(home=folder, clock=clock, **settings)
        made.register_agent("openai", ScriptedAgent())
        return made
    agents = {"openai": {"max_output_tokens": 500}}
    providers = {"openai": {"base_url": simulated.openai_url}}
    more = {"prices": PRICES, "agents": agents, "providers": providers, **settings}
    return Platform(openai_api_key="sk-simulated", home=folder, clock=clock, **more)


async def counted(platform: Platform, name: str) -> dict[str, Any]:
    return next(row for row in (await platform.cost())["budgets"] if row["name"] == name)


class TestBudgets:
    async def test_what_a_call_really_cost_is_what_is_spent(self, tmp_path: Path, simulated: SimulatedProvider) -> None:
        async with platform(tmp_path, simulated) as made:
            made.add_budget(Budget(limit="5 USD"))
            result = await made.run("What is the answer?")
            assert result.status == "completed", result.error
            assert result.cost
            row = await counted(made, "platform-day")
            assert (row["spent_usd"], row["reserved_usd"]) == (result.cost_text, "0.000000")
            for by in ("run", "agent", "model", "user", "tenant", "label", "day"):
                report = await made.cost(by)
                assert report["total_usd"] == result.cost_text
                assert len(report["spending"]) == 1
            assert (await made.cost("model"))["spending"][0]["name"].startswith("openai/")
            assert (await made.cost("agent"))["spending"][0]["name"] == "openai"

    async def test_a_budget_that_is_too_small_refuses_before_anything_is_sent(
        self, tmp_path: Path, simulated: SimulatedProvider
    ) -> None:
        async with platform(tmp_path, simulated) as made:
            made.add_budget(Budget(limit="0.01 USD", name="tiny"))
            result = await made.run("What is the answer?")
        assert (result.status, result.error_code) == ("failed", "budget.exceeded")
        assert "tiny (platform, " in (result.error or "")
        assert "0.01 USD left" in (result.error or "")
        assert "It begins anew at " in (result.hint or "")
        assert simulated.requests == []

    async def test_a_task_is_stopped_in_the_middle_when_its_own_limit_is_reached(
        self, tmp_path: Path, simulated: SimulatedProvider
    ) -> None:
        """Many cheap successes come to the same end as one dear failure."""
        simulated.script = [Calls(call("look", place="here"))] * 60
        async with platform(tmp_path, simulated) as made:
            made.register_tool(look)
            result = await made.run(Task("Look for ever", id="long", max_cost=0.6))
            assert (result.status, result.error_code) == ("failed", "budget.exceeded")
            assert "max_cost (run long)" in (result.error or "")
            assert result.hint == "Give the task again under another id, with a higher max_cost."
            assert 2 < len(simulated.requests) < 30
            spent = usd_to_micros(result.cost_text)
            assert 0 < spent <= 600_000
            row = await counted(made, "max_cost")
            assert (row["spent_usd"], row["reserved_usd"]) == (result.cost_text, "0.000000")

    async def test_a_model_without_a_price_is_refused_under_a_budget_and_only_there(
        self, tmp_path: Path, simulated: SimulatedProvider
    ) -> None:
        unpriced = {"openai": {"model": "home-grown", "max_output_tokens": 500}}
        async with platform(tmp_path / "a", simulated, prices={}, agents=unpriced) as made:
            result = await made.run("What is the answer?")
            assert (result.status, result.cost) == ("completed", None)
            assert (await made.cost())["unknown"] == 1
            made.add_budget(Budget(limit="5 USD"))
            result = await made.run("What is the answer?")
            assert (result.status, result.error_code) == ("failed", "budget.unknown_price")
            assert '[prices."PROVIDER/MODEL"]' in (result.hint or "")
            limited = await made.run(Task("What is the answer?", max_cost=1.0))
            assert limited.error_code == "budget.unknown_price"
        async with platform(tmp_path / "b", simulated, prices={}, agents=unpriced) as made:
            made.add_budget(Budget(limit="5 USD", unknown_price="allow"))
            assert (await made.run("What is the answer?")).status == "completed"

    async def test_a_free_provider_failure_costs_nothing(self, tmp_path: Path, simulated: SimulatedProvider) -> None:
        nobody = {"openai": {"base_url": f"http://127.0.0.1:{_unused_port()}"}}
        async with platform(tmp_path, simulated, retry={"attempts": 1}, providers=nobody) as made:
            made.add_budget(Budget(limit="5 USD"))
            result = await made.run("What is the answer?")
            assert (result.status, result.error_code, result.cost) == ("failed", "agent.connection", 0.0)
            row = await counted(made, "platform-day")
            assert (row["spent_usd"], row["reserved_usd"]) == ("0.000000", "0.000000")

    async def test_users_have_accounts_of_their_own(self, tmp_path: Path, simulated: SimulatedProvider) -> None:
        async with platform(tmp_path, simulated) as made:
            made.add_budget(Budget(limit="0.4 USD", scope="user"))
            first = await made.run("What is the answer?", user="ann")
            assert first.status == "completed", first.error
            statuses = [(await made.run(f"Again, {n}?", user="ann")).status for n in range(9)]
            assert statuses[-1] in ("failed", "blocked")
            assert (await made.run("What is the answer?", user="bob")).status == "completed"

    async def test_a_used_up_budget_is_said_at_the_door_and_begins_anew(
        self, tmp_path: Path, simulated: SimulatedProvider
    ) -> None:
        clock = FakeClock(MIDNIGHT - 3_600)
        async with platform(tmp_path, simulated, clock) as made:
            made.set_rate_limits(max_cost_per_day=0.5)
            results = [await made.run(f"Question {n}") for n in range(40)]
            assert results[0].status == "completed"
            last = results[-1]
            assert last.error_code == "budget.exceeded"
            assert "2027-01-16 00:00 UTC" in (last.hint or "")
            await clock.advance(3_600)
            assert (await made.run("A new day")).status == "completed"

    async def test_a_name_is_given_once(self, tmp_path: Path) -> None:
        made = platform(tmp_path)
        made.add_budget(Budget(limit=5))
        with pytest.raises(UsageError, match="already a budget"):
            made.add_budget(Budget(limit=6))
        with pytest.raises(UsageError, match="takes a Budget"):
            made.add_budget("5 USD")  # type: ignore[arg-type]

    async def test_they_may_stand_in_the_settings(self, tmp_path: Path, simulated: SimulatedProvider) -> None:
        budgets = {"daily": {"limit": "0.01 USD", "alert_at": 0.5}}
        async with platform(tmp_path, simulated, budgets=budgets) as made:
            result = await made.run("What is the answer?")
            assert result.error_code == "budget.exceeded"
            assert "daily" in (result.error or "")
        with pytest.raises(SettingsError, match=r"budgets\.daily"):
            platform(tmp_path, simulated, budgets={"daily": {"limit": "much"}})

    async def test_a_report_can_only_be_grouped_by_what_there_is(self, tmp_path: Path) -> None:
        async with platform(tmp_path) as made:
            with pytest.raises(UsageError, match="colour"):
                await made.cost("colour")


class TestLimits:
    async def test_the_third_task_of_a_day_is_refused_with_the_time_to_come_back(self, tmp_path: Path) -> None:
        clock = FakeClock(MIDNIGHT - 7_200)
        async with platform(tmp_path, clock=clock) as made:
            made.set_rate_limits(max_tasks_per_day=2)
            assert [(await made.run(f"Task {n}")).status for n in range(2)] == ["completed"] * 2
            refused = await made.run("Task 3")
            assert (refused.status, refused.guardrail) == ("blocked", "max_tasks_per_day")
            assert "2027-01-16 00:00 UTC" in (refused.error or "")
            assert "rate_limit" in (refused.error or "")
            assert refused.retryable
            run = await made.show(refused.run_id)
            assert run.finished is not None
            assert run.finished.failure is not None
            assert run.finished.failure.retry_after == pytest.approx(7_200)
            await clock.advance(7_200)
            assert (await made.run("Task 4")).status == "completed"

    async def test_the_same_work_submitted_again_is_not_counted_again(self, tmp_path: Path) -> None:
        async with platform(tmp_path) as made:
            made.set_rate_limits(max_tasks_per_day=2)
            for _ in range(3):
                assert (await made.run(Task("The same", id="same"))).status == "completed"
            assert (await made.run("Another")).status == "completed"
            assert (await made.run("One too many")).status == "blocked"

    async def test_two_platforms_on_one_store_share_the_limit(self, tmp_path: Path) -> None:
        async with platform(tmp_path) as one, platform(tmp_path) as other:
            for made in (one, other):
                made.set_rate_limits(max_tasks_per_minute=10)
            statuses = [(await made.run(f"Task {n}")).status for n in range(8) for made in (one, other)]
        assert statuses.count("completed") == 10
        assert statuses.count("blocked") == 6

    async def test_queued_tasks_wait_for_their_turn_and_go_on_by_themselves(self, tmp_path: Path) -> None:
        clock = FakeClock()
        async with platform(tmp_path, clock=clock) as made:
            made.set_rate_limits(max_tasks_per_minute=2, queue=True)
            handles = [await made.submit(f"Task {n}") for n in range(4)]
            for handle in handles[:2]:
                assert (await handle.result()).status == "completed"
            waiting = [row.run_id for row in await made.runs() if row.status.value == "waiting"]
            assert sorted(waiting) == sorted(handle.run_id for handle in handles[2:])
            for _ in range(4):
                await clock.advance(31)
                await _settled(made)
            for handle in handles:
                assert (await handle.result()).status == "completed"

    async def test_a_queued_task_is_taken_up_by_another_process(self, tmp_path: Path) -> None:
        clock = FakeClock()
        async with platform(tmp_path, clock=clock) as made:
            made.set_rate_limits(max_tasks_per_minute=1, queue=True)
            await made.run("Task 1")
            handle = await made.submit("Task 2")
        async with platform(tmp_path, clock=clock) as made:
            made.set_rate_limits(max_tasks_per_minute=1, queue=True)
            await clock.advance(61)
            assert await made.recover() == [handle.run_id]
            assert (await made.wait(handle.run_id)).finished is not None

    async def test_requests_to_a_provider_wait_for_their_turn(
        self, tmp_path: Path, simulated: SimulatedProvider
    ) -> None:
        clock = FakeClock(auto=True)
        async with platform(tmp_path, simulated, clock) as made:
            made.set_rate_limits(max_requests_per_minute=60)
            results = [await made.run(f"Task {n}") for n in range(62)]
        assert {result.status for result in results} == {"completed"}
        assert clock.slept
        assert clock.now() - 1_800_000_000 >= 1.9

    async def test_a_wrong_limit_is_refused_with_the_nearest_name(self, tmp_path: Path) -> None:
        made = platform(tmp_path)
        with pytest.raises(UsageError, match="did you mean max_tasks_per_day"):
            made.set_rate_limits(max_task_per_day=2)

    async def test_they_may_stand_in_the_settings(self, tmp_path: Path) -> None:
        async with platform(tmp_path, rate_limits={"max_tasks_per_day": 1, "max_cost_per_day": "5 USD"}) as made:
            assert (await made.run("Task 1")).status == "completed"
            assert (await made.run("Task 2")).status == "blocked"
            assert [row["name"] for row in (await made.cost())["budgets"]] == ["max_cost_per_day"]


def _unused_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def look(place: str) -> str:
    """Look at a place."""
    return f"{place} is fine"


async def _settled(made: Platform) -> None:
    for _ in range(50):
        await asyncio.sleep(0.005)
        rows = await made.runs()
        if not any(row.status.value in ("pending", "running") for row in rows):
            return
