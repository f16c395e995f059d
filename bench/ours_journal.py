"""Interlock in bench/journal: runs of ten steps through the engine, each step with its intent and its outcome."""

from __future__ import annotations

import asyncio

from bench.ours import NAME, admitted, opened, ten_steps
from bench.peers.stopwatch import journal_arguments, time_runs


async def main() -> None:
    """Measure it at each load."""
    found = journal_arguments()
    async with opened(found.directory, {"ten": ten_steps}) as engine:

        async def run(run_id: str) -> int:
            await engine.submit(run_id, admitted("ten"))
            end = await engine.wait(run_id)
            return int(end.finished.output) if end.finished is not None and end.finished.output else 0

        await time_runs(NAME, "interlock", found.loads, run)


if __name__ == "__main__":
    asyncio.run(main())
