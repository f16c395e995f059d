"""A step is done by its tool as the plan says, or by an agent that is shown what the step builds on."""

from __future__ import annotations

import time
from typing import Any

import pytest

from interlock.agents.agent import Answer, Bench, Brief
from interlock.errors import RateLimitError, ToolFailed, UsageError
from interlock.flows.doing import filled_in, kind_of, references_in, shown, step_doer
from interlock.flows.plan import plan_flow, plan_of
from interlock.flows.plan_results import results_of
from interlock.records.plan import Plan, Step
from interlock.records.verdict import Act, Permit
from interlock.tools.function import tool
from interlock.tools.result import as_json
from interlock.tools.tool import Caller, Tool, ToolSpec
from tests.engine.rig import rig
from tests.flows.test_plan import carry_out


@tool
def add(one: int, other: int) -> int:
    """Add two numbers."""
    return one + other


@tool
def boom() -> str:
    """Break."""
    raise ValueError("it broke")


@tool
def busy() -> str:
    """Have no time."""
    raise RateLimitError("Too many requests.")


@tool(name="code_interpreter")
def code(exit_code: int, stderr: str = "") -> dict[str, object]:
    """Code that ended so."""
    return {"exit_code": exit_code, "stdout": "", "stderr": stderr, "value": None}


class Helper:
    """An agent that says what it was shown."""

    id = "helper"

    def __init__(self) -> None:
        self.briefs: list[Brief] = []

    async def work(self, brief: Brief, bench: Bench) -> Answer:
        self.briefs.append(brief)
        return Answer(output=f"did: {brief.text}", agent=self.id)


TOOLS: dict[str, Tool] = {one.spec.name: one for one in (add, boom, busy, code)}


async def named(name: str) -> Tool:
    if name not in TOOLS:
        raise UsageError(f"This process does not know the tool {name!r}.", code="usage.tool")
    return TOOLS[name]


async def done(plan: Plan, helper: Helper | None = None, **execution: Any) -> Any:
    helper = helper or Helper()

    async def anyone(step: Step) -> tuple[str, Helper]:
        return "helper", helper

    async with rig({"plan": plan_flow(lambda run: step_doer(anyone, named))}) as house:
        await carry_out(house, plan, **execution)
        run = await house.load()
    found = plan_of(run)
    assert found is not None
    return {one.step_id: one for one in results_of(run, found)}


async def test_a_tool_is_called_with_what_the_plan_says_and_outputs_flow_on() -> None:
    plan = Plan(
        "sum",
        [
            Step("a", tool="add", tool_input={"one": 1, "other": 2}),
            Step("b", tool="add", tool_input={"one": "${a}", "other": 10}, dependencies=["a"]),
            Step("c", "Tell ${b} to people", dependencies=["b"]),
        ],
    )
    helper = Helper()
    found = await done(plan, helper)
    assert (found["a"].output, found["b"].output) == (3, 13)
    assert helper.briefs[0].context["results"] == {"b": 13}
    assert helper.briefs[0].context["whole_task"] == "sum"
    assert found["c"].started_at is not None
    assert found["c"].seconds >= 0


async def test_failures_are_sorted_by_kind_and_hold_up_only_what_needs_them() -> None:
    plan = Plan(
        "p",
        [
            Step("boom", tool="boom"),
            Step("busy", tool="busy"),
            Step("wrong", tool="add", tool_input={"one": "x", "other": 2}),
            Step("unknown", tool="rocket", tool_input={}),
            Step("after", dependencies=["boom"]),
            Step("later", dependencies=["after"]),
            Step("fine"),
        ],
    )
    found = await done(plan)
    assert {name: (one.status, one.kind) for name, one in found.items()} == {
        "boom": ("failed", "tool_error"),
        "busy": ("failed", "rate_limit"),
        "wrong": ("failed", "validation"),
        "unknown": ("failed", "validation"),
        "after": ("skipped", "skipped"),
        "later": ("skipped", "skipped"),
        "fine": ("completed", ""),
    }
    assert "rate_limit" in str(found["busy"].error)
    assert "rocket" in str(found["unknown"].error)


async def test_code_that_breaks_is_no_completed_step() -> None:
    trace = "Traceback (most recent call last):\n  ...\nValueError: no rows\n"
    plan = Plan(
        "p",
        [
            Step("good", tool="code_interpreter", tool_input={"exit_code": 0}),
            Step("bad", tool="code_interpreter", tool_input={"exit_code": 1, "stderr": trace}),
            Step("after", tool="add", tool_input={"one": 1, "other": 2}, dependencies=["bad"]),
        ],
    )
    found = await done(plan)
    assert [found[name].status for name in ("good", "bad", "after")] == ["completed", "failed", "skipped"]
    assert found["bad"].error == "tool.error: The code ended with exit code 1: ValueError: no rows"
    assert found["bad"].kind == "tool_error"


async def test_tries_are_counted() -> None:
    found = await done(Plan("p", [Step("busy", tool="busy", metadata={"retries": 2})]))
    assert found["busy"].attempts == 3


@pytest.mark.parametrize("large", ["x" * 5_000_000, "é" * 600_000, [{"n": n} for n in range(200_000)]])
def test_what_was_cut_is_no_argument_of_a_tool(large: Any) -> None:
    with pytest.raises(ToolFailed, match="was cut"):
        filled_in({"rows": "${a}"}, {"a": as_json("t", large)})


