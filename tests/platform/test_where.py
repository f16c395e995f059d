"""Where the web is searched and code is run for a plan's step: one pure decision, and the reason with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from interlock.errors import SettingsError
from interlock.platform.registry import Registry
from interlock.platform.settings import Settings, load
from interlock.platform.where import Chance, Where, decide, where_for
from interlock.records.plan import Step
from interlock.testing import ScriptedAgent

ABLE = Chance(agent="openai", provider="openai", model="m", has=True, sure=True, can_work=True)
UNSURE = Chance(agent="gateway", provider="gateway", has=True, can_work=True)
KEYLESS = Chance(agent="claude", provider="anthropic", has=True, sure=True)
WITHOUT = Chance(agent="ollama", provider="ollama", can_work=True)


@pytest.mark.parametrize(
    ("wanted", "chances", "here", "words", "why"),
    [
        ("auto", [ABLE], True, "native at openai", "has web_search of its own"),
        ("auto", [ABLE], False, "native at openai", "has web_search of its own"),
        ("auto", [KEYLESS, ABLE], True, "native at openai", "has web_search of its own"),
        ("auto", [KEYLESS], True, "local", "claude has no key"),
        ("auto", [WITHOUT], True, "local", "ollama has no web_search at its provider"),
        ("auto", [UNSURE], True, "local", "`agents.gateway.native_tools`"),
        ("auto", [], True, "local", "there is no agent"),
        ("auto", [KEYLESS], False, "nowhere", "claude has no key"),
        ("native", [UNSURE], True, "native at gateway", "has web_search of its own"),
        ("native", [KEYLESS], True, "nowhere", "`web_search.where` is native"),
        ("local", [ABLE], True, "local", "`web_search.where` is local"),
        ("local", [ABLE], False, "nowhere", "`web_search.where` is local"),
    ],
)
def test_the_provider_where_it_can_else_here_else_nowhere(
    wanted: Any, chances: list[Chance], here: bool, words: str, why: str
) -> None:
    at = decide("web_search", wanted, chances, here=here)
    assert at.words == words
    assert why in at.why


@pytest.mark.parametrize("tool", ["web_search", "code_interpreter"])
def test_nowhere_says_both_ways_out(tool: str) -> None:
    at = decide(tool, "native", [], here=False)
    assert at.place == "nowhere"
    assert tool in at.why
    assert "OpenAI or Anthropic with a key" in at.why
    assert ("SearXNG" if tool == "web_search" else "`code_interpreter.where`") in at.why


def test_what_can_only_be_had_here_is_here_unless_the_settings_say_otherwise() -> None:
    for wanted, words in (("auto", "local"), ("native", "native at openai")):
        at = decide("code_interpreter", wanted, [ABLE], here=True, only_here="the files are here")  # type: ignore[arg-type]
        assert at.words == words


def settings(folder: Path, keys: bool = True, **overrides: Any) -> Settings:
    environ = {"OPENAI_API_KEY": "sk-openai", "ANTHROPIC_API_KEY": "sk-anthropic"} if keys else {}
    return load(cwd=folder, environ=environ, overrides=overrides)


def where(
    step: Step, described: Settings, registry: Registry | None = None, crew: tuple[str, ...] = ("openai",)
) -> Where:
    return where_for(step, crew, described, registry or Registry())


SEARCH = Step("s", tool="web_search", tool_input={"query": "q"})
CODE = Step("c", tool="code_interpreter", tool_input={"code": "1"})


def test_without_a_key_everything_stays_here(tmp_path: Path) -> None:
    described = settings(tmp_path, keys=False)
    assert where(CODE, described).words == "local"
    assert where(SEARCH, described).words == "nowhere"
    found = settings(tmp_path, keys=False, web_search={"url": "http://127.0.0.1:1"})
    assert where(SEARCH, found).words == "local"


def test_the_agent_of_the_step_decides_else_that_of_the_plan(tmp_path: Path) -> None:
    described = settings(tmp_path)
    assert where(SEARCH, described).words == "native at openai"
    for agent, words in (("claude", "native at anthropic"), ("nobody", "local"), (["x"], "local")):
        step = Step("c", tool="code_interpreter", tool_input={"code": "1"}, metadata={"agent": agent})
        assert where(step, described).words == words


def test_an_address_that_is_not_the_vendors_is_asked_only_if_the_agents_settings_say_so(tmp_path: Path) -> None:
    at: dict[str, Any] = {"providers": {"openai": {"base_url": "http://127.0.0.1:9/v1", "key_env": "OPENAI_API_KEY"}}}
    assert where(CODE, settings(tmp_path, **at)).words == "local"
    named: dict[str, Any] = {"agents": {"openai": {"native_tools": ["code_interpreter"]}}}
    assert where(CODE, settings(tmp_path, **at, **named)).words == "native at openai"
    assert where(CODE, settings(tmp_path, **at, code_interpreter={"where": "native"})).words == "native at openai"
    chat: dict[str, Any] = {"providers": {"openai": {"api": "openai-chat"}}}
    assert where(CODE, settings(tmp_path, **chat)).words == "local"


def test_code_that_reads_the_workspace_runs_here(tmp_path: Path) -> None:
    at = where(CODE, settings(tmp_path, code_interpreter={"workspace": "read"}))
    assert at.words == "local"
    assert "workspace" in at.why


def test_agents_and_back_ends_of_the_program_are_asked_what_they_have(tmp_path: Path) -> None:
    class Able:
        name = "able"
        own_tools: ClassVar[dict[str, Any]] = {"code_interpreter": {}}

    registry = Registry()
    registry.agents["own"] = ScriptedAgent()
    registry.providers["able"] = (Able(), "model")  # type: ignore[assignment]
    described = settings(tmp_path, keys=False)
    assert where(CODE, described, registry, ("own",)).words == "local"
    assert where(CODE, described, registry, ("own", "able")).words == "native at able"


@pytest.mark.parametrize(
    "wanted",
    [
        {"web_search": {"where": "here"}},
        {"code_interpreter": {"where": "openai"}},
        {"web_search": {"native_uses": 0}},
        {"web_search": {"native_price": "-0.01"}},
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, wanted: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        settings(tmp_path, **wanted)
