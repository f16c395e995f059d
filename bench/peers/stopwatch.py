"""What every contender shares: the command line, the stopwatch, and the lines of JSON it prints.

Standard library only, since it runs in the peers' environment and in ours.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version

STEPS_PER_RUN = 10
RESULT = {"text": "x" * 180, "ok": True}

ANSWER_STARTS = "The disks are 42 percent full"
QUESTION = "How full are the disks here, and what should I clean first?"
SYSTEM = "You are a careful operator. Answer in one sentence."
TOOL_DESCRIPTION = "How full one disk is."
TOOL_SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
OPENAI_MODEL = "gpt-4.1-mini"
ANTHROPIC_MODEL = "claude-sonnet-4-5"
TOOL_CALLS = 5

#: How often the tool was really run; every contender's tool counts itself here.
lookups = 0


async def lookup(name: str) -> str:
    """How full one disk is."""
    global lookups
    lookups += 1
    return f"{name} is 42 percent full"


def report(name: str, measure: str, count: int, wall_s: float, cpu_s: float, of: str = "", **more: object) -> None:
    """Print one measure: how many of what, in how many seconds of time and of CPU."""
    shown = version(of) if of else ""
    line = {"name": name, "version": shown, "measure": measure, "count": count, "wall_s": wall_s, "cpu_s": cpu_s}
    print(json.dumps(line | more), flush=True)


@contextmanager
def measured(name: str, measure: str, count: int, of: str = "") -> Iterator[None]:
    """Print what the block took; CPU is that of the whole process, all threads."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    report(name, measure, count, time.perf_counter() - wall, time.process_time() - cpu, of)


async def at_once(workers: int, times: int, job: Callable[[int], Awaitable[object]]) -> None:
    """Do a job so many times with so many workers; each takes the next when it has finished one."""
    numbers = iter(range(times))

    async def worker() -> None:
        for number in numbers:
            await job(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(worker())


#: Pairs of how many runs at once and how many in all.
Loads = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class JournalArguments:
    """What a journal contender is asked: these numbers of concurrent runs, each with so many runs in all."""

    directory: str
    loads: Loads


def journal_arguments(argv: list[str] | None = None) -> JournalArguments:
    """Read `--dir DIR --loads 1:20,32:64` (runs at once : runs in all)."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", required=True)
    parser.add_argument("--loads", required=True)
    found = parser.parse_args(argv)
    loads = tuple((int(at), int(runs)) for at, runs in (load.split(":") for load in found.loads.split(",")))
    return JournalArguments(directory=found.dir, loads=loads)


async def time_runs(name: str, of: str, loads: Loads, run: Callable[[str], Awaitable[int]]) -> None:
    """Measure a contender at each load. `run` does one run of ten steps and returns how many steps it did."""
    for warm in range(3):
        await run(f"warm-{warm}")
    for workers, runs in loads:
        done = 0

        async def job(number: int, workers: int = workers) -> None:
            nonlocal done
            steps = await run(f"run-{workers}-{number}")
            done += steps

        with measured(name, f"steps_{workers}", runs * STEPS_PER_RUN, of):
            await at_once(workers, runs, job)
        if done != runs * STEPS_PER_RUN:
            sys.exit(f"{name} did {done} steps instead of {runs * STEPS_PER_RUN}")


#: Opens a client for an address; gives a function that asks once and returns the text of the answer.
Connect = Callable[[str, bool], AbstractAsyncContextManager[Callable[[], Awaitable[str]]]]


def call_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Read `--url URL --api chat|responses|messages --one N --tools N --load N --at-once N`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--api", default="chat", choices=["chat", "responses", "messages"])
    parser.add_argument("--one", type=int, default=100)
    parser.add_argument("--tools", type=int, default=20)
    parser.add_argument("--load", type=int, default=512)
    parser.add_argument("--at-once", type=int, default=256)
    return parser.parse_args(argv)


async def time_calls(name: str, of: str, found: argparse.Namespace, connect: Connect) -> None:
    """Measure a contender: one call, a call with five tool calls, and many tasks at once against 50 ms."""
    for measure, address, with_tools, times, workers in (
        ("one", "/0/plain/v1", False, found.one, 1),
        ("tools", "/0/tools/v1", True, found.tools, 1),
        ("load", "/50/plain/v1", False, found.load, found.at_once),
    ):
        async with connect(found.url + address, with_tools) as ask:

            async def job(_: int, ask: Callable[[], Awaitable[str]] = ask) -> None:
                said = await ask()
                if not said.startswith(ANSWER_STARTS):
                    sys.exit(f"{name} answered {said[:80]!r}")

            warm_up = workers if workers > 1 else max(3, times // 10)
            await at_once(workers, warm_up, job)
            before = lookups
            with measured(name, measure, times, of):
                await at_once(workers, times, job)
            if with_tools and lookups - before != times * TOOL_CALLS:
                sys.exit(f"{name} ran {lookups - before} tool calls instead of {times * TOOL_CALLS}")
