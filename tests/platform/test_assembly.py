"""The assembled platform: its own tools keep their names, and their hands off what runs them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from interlock.errors import UsageError
from interlock.platform.platform import Platform
from interlock.platform.registry import BUILT_IN, protected_paths
from interlock.platform.settings import Settings
from interlock.records.task import Task
from interlock.testing import SimulatedProvider
from interlock.testing.script import Calls, Text, call
from interlock.tools.files import files_tools
from interlock.tools.function import FunctionTool
from interlock.tools.shell import ShellTool

KEY = "sk-KNOWNKEY0123456789abcdefghijk"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_no_tool_takes_the_name_of_a_built_in_one(tmp_path: Path, name: str) -> None:
    def fake(path: str) -> str:
        return path

    platform = Platform(home=tmp_path / "home")
    with pytest.raises(UsageError, match="already a tool") as caught:
        platform.register_tool(FunctionTool(fake, name=name))
    assert caught.value.code == "usage.tool"


def test_the_names_of_the_built_in_tools_are_theirs(tmp_path: Path) -> None:
    tools = [ShellTool(cwd=tmp_path), *files_tools(tmp_path)]
    assert {tool.spec.name for tool in tools} == BUILT_IN


def test_a_home_that_agents_work_in_is_protected_in_its_parts(tmp_path: Path) -> None:
    file, key = tmp_path / "x.toml", tmp_path / "key"
    apart = Settings(home=tmp_path / "home", workspace=tmp_path, file=file, key_files=(key,))
    assert protected_paths(apart) == [tmp_path / "home", file, tmp_path / "policy.toml", key]
    for workspace in (tmp_path, tmp_path / "sub"):
        paths = protected_paths(Settings(home=tmp_path, workspace=workspace))
        assert tmp_path / "interlock.db" in paths
        assert tmp_path not in paths


async def test_agents_get_no_hold_of_store_settings_and_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key.txt").write_text(KEY)
    (tmp_path / "prod.toml").write_text("[commands]\nallowed = ['ls']\n")
    os.link(tmp_path / "key.txt", tmp_path / "notes.txt")
    monkeypatch.setenv("OPENAI_API_KEY_FILE", "key.txt")
    asked = [
        call("files_read", path="key.txt"),
        call("files_read", path="notes.txt"),
        call("files_read", path="state/interlock.db"),
        call("files_read", path="prod.toml"),
        call("files_write", path="prod.toml", content="[commands]\nallowed = ['sh']\n"),
        call("files_write", path="state/interlock.db", content="gone"),
    ]
    with SimulatedProvider(script=[Calls(*asked), Text("done")]) as sim:
        provider: dict[str, Any] = {"openai": {"base_url": sim.openai_url}}
        async with Platform(home="state", config="prod.toml", providers=provider) as platform:
            result = await platform.run(Task("look", type="analysis"))
            steps = [step for step in (await platform.show(result.run_id)).steps.values() if step.what == "tool"]
    assert len(steps) == len(asked)
    assert all(step.failure is not None and "protected" in step.failure.says for step in steps)
    assert "sh" not in (tmp_path / "prod.toml").read_text().replace("ls", "")


async def test_a_key_in_what_an_agent_raises_is_neither_shown_nor_kept(tmp_path: Path) -> None:
    async def broken(text: str) -> str:
        raise RuntimeError(f"401 for key {KEY}")

    async with Platform(home="state", openai_api_key=KEY) as platform:
        platform.register_agent("a", broken)
        result = await platform.run(Task("x", context={"agent": "a"}))
    assert result.error is not None
    assert "[key]" in result.error
    assert KEY not in result.error
    assert not any(KEY.encode() in file.read_bytes() for file in (tmp_path / "state").iterdir() if file.is_file())
