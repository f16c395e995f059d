"""LangGraph: a graph of ten nodes in a row, its SQLite saver, sync durability, synchronous=FULL."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, TypedDict

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from stopwatch import RESULT, STEPS_PER_RUN, journal_arguments, time_runs


class State(TypedDict, total=False):
    """What goes from node to node: how many were done, and what the last one said."""

    done: int
    last: dict[str, Any]


async def step(state: State) -> State:
    """A step that does nothing and returns about 200 bytes."""
    return {"done": state.get("done", 0) + 1, "last": RESULT}


def graph() -> StateGraph[State]:
    """Ten steps in a row."""
    made = StateGraph(State)
    names = [f"step-{number}" for number in range(STEPS_PER_RUN)]
    for name in names:
        made.add_node(name, step)
    for before, after in zip([START, *names], [*names, END], strict=True):
        made.add_edge(before, after)
    return made


async def main() -> None:
    """Measure it at each load."""
    found = journal_arguments()
    async with AsyncSqliteSaver.from_conn_string(str(Path(found.directory) / "langgraph.sqlite")) as saver:
        await saver.setup()
        await saver.conn.execute("PRAGMA synchronous=FULL")
        app = graph().compile(checkpointer=saver)

        async def run(run_id: str) -> int:
            said = await app.ainvoke({"done": 0}, {"configurable": {"thread_id": run_id}}, durability="sync")
            return int(said["done"])

        await time_runs("LangGraph, SQLite", "langgraph", found.loads, run)


if __name__ == "__main__":
    asyncio.run(main())
