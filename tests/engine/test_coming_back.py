"""Runs come back: after a shutdown, with a dead process's timers, and with a fresh timeout for a new try."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from interlock import Platform, Task
from interlock.engine.bench import RunBench
from interlock.engine.drive import Outcome
from interlock.engine.engine import Engine
from interlock.records.fact import RunAdmitted
from interlock.records.run import Run
from interlock.records.verdict import ALLOWED, Act, Verdict
from interlock.stores.liveness import Liveness
from interlock.stores.sqlite import SqliteJournal
from interlock.testing import FakeClock


class _Open:
    async def admit(self, act: Act) -> Verdict:
        return ALLOWED


async def _sleeper(bench: RunBench, run: Run) -> Outcome:
    await bench.sleep("nap", 60)
    return Outcome(output="rested")


async def test_a_timer_of_a_process_that_is_gone_is_taken_over_by_recover(tmp_path: Path) -> None:
    clock = FakeClock()
    first = SqliteJournal(tmp_path / "store.db", now=clock.now)
    engine = Engine(first, _Open(), {"nap": _sleeper}, clock=clock)
    await engine.submit("run-1", [RunAdmitted(task={"description": "rest"}, task_id="t", flow="nap", digest="d")])
    while engine.driving:
        await clock.advance(0)
    await engine.close()
    await first.close()

    second = SqliteJournal(tmp_path / "store.db", now=clock.now)
    again = Engine(second, _Open(), {"nap": _sleeper}, clock=clock)
    assert await again.recover() == ["run-1"]
    ending = asyncio.ensure_future(again.wait("run-1"))
    while not ending.done():
        await clock.advance(10)
    end = await ending
    assert end.finished is not None
    assert end.finished.output == "rested"
    await again.close()
    await second.close()


async def test_a_run_that_failed_by_its_timeout_gets_the_whole_timeout_again(tmp_path: Path) -> None:
    slow = [True]

    async def work(text: str) -> str:
        if slow[0]:
            await asyncio.sleep(30)
        return "in time"

    async with Platform(home=tmp_path) as platform:
        platform.register_agent("openai", work)
        late = await platform.run(Task("hurry", id="late-1", timeout=0.2))
        assert late.error_code == "agent.timeout"
        slow[0] = False
        asked = await platform.resume("late-1")
        assert asked.status == "awaiting_approval", "it may have happened before the time was up"
        again = await platform.resume("late-1", in_doubt="repeat")
    assert (again.status, again.output) == ("completed", "in time")


def test_a_forked_child_does_not_keep_its_dead_parent_alive(tmp_path: Path) -> None:
    program = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from interlock.stores.liveness import Liveness\n"
        f"held = Liveness(Path({str(tmp_path)!r}) / 'drivers', 'parent')\n"
        "if os.fork() == 0:\n"
        "    os.close(1)\n"
        "    sys.stdin.read()\n"
        "    os._exit(0)\n"
        "print('up', flush=True)\n"
        "os._exit(0)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.read() == b"up\n"
        parent.wait()
        watching = Liveness(tmp_path / "drivers", "other")
        assert not watching.alive("parent"), "the forked child is still there, the owner is not"
        watching.close()
