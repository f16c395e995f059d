"""A service that starts again takes up what it can go on with, and leaves the rest exactly as it was."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from interlock import Plan, Platform, Step, Task
from interlock.errors import UsageError

PROGRAM = """
import asyncio, sys
from interlock import Plan, Platform, Step, tool

@tool(repeatable=True)
async def pull(of: str) -> str:
    "Takes its time."
    print("begun", of, flush=True)
    await asyncio.sleep(60)
    return of

@tool(repeatable=True)
async def push(of: str) -> str:
    "Takes its time."
    print("begun", of, flush=True)
    await asyncio.sleep(60)
    return of

async def main():
    platform = Platform(home=sys.argv[1])
    for name in ("pull", "push"):
        steps = [Step("a", tool=name, tool_input={"of": name})]
        await platform.submit_plan(Plan(name, steps, tools=[pull, push]), name + "-1", tools_from=["shop:" + name])
    await asyncio.sleep(60)

asyncio.run(main())
"""


def pull(of: str) -> str:
    """Does it at once."""
    return f"{of}ed"


def push(of: str) -> str:
    """Does it at once too."""
    return f"{of}ed"


def left_by_kill(home: Path) -> None:
    """Two runs in the middle of a step, whose process is killed."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PROGRAM, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        assert sorted(process.stdout.readline() for _ in range(2)) == ["begun pull\n", "begun push\n"]
        process.kill()


async def test_a_damaged_run_is_left_as_it_is_and_the_others_go_on(tmp_path: Path) -> None:
    left_by_kill(tmp_path)
    with closing(sqlite3.connect(tmp_path / "interlock.db")) as db, db:
        db.execute("DELETE FROM facts WHERE run_id = 'push-1' AND seq = 2")
    async with Platform(home=tmp_path) as platform:
        for one in (pull, push):
            platform.register_tool(one)
        taken_up = await platform.recover()
        assert (taken_up, {name: error.code for name, error in taken_up.left.items()}) == (
            ["pull-1"],
            {"push-1": "store.gap"},
        )
        finished = (await platform.wait("pull-1")).finished
        assert finished is not None
        assert finished.status == "completed"


async def test_a_run_whose_tools_are_missing_is_left_as_it_is_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left_by_kill(tmp_path)
    async with Platform(home=tmp_path) as platform:
        platform.register_tool(pull)
        before = await platform.show("push-1")
        with caplog.at_level(logging.WARNING, "interlock"):
            taken_up = await platform.recover()
        assert taken_up == ["pull-1"]
        assert list(taken_up.left) == ["push-1"]
        (warning,) = [record.getMessage() for record in caplog.records if "push-1" in record.getMessage()]
        for told in ("left as it is", "does not know: push.", "interlock run resume push-1 --tools shop:push"):
            assert told in warning
        assert (await platform.wait("pull-1")).finished is not None
        assert [one.output for one in (await platform.run_state("pull-1")).results] == ["pulled"]
        left = await platform.show("push-1")
        assert (left.seq, left.status) == (before.seq, before.status), "not one fact was written"

        platform.register_tool(push)
        assert await platform.recover() == ["push-1"]
        assert (await platform.wait("push-1")).finished is not None
        assert [one.output for one in (await platform.run_state("push-1")).results] == ["pushed"]


async def test_a_parked_run_whose_agent_is_not_registered_is_left_too(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def slow(text: str) -> str:
        begun.set()
        await asyncio.sleep(60)
        return text

    async with Platform(home=tmp_path) as platform:
        platform.register_agent("fetcher", slow)
        await platform.submit(Task("x", id="fetch-1", context={"agent": "fetcher"}))
        await begun.wait()
        await platform.close(grace=0.0)
    async with Platform(home=tmp_path) as platform:
        taken_up = await platform.recover()
        assert (taken_up, "fetcher" in taken_up.left["fetch-1"].says) == ([], True)
        assert (await platform.show("fetch-1")).finished is None


async def test_resume_says_which_tools_are_missing_and_where_they_were(tmp_path: Path) -> None:
    left_by_kill(tmp_path)
    async with Platform(home=tmp_path) as platform:
        seq = (await platform.show("push-1")).seq
        with pytest.raises(UsageError) as error:
            await platform.resume("push-1")
        assert "push" in error.value.says
        assert "--tools shop:push" in error.value.do
        assert (await platform.show("push-1")).seq == seq
        plan = Plan("push", [Step("a", tool="push", tool_input={"of": "push"})], tools=[push])
        assert [one.output for one in await platform.execute(plan, "push-1", resume=True)] == ["pushed"]
