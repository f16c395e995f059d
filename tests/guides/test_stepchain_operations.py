"""What the StepChain guide says about production, audit and monitoring, as it says it; only imports are changed."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Dict  # noqa: UP035 - as the guide writes it

import pytest

from interlock import Executor, Plan, Step, Storage, decompose, execute, tool
from interlock.platform.run_state import ExecutionMetrics as OurMetrics
from interlock.testing import SimulatedProvider
from tests.guides.production_executor import chain
from tests.guides.stepchain import default_platform_anew, simulated_model
from tests.stores.processes import ROOT


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("INTERLOCK_HOME", str(tmp_path / "home"))
    with default_platform_anew():
        yield


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedProvider]:
    with simulated_model(monkeypatch) as provider:
        yield provider


@tool
def load(step: str) -> str:
    """Load something."""
    return f"loaded {step}"


@tool
def boom() -> str:
    """Break."""
    raise ValueError("it broke")


def three_steps() -> Plan:
    return Plan(
        "Load, break, report",
        [
            Step("load", "Load it", tool="load", tool_input={"step": "one"}),
            Step("break", "Break it", tool="boom", tool_input={}, dependencies=["load"]),
            Step("report", "Report it", tool="load", tool_input={"step": "two"}, dependencies=["break"]),
        ],
        tools=[load, boom],
    )


async def test_at_004_11_the_health_check_runs_inside_a_loop(model: SimulatedProvider) -> None:
    async def health_check():  # type: ignore[no-untyped-def]
        """Verify StepChain is operational."""
        try:
            # Test decomposition
            plan = decompose("Simple test task", max_steps=2)

            # Test execution
            results = execute(plan, run_id=f"health_check_{int(time.time())}")  # noqa: F841

            return {
                "status": "healthy",
                "decomposer": "ok",
                "executor": "ok",
                "storage": "ok",
            }
        except Exception as e:
            return {
                "status": "unhealthy",
                "error": str(e),
            }

    assert await health_check() == {"status": "healthy", "decomposer": "ok", "executor": "ok", "storage": "ok"}


async def test_at_004_11_without_a_model_it_is_unhealthy_and_says_what_to_do() -> None:
    with pytest.raises(Exception, match="API key"):
        decompose("Simple test task", max_steps=2)


def test_at_004_12_a_terminated_run_ends_well_and_is_resumed() -> None:
    command = [sys.executable, "-m", "tests.guides.production_executor", "nightly"]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "begun 0\n"
    assert child.stdout.readline() == "ended 0\n"
    assert child.stdout.readline() == "begun 1\n"
    child.send_signal(signal.SIGTERM)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    # What was begun was finished, and nothing else was begun.
    assert out.splitlines() == ["Shutting down gracefully...", "Saving state for nightly", "ended 1"]
    statuses = [result.status for result in Storage().load_run_state("nightly").results]
    assert statuses == ["completed", "completed", "pending", "pending"]
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert again.stdout.splitlines() == [
        "begun 2",
        "ended 2",
        "begun 3",
        "ended 3",
        "['result 0', 'result 1', 'result 2', 'result 3']",
    ]


def test_at_004_12_a_run_that_was_terminated_is_resumed_by_any_other_program(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.guides.production_executor", "nightly"]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    assert child.stdout is not None
    assert child.stdout.readline() == "begun 0\n"
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=60)
    assert child.returncode == 0
    results = execute(chain(), run_id="nightly", resume=True)
    assert [result.output for result in results] == [f"result {n}" for n in range(4)]


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
def test_at_004_14_every_step_passes_the_override_with_the_user_of_the_run() -> None:
    class AuditedExecutor(Executor):
        def __init__(self, audit_logger):  # type: ignore[no-untyped-def]
            super().__init__()
            self.audit_logger = audit_logger

        async def execute_step(self, step, context):  # type: ignore[no-untyped-def]
            # Log before execution
            self.audit_logger.info(
                {
                    "timestamp": datetime.utcnow().isoformat(),
                    "action": "step_start",
                    "step_id": step.id,
                    "tool": step.tool,
                    "user": context.get("user_id"),
                }
            )

            result = await super().execute_step(step, context)

            # Log after execution
            self.audit_logger.info(
                {
                    "timestamp": datetime.utcnow().isoformat(),
                    "action": "step_complete",
                    "step_id": step.id,
                    "status": result.status,
                    "user": context.get("user_id"),
                }
            )

            return result

    class AuditLogger:
        def __init__(self) -> None:
            self.lines: list[dict[str, Any]] = []

        def info(self, line: dict[str, Any]) -> None:
            self.lines.append(line)

    plan = Plan(
        "p", [Step(f"s{n}", tool="load", tool_input={"step": str(n)}) for n in range(4)] + [Step("bad", tool="boom")]
    )
    audit_logger = AuditLogger()
    results = AuditedExecutor(audit_logger).execute_plan(plan, tools=[load, boom], user="ada")
    assert len(results) == 5
    actions = [line["action"] for line in audit_logger.lines]
    assert actions.count("step_start") == actions.count("step_complete") == 5
    assert {line["user"] for line in audit_logger.lines} == {"ada"}
    ended = {line["step_id"]: line["status"] for line in audit_logger.lines if line["action"] == "step_complete"}
    assert ended == {"s0": "completed", "s1": "completed", "s2": "completed", "s3": "completed", "bad": "failed"}


def test_at_004_15_the_loggers_level_shows_or_silences_the_steps(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("interlock")
    before = logger.level
    try:
        # Development debugging
        logging.getLogger("interlock").setLevel(logging.DEBUG)
        execute(three_steps())
        told = [record.getMessage() for record in caplog.records]
        assert sum("step.started" in line for line in told) >= 2
        assert any("step.finished" in line for line in told)
        caplog.clear()

        # Production - only errors
        logging.getLogger("interlock").setLevel(logging.ERROR)
        execute(three_steps())
        assert [record for record in caplog.records if record.levelno < logging.ERROR] == []
    finally:
        logger.setLevel(before)


@dataclass
class ExecutionMetrics:
    total_steps: int = 0
    completed_steps: int = 0
    failed_steps: int = 0
    total_duration: float = 0
    step_durations: Dict[str, float] = None  # type: ignore[assignment]  # noqa: UP006

    def success_rate(self):  # type: ignore[no-untyped-def]
        if self.total_steps == 0:
            return 0
        return self.completed_steps / self.total_steps


class MonitoredExecution:
    def __init__(self):  # type: ignore[no-untyped-def]
        self.metrics = ExecutionMetrics(step_durations={})

    def execute_with_metrics(self, plan, run_id):  # type: ignore[no-untyped-def]
        start_time = time.time()

        # Execute plan
        results = execute(plan, run_id=run_id)

        # Collect metrics
        self.metrics.total_steps = len(results)
        self.metrics.completed_steps = sum(1 for r in results if r.status == "completed")
        self.metrics.failed_steps = sum(1 for r in results if r.status == "failed")
        self.metrics.total_duration = time.time() - start_time

        # Step-level metrics
        for result in results:
            if result.completed_at and result.started_at:
                duration = (result.completed_at - result.started_at).total_seconds()
                self.metrics.step_durations[result.step_id] = duration

        # Send to monitoring system
        self.send_metrics()

        return results

    def send_metrics(self):  # type: ignore[no-untyped-def]
        # Send to Datadog, Prometheus, etc.
        print(f"Success rate: {self.metrics.success_rate():.2%}")
        print(f"Total duration: {self.metrics.total_duration:.1f}s")


def test_at_004_16_metrics_are_those_of_the_results(capsys: pytest.CaptureFixture[str]) -> None:
    assert ExecutionMetrics().success_rate() == OurMetrics().success_rate() == 0
    monitored = MonitoredExecution()
    results = monitored.execute_with_metrics(three_steps(), "measured")
    assert capsys.readouterr().out.splitlines()[0] == "Success rate: 33.33%"
    assert (monitored.metrics.completed_steps, monitored.metrics.failed_steps) == (1, 1)
    ours = OurMetrics.of(results)
    assert ours.step_durations == monitored.metrics.step_durations
    assert set(ours.step_durations) == {"load", "break"}
    assert all(duration >= 0 for duration in ours.step_durations.values())
    assert ours.success_rate() == monitored.metrics.success_rate()
    assert (ours.total_steps, ours.skipped_steps) == (3, 1)


def debug_failed_execution(run_id):  # type: ignore[no-untyped-def]
    """Analyze a failed execution."""
    storage = Storage()
    state = storage.load_run_state(run_id)

    print(f"Task: {state.plan.task_description}")
    print(f"Total steps: {len(state.plan.steps)}")

    # Analyze failures
    for result in state.results:
        if result.status == "failed":
            print(f"\nFailed step: {result.step_id}")
            print(f"Error: {result.error}")

            # Get step details
            step = next(s for s in state.plan.steps if s.id == result.step_id)
            print(f"Description: {step.description}")
            print(f"Tool: {step.tool}")
            print(f"Input: {step.tool_input}")
            print(f"Dependencies: {step.dependencies}")

            # Check if dependencies succeeded
            for dep_id in step.dependencies:
                dep_result = next((r for r in state.results if r.step_id == dep_id), None)
                if dep_result:
                    print(f"  Dependency {dep_id}: {dep_result.status}")


def test_at_004_17_a_failed_step_is_explained_with_what_it_needed(capsys: pytest.CaptureFixture[str]) -> None:
    execute(three_steps(), run_id="to-debug")
    debug_failed_execution("to-debug")
    assert capsys.readouterr().out.splitlines() == [
        "Task: Load, break, report",
        "Total steps: 3",
        "",
        "Failed step: break",
        "Error: tool.error: The tool boom failed: ValueError: it broke",
        "Description: Break it",
        "Tool: boom",
        "Input: {}",
        "Dependencies: ['load']",
        "  Dependency load: completed",
    ]
