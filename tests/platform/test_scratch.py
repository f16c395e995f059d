"""The files that code leaves behind: kept while a run may need them, given to its forks, and then gone by one rule."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interlock import Plan, Platform, Step
from interlock.errors import StoreFailed
from interlock.platform.doctor import check_scratch
from interlock.platform.scratch import Leftover, Scratch
from interlock.platform.settings import load
from interlock.testing import FakeClock
from interlock.tools.folders import remove
from interlock.tools.python import folder_name
from tests.cli.conftest import Cli, cli  # noqa: F401 - a fixture

DAY = 86_400.0
NOW = 1_800_000_000.0
WRITE = Step("write", tool="code_interpreter", tool_input={"code": "open('n.csv', 'w').write('3,4')"})
READ = Step("read", tool="code_interpreter", tool_input={"code": "open('n.csv').read()"}, dependencies=["write"])


def platform(tmp_path: Path, clock: FakeClock | None = None, **more: Any) -> Platform:
    return Platform(home=tmp_path / "home", clock=clock, **more)


def scratch_of(tmp_path: Path) -> Scratch:
    return Scratch(load(home=tmp_path / "home", cwd=tmp_path, environ={}))


def folder_for(tmp_path: Path, run_id: str, changed: float = NOW) -> Path:
    """A run's folder with a file of 4 bytes, last changed at a time."""
    folder = tmp_path / "home" / "scratch" / folder_name(run_id)
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "a.txt").write_text("file")
    os.utime(folder, (changed, changed))
    return folder


async def ran(made: Platform, run_id: str, tool: Any = None) -> None:
    def work() -> str:
        """Works."""
        return "done"

    await made.execute(Plan(run_id, [Step("a", tool=(tool or work).__name__)]), run_id=run_id, tools=[tool or work])


def fails() -> str:
    """Fails."""
    raise ValueError("no")


async def test_a_folder_goes_when_its_run_ended_long_ago_and_that_of_no_other_run_ever_does(tmp_path: Path) -> None:
    clock, scratch, begun = FakeClock(NOW, auto=True), scratch_of(tmp_path), asyncio.Event()

    async def waits() -> str:
        """Waits."""
        begun.set()
        await asyncio.sleep(3600)
        return "never"

    async with platform(tmp_path, clock) as made:
        await ran(made, "done")
        await ran(made, "With@Capitals")
        await ran(made, "broken", fails)
        going_on = asyncio.ensure_future(ran(made, "going-on", waits))
        await begun.wait()
        ids = ("done", "With@Capitals", "broken", "going-on", "nobodys", "touched")
        folders = {run_id: folder_for(tmp_path, run_id) for run_id in ids}
        assert scratch.old(NOW + 29 * DAY) == []
        os.utime(folders["touched"], (NOW + 31 * DAY, NOW + 31 * DAY))
        old = scratch.old(NOW + 32 * DAY)
        assert {one.folder for one in old} == {folders[one] for one in ("done", "With@Capitals", "broken", "nobodys")}
        assert {one.run_id for one in old} == {"done", "With@Capitals", "broken", ""}
        gone: list[Leftover] = []
        change = lambda what: asyncio.run(made._open().change(what))  # noqa: E731
        gone = await asyncio.to_thread(scratch.remove, old, change, NOW + 32 * DAY)
        assert gone == old
        assert scratch.folders() == sorted([folders["going-on"], folders["touched"]])
        assert (folders["going-on"] / "below" / "a.txt").read_text() == "file"
        going_on.cancel()
        await made.cancel("going-on")


async def test_a_run_that_is_taken_up_again_keeps_its_files_at_the_last_moment(tmp_path: Path) -> None:
    clock, scratch = FakeClock(NOW, auto=True), scratch_of(tmp_path)
    async with platform(tmp_path, clock) as made:
        await ran(made, "broken", fails)
        folder = folder_for(tmp_path, "broken")
        old = scratch.old(NOW + 40 * DAY)
        assert [one.folder for one in old] == [folder]
        await made._go_on("broken", None, "")
        change = lambda what: asyncio.run(made._open().change(what))  # noqa: E731
        assert await asyncio.to_thread(scratch.remove, old, change, NOW + 40 * DAY) == []
        assert (folder / "below" / "a.txt").exists()
        await made.wait("broken")


async def test_what_is_old_goes_by_itself_wherever_work_is_done(tmp_path: Path) -> None:
    clock = FakeClock(NOW, auto=True)
    async with platform(tmp_path, clock) as made:
        await ran(made, "first")
    folder, young = folder_for(tmp_path, "first"), folder_for(tmp_path, "young", NOW + 30 * DAY)
    await clock.advance(31 * DAY)
    async with platform(tmp_path, clock) as made:
        await ran(made, "second")
    assert (folder.exists(), young.exists()) == (False, True)


async def test_how_long_files_stay_is_a_setting(tmp_path: Path) -> None:
    async with platform(tmp_path, FakeClock(NOW, auto=True), code_interpreter={"retention_days": 2}) as made:
        await ran(made, "first")
        folder_for(tmp_path, "first")
        assert [len(Scratch(made.settings).old(NOW + days * DAY)) for days in (1.9, 2.1)] == [0, 1]


