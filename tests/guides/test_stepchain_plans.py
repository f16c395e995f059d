"""What the StepChain guide says about tasks, errors and costs, as it says it: only import lines are changed."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from interlock import Executor, Plan, Step, Storage, decompose, execute, tool
from interlock import configure as setup_stepchain
from interlock.errors import DecompositionError, RateLimitError, UsageError
from interlock.platform.doors import default_platform
from interlock.records.money import Usage
from interlock.records.plan import MOST_STEPS, in_order
from interlock.testing import Fault, SimulatedProvider, Text
from interlock.testing.script import Move, Reply, RequestView
from tests.guides.stepchain import QuickTime as time
from tests.guides.stepchain import default_platform_anew, mind, simulated_model
from tests.stores.processes import ROOT

logger = logging.getLogger("tests.guides")


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("INTERLOCK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with default_platform_anew():
        yield


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedProvider]:
    with simulated_model(monkeypatch) as provider:
        yield provider


@tool(repeatable=True)
def load(step: str) -> str:
    """Load something."""
    return f"loaded {step}"


def test_at_004_01_five_numbered_lines_become_at_least_five_steps_in_their_order(model: SimulatedProvider) -> None:
    plan = decompose("""
    Analyze Q4 2023 sales data:
    1. Extract data from PostgreSQL (orders, customers tables)
    2. Calculate revenue by product category
    3. Compare with Q4 2022 for year-over-year growth
    4. Identify top 10 performing products
    5. Generate visualizations for executive presentation
""")
    assert 5 <= len(plan.steps) <= 50
    assert [step.id for step in in_order(plan.steps)] == [step.id for step in plan.steps]
    assert "PostgreSQL" in plan.steps[0].description
    assert "visualizations" in plan.steps[-1].description


def test_at_004_01_a_listed_task_needs_no_model_and_a_vague_one_is_planned_with_a_warning(
    model: SimulatedProvider, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = decompose("Do sales analysis")  # Too vague
    assert "vague" in " ".join(plan.metadata["warnings"])
    assert "vague" in caplog.text
    for name in model.env():
        monkeypatch.delenv(name)
    with default_platform_anew():
        assert [step.description for step in decompose("1. fetch\n2. clean\n3. report").steps] == [
            "fetch",
            "clean",
            "report",
        ]


@pytest.mark.parametrize("max_steps", [None, 0, -1, 10**9, True])
def test_at_004_01_there_is_always_a_limit(max_steps: Any) -> None:
    task = "1. a\n2. b"
    with pytest.raises(UsageError) as refused:
        decompose(task, max_steps=max_steps)
    assert refused.value.code == "usage.max_steps"
    assert f"{MOST_STEPS:,}" in refused.value.says


def test_at_004_01_no_plan_has_more_steps_than_it_may_have(model: SimulatedProvider) -> None:
    task = "Sort the archive: " + " ".join(f"{number}. sort box {number}" for number in range(1, 31))
    # For focused tasks
    with pytest.raises(DecompositionError):
        decompose(task, max_steps=10)
    # For complex workflows
    plan = decompose(task, max_steps=50)
    assert len(plan.steps) == 30


def test_at_004_01_success_criteria_of_the_task_are_kept(model: SimulatedProvider) -> None:
    plan = decompose("""
    Optimize database performance:
    - Target: Reduce query time below 100ms
    - Constraint: No downtime during optimization
    - Success metric: 95th percentile query time
