"""The HybridPlatform guide's snippets, run as they are written: only import lines are changed."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from interlock import Guardrail, GuardrailType, Task, TaskResult, TaskStatus, TaskType
from interlock import Platform as HybridPlatform
from interlock.errors import Conflict, UsageError
from interlock.records.money import Usage
from interlock.testing import Calls, Fault, ScriptedAgent, SimulatedProvider, Structured, Text, call


@pytest.fixture(autouse=True)
def _no_keys_and_an_own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("INTERLOCK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
async def simulated() -> AsyncIterator[SimulatedProvider]:
    async with SimulatedProvider(default=Text("mocked")) as provider:
        yield provider


@pytest.fixture
async def platform(simulated: SimulatedProvider, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HybridPlatform]:
    for name, value in simulated.env().items():
        monkeypatch.setenv(name, value)
    async with HybridPlatform(
        openai_api_key=os.getenv("OPENAI_API_KEY"), anthropic_api_key=os.getenv("ANTHROPIC_API_KEY")
    ) as made:
        yield made


def test_at_000_01_no_keys_do_not_stop_the_construction_and_keys_are_never_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    platform = HybridPlatform(
        openai_api_key=os.getenv("OPENAI_API_KEY"), anthropic_api_key=os.getenv("ANTHROPIC_API_KEY")
    )
    assert "openai" not in platform.settings.keys
    with_keys = HybridPlatform(openai_api_key="sk-hardcoded-key-123456", anthropic_api_key="sk-ant-hardcoded-123456")
    shown = f"{with_keys!r} {with_keys.settings!r} {with_keys.settings.as_dict()} {caplog.text}"
    assert "hardcoded" not in shown


async def test_at_000_07_independent_tasks_run_in_parallel_and_results_come_in_order(
    platform: HybridPlatform, simulated: SimulatedProvider
) -> None:
    simulated.latency = 0.3
    await platform.run(Task(description="Warm up", requires_system_access=True))
    tasks = [
        Task(description="Check server 1", requires_system_access=True),
        Task(description="Check server 2", requires_system_access=True),
        Task(description="Check server 3", requires_system_access=True),
    ]
    begun = time.monotonic()
    results = await asyncio.gather(*[platform.run(task) for task in tasks])
    took = time.monotonic() - begun
    assert [result["status"] for result in results] == ["completed"] * 3
    history = {line["run_id"]: line["title"] for line in platform.get_task_history()}
    assert [history[result["run_id"]] for result in results] == ["Check server 1", "Check server 2", "Check server 3"]
    assert len({hash(result) for result in results}) == 3
    assert took < 0.3 * 3, "they ran one after another"


async def test_at_000_08_a_task_that_is_slower_than_its_timeout_fails_in_time(
    platform: HybridPlatform, simulated: SimulatedProvider
) -> None:
    await platform.run("warm up")
    simulated.latency = 30
    begun = time.monotonic()
    result = await platform.run(Task(description="Quick check", timeout=1))
    assert result["status"] == "failed"
    assert "timeout" in result["error"]
    assert result.error_code == "agent.timeout"
    assert time.monotonic() - begun < 1.1 + 0.4  # 10 %, and what a loaded machine adds
    assert result.execution_time >= 1


async def test_at_000_10_metrics_are_there_from_the_start_and_tokens_equal_the_providers(
    platform: HybridPlatform, simulated: SimulatedProvider
) -> None:
    metrics = platform.get_metrics()
    print(f"Total tokens used: {metrics['total_tokens']}")
    print(f"Estimated cost: ${metrics['estimated_cost']:.2f}")
    assert metrics["total_tokens"] == 0
    assert metrics["tasks_executed"] == 0
    simulated.script = [Text("counted", usage=Usage(input_tokens=321, output_tokens=45, requests=1))]
    await platform.run("count me")
    metrics = platform.get_metrics()
    assert metrics["total_tokens"] == 321 + 45
    assert metrics["estimated_cost"] > 0
    assert metrics["platform_distribution"] == {"openai": 1}


def test_at_000_12_routing() -> None:
    platform = HybridPlatform()
    # Test that system tasks go to Claude
    task = Task(requires_system_access=True)
    assert platform.route_task(task) == "claude"

    # Test that conversations go to OpenAI
    task = Task(type=TaskType.CONVERSATION)
    assert platform.route_task(task) == "openai"


async def test_at_000_15_nested_context_values_arrive_unchanged_at_the_provider(
    platform: HybridPlatform, simulated: SimulatedProvider
) -> None:
    context = {
        "environment": "staging",
        "version": "v2.1.0",
        "rollback_version": "v2.0.5",
        "health_check_url": "https://api.example.com/health",
        "notify_channels": ["#deployments", "#engineering"],
        "nested": {"threshold": 80, "ratio": 0.25, "on": True, "none": None, "text": 'a "quoted" \n line'},
    }
    await platform.run(Task(description="Deploy application", context=context))
    body = json.dumps(simulated.requests[-1].body)
    sent = json.loads(body)
    texts = [part["text"] for part in _parts(sent) if isinstance(part.get("text"), str)] + _plain(sent)
    said = next(text for text in texts if "rollback_version" in text)
    assert json.loads(said[said.index("{") : said.rindex("}") + 1]) == context


def _parts(body: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if isinstance(body, dict):
        found.append(body)
        for value in body.values():
            found += _parts(value)
    elif isinstance(body, list):
        for value in body:
            found += _parts(value)
    return found


def _plain(body: Any) -> list[str]:
    return [part["content"] for part in _parts(body) if isinstance(part.get("content"), str)]


async def test_at_000_17_everything_is_traced_without_a_key(
    platform: HybridPlatform, simulated: SimulatedProvider
) -> None:
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    platform.enable_tracing(destination="logfire", api_key=os.getenv("LOGFIRE_API_KEY"))
    exporter = InMemorySpanExporter()
    platform.enable_tracing(destination=exporter)
    simulated.script = [
        Text("1. look"),
        Calls(call("shell", argv=["df", "-h"])),
        Text("looked"),
        Structured({"passed": True, "feedback": ""}),
    ]
    result = await platform.run(Task("look around", requires_system_access=True, requires_multi_step=True))
    assert result.status == "completed"
    spans = exporter.get_finished_spans()
    names = [span.name for span in spans]
    operations = {(span.attributes or {}).get("gen_ai.operation.name") for span in spans}
    assert {"invoke_agent", "chat", "execute_tool"} <= operations
    assert any("rout" in name for name in names)
    assert sum(name.startswith("invoke_agent") for name in names) >= 3, "each handoff to another agent is a span"
    told = " ".join(str(dict(span.attributes or {})) for span in spans)
    assert "looked" not in told, "no output in a span"


async def test_at_000_18_a_given_id_is_kept_everywhere_and_not_taken_twice_by_different_work(
    platform: HybridPlatform, simulated: SimulatedProvider
) -> None:
    import uuid

    task = Task(id="incident_prod_db_20251015_2347", description="Look into the incident")
    result = await platform.run(task)
    assert result.task_id == "incident_prod_db_20251015_2347"
    assert result.run_id == "incident_prod_db_20251015_2347"
    assert platform.get_task_history()[0]["id"] == "incident_prod_db_20251015_2347"
    assert (await platform.show("incident_prod_db_20251015_2347")).admitted.task_id == task.id  # type: ignore[union-attr]
    count = len(simulated.requests)
    again = await platform.run(task)
    assert again["output"] == result["output"]
    assert len(simulated.requests) == count, "the same work under the same id is not done twice"
    with pytest.raises(Conflict, match="different work"):
        await platform.run(Task(id="incident_prod_db_20251015_2347", description="Something else"))
    without = await platform.run("no id")
    assert uuid.UUID(without.task_id)


async def test_at_000_19_the_history_loop_prints_every_kind_of_task(
    platform: HybridPlatform, simulated: SimulatedProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    platform.add_guardrail(
        Guardrail(
            name="test",
            type=GuardrailType.BLOCK,
            condition=lambda task: "bad" in task.description,
            message="Blocked",
        )
    )
    await platform.run(Task(id="good", description="fine"))
    blocked = await platform.run(Task(id="blocked", description="This is bad"))
    assert blocked["status"] == "blocked"
    assert blocked.guardrail == "test"
    simulated.script = [Fault.status(400)]
    await platform.run(Task(id="failed", description="will fail"))

    history = platform.get_task_history()
    for task in history:
        print(f"{task['id']}: {task['status']} in {task['execution_time']:.2f}s")

    printed = capsys.readouterr().out
    assert "good: completed in 0." in printed
    assert "blocked: blocked in 0.00s" in printed
    assert "failed: failed in 0." in printed
    assert [line["id"] for line in platform.get_task_history(status="failed")] == ["failed"]


async def test_at_000_21_a_health_check_that_runs_a_task(
    platform: HybridPlatform, simulated: SimulatedProvider
) -> None:
    async def health_check() -> dict[str, Any]:
        """Verify platform is operational"""
        test_task = Task(description="Health check test")
        try:
            result = await platform.run(test_task)
            return {"status": "healthy", "response_time": result.get("execution_time")}
        except Exception as e:
            return {"status": "unhealthy", "error": str(e)}

    found = await health_check()
    assert found["status"] == "healthy"
    assert found["response_time"] > 0
    count = len(simulated.requests)
    assert (await platform.health())["status"] == "healthy"
    assert len(simulated.requests) == count, "the built-in check pays for nothing"
    async with SimulatedProvider(accept_keys={"another"}) as refusing:
        elsewhere = {"openai": {"base_url": refusing.openai_url}, "anthropic": {"base_url": refusing.anthropic_url}}
        async with HybridPlatform("wrong-key", "wrong-key", providers=elsewhere) as unusable:
            assert (await unusable.health(deep=True))["status"] == "unhealthy"


async def test_at_000_22_no_alert_when_idle_and_one_after_a_failure_in_ten() -> None:
    alerts: list[str] = []
    alert = alerts.append
    agent = ScriptedAgent(replies=lambda text: (_ for _ in ()).throw(RuntimeError("boom")) if text == "9" else "ok")
    async with HybridPlatform() as platform:
        platform.register_agent("openai", agent)
        metrics = platform.get_metrics()
        if metrics["success_rate"] < 0.95:
            alert("Agent success rate dropped below 95%")
        if metrics["avg_execution_time"] > 30:
            alert("Agent execution time increased")
        assert alerts == []
        for number in range(10):
            await platform.run(str(number))
        metrics = platform.get_metrics()
        if metrics["success_rate"] < 0.95:
            alert("Agent success rate dropped below 95%")
        assert metrics["success_rate"] == 0.9
        assert alerts == ["Agent success rate dropped below 95%"]


async def test_at_000_23_the_status_prints_as_a_word(
    platform: HybridPlatform, capsys: pytest.CaptureFixture[str]
) -> None:
    result = await platform.run(Task("Deploy v2.1.0 to staging"))
    print(result["status"])
    assert capsys.readouterr().out == "completed\n"


async def test_at_000_24_provider_failure_is_a_result_and_a_wrong_argument_raises(
    platform: HybridPlatform, simulated: SimulatedProvider
) -> None:
    simulated.script = [Fault.status(401)]
    result = await platform.run("anything")
    assert result.get("status") == "failed"
    assert result.get("error")
    assert result.error_code == "agent.authentication"
    assert "http" not in result["error"]
    for wrong in (12, None, b"bytes", {"description": "no"}):
        with pytest.raises(UsageError):
            await platform.run(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Task(describe="typo")  # type: ignore[call-arg]


def test_a_task_runs_from_code_without_an_event_loop() -> None:
    platform = HybridPlatform()
    platform.register_agent("openai", ScriptedAgent(replies="mocked"))
    result = platform.run_sync("hello")
    assert isinstance(result, TaskResult)
    assert json.loads(json.dumps(result))["output"] == "mocked"
    assert result.status is TaskStatus.COMPLETED
    assert platform.get_metrics()["tasks_executed"] == 1
    platform.close_sync()


async def test_without_any_key_a_task_fails_with_the_next_step() -> None:
    async with HybridPlatform() as platform:
        result = await platform.run("hello")
    assert result.status == "failed"
    assert result.error_code == "agent.authentication"
    assert "OPENAI_API_KEY" in (result.hint or "")
