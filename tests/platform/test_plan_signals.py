"""A program that is asked to stop in the middle of a plan ends in good order, and the plan goes on later."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

STEPS = """
import asyncio, signal, sys, time
from interlock import Plan, Platform, Step, configure, execute

def slow(name: str) -> str:
    "Takes its time."
    print("begun", name, flush=True)
    time.sleep(0.6)
    return name

plan = Plan("p", [
    Step("a", tool="slow", tool_input={"name": "a"}),
    Step("b", tool="slow", tool_input={"name": "b"}, dependencies=["a"]),
], tools=[slow])

def tell(results):
    print([(one.step_id, one.status) for one in results], flush=True)
"""
WITH_A_LOOP = """
async def main():
    platform = Platform(home=sys.argv[1])
    platform.close_on_signals()
    tell(await platform.execute(plan, run_id="p-1", resume=True))
    await platform.close()

asyncio.run(main())
"""
AS_THE_GUIDE_HAS_IT = """
def shutdown(signum, frame):
    print("Shutting down gracefully...", flush=True)
    sys.exit(0)

configure(home=sys.argv[1])
signal.signal(signal.SIGTERM, shutdown)
tell(execute(plan, run_id="p-1", resume=True))
"""


@pytest.mark.parametrize(
    ("program", "last"),
    [(WITH_A_LOOP, "[('a', 'completed'), ('b', 'pending')]"), (AS_THE_GUIDE_HAS_IT, "Shutting down gracefully...")],
)
def test_sigterm_ends_with_exit_code_0_and_the_plan_goes_on_without_repeating_a_step(
    tmp_path: Path, program: str, last: str
) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", STEPS + program, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun a\n"
        process.send_signal(signal.SIGTERM)
        printed, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert [line.split(" ", 1)[1] for line in errors.splitlines()] == [
        "warning  No run p-1 was found; it was begun anew."
    ]
    assert printed.splitlines() == [last]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=30, check=True)
    assert done.stdout.splitlines() == ["begun b", "[('a', 'completed'), ('b', 'completed')]"]
