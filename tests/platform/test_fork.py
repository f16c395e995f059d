"""A fork is a new run: it keeps results of its parent, never approvals, and does the rest anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from interlock import Executor, Guardrail, GuardrailType, Plan, Platform, Step, Task
from interlock.agents.model import ModelAgent
from interlock.agents.provider import ModelRequest, ModelResponse
from interlock.errors import AgentFailed, Conflict, NotFound, UsageError
from interlock.records.fact import ApprovalUsed, GateAnswered, QuestionAsked, StepInherited, StepStarted
from interlock.records.money import Usage
from interlock.records.plan import StepResult
from interlock.testing import Calls, SimulatedProvider, Text, call


class Shop:
    """Tools that count their calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.broken: set[str] = set()
        self.paid = 0

    def tools(self) -> list[Any]:
        def extract(limit: int) -> list[int]:
            """Numbers up to a limit."""
            return self._called("extract", list(range(limit)))

        def total(numbers: list[int]) -> int:
            """The sum."""
            return self._called("total", sum(numbers))

        def report(text: str) -> str:
            """A report."""
            return self._called("report", f"<{text}>")

        def other() -> str:
            """Something beside."""
            return self._called("other", "beside")

        return [extract, total, report, other]

    def _called(self, name: str, value: Any) -> Any:
        self.calls.append(name)
        if name in self.broken:
            raise AgentFailed("Not today.")
        return value


def a_plan(**more: Any) -> Plan:
    return Plan(
        "Add up the numbers",
        [
            Step("extract", tool="extract", tool_input={"limit": 4}),
            Step("total", tool="total", tool_input={"numbers": "${extract}"}, dependencies=["extract"]),
            Step("report", tool="report", tool_input={"text": "sum ${total}"}, dependencies=["total"]),
            Step("other", tool="other"),
        ],
        **more,
    )


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    async with Platform(home=tmp_path) as made:
        yield made


async def facts_of(platform: Platform, run_id: str) -> list[Any]:
    return [record.fact for record in await platform._open().read(run_id)]


async def test_a_fork_keeps_what_does_not_build_on_the_step_and_does_the_rest_anew(
    platform: Platform, shop: Shop
) -> None:
    await platform.execute(a_plan(), run_id="q4", tools=shop.tools())
    assert sorted(shop.calls) == ["extract", "other", "report", "total"]
    shop.calls.clear()

    child = await platform.fork("q4", from_step="total", run_id="q4-fork")
    result = await child.result()

    assert (child.run_id, result.status) == ("q4-fork", "completed")
    assert shop.calls == ["total", "report"]
    state = await platform.run_state("q4-fork")
    assert [(one.step_id, one.status, one.output) for one in state.results] == [
        ("extract", "completed", [0, 1, 2, 3]),
        ("total", "completed", 6),
        ("report", "completed", "<sum 6>"),
        ("other", "completed", "beside"),
    ]
    run = await platform.show("q4-fork")
    assert run.admitted is not None
    assert run.admitted.parent == "q4"
    assert {path for path, step in run.steps.items() if step.inherited == "q4"} == {"plan/extract", "plan/other"}
    kept = [fact for fact in await facts_of(platform, "q4-fork") if isinstance(fact, StepInherited)]
    assert [fact.path for fact in kept] == ["plan/extract", "plan/other"]
    assert "2 results are kept, no approval is" in run.notes[0].says


async def test_a_change_reaches_the_step_and_all_that_follows_and_the_parent_stays_as_it_is(
    platform: Platform, shop: Shop
) -> None:
    await platform.execute(a_plan(), run_id="q4", tools=shop.tools())
    before = await facts_of(platform, "q4")
    child = await platform.fork("q4", from_step="extract", changes={"input.limit": 10})
    assert (await child.result()).output["outputs"]["report"] == "<sum 45>"
    assert child.run_id.startswith("run_")
    assert await facts_of(platform, "q4") == before


async def test_steps_that_failed_or_were_held_up_are_done_wherever_the_fork_begins(
    platform: Platform, shop: Shop
) -> None:
    shop.broken.add("total")
    await platform.execute(a_plan(), run_id="q4", tools=shop.tools())
    shop.broken.clear()
    shop.calls.clear()
    child = await platform.fork("q4", from_step="other")
    assert (await child.result()).status == "completed"
    assert sorted(shop.calls) == ["other", "report", "total"]


async def test_a_step_that_was_tried_again_under_another_path_is_kept(platform: Platform, shop: Shop) -> None:
    shop.broken.add("total")
    await platform.execute(a_plan(), run_id="q4", tools=shop.tools())
    shop.broken.clear()
    await platform.execute(a_plan(), run_id="q4", tools=shop.tools(), resume=True)
    shop.calls.clear()
    child = await platform.fork("q4", from_step="plan/report")
    assert (await child.result()).output["outputs"]["report"] == "<sum 6>"
    assert shop.calls == ["report"]


