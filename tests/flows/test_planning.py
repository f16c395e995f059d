"""A task becomes a plan: its own list is kept, a model is told once what is wrong, and vagueness is said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from interlock.agents.agent import Answer, Bench, Brief
from interlock.errors import DecompositionError, OutputInvalid, UsageError
from interlock.flows.planning import check_max_steps, estimate, outline_of, plan_by_outline, planning_flow, schema_for
from interlock.records.fact import RunAdmitted, RunRouted
from interlock.records.plan import Plan, Step, plan_from_json
from tests.engine.rig import rig

SALES = """
    Analyze Q4 2023 sales data:
    1. Extract data from PostgreSQL (orders, customers tables)
    2. Calculate revenue by product category
    3. Compare with Q4 2022 for year-over-year growth
    4. Identify top 10 performing products
    5. Generate visualizations for executive presentation
"""


class Planner:
    """An agent that answers with what it is told to, and remembers what it was asked."""

    id = "planner"

    def __init__(self, *answers: Any) -> None:
        self.asked: list[Brief] = []
        self._answers = list(answers)

    async def work(self, brief: Brief, bench: Bench) -> Answer:
        self.asked.append(brief)
        return Answer(output=self._answers.pop(0), agent=self.id)


def a_step(name: str, *needs: str, tool: str | None = None, tool_input: str | None = None) -> dict[str, Any]:
    return {"id": name, "description": name, "tool": tool, "tool_input": tool_input, "dependencies": list(needs)}


async def made_by(planner: Planner, task: str = "Do it well, for 3 regions", *, most: int = 10, tools: Any = ()) -> Any:
    async with rig({"decompose": planning_flow(lambda run: planner)}) as house:
        described = {"description": task, "context": {"decompose": {"max_steps": most, "tools": list(tools)}}}
        facts = [
            RunAdmitted(task=described, task_id="t", flow="decompose", digest="d"),
            RunRouted(platform="planner", candidates=["planner"], reasons=[]),
        ]
        await house.engine.submit("run", facts)
        return (await house.wait()).finished


def test_numbered_lines_are_the_steps_in_their_order() -> None:
    plan = plan_by_outline(SALES, outline_of(SALES), 10)
    assert [step.id for step in plan.steps] == [f"step_{number}" for number in range(1, 6)]
    assert plan.steps[0].description == "Extract data from PostgreSQL (orders, customers tables)"
    assert [step.dependencies for step in plan.steps][:3] == [[], ["step_1"], ["step_2"]]


def test_steps_numbered_within_one_line_are_kept_as_well() -> None:
    assert outline_of("Sales: 1. extract it 2. compare it 3) draw it").items == ("extract it", "compare it", "draw it")


def test_figures_in_a_text_are_no_list() -> None:
    assert outline_of("Version 2. It has 3 faults in 10. 5 of them matter.").items == ()


def test_what_a_task_calls_success_is_kept_and_is_no_step() -> None:
    task = "Optimize database:\n- Target: below 100ms\n- Constraint: No downtime\n- Success metric: 95th percentile"
    outline = outline_of(task)
    assert outline.items == ()
    assert outline.criteria == ("Target: below 100ms", "Constraint: No downtime", "Success metric: 95th percentile")


def test_a_vague_task_is_warned_about_and_not_refused() -> None:
    assert outline_of("Do sales analysis").warnings
    assert not outline_of(SALES).warnings


def test_a_list_that_is_longer_than_allowed_is_refused() -> None:
    with pytest.raises(DecompositionError, match="5 steps; at most 3"):
        plan_by_outline(SALES, outline_of(SALES), 3)


@pytest.mark.parametrize("unbounded", [None, 0, -1, 10**9, True, 1.5, "10"])
def test_there_is_always_a_bound(unbounded: Any) -> None:
    with pytest.raises(UsageError, match="max_steps"):
        check_max_steps(unbounded)


async def test_what_the_model_plans_becomes_a_plan() -> None:
    answer = {
        "steps": [a_step("get it", tool="sql", tool_input='{"query": "SELECT 1"}'), a_step("use", "get it")],
        "success_criteria": ["It adds up"],
    }
    planner = Planner(answer)
    finished = await made_by(planner, tools=[{"name": "sql", "description": "asks"}])
    plan = plan_from_json(finished.output)
    assert plan.steps == [
        Step("get_it", "get it", "sql", {"query": "SELECT 1"}),
        Step("use", "use", dependencies=["get_it"]),
    ]
    assert plan.metadata["success_criteria"] == ["It adds up"]
    assert planner.asked[0].schema == schema_for(["sql"])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"steps": [a_step("a", "b"), a_step("b", "a")]}, "circle"),
        ({"steps": [a_step("a", "z")]}, "which is no step"),
        ({"steps": [a_step("a", tool="rocket")]}, "which there is not"),
        ({"steps": []}, "no steps"),
        ({"steps": [a_step(f"s{n}") for n in range(11)]}, "at most 10"),
        ("no plan at all", "form"),
        ({"steps": [a_step("a", tool="sql", tool_input="{")]}, "form"),
    ],
)
async def test_what_is_wrong_is_told_back_once_and_then_refused(wrong: Any, told: str) -> None:
    planner = Planner(wrong, {"steps": [a_step("a")], "success_criteria": []})
    finished = await made_by(planner, tools=[{"name": "sql", "description": ""}])
    assert finished.status == "completed"
    assert told in str(planner.asked[1].context["correction"])
    twice = await made_by(Planner(wrong, wrong))
    assert twice.status == "failed"
    assert twice.failure.code == "plan.decomposition"


async def test_a_planner_whose_answers_never_have_the_form_makes_no_plan() -> None:
    class Talker(Planner):
        async def work(self, brief: Brief, bench: Bench) -> Answer:
            raise OutputInvalid("The answer does not have the form asked for: The answer is not JSON.")

    finished = await made_by(Talker())
    assert finished.failure.code == "plan.decomposition"
    assert "not JSON" in finished.failure.says


async def test_a_plan_with_fewer_steps_than_the_task_lists_is_sent_back() -> None:
    short = {"steps": [a_step("all at once")], "success_criteria": []}
    whole = {"steps": [a_step(f"s{n}") for n in range(5)], "success_criteria": []}
    planner = Planner(short, whole)
    assert len((await made_by(planner, SALES)).output["steps"]) == 5
    assert "keep every one" in str(planner.asked[1].context["correction"])


def test_what_stands_below_an_item_belongs_to_it() -> None:
    task = """Sales:
    1. Load the tables
       - orders
       - customers
    2. Report,
       in one page
    Mail it to ann.
    """
    assert outline_of(task).items == ("Load the tables - orders - customers", "Report, in one page")


def test_a_plan_is_estimated_before_it_runs() -> None:
    plan = Plan("p", [Step("a", tool="t", tool_input={}), Step("b", dependencies=["a"]), Step("c")])
    assert estimate(plan, lambda sent, received: 100, 3) == {"cost_micros": 400, "seconds": 13.0, "agent_steps": 2}
    assert estimate(plan, lambda sent, received: None, 1)["cost_micros"] is None
    assert estimate(plan, lambda sent, received: 100, 1)["seconds"] == 25.0


def test_a_plan_is_read_back_from_json() -> None:
    plan = plan_by_outline(SALES, outline_of(SALES), 10)
    assert plan_from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert Plan.from_json({**plan.to_json(), "tools": ["web_search"]}, [len]).tools == ("web_search", len)
    with pytest.raises(UsageError, match="no 'stepps'"):
        Plan.from_json({"stepps": [], "steps": [{"id": "a"}]})