def test_a_removal_that_was_cut_off_is_finished_the_next_time_and_rights_do_not_hold_it_up(tmp_path: Path) -> None:
    scratch = scratch_of(tmp_path)
    folder = folder_for(tmp_path, "old")
    (folder / "below").chmod(0o000)
    (folder / "link").symlink_to(tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    os.rename(folder, going := folder.with_name(".going-old"))
    os.utime(going, (NOW, NOW))
    old = scratch.old(NOW + 40 * DAY)
    assert scratch.remove(old, None, NOW + 40 * DAY) == old
    assert scratch.folders() == []
    assert (tmp_path / "mine.txt").read_text() == "mine"


async def test_a_fork_begins_with_a_copy_of_the_files_its_kept_results_name(tmp_path: Path) -> None:
    tools = ["code_interpreter"]
    async with platform(tmp_path) as made:
        results = await made.execute(Plan("p", [WRITE, READ]), run_id="parent", tools=tools)
        assert results[0].output["files"] == [{"path": "n.csv", "bytes": 3}]
        os.mkfifo(tmp_path / "home" / "scratch" / "parent" / "pipe")
        code = "open('n.csv', 'a').write(',5') and open('n.csv').read()"
        child = await made.fork("parent", from_step="read", changes={"input.code": code}, run_id="child", tools=tools)
        await child.result()
        assert [one.output["value"] for one in (await made.run_state("child")).results[1:]] == ["'3,4,5'"]
        again = await made.fork("parent", from_step="read", changes={"input.code": code}, run_id="child", tools=tools)
        assert again.run_id == "child"
    kept = tmp_path / "home" / "scratch"
    assert (kept / "parent" / "n.csv").read_text() == "3,4"
    assert (kept / "child" / "n.csv").read_text() == "3,4,5"
    assert sorted(one.name for one in kept.iterdir()) == ["child", "parent"]
    assert time.time() - (kept / "child").stat().st_mtime < 600, "or it would be taken for an old one"


def test_files_that_cannot_be_copied_are_an_error_and_leave_nothing(tmp_path: Path) -> None:
    scratch = scratch_of(tmp_path)
    folder_for(tmp_path, "parent")
    (scratch.folder / "child").symlink_to(tmp_path / "nowhere")
    with pytest.raises(StoreFailed, match="cannot be copied"):
        scratch.copy("parent", "child")
    assert [one.name for one in scratch.folders()] == ["parent"]


@pytest.fixture
def emptied(tmp_path: Path) -> Iterator[Path]:
    """A folder that is removed whatever is in it; pytest cannot do that."""
    yield tmp_path
    remove(tmp_path)


async def test_code_that_nests_folders_without_end_holds_up_nothing_but_its_own_fork(emptied: Path) -> None:
    tmp_path = emptied
    code = "import os\nfor _ in range(3000):\n    os.mkdir('d'); os.chdir('d')"
    deep = Step("deep", tool="code_interpreter", tool_input={"code": code})
    async with platform(tmp_path) as made:
        [result] = await made.execute(Plan("p", [deep]), run_id="deep", tools=["code_interpreter"])
        assert result.status == "completed", result.error
        with pytest.raises(StoreFailed, match="cannot be copied") as error:
            await made.fork("deep", from_step="deep", run_id="child", tools=["code_interpreter"])
        assert "nested" in error.value.do
        await ran(made, "plain")
    folder_for(tmp_path, "plain")
    scratch, later = scratch_of(tmp_path), NOW + 40 * DAY
    for folder in scratch.folders():
        os.utime(folder, (NOW, NOW))
    assert [one.folder.name for one in scratch.remove(scratch.old(later), None, later)] == ["deep", "plain"]
    assert scratch.folders() == []


def test_a_removal_that_was_cut_off_does_not_hold_up_the_next_one_of_the_same_run(tmp_path: Path) -> None:
    scratch = scratch_of(tmp_path)
    folder_for(tmp_path, "old")
    (scratch.folder / ".going-old" / "half").mkdir(parents=True)
    old = [one for one in scratch.old(NOW + 40 * DAY) if one.folder.name == "old"]
    assert scratch.remove(old, None, NOW + 40 * DAY) == old
    assert scratch.folders() == []


def test_the_command_line_says_what_it_would_free_and_frees_it(tmp_path: Path, cli: Cli) -> None:  # noqa: F811
    home = ("--home", str(tmp_path / "home"))
    said = cli("run", "prune", "--dry-run", "--json", *home)
    assert (said.code, json.loads(said.out)["detail"]) == (0, {"folders": 0, "bytes": 0, "items": []})
    with platform_done(tmp_path, "first"):
        folder, new = folder_for(tmp_path, "first", 0.0), folder_for(tmp_path, "new", time.time())
    with sqlite3.connect(tmp_path / "home" / "interlock.db") as db:
        db.execute("UPDATE runs SET finished_at = finished_at - ?", (31 * DAY,))
    db.close()
    (check,) = check_scratch(load(home=tmp_path / "home", cwd=tmp_path, environ={}))
    assert check.says == "2 runs keep files of code, 0.0 MB; 0.0 MB may go."
    assert "interlock run prune" in check.do
    tried = json.loads(cli("run", "prune", "--dry-run", "--json", *home).out)
    assert (tried["applied"], tried["dry_run"], tried["detail"]["folders"], tried["detail"]["bytes"]) == (
        False,
        True,
        1,
        4,
    )
    assert tried["detail"]["items"][0]["run_id"] == "first"
    assert folder.exists()
    assert "1 folder with 0.0 MB would go" in cli("run", "prune", "--dry-run", *home).err
    done = json.loads(cli("run", "prune", "--json", *home).out)
    assert (done["applied"], done["detail"]) == (True, tried["detail"])
    assert (folder.exists(), new.exists()) == (False, True)
    assert cli("run", "show", "first", *home).code == 0, "what happened stays written down"


class platform_done:
    """A home in which a run was done."""

    def __init__(self, tmp_path: Path, run_id: str) -> None:
        with_platform = platform(tmp_path)
        with_platform.execute_sync(Plan("p", [Step("a", tool="done")]), run_id, tools=[done])
        with_platform.close_sync()

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def done() -> str:
    """Works."""
    return "done"
