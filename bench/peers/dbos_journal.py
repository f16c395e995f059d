"""DBOS: a workflow of ten steps on SQLite, WAL and synchronous=FULL set on every connection."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, SetWorkflowID
from stopwatch import RESULT, STEPS_PER_RUN, journal_arguments, time_runs


@sa.event.listens_for(sa.Engine, "connect")
def tune(connection: Any, _: object) -> None:
    """The fastest that is still safe against power loss."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def launch(directory: str) -> None:
    """Start DBOS on a file in this directory, without anything that speaks to a network."""
    path = Path(directory) / "dbos.sqlite"
    DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{path}", "log_level": "ERROR"})
    DBOS.launch()


@DBOS.step()
async def step(number: int) -> dict[str, Any]:
    """A step that does nothing and returns about 200 bytes."""
    return RESULT


@DBOS.workflow()
async def ten_steps() -> int:
    """Ten steps in a row."""
    done = 0
    for number in range(STEPS_PER_RUN):
        await step(number)
        done += 1
    return done


async def main() -> None:
    """Measure it at each load."""
    found = journal_arguments()
    launch(found.directory)

    async def run(run_id: str) -> int:
        with SetWorkflowID(run_id):
            return await ten_steps()

    try:
        await time_runs("DBOS, SQLite", "dbos", found.loads, run)
    finally:
        DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main())