def test_what_is_large_and_whole_is_an_argument() -> None:
    assert filled_in("${a}", {"a": as_json("t", "x" * 1_000_000)}) == "x" * 1_000_000
    assert filled_in("${a}", {"a": "1 bytes left out …\n"}) == "1 bytes left out …\n"


def test_references_become_outputs() -> None:
    inputs = {"a": {"rows": [{"name": "x"}]}, "b": "text"}
    assert filled_in("${a.rows.0.name}", inputs) == "x"
    assert filled_in({"q": ["${a}", "about ${b}!"]}, inputs) == {"q": [inputs["a"], "about text!"]}
    assert filled_in("$HOME and ${ }", inputs) == "$HOME and ${ }"
    for wrong in ("${c}", "${a.cols}", "${a.rows.9}", "${b.x}"):
        with pytest.raises(ToolFailed):
            filled_in(wrong, inputs)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("$${a}", "${a}"),
        ("$${HOME} $$", "${HOME} $$"),
        ("$$${a}", "$7"),
        ("$$$${a}", "$${a}"),
        ("$${a} ${a}", "${a} 7"),
    ],
)
def test_two_dollar_signs_are_no_reference(written: str, meant: str) -> None:
    assert filled_in(written, {"a": 7}) == meant
    named = [Step("a"), Step("b", tool="t", tool_input={"x": written}, dependencies=["a"])]
    assert references_in(Plan("p", named)) == []


def test_a_reference_to_no_step_says_which_was_meant_and_how_to_mean_none() -> None:
    step = Step("b", tool="t", tool_input={"x": "${extrat}"}, dependencies=["extract"])
    (fault,) = references_in(Plan("p", [Step("extract"), step]))
    assert fault.says == "'b' uses ${extrat}, but there is no step 'extrat' (did you mean 'extract'?)."
    assert "$${extrat}" in fault.do


HOSTILE = ["$" * 200_000, "${" * 200_000, "${" * 200_000 + " ", "${a" + ".b" * 200_000 + " ", "${a.b" * 100_000 + " "]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:6])
def test_a_text_that_only_looks_like_references_costs_no_time(text: str) -> None:
    begun = time.process_time()
    assert references_in(Plan("p", [Step("a", tool="t", tool_input={"x": text})]))[1:] == []
    assert filled_in(text + " ", {"a": 1}) == text + " "
    assert time.process_time() - begun < 2


def test_no_more_references_are_found_fault_with_than_anyone_reads() -> None:
    faults = references_in(Plan("p", [Step("a", tool="t", tool_input={"x": f"${{{'b' * 9_000}}}" * 1_000})]))
    assert len(faults) == 10
    assert all(len(fault.says + fault.do) < 1_000 for fault in faults)


@pytest.mark.parametrize("value", ["${a}" * 20, ["${a}"] * 20, {"x": ["${a.0}"] * 20}])
def test_references_are_not_filled_in_without_end(value: Any) -> None:
    with pytest.raises(ToolFailed, match="16,000,000 characters together") as error:
        filled_in(value, {"a": ["x" * 999_000]})
    assert error.value.code == "tool.arguments"


def test_a_reference_to_a_step_that_is_not_waited_for_is_found() -> None:
    plan = Plan("p", [Step("a"), Step("b", tool="t", tool_input={"x": "${a}"})])
    (fault,) = references_in(plan)
    assert fault.says == "'b' uses ${a} but does not depend on 'a'."
    assert (plan.steps[int(fault.at[1])].id, fault.at[2]) == ("b", "tool_input")


def test_large_outputs_are_cut_to_their_share_and_small_ones_are_whole() -> None:
    seen = shown({"small": {"x": 1}, "large": "y" * 100_000, "huge": "z" * 500_000}, "run_1", budget=10_000)
    assert seen["small"] == {"x": 1}
    assert len(seen["large"]["begins"]) + len(seen["huge"]["ends"]) <= 10_000
    assert "run_1" in seen["huge"]["cut"]


def test_every_code_has_a_kind() -> None:
    assert kind_of("agent.output_truncated") == "validation"
    assert kind_of("policy.refused") == "refused"
    assert kind_of("budget.exceeded") == "over_budget"
    assert kind_of("something.else") == "error"


async def test_a_tool_that_asks_for_what_is_no_tools_to_do_is_not_run() -> None:
    class Sneaky:
        spec = ToolSpec(name="sneaky", description="Passes for a model.", parameters={"type": "object"})
        repeatable = False
        ran = False

        def act(self, arguments: Any, caller: Caller) -> Act:
            return Act(kind="model", name="sneaky")

        async def run(self, permit: Permit, caller: Caller) -> Any:
            self.ran = True

    sneaky = Sneaky()

    async def anyone(step: Step) -> Helper:
        return Helper()

    async def found(name: str) -> Tool:
        return sneaky

    async with rig({"plan": plan_flow(lambda run: step_doer(anyone, found))}) as house:
        plan = Plan("p", [Step("one", tool="sneaky", tool_input={})])
        await carry_out(house, plan)
        run = await house.load()
        known = plan_of(run)
        assert known is not None
        (result,) = results_of(run, known)
    assert (result.status, result.kind, sneaky.ran) == ("failed", "tool_error", False)


@pytest.mark.parametrize("wish", [{"timeout": -1}, {"timeout": "soon"}, {"retries": 10**9}, {"retries": 1.5}])
def test_what_no_step_can_have_is_refused(wish: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="metadata"):
        Step("a", metadata=wish)
