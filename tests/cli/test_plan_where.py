"""Where a plan's tools are used, on the screen: before it runs and after, for people and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interlock.platform.platform import Platform
from interlock.records.plan import Plan, Step
from interlock.testing import SimulatedProvider
from interlock.testing.native_items import searched
from tests.cli.conftest import Cli

PLAN = """
task_description: Walruses
tools: [web_search, code_interpreter]
steps:
- {id: find, tool: web_search, tool_input: {query: walrus}}
- {id: count, tool: code_interpreter, tool_input: {code: "1"}}
- {id: think, description: Think.}
"""


def test_a_plan_shows_where_its_tools_would_be_used(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN)
    told = json.loads(cli("--json", "plan", "show", "plan.yaml").out)
    assert [step.get("where") for step in told["steps"]] == ["nowhere", "local", None]
    assert "OpenAI or Anthropic with a key" in told["steps"][0]["where_why"]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-simulated-1")
    told = json.loads(cli("--json", "plan", "show", "plan.yaml").out)
    assert [step.get("where") for step in told["steps"]] == ["native at openai", "native at openai", None]
    shown = cli("plan", "show", "plan.yaml").out
    assert "web_search (native at openai)" in shown
    assert "openai works with openai, which has web_search of its own." in shown
    (tmp_path / "interlock.toml").write_text('[code_interpreter]\nwhere = "local"\n')
    assert "code_interpreter (local)" in cli("plan", "show", "plan.yaml").out


def test_a_run_shows_where_its_tools_were_used(cli: Cli, tmp_path: Path) -> None:
    plan = Plan(
        "Walruses",
        [
            Step("find", tool="web_search", tool_input={"query": "walrus"}),
            Step("count", tool="code_interpreter", tool_input={"code": "1"}),
        ],
    )
    page = {"url": "https://a.example", "title": "A", "text": "Heavy."}
    with SimulatedProvider(lambda view: searched(view.api, view.asked, [page], "Heavy.")) as sim:
        platform = Platform(
            home=tmp_path / "home",
            openai_api_key="sk-simulated-1",
            **{  # type: ignore[arg-type]
                "providers": {"openai": {"base_url": sim.openai_url}},
                "agents": {"openai": {"native_tools": ["web_search"]}},
            },
        )
        results = platform.execute_sync(plan, "r", tools=["web_search", "code_interpreter"])
        platform.close_sync()
    assert [one.status for one in results] == ["completed", "completed"]
    told = json.loads(cli("--json", "--home", str(tmp_path / "home"), "run", "show", "r").out)
    assert [step["where"] for step in told["plan"]["steps"]] == ["native at openai", "local"]
    shown = cli("--home", str(tmp_path / "home"), "run", "show", "r", "--steps").out
    assert 'web_search(query="walrus") (native at openai)' in shown
    assert 'web_search(query="walrus") native at openai' in shown
    assert 'code_interpreter(code="1") (local)' in shown
