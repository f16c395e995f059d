"""Errors for people: a sentence, a next step and an id to look for; addresses, traces and internals are for the log."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interlock import Guardrail, GuardrailType, Platform, Task, TaskType
from interlock.records.masking import for_people
from interlock.testing import SimulatedProvider
from interlock.testing.script import Calls, Fault, Reply, Text, call
from tests.governance.fake_secrets import Forge

TOKEN = Forge(5).tokens()["github"]
KEY = "sk-KNOWNKEY0123456789abcdefghijk"
TRACE = 'Traceback (most recent call last):\n  File "/srv/app/secret_agent.py", line 7, in work\n    boom()\nKeyError'
HOSTILE = [
    f"401 for key {KEY}",
    "cannot connect to https://ana:hunter2@agents.internal:8443/v1/agent-7/invoke",
    "no answer from agents.internal:8443 or 10.1.2.3:9000",
    "[Errno 2] No such file or directory: '/srv/app/conf/secret_agent.py'",
    f"it broke\n{TRACE}",
    f"config: GITHUB_TOKEN={TOKEN}",
    "<Agent object at 0x7f3a21c0aa10> is closed",
]
INTERNAL = ["hunter2", "internal:8443", "10.1.2.3", "/srv/app", "Traceback", "line 7", KEY, TOKEN, "0x7f3a21c0aa10"]
_ID = re.compile(r"error id ([0-9a-f]{8})")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def raising(message: str) -> Callable[[str], str]:
    def secret_agent(text: str) -> str:
        raise ConnectionError(message)

    return secret_agent


def internals(text: str) -> list[str]:
    return [word for word in INTERNAL if word in text]


async def told(platform: Platform, task: Task) -> tuple[Any, str]:
    """A run's result, and everything that anyone can see of it."""
    events = [event async for event in platform.stream(task)]
    result = events[-1].result
    assert result is not None
    facts = json.dumps([event.to_json() async for event in platform.watch(result.run_id)])
    return result, facts + json.dumps([event.to_json() for event in events]) + json.dumps(result)


@pytest.mark.parametrize("message", HOSTILE)
async def test_what_an_agent_raises_is_told_without_what_is_internal(
    message: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Platform(home="home") as platform:
        platform.register_agent("a", raising(message))
        result, seen = await told(platform, Task("x", context={"agent": "a"}))
    assert result.status == "failed"
    assert "ConnectionError" in result.error
    assert "Error occurred" not in result.error
    assert internals(seen) == []
    found = _ID.search(result.hint)
    assert found is not None
    logged = [record.getMessage() for record in caplog.records if found[1] in record.getMessage()]
    assert len(logged) == 1
    assert "secret_agent" in logged[0]
    assert [word for word in (KEY, TOKEN, "hunter2") if word in caplog.text] == []


@pytest.mark.parametrize("message", HOSTILE)
async def test_what_a_tool_raises_reaches_neither_people_nor_the_model(message: str) -> None:
    def lookup(where: str) -> str:
        """Look something up."""
        raise OSError(message)

    async with SimulatedProvider(script=[Calls(call("lookup", where="here")), Text("It failed.")]) as sim:
        provider: dict[str, Any] = {"openai": {"base_url": sim.openai_url}}
        async with Platform(home="home", openai_api_key="sk-any-key-0123456789", providers=provider) as platform:
            platform.register_tool(lookup)
            result, seen = await told(platform, Task("x", type=TaskType.ANALYSIS))
        sent = json.dumps([request.body for request in sim.requests])
    assert result.status == "completed"
    assert internals(seen) == []
    assert internals(sent) == []
    assert "The tool lookup failed: " in sent


@pytest.mark.parametrize("message", HOSTILE)
@pytest.mark.parametrize("status", [400, 401, 500])
async def test_what_a_provider_answers_is_told_without_what_is_internal(message: str, status: int) -> None:
    faults: list[Reply | Fault] = [Fault.status(status, says=message)] * 9
    async with SimulatedProvider(script=faults) as sim:
        settings: dict[str, Any] = {
            "providers": {"openai": {"base_url": sim.openai_url}},
            "retry": {"attempts": 1},
        }
        async with Platform(home="home", openai_api_key="sk-any-key-0123456789", **settings) as platform:
            result, seen = await told(platform, Task("x", type=TaskType.ANALYSIS))
    assert result.status == "failed"
    assert result.error
    assert internals(seen) == []
    assert "127.0.0.1" not in seen


@pytest.mark.parametrize("message", HOSTILE)
async def test_what_a_guardrail_raises_blocks_and_tells_nothing(message: str, caplog: pytest.LogCaptureFixture) -> None:
    def condition(task: Task) -> bool:
        raise ValueError(message)

    async with Platform(home="home") as platform:
        platform.register_agent("a", lambda text: "ok")
        platform.add_guardrail(Guardrail("careful", GuardrailType.BLOCK, condition, "Not allowed here."))
        result, seen = await told(platform, Task("x", context={"agent": "a"}))
    assert result.status == "blocked"
    assert internals(seen) == []
    assert "ValueError" in caplog.text
    assert [word for word in (KEY, TOKEN, "hunter2") if word in caplog.text] == []


def test_a_script_that_never_mentioned_logging_still_learns_where_an_error_came_from(tmp_path: Path) -> None:
    script = (
        "from interlock import Platform, Task\n"
        "def a(text):\n    raise RuntimeError('no customer 17')\n"
        "p = Platform(home='home'); p.register_agent('a', a)\n"
        "r = p.run_sync(Task('x', context={'agent': 'a'})); print(r.error); print(r.hint); p.close_sync()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    error, hint = done.stdout.splitlines()
    assert error == "agent.failed: a raised RuntimeError: no customer 17"
    found = _ID.search(hint)
    assert found is not None
    assert found[1] in done.stderr


async def test_the_log_tells_of_a_run_with_its_ids_and_never_its_words(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="interlock")
    async with Platform(home="home") as platform:
        platform.register_agent("a", lambda text: "the answer in full")
        result = await platform.run(Task("the question in full", context={"agent": "a"}), user="ana")
    assert result.run_id in caplog.text
    assert "in full" not in caplog.text


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("no customer 17", "no customer 17"),
        ("bad date 2026-01-02, 3/4 done, see and/or", "bad date 2026-01-02, 3/4 done, see and/or"),
        ("no file data/report.csv", "no file data/report.csv"),
        ("no file '/srv/data/report.csv'", "no file '…/report.csv'"),
        (r"no file C:\Users\ana\report.csv", "no file …/report.csv"),
        ("at http://10.0.0.1:80/x now", "at [address] now"),
        (f"bad {TRACE}", "bad"),
        ("oops\n    at Object.<anonymous> (/srv/x.js:3:1)\n    at y (z)", "oops"),
        ("version 1.2.3.4.5 of x", "version 1.2.3.4.5 of x"),
    ],
)
def test_messages_keep_what_helps_and_lose_what_is_internal(said: str, shown: str) -> None:
    assert for_people(said) == shown


@pytest.mark.parametrize("part", ["/", "/a", "a.", " ", "\n", "\n at ", "://", "1.", "~/", "\\"])
def test_messages_made_to_be_slow_are_not(part: str) -> None:
    import time

    started = time.process_time()
    for_people(part * 20_000)
    assert time.process_time() - started < 1
