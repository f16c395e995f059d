"""The limit in bench/plans: each row of steps is encoded, appended to one file and synced before the next begins."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from stopwatch import RESULT, measured

from plans import Shape, layers, plan_arguments, wide

NAME = "append-only file, synced for each row"


async def main() -> None:
    """Measure each shape, then the fan-out."""
    found = plan_arguments()
    file = os.open(Path(found.directory) / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append(kind: str, names: list[str], output: object = None) -> None:
        lines = [json.dumps({"kind": kind, "path": name, "output": output}) for name in names]
        os.write(file, ("\n".join(lines) + "\n").encode())
        os.fdatasync(file)

    async def run(measure: str, shape: Shape, count: int, pause_s: float = 0.0, at_once: int = 10_000) -> None:
        rows = [row[at : at + at_once] for row in layers(shape) for at in range(0, len(row), at_once)]
        with measured(NAME, measure, count):
            for row in rows:
                append("intent", row)
                await asyncio.sleep(pause_s)
            append("outcome", rows[-1], RESULT)

    for name, shape in found.shapes.items():
        await run(name, shape, len(shape))
    await run("fan_out", wide(found.fan_out), 1, found.pause_s)
    await run("fan_out_in_turns", wide(found.fan_out), 1, found.pause_s, at_once=found.fan_out // 10)


if __name__ == "__main__":
    asyncio.run(main())
