"""Interlock in bench/size: fills a store, or holds many runs in flight or waiting and says how much it grew."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
from pathlib import Path

from bench.ours import admitted, opened, ten_steps
from bench.peers.stopwatch import at_once
from interlock.agents.agent import Attempt
from interlock.engine.bench import RunBench
from interlock.engine.drive import Outcome
from interlock.engine.engine import Engine
from interlock.records.run import Run

WARM_UP = 200
HOUR = 3600.0


def resident_mb() -> float:
    """What this process has in memory now, in MB."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class InFlight:
    """Runs that are all in the middle of a step at the same time."""

    def __init__(self) -> None:
        self.inside = 0
        self.go_on = asyncio.Event()

    async def flow(self, bench: RunBench, run: Run) -> Outcome:
        """One step that lasts until all may go on."""
        await bench.step("hold", self._hold, what="function", attempts=1)
        return Outcome(output="done")

    async def _hold(self, attempt: Attempt) -> None:
        self.inside += 1
        await self.go_on.wait()


async def waits(bench: RunBench, run: Run) -> Outcome:
    """Wait for an hour, durably."""
    await bench.sleep("an hour", HOUR)
    return Outcome(output="done")


async def flying(directory: str, count: int) -> float:
    """How much so many runs in the middle of a step cost."""
    held = InFlight()
    async with opened(directory, {"ten": ten_steps, "hold": held.flow}, max_runs=count + 10) as engine:
        await finish(engine, WARM_UP)
        before = resident_mb()
        await at_once(256, count, lambda number: engine.submit(f"fly-{number}", admitted("hold")))
        while held.inside < count:
            await asyncio.sleep(0.05)
        grown = resident_mb() - before
        held.go_on.set()
        while engine.driving:
            await asyncio.sleep(0.05)
    return grown


async def waiting(directory: str, count: int) -> float:
    """How much so many parked runs cost beyond the first thousand, whose caches and buffers stay as they are."""
    async with opened(directory, {"wait": waits}) as engine:
        await park(engine, "warm", 1000)
        before = resident_mb()
        await park(engine, "wait", count)
        return resident_mb() - before


async def park(engine: Engine, name: str, count: int) -> None:
    """Start so many runs that wait, and come back when they do."""
    await at_once(256, count, lambda number: engine.submit(f"{name}-{number}", admitted("wait")))
    while engine.driving:
        await asyncio.sleep(0.05)


async def finish(engine: Engine, count: int) -> None:
    """So many runs from beginning to end."""

    async def run(number: int) -> None:
        await engine.submit(f"warm-{number}", admitted("ten"))
        await engine.wait(f"warm-{number}")

    await at_once(64, count, run)


async def finished(directory: str, count: int) -> float:
    """Leave so many finished runs in the store of this home."""
    async with opened(directory, {"ten": ten_steps}) as engine:
        await finish(engine, count)
    return 0.0


def main() -> None:
    """Do what is asked and print how much the process grew."""
    phases = {"flying": flying, "waiting": waiting, "finished": finished}
    parser = argparse.ArgumentParser()
    parser.add_argument("phase", choices=list(phases))
    parser.add_argument("--dir", required=True)
    parser.add_argument("--count", type=int, required=True)
    found = parser.parse_args()
    grown = asyncio.run(phases[found.phase](found.dir, found.count))
    print(json.dumps({"phase": found.phase, "count": found.count, "grown_mb": grown}))


if __name__ == "__main__":
    main()
