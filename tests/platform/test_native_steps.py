"""Plans whose steps search and run code at their provider: governed, paid for, written down, in the local form."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interlock import Budget, Executor, Guardrail, GuardrailType, Plan, Platform, Step, StepResult
from interlock.flows.native import MARK
from interlock.records.run import Run
from interlock.records.verdict import Act
from interlock.testing import Reply, RequestView, SimulatedProvider, Text
from interlock.testing.native_items import ran_code, searched

PAGES = [{"url": "https://a.example/walrus", "title": "Walrus", "text": "It weighs 1.7 tonnes."}]
SEARCH = Step("find", tool="web_search", tool_input={"query": "walrus weight"})
CODE = Step("count", tool="code_interpreter", tool_input={"code": "print('hi')\n6 * 7"})
#: The agents and their providers, and what they call their tools.
OFFERED = {
    "openai": ("web_search", "code_interpreter"),
    "claude": ("web_search_20250305", "code_execution_20250825"),
}
agents = pytest.mark.parametrize("agent", list(OFFERED))


def worked(view: RequestView) -> Reply:
    """A model that does what it is told with the tool it has."""
    if any("search" in name for name in view.native_tools):
        return searched(view.api, view.asked, PAGES, "Heavy.")
    code = view.asked.partition("python\n")[2].rpartition("\n```")[0]
    return ran_code(view.api, code, "42.", stdout=f"hi\n{MARK}42\n", container=f"cntr_{view.number}")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@asynccontextmanager
async def house(
    folder: Path, sim: SimulatedProvider, agent: str = "openai", native: bool = True, **more: Any
) -> AsyncIterator[Platform]:
    described: dict[str, Any] = {
        "providers": {"openai": {"base_url": sim.openai_url}, "anthropic": {"base_url": sim.anthropic_url}},
        "agents": {agent: {"native_tools": ["web_search", "code_interpreter"] if native else []}},
        "routing": {"default": agent},
    }
    keys: dict[str, Any] = {"openai_api_key": "sk-simulated-1", "anthropic_api_key": "sk-simulated-1"}
    async with Platform(home=folder / "home", **keys, **described, **more) as platform:
        yield platform


async def carried_out(platform: Platform, *steps: Step, run_id: str = "r") -> tuple[dict[str, StepResult], Run]:
    results = await platform.execute(Plan("walrus", steps), run_id=run_id, tools=["web_search", "code_interpreter"])
    return {one.step_id: one for one in results}, await platform.show(run_id)


@agents
async def test_a_search_is_made_at_the_provider_and_has_the_form_of_the_local_one(tmp_path: Path, agent: str) -> None:
    async with SimulatedProvider(worked) as sim, house(tmp_path, sim, agent) as platform:
        results, run = await carried_out(platform, SEARCH)
        (request,) = sim.requests
    found = results["find"]
    assert found.status == "completed", found.error
    assert found.output["query"] == "walrus weight"
    assert found.output["results"] == PAGES
    assert found.output["text"].startswith("Heavy.")
    assert found.output["where"] == f"native at {'openai' if agent == 'openai' else 'anthropic'}"
    assert request.view is not None
    assert request.view.native_tools == OFFERED[agent][:1]
    assert request.view.tools == ()
    asked = run.steps["plan/find/1/native/web_search"]
    assert asked.input["arguments"] == {"query": "walrus weight"}
    assert [gate.name for gate in run.gates if gate.act == "tool"] == ["web_search"]


@agents
async def test_a_search_is_paid_for_with_its_fee(tmp_path: Path, agent: str) -> None:
    async with SimulatedProvider(worked) as sim, house(tmp_path, sim, agent) as platform:
        results, run = await carried_out(platform, SEARCH)
        platform.add_budget(Budget(limit="5 USD"))
        again, _ = await carried_out(platform, SEARCH, run_id="again")
        (budget,) = (await platform.cost())["budgets"]
    assert run.usage.searches == 1
    assert results["find"].cost_micros is not None
    assert 10_000 < results["find"].cost_micros < 20_000
    assert again["find"].cost_micros == results["find"].cost_micros
    assert (float(budget["spent_usd"]) * 1e6, budget["reserved_usd"]) == (results["find"].cost_micros, "0.000000")


async def test_a_budget_without_room_for_the_searches_that_are_offered_sends_nothing(tmp_path: Path) -> None:
    fee: dict[str, Any] = {"web_search": {"native_price": "1", "native_uses": 7}}
    async with SimulatedProvider(worked) as sim, house(tmp_path, sim, **fee) as platform:
        platform.add_budget(Budget(limit="7 USD"))
        results, _ = await carried_out(platform, SEARCH)
        assert sim.requests == []
    assert results["find"].kind == "over_budget"


@agents
async def test_code_runs_at_the_provider_and_goes_on_where_it_ran_before(tmp_path: Path, agent: str) -> None:
    more = Step("more", tool="code_interpreter", tool_input={"code": "1"}, dependencies=["count"])
    async with SimulatedProvider(worked) as sim, house(tmp_path, sim, agent) as platform:
        results, run = await carried_out(platform, CODE, more)
        first, second = (request.body for request in sim.requests)
    output = results["count"].output
    assert (output["exit_code"], output["stdout"], output["value"]) == (0, "hi\n", "42")
    assert "6*7" in output["code"][0].replace(" ", "")
    place = output["container"]
    if agent == "openai":
        assert first["tools"][0]["container"] == {"type": "auto"}
        assert second["tools"][0]["container"] == place
    else:
        assert "container" not in first
        assert second["container"] == place
    # OpenAI, as simulated here, opened another place all the same; what was opened is what is paid for.
    assert run.usage.sessions == (2 if agent == "openai" else 1)
    assert not any(note.code == "tool.native_changed" for note in run.notes)


async def test_code_that_the_model_has_changed_is_told(tmp_path: Path) -> None:
    def liar(view: RequestView) -> Reply:
        return ran_code(view.api, "print('something else')", "42.", stdout="something else\n")

    async with SimulatedProvider(liar) as sim, house(tmp_path, sim) as platform:
        results, run = await carried_out(platform, CODE)
    assert results["count"].status == "completed"
    assert results["count"].output["value"] is None
    assert [note.code for note in run.notes if note.level == "warning"] == ["tool.native_changed"]


async def test_an_answer_from_memory_is_a_failed_step(tmp_path: Path) -> None:
    async with SimulatedProvider([Text("About a tonne.")]) as sim, house(tmp_path, sim) as platform:
        results, _ = await carried_out(platform, SEARCH)
    assert str(results["find"].error).startswith("tool.native_unused")
    assert results["find"].kind == "tool_error"


@pytest.mark.parametrize(
    "rule",
    [
        lambda act: act.name == "web_search",
        lambda act: act.arguments.get("native") is True,
        lambda act: "walrus" in str(act.arguments.get("query")),
    ],
)
async def test_what_a_rule_is_against_is_never_offered_to_the_provider(
    tmp_path: Path, rule: Callable[[Act], bool]
) -> None:
    async with SimulatedProvider(worked) as sim, house(tmp_path, sim) as platform:
        platform.add_guardrail(Guardrail("no-web", GuardrailType.BLOCK, rule, "No web here.", on=["tool_call"]))
        results, run = await carried_out(platform, SEARCH)
        assert sim.requests == []
    assert results["find"].kind == "refused"
    assert "No web here" in str(results["find"].error)
    assert run.cost_micros == 0


@agents
async def test_a_provider_that_uses_what_it_was_not_offered_is_written_up(tmp_path: Path, agent: str) -> None:
    def both(view: RequestView) -> Reply:
        found = worked(view)
        return replace(found, native=(*found.native, *ran_code(view.api, "print(1)", "1.", stdout="1\n").native))

    async with SimulatedProvider(both) as sim, house(tmp_path, sim, agent) as platform:
        _, run = await carried_out(platform, SEARCH)
    [note] = [one for one in run.notes if one.code == "tool.native_unoffered"]
    assert (note.level, note.path) == ("warning", "plan/find/1")
    assert note.says.endswith("used tools of its own that nobody has allowed here: code_interpreter.")


async def test_what_comes_back_passes_the_gate_like_any_tools_result(tmp_path: Path) -> None:
    def tells(act: Act) -> bool:
        return "1.7 tonnes" in act.content

    rule = Guardrail("no-weights", GuardrailType.BLOCK, tells, "Weights are private.", on=["tool_result"])
    async with SimulatedProvider(worked) as sim, house(tmp_path, sim) as platform:
        platform.add_guardrail(rule)
        results, run = await carried_out(platform, SEARCH)
    assert results["find"].kind == "refused"
    assert results["find"].output is None
    assert run.steps["plan/find/1/result/web_search"].status == "failed"


async def test_a_person_is_asked_once_about_exactly_what_is_searched_for(tmp_path: Path) -> None:
    def searches(act: Act) -> bool:
        return act.name == "web_search"

    rule = Guardrail("ask", GuardrailType.APPROVAL_REQUIRED, searches, "May it?", on=["tool_call"])
    async with SimulatedProvider(worked) as sim, house(tmp_path, sim) as platform:
        platform.add_guardrail(rule)
        results, _ = await carried_out(platform, SEARCH)
        assert results["find"].status == "awaiting_approval"
        assert sim.requests == []
        (pending,) = platform.approvals.pending()
        assert pending.asks["arguments"] == {"query": "walrus weight", "native": True, "provider": "openai"}
        await platform.approvals.approve(pending.id, by="ana")
        assert (await platform.resume("r")).status == "completed"
        assert len(sim.requests) == 1
        assert len((await platform.show("r")).questions) == 1


async def test_what_was_searched_and_paid_for_is_not_searched_again(tmp_path: Path) -> None:
    searched_once = asyncio.Event()

    class Stuck(Executor):
        """Never gets to write down that the step is done."""

        async def execute_step(self, step: Step, context: Mapping[str, Any]) -> StepResult:
            await super().execute_step(step, context)
            searched_once.set()
            await asyncio.Event().wait()
            raise AssertionError

    plan = Plan("walrus", [SEARCH])
    at_once: dict[str, Any] = {"limits": {"shutdown_grace": 0}}
    async with SimulatedProvider(worked) as sim, house(tmp_path, sim, **at_once) as platform:
        work = asyncio.create_task(platform.execute(plan, "r", tools=["web_search"], executor=Stuck()))
        await searched_once.wait()
        await platform.close()
        await asyncio.gather(work, return_exceptions=True)
        assert len(sim.requests) == 1
    async with SimulatedProvider([]) as nobody, house(tmp_path, nobody) as platform:
        (result,) = await platform.execute(plan, "r", resume=True, tools=["web_search"])
        assert nobody.requests == []
    assert result.status == "completed", result.error
    assert result.output["results"] == PAGES
    assert result.cost_micros is not None
    assert result.cost_micros > 10_000


async def test_a_person_may_change_what_is_searched_for(tmp_path: Path) -> None:
    rule = Guardrail("ask", GuardrailType.APPROVAL_REQUIRED, lambda act: True, "May it?", on=["tool_call"])
    async with SimulatedProvider(worked) as sim, house(tmp_path, sim) as platform:
        platform.add_guardrail(rule)
        await carried_out(platform, SEARCH)
        (pending,) = platform.approvals.pending()
        changed = {**pending.asks["arguments"], "query": "seal weight"}
        await platform.approvals.approve(pending.id, by="ana", edit=changed)
        await platform.resume("r")
        output = (await platform.show("r")).steps["plan/find"].output
        (request,) = sim.requests
    assert "ana changed this call" in output["changed"]
    assert output["result"]["query"] == "seal weight"
    assert request.view is not None
    assert request.view.asked == "seal weight"


async def test_a_secret_is_not_sent_with_a_search_or_with_code(tmp_path: Path) -> None:
    secret = "hunter2-hunter2-hunter2"
    steps = (
        Step("s", tool="web_search", tool_input={"query": f"who is {secret}"}),
        Step("c", tool="code_interpreter", tool_input={"code": f"len({secret!r})"}),
    )
    async with SimulatedProvider(worked) as sim, house(tmp_path, sim) as platform:
        platform._redactor.register(secret, "PASSWORD")
        results, _ = await carried_out(platform, *steps)
        sent = json.dumps([dict(request.body) for request in sim.requests])
    assert len(sim.requests) == 2
    assert secret not in sent
    assert secret not in json.dumps([one.output for one in results.values()])


async def test_an_agent_that_does_a_step_uses_its_providers_tool_in_place_of_ours(tmp_path: Path) -> None:
    step = Step("look", "What does a walrus weigh?", tool="web_search")
    async with (
        SimulatedProvider(worked) as sim,
        house(tmp_path, sim, native=False, web_search={"where": "native"}) as made,
    ):
        results, _ = await carried_out(made, step)
        (request,) = sim.requests
    assert results["look"].status == "completed", results["look"].error
    assert "1.7 tonnes" in results["look"].output
    assert request.view is not None
    assert request.view.native_tools == ("web_search",)
    assert "web_search" not in [spec.name for spec in request.view.tools]


async def test_a_tool_of_the_programs_own_is_never_given_away(tmp_path: Path) -> None:
    def web_search(query: str) -> str:
        """Search here."""
        return f"here: {query}"

    plan = Plan("walrus", [SEARCH])
    async with SimulatedProvider(worked) as sim, house(tmp_path, sim) as platform:
        (lent,) = await platform.execute(plan, tools=[web_search])
        platform.register_tool(web_search)
        (registered,) = await platform.execute(plan)
        assert platform.where_of_plan(plan) == {}
        assert sim.requests == []
    assert lent.output == registered.output == "here: walrus weight"


async def test_an_address_that_is_not_the_vendors_is_not_asked_by_itself(tmp_path: Path) -> None:
    async with SimulatedProvider(worked) as sim, house(tmp_path, sim, native=False) as platform:
        results, run = await carried_out(platform, CODE, SEARCH)
        assert sim.requests == []
    assert results["count"].output["value"] == "42"
    assert "plan/count/1/tool" in run.steps
    assert str(results["find"].error).startswith("tool.not_configured: Nobody is set up for web_search")
    assert "SearXNG" in str(results["find"].error)
    assert "OpenAI or Anthropic with a key" in str(results["find"].error)


async def test_the_settings_say_where(tmp_path: Path) -> None:
    where: dict[str, Any] = {"code_interpreter": {"where": "local"}, "web_search": {"where": "local"}}
    async with SimulatedProvider(worked) as sim, house(tmp_path, sim, **where) as platform:
        results, _ = await carried_out(platform, CODE, SEARCH)
        assert sim.requests == []
    assert "sandbox" in results["count"].output
    assert results["find"].kind == "tool_error"


async def test_a_plan_says_before_it_runs_where_and_what_it_may_cost(tmp_path: Path) -> None:
    async with SimulatedProvider(worked) as sim, house(tmp_path, sim) as platform:
        plan = Plan("walrus", [SEARCH, CODE, Step("think", "Think.")])
        places = platform.where_of_plan(plan)
        estimate = platform.estimate_plan(plan)
        plain = platform.estimate_plan(Plan("walrus", [Step("a"), Step("b"), Step("think", "Think.")]))
    assert {step: at.words for step, at in places.items()} == {"find": "native at openai", "count": "native at openai"}
    assert estimate["agent_steps"] == 3
    assert estimate["cost_micros"] >= plain["cost_micros"] + 10_000 + 30_000
