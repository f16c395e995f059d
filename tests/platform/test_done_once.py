"""What must not be done twice and was done, or may have been, is done again only when a person says so."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interlock import Executor, Guardrail, GuardrailType, Plan, Platform, Step, Task, tool
from interlock.errors import UsageError
from interlock.records.plan import StepResult
from interlock.testing import Calls, Fault, Reply, RequestView, SimulatedProvider, Text, call

SERVER = Path(__file__).parents[1] / "tools" / "dying_mcp_server.py"


class Till:
    """Takes payments, which must not be taken twice."""

    def __init__(self, brings: Callable[[], Any] = lambda: "paid") -> None:
        self.paid: list[str] = []
        self._brings = brings

    def tool(self) -> Any:
        """The tool that takes one."""

        async def pay(who: str) -> Any:
            """Take a payment."""
            self.paid.append(who)
            value = self._brings()
            return await value if asyncio.iscoroutine(value) else value

        return pay


def by_agent(till: Till, **wishes: Any) -> Plan:
    """A plan of one step, in which an agent pays."""
    return Plan("Bill", [Step("ann", description="Pay ann.", tool="pay", metadata=wishes)], tools=[till.tool()])


def by_tool(till: Till) -> Plan:
    """A plan of one step, which is a payment."""
    return Plan("Bill", [Step("ann", tool="pay", tool_input={"who": "ann"})], tools=[till.tool()])


def house(home: Path, provider: SimulatedProvider) -> Platform:
    at = {"openai": {"base_url": provider.openai_url}}
    retry = {"base": 0.001, "cap": 0.002, "attempts": 1}
    return Platform(home=home, openai_api_key="k", providers=at, routing={"default": "openai"}, retry=retry)


def then(after: Callable[[], Reply | Fault]) -> Callable[[RequestView], Reply | Fault]:
    """A model that pays first, then does something else."""
    return lambda view: after() if view.results else Calls(call("pay", who="ann"))


@pytest.mark.parametrize("after", [lambda: Text("late", latency=5), lambda: Fault.status(503), Fault.reset])
async def test_a_step_whose_agent_has_paid_is_not_tried_again_by_itself_nor_by_a_resume(
    tmp_path: Path, after: Callable[[], Reply | Fault]
) -> None:
    till = Till()
    plan = by_agent(till, timeout=0.5, retries=3)
    async with SimulatedProvider(then(after)) as provider, house(tmp_path, provider) as platform:
        [result] = await platform.execute(plan, "bills")
        assert (result.status, result.attempts, till.paid) == ("failed", 1, ["ann"])
        [asked] = await platform.execute(plan, "bills", resume=True)
        assert (asked.status, asked.kind, till.paid) == ("awaiting_approval", "in_doubt", ["ann"])
        assert "ann failed after its agent had used pay" in (asked.error or "")
        [one] = platform.approvals.pending()
        assert (one.step, one.path) == ("ann", "plan/ann")
        provider.script = then(lambda: Text("done"))
        [done] = await platform.execute(plan, "bills", resume=True, in_doubt={"ann": "repeat"})
        assert (done.status, till.paid) == ("completed", ["ann", "ann"])


async def test_what_an_agent_did_before_a_person_said_to_skip_its_step_stays_done_once(tmp_path: Path) -> None:
    till = Till()
    plan = by_agent(till)
    async with SimulatedProvider(then(lambda: Fault.status(503))) as provider, house(tmp_path, provider) as platform:
        await platform.execute(plan, "bills")
        await platform.execute(plan, "bills", resume=True)
        for answer in ("skip", None):
            [result] = await platform.execute(plan, "bills", resume=True, in_doubt=answer)
            assert (result.status, (result.error or "")[:13], till.paid) == ("failed", "step.skipped:", ["ann"])


async def test_a_step_is_not_tried_again_when_its_agent_had_paid_in_another_process(tmp_path: Path) -> None:
    till = Till()
    plan = by_agent(till, retries=3)
    slow: list[Reply | Fault] = [Text("late", latency=3600)]
    async with SimulatedProvider(then(lambda: slow[0])) as provider:
        async with house(tmp_path, provider) as platform:
            await platform.submit_plan(plan, "bills")
            while len(provider.requests) < 2:
                await asyncio.sleep(0.01)
            await platform.close(grace=0.0)
        slow[0] = Fault.status(503)
        async with house(tmp_path, provider) as platform:
            [result] = await platform.execute(plan, "bills", resume=True)
    assert (result.status, till.paid) == ("failed", ["ann"])


async def test_what_may_be_repeated_is_tried_again_also_after_an_agent_has_done_it(tmp_path: Path) -> None:
    looked: list[str] = []

    @tool(repeatable=True)
    def look(at: str) -> str:
        """Look."""
        looked.append(at)
        return "seen"

    def script(view: RequestView) -> Reply | Fault:
        if not view.results:
            return Calls(call("look", at="it"))
        return Fault.status(503) if len(looked) < 3 else Text("done")

    plan = Plan("Look", [Step("a", description="Look.", tool="look", metadata={"retries": 3})], tools=[look])
    async with SimulatedProvider(script) as provider, house(tmp_path, provider) as platform:
        [result] = await platform.execute(plan, "looks")
    assert (result.status, result.attempts, len(looked)) == ("completed", 3, 3)


async def test_an_executor_that_refuses_a_result_has_the_call_made_again(tmp_path: Path) -> None:
    till = Till()

    class Picky(Executor):
        async def execute_step(self, step: Step, context: Any) -> StepResult:
            found = await super().execute_step(step, context)
            if len(till.paid) > 1:
                return found
            return StepResult(step.id, "failed", error="agent.server_error: not like this")

    async with Platform(home=tmp_path, retry={"base": 0.001, "cap": 0.002}) as platform:
        [result] = await platform.execute(by_tool(till), "bills", executor=Picky(retry_attempts=2))
    assert (result.status, till.paid) == ("completed", ["ann", "ann"])


@pytest.mark.parametrize("brings", [object, lambda: float("nan"), lambda: {1, 2, object()}])
async def test_a_payment_that_brought_what_json_cannot_carry_was_made_all_the_same(
    tmp_path: Path, brings: Callable[[], Any]
) -> None:
    till = Till(brings)
    async with Platform(home=tmp_path) as platform:
        await platform.execute(by_tool(till), "bills")
        [asked] = await platform.execute(by_tool(till), "bills", resume=True)
    assert (asked.kind, till.paid) == ("in_doubt", ["ann"])
    assert "pay was done, but what it brought could not be taken" in (asked.error or "")


def refusing(on: str) -> Guardrail:
    return Guardrail(
        name="no-secrets-in",
        type=GuardrailType.VALIDATION,
        condition=lambda act: True,
        message="Not this.",
        on=(on,),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(("on", "kind", "times"), [("tool_result", "in_doubt", 1), ("tool_call", "validation", 0)])
async def test_a_payment_whose_result_was_refused_was_made_and_one_that_was_refused_was_not(
    tmp_path: Path, on: str, kind: str, times: int
) -> None:
    till = Till()
    async with Platform(home=tmp_path) as platform:
        platform.add_guardrail(refusing(on))
        await platform.execute(by_tool(till), "bills")
        [result] = await platform.execute(by_tool(till), "bills", resume=True)
    assert (result.kind, len(till.paid)) == (kind, times)


async def test_a_call_during_which_an_mcp_server_died_is_asked_about_by_the_next_resume(tmp_path: Path) -> None:
    log = tmp_path / "log"
    server = {
        "type": "mcp",
        "server_label": "shop",
        "server_command": sys.executable,
        "server_args": ["-S", str(SERVER), str(log)],
        "allowed_tools": ["pay"],
        "require_approval": "never",
    }
    plan = Plan("Bill", [Step("ann", tool="pay", tool_input={"who": "ann"})], tools=[server])
    async with Platform(home=tmp_path / "home") as platform:
        [first] = await platform.execute(plan, "bills")
        assert (first.error or "").startswith("tool.in_doubt: ")
        [asked] = await platform.execute(plan, "bills", resume=True)
    assert (asked.status, asked.kind, log.read_text()) == ("awaiting_approval", "in_doubt", "ann\n")


class Bills:
    """A payment that is cut off, and a look that is not."""

    def __init__(self) -> None:
        self.till = Till(self._brings)
        self.slow = True
        self.plan = self._plan()

    async def _brings(self) -> str:
        while self.slow:
            await asyncio.sleep(3600)
        return "paid"

    def _plan(self) -> Plan:
        """Two steps that have nothing to do with each other, and one behind the payment."""

        def look() -> str:
            """Look."""
            return "seen"

        steps = [
            Step("pay", tool="pay", tool_input={"who": "ann"}),
            Step("look", tool="look"),
            Step("tell", tool="look", dependencies=["pay"]),
        ]
        return Plan("Bill", steps, tools=[self.till.tool(), look])


async def cut_off(platform: Platform, bills: Bills) -> None:
    """Begin to pay, and stop in the middle."""
    await platform.submit_plan(bills.plan, "bills")
    while not bills.till.paid or not any(one.status == "completed" for one in (await state(platform))):
        await asyncio.sleep(0.01)


async def state(platform: Platform, run_id: str = "bills") -> list[StepResult]:
    return list((await platform.run_state(run_id)).results)


@pytest.mark.parametrize("how", ["doubt", "skip", "cancel"])
async def test_a_fork_that_begins_elsewhere_leaves_undone_what_may_have_happened(tmp_path: Path, how: str) -> None:
    bills = Bills()
    async with Platform(home=tmp_path) as platform:
        await cut_off(platform, bills)
        if how == "cancel":
            await platform.cancel("bills")
            await platform.wait("bills")
        else:
            await platform.close(grace=0.0)
    bills.slow = False
    async with Platform(home=tmp_path) as platform:
        if how != "cancel":
            await platform.execute(bills.plan, "bills", resume=True)
        if how == "skip":
            await platform.execute(bills.plan, "bills", resume=True, in_doubt="skip")
        lent = list(bills.plan.tools) if how == "cancel" else None
        child = await platform.fork("bills", from_step="look", run_id="fork", tools=lent)
        await child.result()
        told = [(one.step_id, one.status) for one in await state(platform, "fork")]
        assert told == [("pay", "failed"), ("look", "completed"), ("tell", "skipped")]
        assert (
            "Left undone, for nobody knows whether they happened: pay." in (await platform.show("fork")).notes[0].says
        )
        await platform.execute(bills.plan, "fork", resume=True)
        grandchild = await platform.fork("fork", from_step="look", run_id="fork-2")
        await grandchild.result()
        assert bills.till.paid == ["ann"]
        asked_for = await platform.fork("fork", from_step="pay", run_id="fork-3")
        assert (await asked_for.result()).status == "completed"
    assert bills.till.paid == ["ann", "ann"]


async def test_a_fork_does_what_a_person_said_may_be_done_again(tmp_path: Path) -> None:
    bills = Bills()
    async with Platform(home=tmp_path) as platform:
        await cut_off(platform, bills)
        await platform.close(grace=0.0)
    async with Platform(home=tmp_path) as platform:
        await platform.execute(bills.plan, "bills", resume=True)
        run = await platform.show("bills")
        answers = {one.question_id: "repeat" for one in run.open_questions()}
        await platform._house().engine.answer(run, answers, by="ann")
        bills.slow = False
        child = await platform.fork("bills", from_step="look", run_id="fork")
        assert (await child.result()).status == "completed"
    assert bills.till.paid == ["ann", "ann"]


async def test_a_task_forked_behind_a_call_that_was_skipped_does_not_make_it(tmp_path: Path) -> None:
    till = Till(lambda: asyncio.sleep(3600))

    def script(view: RequestView) -> Reply:
        if len(view.results) == 0:
            return Calls(call("pay", who="ann"))
        return Calls(call("look")) if len(view.results) == 1 else Text("done")

    @tool(repeatable=True)
    def look() -> str:
        """Look."""
        return "seen"

    async with SimulatedProvider(script) as provider:
        async with house(tmp_path, provider) as platform:
            platform.register_tool(till.tool())
            platform.register_tool(look)
            await platform.submit(Task("pay", id="pay-1", context={"agent": "openai"}))
            while not till.paid:
                await asyncio.sleep(0.01)
            await platform.close(grace=0.0)
        async with house(tmp_path, provider) as platform:
            platform.register_tool(till.tool())
            platform.register_tool(look)
            await platform.resume("pay-1")
            assert (await platform.resume("pay-1", in_doubt="skip")).status == "completed"
            child = await platform.fork("pay-1", from_step="tool/2")
            assert (await child.result()).status == "completed"
    assert till.paid == ["ann"]


def test_a_step_cannot_be_called_like_another_ones_next_try() -> None:
    with pytest.raises(UsageError, match=r"'a~2' is what another try of 'a' is called"):
        Plan("p", [Step("a"), Step("a~2")])
    assert len(Plan("p", [Step("b~2"), Step("a~x"), Step("a")]).steps) == 3