async def test_a_fork_of_a_fork_says_where_the_work_was_done(platform: Platform, shop: Shop) -> None:
    await platform.execute(a_plan(), run_id="first", tools=shop.tools())
    await (await platform.fork("first", from_step="total", run_id="second")).result()
    shop.calls.clear()
    await (await platform.fork("second", from_step="report", run_id="third")).result()
    assert shop.calls == ["report"]
    steps = (await platform.show("third")).steps
    assert (steps["plan/extract"].inherited, steps["plan/total"].inherited) == ("first", "second")


async def test_a_fork_of_a_run_that_goes_on_keeps_what_is_finished(platform: Platform) -> None:
    gate, begun = asyncio.Event(), []

    class Held(Executor):
        async def execute_step(self, step: Step, context: Any) -> StepResult:
            begun.append(step.id)
            if step.id == "b" and context["run_id"] == "slow":
                await gate.wait()
            return StepResult(step.id, "completed", output=step.id)

    plan = Plan("p", [Step("a"), Step("b", dependencies=["a"]), Step("c", dependencies=["b"])])
    handle = await platform.submit_plan(plan, run_id="slow", executor=Held())
    while "b" not in begun:
        await asyncio.sleep(0.01)
    child = await platform.fork("slow", from_step="c")
    assert (await child.result()).status == "completed"
    assert begun == ["a", "b", "b", "c"]
    gate.set()
    assert (await handle.result()).status == "completed"


@pytest.mark.parametrize(
    ("from_step", "changes", "says"),
    [
        ("nothing", {}, "extract, total, report, other"),
        ("", {}, "extract, total, report, other"),
        ("extract", {"input.lmit": 3}, "limit"),
        ("extract", {"input.limit.x": 3}, "nothing of that kind"),
        ("other", {"input.limit": 3}, "set input as a whole"),
        ("extract", {"dependencies": []}, "description, tool, input, metadata.NAME, task, max_cost"),
        ("extract", {"metadata": {}}, "metadata.NAME"),
        ("extract", {"tool": "unheard"}, "unheard"),
        ("extract", {"input": 3}, "mapping"),
        ("total", {"input.numbers": "${report}"}, "does not depend on"),
    ],
)
async def test_what_is_not_there_is_named_and_nothing_is_begun(
    platform: Platform, shop: Shop, from_step: str, changes: dict[str, Any], says: str
) -> None:
    await platform.execute(a_plan(), run_id="q4", tools=shop.tools())
    with pytest.raises(UsageError) as caught:
        await platform.fork("q4", from_step=from_step, changes=changes)
    assert says in f"{caught.value.says} {caught.value.do}"
    assert [row.run_id for row in await platform.runs()] == ["q4"]


async def test_a_beginning_that_two_steps_share_is_refused(platform: Platform) -> None:
    class Quick(Executor):
        async def execute_step(self, step: Step, context: Any) -> StepResult:
            return StepResult(step.id, "completed")

    plan = Plan("p", [Step("load_a"), Step("load_b"), Step("end")])
    await platform.execute(plan, run_id="p", executor=Quick())
    with pytest.raises(UsageError, match="load_a, load_b"):
        await platform.fork("p", from_step="load")
    assert (await (await platform.fork("p", from_step="e")).result()).status == "completed"
    with pytest.raises(NotFound):
        await platform.fork("no-such-run", from_step="a")


async def test_a_chosen_id_is_one_fork_and_no_other_work(platform: Platform, shop: Shop) -> None:
    await platform.execute(a_plan(), run_id="q4", tools=shop.tools())
    shop.calls.clear()
    for _ in range(2):
        child = await platform.fork("q4", from_step="report", run_id="once")
        assert (await child.result()).status == "completed"
    assert shop.calls == ["report"]
    with pytest.raises(Conflict):
        await platform.fork("q4", from_step="total", run_id="once")


async def test_another_process_must_be_lent_the_tools_of_what_is_done_anew(tmp_path: Path, shop: Shop) -> None:
    async with Platform(home=tmp_path) as first:
        await first.execute(a_plan(), run_id="q4", tools=shop.tools())
    shop.calls.clear()
    async with Platform(home=tmp_path) as second:
        with pytest.raises(UsageError, match="report"):
            await second.fork("q4", from_step="report")
        only = [tool for tool in shop.tools() if tool.__name__ == "report"]
        child = await second.fork("q4", from_step="report", tools=only)
        assert (await child.result()).output["outputs"]["report"] == "<sum 6>"
    assert shop.calls == ["report"]


