"""LangGraph: a graph with a node for each step, its SQLite saver, sync durability, synchronous=FULL."""

from __future__ import annotations

import asyncio
import operator
import sys
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from stopwatch import measured

from plans import Shape, plan_arguments, wide

NAME = "LangGraph, SQLite"


class State(TypedDict, total=False):
    """What goes from node to node: how many were done."""

    done: Annotated[int, operator.add]


def graph(shape: Shape, pause_s: float = 0.0) -> StateGraph[State]:
    """A node for each step; it waits for all that it needs."""

    async def step(state: State) -> State:
        if pause_s:
            await asyncio.sleep(pause_s)
        return {"done": 1}

    made = StateGraph(State)
    needed = {need for needs in shape.values() for need in needs}
    for name in shape:
        made.add_node(name, step)
    for name, needs in shape.items():
        made.add_edge(list(needs) if needs else START, name)
        if name not in needed:
            made.add_edge(name, END)
    return made


async def main() -> None:
    """Measure each shape, then the fan-out."""
    found = plan_arguments()
    async with AsyncSqliteSaver.from_conn_string(str(Path(found.directory) / "langgraph.sqlite")) as saver:
        await saver.setup()
        await saver.conn.execute("PRAGMA synchronous=FULL")

        async def run(measure: str, shape: Shape, count: int, pause_s: float = 0.0, at_once: int = 10_000) -> None:
            app = graph(shape, pause_s).compile(checkpointer=saver)
            config: Any = {"configurable": {"thread_id": measure}, "recursion_limit": len(shape) + 10}
            config["max_concurrency"] = at_once
            with measured(NAME, measure, count, "langgraph"):
                said = await app.ainvoke({"done": 0}, config, durability="sync")
            if said["done"] != len(shape):
                sys.exit(f"{NAME} did {said['done']} steps instead of {len(shape)}")

        for name, shape in found.shapes.items():
            await run(name, shape, len(shape))
        await run("fan_out", wide(found.fan_out), 1, found.pause_s)
        await run("fan_out_in_turns", wide(found.fan_out), 1, found.pause_s, at_once=found.fan_out // 10)


if __name__ == "__main__":
    asyncio.run(main())
