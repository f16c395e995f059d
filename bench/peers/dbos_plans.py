"""DBOS: a workflow that does the steps of a plan as async steps, those that may run at once gathered."""

from __future__ import annotations

import asyncio
import sys

from dbos import DBOS, SetWorkflowID
from dbos_journal import launch
from stopwatch import measured

from plans import Shape, layers, plan_arguments, wide

NAME = "DBOS, SQLite"


@DBOS.step()
async def step(number: int, pause_s: float) -> int:
    """A step that does nothing, or waits."""
    if pause_s:
        await asyncio.sleep(pause_s)
    return 1


@DBOS.workflow()
async def carry_out(rows: list[int], pause_s: float) -> int:
    """Rows of so many steps each; those of a row at once, a row after the one before it."""
    done = 0
    for row in rows:
        done += sum(await asyncio.gather(*[step(number, pause_s) for number in range(row)]))
    return done


async def main() -> None:
    """Measure each shape, then the fan-out."""
    found = plan_arguments()
    launch(found.directory)

    async def run(measure: str, shape: Shape, count: int, pause_s: float = 0.0, at_once: int = 10_000) -> None:
        rows = [min(at_once, len(row) - begin) for row in layers(shape) for begin in range(0, len(row), at_once)]
        with measured(NAME, measure, count, "dbos"), SetWorkflowID(measure):
            done = await carry_out(rows, pause_s)
        if done != len(shape):
            sys.exit(f"{NAME} did {done} steps instead of {len(shape)}")

    try:
        for name, shape in found.shapes.items():
            await run(name, shape, len(shape))
        await run("fan_out", wide(found.fan_out), 1, found.pause_s)
        await run("fan_out_in_turns", wide(found.fan_out), 1, found.pause_s, at_once=found.fan_out // 10)
    finally:
        DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main())
