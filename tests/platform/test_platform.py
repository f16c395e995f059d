"""The front door: what it refuses, and where it cannot be used."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from interlock import Platform, Task
from interlock.errors import SettingsError, UsageError
from interlock.testing import ScriptedAgent

FORKS = """
import asyncio, os, sys
from interlock import Platform, Task
from interlock.errors import StoreFailed

def answered(work):
    try:
        return str(work())
    except StoreFailed as error:
        return error.code

def in_a_child(work):
    near, far = os.pipe()
    if os.fork() == 0:
        os.write(far, work().encode())
        os._exit(0)
    os.close(far)
    os.wait()
    return os.read(near, 1000).decode()

def task():
    return Task("x", context={"agent": "a"})

platform = Platform(home=sys.argv[1])
platform.register_agent("a", lambda text: "ok")
print("never used:", in_a_child(lambda: platform.run_sync(task()).status))
platform.run_sync(task())
print("run_sync:", in_a_child(lambda: answered(lambda: platform.run_sync(task()))))
print("run:", in_a_child(lambda: answered(lambda: asyncio.run(platform.run(task())))))
print("runs:", in_a_child(lambda: answered(lambda: asyncio.run(platform.runs()))))
print("metrics:", in_a_child(lambda: answered(platform.get_metrics)))
print("close:", in_a_child(lambda: answered(platform.close_sync)))
print("parent:", platform.run_sync(task()).status)
platform.close_sync()
"""


def test_an_open_platform_is_refused_at_once_after_a_fork(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKS, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == [
        "never used: completed",
        "run_sync: store.forked",
        "run: store.forked",
        "runs: store.forked",
        "metrics: store.forked",
        "close: None",
        "parent: completed",
    ]


async def test_what_was_judged_is_what_runs(tmp_path: Path) -> None:
    seen: list[str] = []
    begin = asyncio.Event()

    async def agent(text: str, context: Mapping[str, Any]) -> str:
        await begin.wait()
        seen.append(context["target"]["env"])
        context["target"]["env"] = "changed by the agent"  # type: ignore[index]
        return "ok"

    context: dict[str, Any] = {"target": {"env": "staging"}, "agent": "a"}
    async with Platform(home=tmp_path) as platform:
        platform.register_agent("a", agent)
        handle = await platform.submit(Task("x", context=context))
        context["target"]["env"] = "production"
        begin.set()
        await handle.result()
        run = await platform.show(handle.run_id)
    assert seen == ["staging"]
    assert run.admitted is not None
    assert run.admitted.task["context"]["target"]["env"] == "staging"


def test_an_agent_that_would_wait_for_its_own_loop_is_told_so(tmp_path: Path) -> None:
    platform = Platform(home=tmp_path)

    async def outer(text: str) -> str:
        return str(platform.run_sync(Task("inner", context={"agent": "inner"})).output)

    platform.register_agent("outer", outer)
    platform.register_agent("inner", ScriptedAgent(replies="done"))
    told: list[str] = []

    async def asking(text: str) -> str:
        try:
            return await outer(text)
        except UsageError as error:
            told.append(f"{error.code} {error.do}")
            return "told"

    platform.register_agent("asking", asking)
    assert platform.run_sync(Task("x", context={"agent": "asking"})).output == "told"
    assert told == ["usage.deadlock Use `await platform.run(...)` here."]
    platform.close_sync()


def test_a_taken_name_is_refused_and_a_built_in_one_can_be_replaced_once(tmp_path: Path) -> None:
    platform = Platform(home=tmp_path)
    platform.register_agent("openai", ScriptedAgent(replies="first"))
    platform.register_agent("mine", ScriptedAgent(replies="first"))
    for name in ("openai", "mine", "hybrid"):
        with pytest.raises(UsageError) as caught:
            platform.register_agent(name, ScriptedAgent(replies="second"))
        assert caught.value.code == "usage.agent"
        with pytest.raises(UsageError):
            platform.register_platform(name, ScriptedAgent(replies="second"))
    assert platform.run_sync(Task("x", context={"agent": "mine"})).output == "first"
    platform.close_sync()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"home": 5}, "home must be a path, not 5"),
        ({"home": b"x"}, "home must be a path"),
        ({"openai_api_key": 5}, "The key for openai must be a text, not int"),
        ({"profile": ["prod"]}, "profile must be a text, not list"),
        ({"config": 5}, "config must be a path, not int"),
    ],
)
def test_an_argument_of_the_wrong_type_is_a_wrong_setting(given: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Platform(**given)
    assert says in caught.value.says