async def test_an_approval_is_asked_anew_in_the_fork(platform: Platform, shop: Shop) -> None:
    kind = GuardrailType.APPROVAL_REQUIRED
    rule = Guardrail("ask", kind, lambda act: True, "See this.", approver="ann", on=("task", "tool_call"))
    platform.add_guardrail(rule)
    plan = Plan("p", [Step("report", tool="report", tool_input={"text": "x"})])

    async def answered_to_the_end(run_id: str, work: Any) -> None:
        going = asyncio.ensure_future(work)
        while True:
            await asyncio.wait([going], timeout=0.05)
            for one in platform.approvals.pending():
                if one.run_id == run_id:
                    await platform.approvals.approve(one.id, by="ann")
            if (await platform.run_state(run_id)).status == "completed":
                break
        await going

    await answered_to_the_end("q4", platform.execute(plan, run_id="q4", tools=shop.tools()))
    assert shop.calls == ["report"]
    used = [fact for fact in await facts_of(platform, "q4") if isinstance(fact, ApprovalUsed)]
    assert used, "the parent did need an approval"

    child = await platform.fork("q4", from_step="report", run_id="again")
    assert (await child.result()).status == "awaiting_approval"
    (at_the_door,) = platform.approvals.pending()
    await platform.approvals.approve(at_the_door.id, by="ann")
    while [one.path for one in platform.approvals.pending()] != ["plan/report/1/tool"]:
        await asyncio.sleep(0.02)
    assert shop.calls == ["report"]
    facts = await facts_of(platform, "again")
    assert [fact.path for fact in facts if isinstance(fact, ApprovalUsed)] == [""]
    asked = {fact.question_id for fact in facts if isinstance(fact, QuestionAsked)}
    before = {fact.question_id for fact in await facts_of(platform, "q4") if isinstance(fact, QuestionAsked)}
    assert len(asked) == len(before) == 2
    assert not asked & before


async def test_a_fork_passes_the_door_and_one_that_is_refused_takes_nothing_over(
    platform: Platform, shop: Shop
) -> None:
    await platform.execute(a_plan(), run_id="q4", tools=shop.tools())
    refuse = Guardrail("no_more", GuardrailType.BLOCK, lambda task: True, "No more of this.")
    platform.add_guardrail(refuse)
    shop.calls.clear()
    result = await (await platform.fork("q4", from_step="total", run_id="late")).result()
    assert (result.status, result.guardrail, shop.calls) == ("blocked", "no_more", [])
    assert not [fact for fact in await facts_of(platform, "late") if isinstance(fact, StepInherited)]


async def test_what_is_kept_is_not_paid_for_again(tmp_path: Path) -> None:
    with SimulatedProvider(default=Text("an answer")) as provider:
        async with Platform(home=tmp_path, openai_api_key="k", providers=_at(provider)) as platform:
            plan = Plan("p", [Step("a", "think"), Step("b", "think more", dependencies=["a"])])
            await platform.execute(plan, run_id="parent")
            assert len(provider.requests) == 2
            await (await platform.fork("parent", from_step="b", run_id="child")).result()
            assert len(provider.requests) == 3
            parent, child = await platform.show("parent"), await platform.show("child")
            assert parent.cost_micros is not None
            assert child.cost_micros is not None
            assert 0 < child.cost_micros < parent.cost_micros
            assert child.steps["plan/a"].cost_micros == 0


def _at(provider: SimulatedProvider) -> dict[str, Any]:
    return {"openai": {"base_url": provider.openai_url}}


async def test_a_task_forked_from_a_step_keeps_what_was_written_before_it(tmp_path: Path) -> None:
    calls: list[str] = []

    def look(place: str) -> str:
        """Look somewhere."""
        calls.append(place)
        return f"seen {place}"

    script = [Calls(call("look", place="here")), Calls(call("look", place="there")), Text("Both seen.")]
    with SimulatedProvider(script=script) as provider:
        async with Platform(home=tmp_path, openai_api_key="k", providers=_at(provider)) as platform:
            platform.register_tool(look)
            task = Task("Look around", id="look-1", context={"agent": "openai", "note": "old"})
            first = await platform.run(task)
            assert (first.status, calls) == ("completed", ["here", "there"])
            run = await platform.show("look-1")
            assert list(run.steps) == ["model/1", "tool/1", "model/2", "tool/2", "model/3"]
            calls.clear()
            provider.script = [Text("Only the last one was asked.")]
            changes = {"description": "Look around once more", "context.note": "new"}
            child = await platform.fork("look-1", from_step="tool/2", changes=changes)
            result = await child.result()
            assert (result.output, calls) == ("Only the last one was asked.", ["there"])
            forked = await platform.show(child.run_id)
            assert [path for path, step in forked.steps.items() if step.inherited] == ["model/1", "tool/1", "model/2"]
            assert forked.admitted is not None
            assert forked.admitted.task["description"] == "Look around once more"
            assert forked.admitted.task["context"] == {"agent": "openai", "note": "new"}
            assert forked.admitted.task_id != "look-1"
            assert not [one for one in await facts_of(platform, child.run_id) if _is_about(one, "tool/1")]


