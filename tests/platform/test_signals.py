"""A program that is asked to stop parks its runs, and another one goes on with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from interlock import Platform
from interlock.errors import UsageError

PROGRAM = """
import asyncio, sys
from interlock import Platform, Task
from interlock.agents.agent import Answer

class Slow:
    id = "slow"
    async def work(self, brief, bench):
        async def act(attempt):
            print("step", flush=True)
            await asyncio.sleep(0.3)
            return 1
        for number in range(1000):
            await bench.step(f"s{number}", act, what="function")
        return Answer(output="done", agent="slow")

async def main():
    platform = Platform(home=sys.argv[1])
    platform.register_agent("slow", Slow())
    platform.close_on_signals()
    result = await platform.run(Task("work", id="work-1", context={"agent": "slow"}))
    print(result.status, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_parks_the_run_after_its_step(tmp_path: Path, number: signal.Signals) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "step\n"
        program.send_signal(number)
        printed, errors = program.communicate(timeout=30)
    assert (program.returncode, errors) == (0, "")
    assert printed.splitlines()[-1] == "waiting"
    async with Platform(home=tmp_path) as platform:
        run = await platform.show("work-1")
    assert run.waiting is not None
    assert run.waiting.reason == "shutdown"
    assert all(step.status == "finished" for step in run.steps.values()), "the step in the middle was finished"


def test_without_a_running_loop_it_is_said_that_nobody_would_hear_signals(tmp_path: Path) -> None:
    platform = Platform(home=tmp_path)
    with pytest.raises(UsageError, match="event loop"):
        platform.close_on_signals()
    platform.close_sync()
