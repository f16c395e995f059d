"""The tools that come with Interlock, named by name alone, as agents and plans use them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from interlock.errors import SettingsError, ToolFailed, UsageError
from interlock.governance.guardrails import Guardrail, GuardrailType
from interlock.platform.built_in import BUILT_IN_TOOLS, built_in_tool, web_search_for, web_search_key
from interlock.platform.platform import Platform
from interlock.platform.redacting import redactor_for
from interlock.platform.registry import Registry, protected_paths
from interlock.platform.settings import Settings, load
from interlock.platform.toolbox import read_tools
from interlock.records.plan import Plan, Step
from interlock.records.task import Task
from interlock.records.verdict import ALLOWED, Act, Permit
from interlock.testing import SimulatedProvider
from interlock.testing.script import Calls, Move, Text, call
from interlock.tools.tool import Caller, Tool
from interlock.tools.web import SearXNG

CALLER = Caller(run_id="run-1", path="tool/1")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(cwd=tmp_path, environ={})


async def use(tool: Tool, **arguments: Any) -> Any:
    return await tool.run(Permit(tool.act(arguments, CALLER), ALLOWED), CALLER)


def test_each_is_made_by_its_name_and_no_other_is(settings: Settings) -> None:
    for name in BUILT_IN_TOOLS:
        assert built_in_tool(name, settings, Registry()).spec.name == name
    with pytest.raises(UsageError):
        built_in_tool("shell", settings, Registry())
    assert set(read_tools(list(BUILT_IN_TOOLS), settings, Registry()).tools) == set(BUILT_IN_TOOLS)


async def test_file_search_finds_in_the_workspace_and_nothing_protected(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("the word walrus")
    (tmp_path / "policy.toml").write_text("# walrus")
    (tmp_path / ".interlock").mkdir()
    (tmp_path / ".interlock" / "log.txt").write_text("walrus")
    found = await use(built_in_tool("file_search", settings, Registry()), query="walrus")
    assert [one["path"] for one in found["results"]] == ["notes.md"]


async def test_code_works_in_the_home_folder_and_sees_nothing_else_of_it(settings: Settings, tmp_path: Path) -> None:
    assert tmp_path / ".interlock" in protected_paths(settings)
    (tmp_path / "data.txt").write_text("data")
    python = built_in_tool("code_interpreter", settings, Registry())
    made = await use(python, code="open('a.txt', 'w').write('1')")
    assert made["files"] == [{"path": "a.txt", "bytes": 1}]
    assert (tmp_path / ".interlock" / "scratch" / "run-1" / "a.txt").read_text() == "1"
    (tmp_path / ".interlock" / "interlock.db").write_text("secret")
    for path in (".interlock/interlock.db", "data.txt"):
        assert "PermissionError" in (await use(python, code=f"open({str(tmp_path / path)!r}).read()"))["stderr"]


async def test_code_reads_the_workspace_where_the_settings_say_so(tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("data")
    (tmp_path / ".interlock").mkdir()
    (tmp_path / ".interlock" / "interlock.db").write_text("secret")
    wanted = {"code_interpreter": {"workspace": "read", "timeout": 30}}
    python = built_in_tool("code_interpreter", load(cwd=tmp_path, environ={}, overrides=wanted), Registry())
    assert (await use(python, code=f"open({str(tmp_path / 'data.txt')!r}).read()"))["value"] == "'data'"
    for path in (".interlock/interlock.db", "policy.toml"):
        (tmp_path / path).write_text("secret")
        assert "PermissionError" in (await use(python, code=f"open({str(tmp_path / path)!r}).read()"))["stderr"]


async def test_nobody_searches_the_web_until_somebody_is_named(settings: Settings, tmp_path: Path) -> None:
    registry = Registry()
    assert web_search_for(settings, registry) is None
    tool = built_in_tool("web_search", settings, registry)
    with pytest.raises(ToolFailed) as caught:
        await use(tool, query="q")
    assert caught.value.code == "tool.not_configured"
    named = load(cwd=tmp_path, environ={}, overrides={"web_search": {"url": "http://127.0.0.1:1/search"}})
    assert isinstance(web_search_for(named, registry), SearXNG)


def test_the_key_of_the_search_engine_comes_from_its_variable_and_is_hidden_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {"web_search": {"url": "http://127.0.0.1:1", "key_env": "SEARCH_KEY"}}
    settings = load(cwd=tmp_path, environ={"SEARCH_KEY_FILE": "search.key"}, overrides=wanted)
    assert tmp_path / "search.key" in settings.key_files
    assert web_search_key(settings, {}) is None
    assert web_search_key(settings, {"SEARCH_KEY": "abcd"}) == "abcd"
    with pytest.raises(SettingsError):
        web_search_key(settings, {"SEARCH_KEY": "two words"})
    monkeypatch.setenv("SEARCH_KEY", "a1B2c3D4e5F6g7H8i9J0")
    assert "a1B2c3D4e5F6g7H8i9J0" not in redactor_for(settings).redact("it is a1B2c3D4e5F6g7H8i9J0.")


@pytest.mark.parametrize(
    "wanted",
    [
        {"web_search": {"url": "ftp://a.example"}},
        {"web_search": {"limit": 21}},
        {"web_search": {"key_env": "not a name"}},
        {"code_interpreter": {"workspace": "write"}},
        {"code_interpreter": {"timeout": 0}},
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, wanted: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        load(cwd=tmp_path, environ={}, overrides=wanted)


async def _worked(
    tmp_path: Path, script: Sequence[Move], guardrails: Sequence[Guardrail] = ()
) -> tuple[Any, list[Any]]:
    asked: list[str] = []

    def search(query: str, limit: int) -> list[dict[str, str]]:
        asked.append(query)
        return [{"title": "Found", "url": "https://a.example", "text": query}]

    with SimulatedProvider(script=script) as sim:
        described = {
            "providers": {"openai": {"base_url": sim.openai_url}},
            "agents": {"openai": {"tools": ["code_interpreter", "web_search"]}},
        }
        async with Platform(home=tmp_path / "home", openai_api_key="sk-simulated", **described) as platform:  # type: ignore[arg-type]
            platform.register_web_search(search)
            for guardrail in guardrails:
                platform.add_guardrail(guardrail)
            result = await platform.run(Task("look", type="analysis"))
            steps = [step for step in (await platform.show(result.run_id)).steps.values() if step.what == "tool"]
    return asked, steps


async def test_an_agent_searches_and_calculates(tmp_path: Path) -> None:
    wishes = Calls(call("web_search", query="walrus"), call("code_interpreter", code="6 * 7"))
    asked, steps = await _worked(tmp_path, [wishes, Text("done")])
    assert asked == ["walrus"]
    assert steps[0].output["results"][0]["text"] == "walrus"
    assert steps[1].output["value"] == "42"


async def test_a_guardrail_judges_the_code_itself(tmp_path: Path) -> None:
    def uses_os(act: Act) -> bool:
        return act.name == "code_interpreter" and "import os" in act.arguments["code"]

    rule = Guardrail("no-os", GuardrailType.BLOCK, uses_os, "The module os is not used here.", on="tool_call")
    wishes = Calls(call("code_interpreter", code="import os"), call("code_interpreter", code="1"))
    _, steps = await _worked(tmp_path, [wishes, Text("done")], [rule])
    assert steps[0].failure is not None
    assert "os is not used" in steps[0].failure.says
    assert steps[1].output["value"] == "1"


async def test_a_plan_calculates_in_one_folder_and_is_governed(tmp_path: Path) -> None:
    plan = Plan(
        "Calculate",
        [
            Step("write", tool="code_interpreter", tool_input={"code": "open('n', 'w').write('41')"}),
            Step(
                "read",
                tool="code_interpreter",
                tool_input={"code": "int(open('n').read()) + 1"},
                dependencies=["write"],
            ),
            Step("search", tool="web_search", tool_input={"query": "walrus"}),
        ],
    )
    async with Platform(home=tmp_path / "home") as platform:
        results = await platform.execute(plan, tools=["code_interpreter", "web_search"])
    found = {one.step_id: one for one in results}
    assert found["read"].output["value"] == "42"
    assert found["search"].status == "failed"
    assert "set up" in str(found["search"].error)


@pytest.mark.parametrize("allowed", [True, False])
async def test_a_providers_own_tool_is_offered_where_no_rule_is_against_it(tmp_path: Path, allowed: bool) -> None:
    def searches(act: Act) -> bool:
        return act.name == "web_search" and act.arguments.get("native") is True

    with SimulatedProvider(script=[Text("done")]) as sim:
        described: dict[str, Any] = {
            "providers": {"openai": {"base_url": sim.openai_url}},
            "agents": {"openai": {"tools": [], "native_tools": ["web_search"]}},
        }
        async with Platform(home=tmp_path / "home", openai_api_key="sk-simulated", **described) as platform:
            if not allowed:
                platform.add_guardrail(Guardrail("no-web", GuardrailType.BLOCK, searches, "No web.", on="tool_call"))
            result = await platform.run(Task("look", type="analysis"))
            steps = (await platform.show(result.run_id)).steps
        assert result.status == "completed"
        (request,) = sim.requests
    assert request.view is not None
    assert request.view.native_tools == (("web_search",) if allowed else ())
    (native,) = (step for path, step in steps.items() if path.endswith("native/web_search"))
    assert (native.failure is None) is allowed


def test_a_native_tool_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="native_tools"):
        load(cwd=tmp_path, environ={}, overrides={"agents": {"openai": {"native_tools": ["shell"]}}})