""")
    assert len(plan.metadata["success_criteria"]) == 3
    assert "100ms" in plan.metadata["success_criteria"][0]


def test_at_004_04_after_a_kill_nothing_that_is_done_is_called_again(model: SimulatedProvider, tmp_path: Path) -> None:
    plan = decompose("1. one\n2. two\n3. three\n4. four")
    expected = [result.output for result in execute(plan, run_id="uninterrupted")]
    third = threading.Event()

    def slow_at_three(view: RequestView) -> Move:
        if view.asked.startswith("three") and not third.is_set():
            third.set()
            return Fault.timeout()
        return mind(view)

    model.script = slow_at_three
    program = (
        "from interlock import decompose, execute\n"
        "execute(decompose('1. one\\n2. two\\n3. three\\n4. four'), run_id='critical_analysis_20240115')\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert third.wait(60)
    child.send_signal(signal.SIGKILL)
    child.wait()
    model.requests.clear()
    model.script = mind
    results = execute(plan, run_id="critical_analysis_20240115", resume=True)
    assert [result.output for result in results] == expected
    asked = [str(request.body) for request in model.requests]
    assert len(asked) == 2
    assert "three" in asked[0]
    assert "four" in asked[1]


def test_at_004_04_without_a_run_id_a_run_gets_one_and_can_be_resumed() -> None:
    broken = [True]

    @tool(repeatable=True)
    def fragile() -> str:
        """Break the first time."""
        if broken:
            raise ValueError("not yet")
        return "now"

    plan = Plan("p", [Step("a", tool="load", tool_input={"step": "a"}), Step("b", tool="fragile")])
    assert [result.status for result in execute(plan, tools=[load, fragile])] == ["completed", "failed"]
    broken.clear()
    (row,) = default_platform().get_task_history()
    results = execute(plan, run_id=row["run_id"], resume=True, tools=[load, fragile])
    assert [result.status for result in results] == ["completed", "completed"]
    assert [result.attempts for result in results] == [1, 2]


def test_at_004_05_partial_failures_come_back_as_results() -> None:
    sent: list[str] = []
    limited = [True]

    def send_alert(text: str) -> None:
        sent.append(text)

    @tool(repeatable=True)
    def busy() -> str:
        """Have no time at first."""
        if limited:
            limited.pop()
            raise RateLimitError("Too many requests.")
        return "had time"

    plan = Plan(
        "data_pipeline",
        [
            Step("extract", tool="load", tool_input={"step": "extract"}),
            Step("enrich", tool="busy"),
            Step("report", tool="load", tool_input={"step": "report"}, dependencies=["enrich"]),
        ],
        tools=[load, busy],
    )

    results = execute(plan, run_id="data_pipeline")
    assert [r.status for r in results] == ["completed", "failed", "skipped"]
    assert results[1].kind == "rate_limit"

    # Check for failures
    failed_steps = [r for r in results if r.status == "failed"]
    if failed_steps:
        # Log failures
        for step in failed_steps:
            logger.error(f"Step {step.step_id} failed: {step.error}")

        # Decide whether to retry or alert
        if any("rate_limit" in str(step.error) for step in failed_steps):
            # Wait and retry
            time.sleep(60)
            results = execute(plan, run_id="data_pipeline", resume=True)
        else:
            # Alert for manual intervention
            send_alert("Pipeline failed - manual review needed")

    assert sent == []
    assert [r.status for r in results] == ["completed", "completed", "completed"]
    assert results[0].attempts == 1


def test_at_004_06_progress_is_seen_from_before_the_first_write_to_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    executor = ThreadPoolExecutor()
    storage = Storage()
    begun, go_on = threading.Semaphore(0), threading.Semaphore(0)

    @tool
    def wait(step: int) -> int:
        """Wait to be let go."""
        begun.release()
        assert go_on.acquire(timeout=60)
        return step

    def execute_with_checkpoints(plan, run_id):  # type: ignore[no-untyped-def]
        """Execute with periodic status checks."""
        results = []  # noqa: F841

        # Start execution in background
        future = executor.submit(execute, plan, run_id)

        # Monitor progress
        while not future.done():
            # Check intermediate state
            state = storage.load_run_state(run_id)
            completed = len([r for r in state.results if r.status == "completed"])
            print(f"Progress: {completed}/{len(plan.steps)} steps")
            time.sleep(30)

        return future.result()

    plan = Plan("long", [Step(f"s{n}", tool="wait", tool_input={"step": n}) for n in range(3)], tools=[wait])
    assert storage.load_run_state("not-yet-there").results == ()
    watched = ThreadPoolExecutor(1).submit(execute_with_checkpoints, plan, "long-run")
    seen: list[int] = []
    while not watched.done():
        if begun.acquire(timeout=0.05):
            state = storage.load_run_state("long-run")
            seen.append(len([r for r in state.results if r.status == "completed"]))
            assert state.plan is not None
            assert state.plan.task_description == "long"
            go_on.release()
    assert [r.status for r in watched.result()] == ["completed"] * 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Progress: 0/3 steps"
    assert seen[0] == 0
    assert len(storage.load_run_state("long-run").results) == 3
    executor.shutdown()


def test_at_004_07_as_many_steps_at_once_as_allowed() -> None:
    at_once, most = 0, [0]

    @tool
    async def call_api(number: int) -> int:
        """Wait for someone."""
        nonlocal at_once
        at_once += 1
        most[-1] = max(most[-1], at_once)
        await asyncio.sleep(0.2)
        at_once -= 1
        return number

    plan = Plan("calls", [Step(f"s{n}", tool="call_api", tool_input={"number": n}) for n in range(5)], tools=[call_api])

    # Adjust based on task type
    executor = Executor(
        max_concurrent=5  # Good for I/O bound tasks (API calls)
    )
    took = [_seconds(executor.execute_plan(plan))]

    most.append(0)
    executor = Executor(
        max_concurrent=1  # Good for CPU bound or sequential tasks
    )
    took.append(_seconds(executor.execute_plan(plan)))
    assert most == [5, 1]
    assert took[0] < 0.2 * 4  # as good as at once, however busy the machine is
    assert took[1] >= 0.2 * 5


def _seconds(results: list[Any]) -> float:
    assert all(result.status == "completed" for result in results)
    ends = max(result.completed_at for result in results)
    return float((ends - min(result.started_at for result in results)).total_seconds())


def test_at_004_07_a_batch_is_one_plan(model: SimulatedProvider) -> None:
    # Good: Single decomposition for batch
    plan = decompose("""
    Process customer list:
    1. Load all 1000 customers
    2. Validate data in batches of 100
    3. Enrich with external API (parallel)
    4. Generate summary report
