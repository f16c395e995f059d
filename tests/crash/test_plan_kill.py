"""kill -9 before and after every append of a plan with branches, a retry, an approval and a call of an MCP server: the
results are those of a run that was never killed, and no finished step is done again."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from interlock import Platform
from tests.crash.killing import POINT
from tests.crash.planner import MCP_PATH, plan
from tests.crash.test_kill import EVERY, LIFE, Story
from tests.stores.processes import ROOT

pytestmark = [pytest.mark.crash, pytest.mark.xdist_group("plan")]  # they share the uninterrupted run

#: Appends of an uninterrupted run, at most: steps at the same time may share some; a test below keeps this true.
APPENDS = 28
SAMPLE = ["after:2", "before:7", "after:11", "after:14", "before:19"]


def points() -> list[str]:
    if not EVERY:
        return SAMPLE
    return [f"{when}:{number}" for number in range(1, APPENDS + 1) for when in ("before", "after")]


class PlanStory(Story):
    """All the lives of one plan. The test is the person in another process who allows what waits."""

    def __init__(self, folder: Path) -> None:
        super().__init__("plan", folder, {"INTERLOCK_LOG__LEVEL": "error"})

    def live(self, point: str = "") -> bool:
        command = [sys.executable, "-m", "tests.crash.planner", str(self.folder)]
        child = subprocess.Popen(command, cwd=ROOT, env={**self._env, POINT: point}, stderr=subprocess.PIPE, text=True)
        ends = time.monotonic() + LIFE
        try:
            while child.poll() is None:
                assert time.monotonic() < ends, "it does not end"
                self._allow_what_waits()
                time.sleep(0.02)
        finally:
            child.kill()
            _, err = child.communicate()
        assert child.returncode in (0, -signal.SIGKILL), err
        return child.returncode == 0

    def _allow_what_waits(self) -> None:
        log = self.folder / "log"
        asked = log.read_text().count('"about": "approval"') if log.is_file() else 0
        if asked > getattr(self, "_seen", 0):
            self._seen = asked
            asyncio.run(self._allow())

    async def _allow(self) -> None:
        async with Platform(home=self.folder) as platform:
            for waiting in await platform.approvals.waiting():
                if waiting.about == "approval":
                    await platform.approvals.without_driving().approve(waiting.id, by="a person elsewhere")

    def _nothing_finished_is_done_again(self, facts: list[tuple[int, str, str]]) -> None:
        ends: dict[str, list[int]] = {}
        for seq, kind, body in facts:
            given = json.loads(body)
            if kind == "step.finished" or (kind == "step.failed" and given["again_at"] is None):
                ends.setdefault(given["path"], []).append(seq)
        assert {path: seqs for path, seqs in ends.items() if len(seqs) > 1} == {}
        assert [kind for _, kind, _ in facts].count("run.finished") == 1
        newest = 0
        for line in self.log:
            newest = max(newest, line.get("seq", 0))
            if line["what"] == "did":
                assert ends[line["path"]][0] > newest, f"{line['path']} was over and was done again"


@cache
def uninterrupted() -> tuple[Any, int, Counter[str]]:
    """The result of a plan that is never killed, how many appends it made, and what was done how often."""
    with TemporaryDirectory() as folder:
        story = PlanStory(Path(folder))
        assert story.live()
        story.check(story.result)
        done = Counter(line["path"] for line in story.log if line["what"] == "did")
        return story.result, max(line["number"] for line in story.log if line["what"] == "ack"), done


@pytest.mark.parametrize("point", points())
def test_a_plan_killed_at_any_append_goes_on(tmp_path: Path, point: str) -> None:
    expected, _, _ = uninterrupted()
    story = PlanStory(tmp_path)
    if not story.live(point):
        assert story.live()
    story.check(expected)


@pytest.mark.parametrize("when", ["before", "after"] if EVERY else ["after"])
def test_a_plan_whose_every_process_is_killed_still_comes_to_its_end(tmp_path: Path, when: str) -> None:
    """Each process lives longer than the one before it: by one append at full size."""
    expected, _, _ = uninterrupted()
    story = PlanStory(tmp_path)
    life = 1
    while not story.live(f"{when}:{life}"):
        life += 1 if EVERY else 5
    assert life > 5
    story.check(expected)


def test_the_points_cover_the_whole_plan_and_everything_is_done_once() -> None:
    results, appends, done = uninterrupted()
    found = {result["step_id"]: result["status"] for result in results}
    assert found == {
        **dict.fromkeys((step.id for step in plan().steps), "completed"),
        "broken": "failed",
        "held-up": "skipped",
    }
    assert done == Counter(
        [MCP_PATH, "plan/flaky/2/tool"]
        + [f"plan/{name}/1/tool" for name in ("look", "left", "right", "flaky", "deploy", "broken", "end")]
    )
    assert APPENDS - 10 <= appends <= APPENDS
