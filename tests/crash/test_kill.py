"""kill -9 before and after every append of a run: nothing finished is done again, nothing acknowledged is lost,
and the result is that of a run that was never killed. `INTERLOCK_CRASH=all` takes every point, else a sample."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from interlock.stores.encoding import decode
from interlock.testing import Calls, Fault, SimulatedProvider, Structured, Text, call
from interlock.testing.script import Move, RequestView
from tests.crash.child import RUN
from tests.crash.killing import POINT, Log
from tests.stores.processes import ROOT

pytestmark = pytest.mark.crash

EVERY = os.environ.get("INTERLOCK_CRASH") == "all"
#: Appends of an uninterrupted run, at most (two steps at once may share one); a test below keeps this true.
APPENDS = {"engine": 20, "hybrid": 18}
SAMPLE = {
    "engine": ["before:1", "after:2", "before:5", "after:6", "before:7", "after:9", "after:12", "before:17"],
    "hybrid": ["after:3", "before:9"],
}
#: Longest life of one process, in seconds.
LIFE = 60


def points(program: str) -> list[str]:
    if not EVERY:
        return SAMPLE[program]
    return [f"{when}:{number}" for number in range(1, APPENDS[program] + 1) for when in ("before", "after")]


class Story:
    """All the lives of one run, and what they left behind."""

    def __init__(self, program: str, folder: Path, env: dict[str, str]) -> None:
        self.program = program
        self.folder = folder
        self._env = {name: value for name, value in os.environ.items() if not name.startswith("INTERLOCK_")} | env

    def live(self, point: str = "") -> bool:
        """One process: whether it reached the end, or was killed."""
        command = [sys.executable, "-m", "tests.crash.child", self.program, str(self.folder)]
        env = {**self._env, POINT: point}
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=LIFE, check=False)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode == 0

    @property
    def result(self) -> Any:
        return json.loads((self.folder / "result.json").read_text())

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "log").read_text().splitlines()]

    def facts(self) -> list[tuple[int, str, str]]:
        """Seq, kind and body of every fact, read with SQLite itself."""
        import sqlite3
        from contextlib import closing

        with closing(sqlite3.connect(self.folder / "interlock.db")) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            return db.execute("SELECT seq, kind, body FROM facts WHERE run_id = ? ORDER BY seq", (RUN,)).fetchall()

    def check(self, expected: Any) -> None:
        """The promises."""
        assert self.result == expected
        facts = self.facts()
        assert [seq for seq, _, _ in facts] == list(range(1, len(facts) + 1))
        self._nothing_acknowledged_is_lost(facts)
        self._nothing_finished_is_done_again(facts)
        self._what_may_not_be_repeated_is_only_repeated_by_a_person(facts)
        self._nothing_is_done_twice_on_one_approval(facts)
        self._every_act_has_one_key()

    def _nothing_is_done_twice_on_one_approval(self, facts: list[tuple[int, str, str]]) -> None:
        used = [json.loads(body) for _, kind, body in facts if kind == "approval.used"]
        assert max(Counter(one["question_id"] for one in used).values(), default=1) == 1
        done = Counter(line["path"] for line in self.log if line["what"] == "did")
        for path, times in Counter(one["path"] for one in used).items():
            assert done[path] <= times

    def _nothing_acknowledged_is_lost(self, facts: list[tuple[int, str, str]]) -> None:
        written = {seq: [kind, body] for seq, kind, body in facts}
        for line in self.log:
            if line["what"] == "ack":
                first = line["seq"] - len(line["bodies"]) + 1
                for seq, body in enumerate(line["bodies"], first):
                    assert written[seq] == body

    def _nothing_finished_is_done_again(self, facts: list[tuple[int, str, str]]) -> None:
        outcomes = {json.loads(body)["path"]: seq for seq, kind, body in facts if kind == "step.finished"}
        assert Counter(kind for _, kind, _ in facts)["step.finished"] == len(outcomes)
        assert [kind for _, kind, _ in facts].count("run.finished") == 1
        newest = 0
        for line in self.log:
            newest = max(newest, line.get("seq", 0))
            if line["what"] == "did":
                assert outcomes[line["path"]] > newest, f"{line['path']} was finished and was done again"

    def _what_may_not_be_repeated_is_only_repeated_by_a_person(self, facts: list[tuple[int, str, str]]) -> None:
        starts = [decode(kind, body) for _, kind, body in facts if kind == "step.started"]
        risky = {start.path for start in starts if not start.repeatable}  # type: ignore[union-attr]
        done = Counter(line["path"] for line in self.log if line["what"] == "did")
        doubts = Counter(line["path"] for line in self.log if line["what"] == "asked" and line["about"] == "in_doubt")
        assert risky
        for path in risky:
            assert 1 <= done[path] <= 1 + doubts[path]

    def _every_act_has_one_key(self) -> None:
        keys = defaultdict(set)
        for line in self.log:
            if line["what"] == "did":
                keys[line["path"]].add(line["key"])
        assert all(found == {f"{RUN}/{path}"} for path, found in keys.items())


def simulated_mind(log: Log) -> Callable[[RequestView], Move]:
    """A model that plans, uses tools, is checked, sent back once, and is overloaded the first time it is asked."""
    overloaded: list[str] = []

    def answer(view: RequestView) -> Move:
        path = view.key.removeprefix(f"{RUN}/")
        log.write("did", path=path, key=view.key)
        if not overloaded and path == "execution/model/2":
            overloaded.append(path)
            return Fault.status(529, retry_after=0)
        if view.schema is not None:
            again = "verification-2" in path
            return Structured({"passed": again, "feedback": "" if again else "Say it in one sentence."})
        if "You are planning" in view.system:
            return Text("1. Measure. 2. Clean.")
        if len(view.results) == 0:
            return Calls(call("measure", place="/var"))
        if len(view.results) == 1:
            return Calls(call("clean", place="/tmp"), call("measure", place="/tmp"))
        return Text(f"Done: {'; '.join(view.results.values())}")

    return answer


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[[str], Story]]:
    with Telling(tmp_path) as telling:
        yield lambda program: Story(program, tmp_path, telling.env(program))


class Telling:
    """What a story needs around it: a simulated provider that writes into its log."""

    def __init__(self, folder: Path) -> None:
        self._provider = SimulatedProvider(simulated_mind(Log(folder / "log")))

    def env(self, program: str) -> dict[str, str]:
        if program != "hybrid":
            return {}
        # One vendor's SDK is enough here, and importing both takes most of a life.
        return {name: value for name, value in self._provider.env().items() if name.startswith("OPENAI")}

    def __enter__(self) -> Telling:
        self._provider.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._provider.__exit__(None, None, None)


@cache
def uninterrupted(program: str) -> tuple[Any, int]:
    """The result of a run that is never killed, and how many appends it made."""
    with TemporaryDirectory() as folder, Telling(Path(folder)) as telling:
        story = Story(program, Path(folder), telling.env(program))
        assert story.live()
        story.check(story.result)
        return story.result, max(line["number"] for line in story.log if line["what"] == "ack")


def killed_at(story: Story, point: str) -> None:
    expected, _ = uninterrupted(story.program)
    if not story.live(point):
        assert story.live()
    story.check(expected)


@pytest.mark.parametrize("point", points("engine"))
def test_a_run_killed_at_any_append_goes_on(begin: Callable[[str], Story], point: str) -> None:
    killed_at(begin("engine"), point)


@pytest.mark.xdist_group("hybrid")  # they share the uninterrupted run
@pytest.mark.parametrize("point", points("hybrid"))
def test_a_hybrid_run_killed_at_any_append_goes_on(begin: Callable[[str], Story], point: str) -> None:
    killed_at(begin("hybrid"), point)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_whose_every_process_is_killed_still_comes_to_its_end(begin: Callable[[str], Story], when: str) -> None:
    """Each process lives one append longer than the one before it."""
    expected, _ = uninterrupted("engine")
    story = begin("engine")
    life = 1
    while not story.live(f"{when}:{life}"):
        life += 1
    assert life > 5
    story.check(expected)


@pytest.mark.xdist_group("hybrid")
def test_the_points_cover_the_whole_hybrid_run() -> None:
    result, appends = uninterrupted("hybrid")
    assert result["status"] == "completed"
    assert set(result["stages"]) == {"planning", "execution", "verification"}
    assert appends == APPENDS["hybrid"]


def test_the_points_cover_the_whole_run() -> None:
    result, appends = uninterrupted("engine")
    assert result["status"] == "completed"
    assert APPENDS["engine"] - 1 <= appends <= APPENDS["engine"]
