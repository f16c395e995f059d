"""Interlock's engine as the benchmarks run it: an SQLite journal on the disk, and flows that do nothing but steps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench.peers.stopwatch import RESULT, STEPS_PER_RUN
from interlock.agents.agent import Attempt
from interlock.engine.bench import RunBench
from interlock.engine.drive import Flow, Outcome
from interlock.engine.engine import Engine, EngineSettings
from interlock.records.fact import RunAdmitted
from interlock.records.run import Run
from interlock.records.verdict import ALLOWED, Act, Verdict
from interlock.stores.sqlite import SqliteJournal

NAME = "Interlock, SQLite"


class OpenGate:
    """Allows everything: the steps of these benchmarks touch nothing."""

    async def admit(self, act: Act) -> Verdict:
        """Always yes."""
        return ALLOWED

    async def settle(self, act: Act, *, cost_micros: int | None, tokens: int, failed: bool) -> None:
        """Nothing was spent."""


async def nothing(attempt: Attempt) -> dict[str, Any]:
    """A step that does nothing and returns about 200 bytes."""
    return RESULT


async def ten_steps(bench: RunBench, run: Run) -> Outcome:
    """Ten steps in a row."""
    for number in range(STEPS_PER_RUN):
        await bench.step(f"step-{number}", nothing, what="function", attempts=1)
    return Outcome(output=STEPS_PER_RUN)


@asynccontextmanager
async def opened(directory: str, flows: Mapping[str, Flow], max_runs: int = 1000) -> AsyncIterator[Engine]:
    """An engine over the store in this directory."""
    journal = SqliteJournal(Path(directory) / "interlock.db")
    engine = Engine(journal, OpenGate(), flows, settings=EngineSettings(max_runs=max_runs))
    try:
        yield engine
    finally:
        await engine.close()
        await journal.close()


def admitted(flow: str) -> list[RunAdmitted]:
    """The first fact of a run of this flow."""
    task = {"description": "do nothing", "priority": 3}
    return [RunAdmitted(task=task, task_id="bench", flow=flow, digest="bench")]


async def held_up() -> None:
    """Never come back by itself."""
    await asyncio.Event().wait()
