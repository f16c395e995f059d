"""Plans at the front door: watched as they go on, bounded by what they may cost, checked before they begin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interlock import Plan, Platform, Step
from interlock.errors import UsageError
from interlock.testing import SimulatedProvider, Text
from tests.guides.stepchain import mcp_over_http


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedProvider]:
    with SimulatedProvider(lambda view: Text("thought " * 400)) as provider:
        for name, value in provider.env().items():
            monkeypatch.setenv(name, value)
        yield provider


def double(number: int) -> int:
    """Twice a number."""
    return 2 * number


def chain(length: int) -> Plan:
    steps = [Step(f"s{n}", f"Think about {n}", dependencies=[f"s{n - 1}"] if n else []) for n in range(length)]
    return Plan("Think", steps)


def doubles(*numbers: int) -> Plan:
    return Plan("Double", [Step(f"d{n}", tool="double", tool_input={"number": n}) for n in numbers], tools=[double])


async def test_a_plan_is_streamed_fact_by_fact_and_the_last_event_has_the_result(tmp_path: Path) -> None:
    async with Platform(home=tmp_path) as platform:
        events = [event async for event in platform.stream(doubles(1, 2), run_id="streamed", max_concurrent=1)]
        kinds = [event.kind for event in events]
        assert (kinds[0], kinds[-2], kinds[-1]) == ("run.admitted", "run.finished", "result")
        assert [event.data["path"] for event in events if event.kind == "step.finished"] == [
            "plan/d1/1/tool",
            "plan/d1",
            "plan/d2/1/tool",
            "plan/d2",
        ]
        result = events[-1].result
        assert result is not None
        assert result.output["outputs"] == {"d1": 2, "d2": 4}
        assert [event.kind async for event in platform.stream(doubles(1, 2), run_id="streamed")] == ["result"]
        with pytest.raises(UsageError, match="does not know: double"):
            async for _ in platform.stream(Plan("p", [Step("a", tool="double", tool_input={"number": 1})])):
                pass


async def test_a_plan_stops_at_what_it_may_cost_and_goes_on_in_a_fork_that_may_cost_more(
    tmp_path: Path, model: SimulatedProvider
) -> None:
    async with Platform(home=tmp_path) as platform:
        results = await platform.execute(chain(4), run_id="dear", max_cost=0.19)
        assert [result.status for result in results] == ["completed", "completed", "failed", "skipped"]
        assert (results[2].kind, results[2].cost_micros) == ("over_budget", 0)
        assert sum(result.cost_micros or 0 for result in results) < 190_000
        run = await platform.show("dear")
        assert run.finished is not None
        assert run.finished.failure is not None
        assert "run fork ID --from s2 --set max_cost=USD" in run.finished.failure.do
        asked = len(model.requests)
        child = await platform.fork("dear", from_step="s2", changes={"max_cost": 2.0}, run_id="dearer")
        assert (await child.result()).status == "completed"
        assert len(model.requests) == asked + 2, "what was done is not paid again"


async def test_a_budget_that_is_raised_lets_the_same_run_go_on(tmp_path: Path, model: SimulatedProvider) -> None:
    def budget(limit: str) -> dict[str, Any]:
        return {"budgets": {"small": {"limit": limit, "per": "day"}}}

    async with Platform(home=tmp_path, **budget("0.19 USD")) as platform:
        results = await platform.execute(chain(4), run_id="raised")
        assert [result.status for result in results] == ["completed", "completed", "failed", "skipped"]
    asked = len(model.requests)
    async with Platform(home=tmp_path, **budget("5 USD")) as platform:
        results = await platform.execute(chain(4), run_id="raised", resume=True)
        assert [(result.status, result.attempts) for result in results] == [
            ("completed", 1),
            ("completed", 1),
            ("completed", 2),
            ("completed", 1),
        ]
    assert len(model.requests) == asked + 2


def test_what_keeps_a_plan_from_being_carried_out_here_is_found_with_its_place(tmp_path: Path) -> None:
    platform = Platform(home=tmp_path)
    steps = [
        Step("a", tool="double", tool_input={"number": "${b}"}),
        Step("b", tool="dubble"),
        Step("c", metadata={"agent": "claud"}),
    ]
    faults = platform.faults_of_plan(Plan("p", steps), [double])
    assert [(fault.at, fault.code) for fault in faults] == [
        (("steps", 1, "tool"), "usage.unknown_tool"),
        (("steps", 2, "metadata", "agent"), "usage.unknown_agent"),
        (("steps", 0, "tool_input"), "usage.plan"),
    ]
    assert "did you mean 'double'?" in faults[0].says
    assert [fault.at for fault in platform.faults_of_plan(Plan("p", [Step("a")], tools=[double, 5]))] == [("tools", 1)]
    assert platform.faults_of_plan(doubles(1)) == []
    assert not (tmp_path / "interlock.db").exists(), "nothing is opened for it"


async def test_a_step_names_a_servers_tool_with_or_without_the_servers_label(tmp_path: Path) -> None:
    with mcp_over_http(tmp_path / "hits") as url:
        server = {"type": "mcp", "server_label": "crm", "server_url": url, "allowed_tools": ["echo"]}
        tools = [{**server, "require_approval": "never"}]
        steps = [Step(name, tool=name, tool_input={"text": "hello"}) for name in ("echo", "crm__echo")]
        async with Platform(home=tmp_path / "home") as platform:
            assert platform.faults_of_plan(Plan("p", steps, tools=tools)) == []
            results = await platform.execute(Plan("p", steps, tools=tools))
    assert [(result.status, result.output) for result in results] == [("completed", "hello")] * 2


async def test_a_failure_that_was_resumed_is_not_the_end_of_what_is_watched(tmp_path: Path) -> None:
    broken = [True]

    def flaky(number: int) -> int:
        """Works the second time."""
        if broken:
            raise ValueError(broken.pop())
        return number

    plan = Plan("p", [Step("a", tool="flaky", tool_input={"number": 1})], tools=[flaky])
    async with Platform(home=tmp_path) as platform:
        (first,) = await platform.execute(plan, "again")
        failed_at = (await platform.show("again")).seq
        (second,) = await platform.execute(plan, "again", resume=True)
        assert (first.status, second.status, second.attempts) == ("failed", "completed", 2)
        assert first.completed_at is not None
        assert second.started_at is not None
        assert second.started_at >= first.completed_at  # how long it lay between is no part of how long it took
        events = [event async for event in platform.watch("again")]
        assert [event.data["status"] for event in events if event.kind == "run.finished"] == ["failed", "completed"]
        assert events[-1].data == {"status": "completed"}
        events = [event async for event in platform.watch("again", after=failed_at, resumed_at=failed_at)]
        assert [event.kind for event in events][-2:] == ["run.finished", "result"]


async def test_of_many_failures_a_few_are_named_and_the_rest_is_counted(tmp_path: Path) -> None:
    def broken(number: int) -> int:
        """Never works."""
        raise ValueError(number)

    steps = [Step(f"s{n}", tool="broken", tool_input={"number": n}) for n in range(7)]
    async with Platform(home=tmp_path) as platform:
        handle = await platform.submit_plan(Plan("p", steps, tools=[broken]), "many", max_concurrent=1)
        result = await handle.result()
        assert str(result.error).endswith("7 steps of the plan failed: s0, s1, s2, s3, s4 and 2 more.")
        assert "`interlock run show many`" in str(result.hint)