""")
    assert len(plan.steps) == 4
    assert len(model.requests) == 1


def test_at_004_09_a_tracker_prints_a_number_and_ours_says_what_the_provider_counted(
    model: SimulatedProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    class CostTracker:
        def __init__(self) -> None:
            self.total_tokens = 0
            self.cost_per_1k = 0.02  # GPT-4 pricing

        def track_execution(self, results) -> None:  # type: ignore[no-untyped-def]
            # Estimate tokens from results
            for result in results:
                self.total_tokens += len(str(result.output)) / 4  # Rough estimate

            cost = (self.total_tokens / 1000) * self.cost_per_1k
            print(f"Estimated cost: ${cost:.2f}")

    def counted(view: RequestView) -> Move:
        return Reply(text=mind(view).text, usage=Usage(input_tokens=321, output_tokens=45, requests=1))

    model.script = counted
    plan = decompose(
        "1. fetch the figures\n2. sum them up",
        temperature=0.2,  # Lower = more deterministic = fewer tokens
        max_steps=20,  # Limit complexity
    )
    assert plan.metadata["estimate"]["estimated"] is True
    results = execute(plan)
    CostTracker().track_execution(results)
    assert capsys.readouterr().out.startswith("Estimated cost: $0.0")
    metrics = default_platform().get_metrics()
    assert metrics["total_tokens"] == 3 * (321 + 45)  # one request to plan, one for each step
    assert metrics["estimated_cost"] > 0
    assert sum(result.cost_micros or 0 for result in results) > 0


def test_at_004_09_a_model_may_be_chosen_for_the_planning(model: SimulatedProvider) -> None:
    # Complex reasoning tasks
    task = "1. look\n2. think"
    plan = decompose(task, model="gpt-4")
    assert len(plan.steps) == 2
    # Simple tasks (when Responses API supports more models)
    plan = decompose(task, model="gpt-3.5-turbo")
    assert [request.body["model"] for request in model.requests] == ["gpt-4", "gpt-3.5-turbo"]


def test_at_004_10_state_appears_where_it_was_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPCHAIN_STORAGE", str(tmp_path / "configured"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-used")
    # Production configuration
    config = setup_stepchain(  # noqa: F841
        storage_path=os.getenv("STEPCHAIN_STORAGE", "/var/lib/stepchain"),
        log_level=os.getenv("STEPCHAIN_LOG_LEVEL", "WARNING"),
    )

    # Validate configuration
    assert os.getenv("OPENAI_API_KEY"), "OpenAI API key required"

    execute(Plan("p", [Step("a", tool="load", tool_input={"step": "a"})], tools=[load]), run_id="here")
    assert (tmp_path / "configured" / "interlock.db").is_file()
    assert not (tmp_path / "home").exists()
    logging.getLogger("interlock").setLevel(logging.NOTSET)


def test_at_004_10_a_path_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    setup_stepchain(storage_path=str(tmp_path / "file" / "below"))
    plan = Plan("p", [Step("a", tool="load", tool_input={"step": "a"})], tools=[load])
    with pytest.raises(Exception, match=r"file/below") as refused:
        execute(plan)
    assert "Traceback" not in str(refused.value)
    with default_platform_anew():
        pass


def test_the_answers_of_a_model_are_those_of_its_steps(model: SimulatedProvider) -> None:
    model.script = lambda view: mind(view) if view.schema else Text("42")
    assert [result.output for result in execute(decompose("1. count\n2. check"))] == ["42", "42"]


def test_a_run_goes_on_with_the_plan_it_began_with_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    @tool
    def say(text: str) -> str:
        """Say it."""
        return text

    def plan(text: str) -> Plan:
        return Plan("p", [Step("a", tool="say", tool_input={"text": text})], tools=[say])

    execute(plan("one"), run_id="kept-plan")
    with caplog.at_level("WARNING", "interlock"):
        assert execute(plan("one"), run_id="kept-plan", resume=True)[0].output == "one"
        assert not [record for record in caplog.records if "other steps" in record.message]
        assert execute(plan("two"), run_id="kept-plan", resume=True)[0].output == "one"
    assert [record for record in caplog.records if "other steps" in record.message]
