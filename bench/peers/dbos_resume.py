"""DBOS: a workflow of many finished steps that is killed, and the time until its next step in a new process."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from importlib.metadata import version
from typing import Any

from dbos import DBOS, SetWorkflowID
from dbos_journal import launch
from stopwatch import RESULT

steps = 0
next_step_at: float | None = None


@DBOS.step()
async def step(number: int) -> dict[str, Any]:
    """A step that does nothing."""
    return RESULT


@DBOS.step()
async def last(stay: bool) -> None:
    """The step in which the process is killed; in the new process it says when it was reached."""
    global next_step_at
    next_step_at = time.time()
    if stay:
        print("READY", flush=True)
        await asyncio.sleep(3600)


@DBOS.workflow()
async def long_run() -> None:
    """The steps, and then the one that stays."""
    for number in range(steps):
        await step(number)
    await last(stay)


async def main() -> None:
    """Fill and stay, or resume and say when the next step was reached."""
    global steps, stay
    parser = argparse.ArgumentParser()
    parser.add_argument("phase", choices=["fill", "resume"])
    parser.add_argument("--dir", required=True)
    parser.add_argument("--steps", type=int, required=True)
    found = parser.parse_args()
    steps, stay = found.steps, found.phase == "fill"
    launched = time.time()
    launch(found.dir)
    if stay:
        with SetWorkflowID("long"):
            await long_run()
        return
    handle: Any = await DBOS.retrieve_workflow_async("long")
    await handle.get_result()
    line = {"name": "DBOS, SQLite", "version": version("dbos"), "asked_at": launched, "next_step_at": next_step_at}
    print(json.dumps(line | {"cpu_s": time.process_time()}), flush=True)
    DBOS.destroy()


stay = False

if __name__ == "__main__":
    asyncio.run(main())