def _is_about(fact: Any, path: str) -> bool:
    return isinstance(fact, (StepStarted, GateAnswered)) and fact.path == path


async def test_a_hybrid_run_is_forked_from_a_stage(tmp_path: Path) -> None:
    with SimulatedProvider(default=Text('{"passed": true, "feedback": ""}')) as provider:
        async with Platform(home=tmp_path, openai_api_key="k", providers=_at(provider)) as platform:
            await platform.run(Task("Do it", requires_multi_step=True, id="h"))
            assert len(provider.requests) == 3
            child = await platform.fork("h", from_step="execution")
            assert (await child.result()).status == "completed"
            assert len(provider.requests) == 5


async def test_replay_tells_what_happened_and_does_nothing(platform: Platform, shop: Shop) -> None:
    await platform.execute(a_plan(), run_id="q4", tools=shop.tools())
    before, calls = await facts_of(platform, "q4"), list(shop.calls)
    events = [event async for event in platform.replay("q4")]
    assert [event.kind for event in events] == [*(fact.kind for fact in before), "result"]
    assert events[-1].result is not None
    assert events[-1].result.status == "completed"
    assert (await facts_of(platform, "q4"), shop.calls) == (before, calls)


async def test_replay_of_a_run_that_goes_on_ends_with_what_is_there(platform: Platform) -> None:
    gate = asyncio.Event()

    class Held(Executor):
        async def execute_step(self, step: Step, context: Any) -> StepResult:
            await gate.wait()
            return StepResult(step.id, "completed")

    handle = await platform.submit_plan(Plan("p", [Step("a")]), run_id="slow", executor=Held())
    async with asyncio.timeout(5):
        kinds = [event.kind async for event in platform.replay("slow")]
    assert "result" not in kinds
    gate.set()
    await handle.result()


async def test_a_diff_shows_both_sides_and_what_differs(platform: Platform, shop: Shop) -> None:
    await platform.execute(a_plan(), run_id="q4", tools=shop.tools())
    await (await platform.fork("q4", from_step="total", changes={"input.numbers": [1, 2]}, run_id="fork")).result()
    found = await platform.diff("q4", "fork")
    differs = {step.step: step.differs for step in found.steps}
    assert differs == {"extract": (), "total": ("input", "output"), "report": ("output",), "other": ()}
    total = next(step for step in found.steps if step.step == "total")
    assert total.a is not None
    assert total.b is not None
    assert (total.a.output, total.b.output) == (6, 3)
    assert total.b.input["tool_input"] == {"numbers": [1, 2]}
    assert next(step for step in found.steps if step.step == "extract").b.inherited == "q4"  # type: ignore[union-attr]
    assert not found.same
    assert (await platform.diff("q4", "q4")).same


async def test_a_fork_does_not_inherit_what_was_allowed_to_a_providers_own_tool(tmp_path: Path) -> None:
    offered: list[Sequence[str]] = []

    class Searching:
        name = "vendor"
        own_tools: ClassVar[dict[str, Any]] = {"web_search": {}}

        async def complete(self, request: ModelRequest, on_text: Any = None) -> ModelResponse:
            offered.append(request.native_tools)
            return ModelResponse(text="found", model="m", stop="end", usage=Usage(requests=1))

    asks = Guardrail(
        "searches", GuardrailType.APPROVAL_REQUIRED, lambda act: act.name == "web_search", "Ask.", on=("tool_call",)
    )
    async with Platform(home=tmp_path) as platform:
        agent = ModelAgent("openai", Searching(), "m", native_tools=["web_search"])  # type: ignore[arg-type]
        platform.register_agent("openai", agent)
        platform._registry.callable.add("web_search")
        platform.add_guardrail(asks)
        held = await platform.run(Task("look"), run_id="parent-run")
        assert held.approval_id is not None
        await platform.approvals.approve(held.approval_id, by="rana")
        assert (await platform.resume("parent-run")).status == "completed"
        child = await (await platform.fork("parent-run", from_step="model/1")).result()
        assert child.status == "awaiting_approval"
    assert offered == [("web_search",)]
