"""Interlock in bench/resume: many finished steps, killed in the next, resumed by a new process."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from importlib.metadata import version

from bench.ours import NAME, admitted, held_up, nothing, opened
from interlock.agents.agent import Attempt
from interlock.engine.bench import RunBench
from interlock.engine.drive import Outcome
from interlock.records.run import Run


class LongRun:
    """A flow of so many steps, and then one that stays or says when it was reached."""

    def __init__(self, steps: int, *, stay: bool) -> None:
        self.steps = steps
        self.stay = stay
        self.reached_at = 0.0

    async def flow(self, bench: RunBench, run: Run) -> Outcome:
        """The program of the run, the same in both processes."""
        for number in range(self.steps):
            await bench.step(f"step-{number}", nothing, what="function", attempts=1)
        await bench.step("last", self._last, what="function", attempts=1)
        return Outcome(output=self.steps)

    async def _last(self, attempt: Attempt) -> None:
        self.reached_at = time.time()
        if self.stay:
            print("READY", flush=True)
            await held_up()


async def main() -> None:
    """Fill and stay, or resume and say when the next step was reached."""
    parser = argparse.ArgumentParser()
    parser.add_argument("phase", choices=["fill", "resume"])
    parser.add_argument("--dir", required=True)
    parser.add_argument("--steps", type=int, required=True)
    found = parser.parse_args()
    program = LongRun(found.steps, stay=found.phase == "fill")
    asked_at = time.time()
    async with opened(found.dir, {"long": program.flow}) as engine:
        if program.stay:
            await engine.submit("long", admitted("long"))
        else:
            await engine.resume("long", by="bench")
        await engine.wait("long")
    line = {"name": NAME, "version": version("interlock"), "asked_at": asked_at, "next_step_at": program.reached_at}
    print(json.dumps(line | {"cpu_s": time.process_time()}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
