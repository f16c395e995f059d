"""A process that says yes to everything that waits: `python -m tests.engine.answerer FILE NAME NUMBER`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from interlock.errors import InterlockError
from interlock.platform.approvals import Approvals
from interlock.stores.sqlite import SqliteJournal

AT_ONCE = 32


async def main(path: Path, name: str, number: int) -> None:
    """Wait for the starting signal on standard input, answer, and print how each answer went."""
    journal = SqliteJournal(path)
    approvals = Approvals(lambda: journal, path.parent, time.time)
    waiting = [one.id for one in await approvals.waiting(number)]
    went: dict[str, int] = {}
    room = asyncio.Semaphore(AT_ONCE)

    async def answer(id: str) -> None:
        async with room:
            try:
                await approvals.approve(id, by=name)
                code = "won"
            except InterlockError as error:
                code = error.code
            went[code] = went.get(code, 0) + 1

    print(f"ready {len(waiting)}", flush=True)
    sys.stdin.readline()
    async with asyncio.TaskGroup() as group:
        for id in waiting:
            group.create_task(answer(id))
    await journal.close()
    print(json.dumps(went), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
