"""A process of the budget storm, `python -m tests.crash.spender FOLDER WORKER TASKS`: it spends until it is shot.

Every call that is really made is logged before and after, where a kill loses nothing. Then it looks after the runs
that others left behind, until nothing is left to do.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path
from typing import Any

from interlock.agents.agent import Attempt, Done
from interlock.engine.bench import RunBench
from interlock.engine.drive import Outcome
from interlock.engine.engine import Engine, EngineSettings
from interlock.engine.retry import RetryPolicy
from interlock.errors import AgentTimeoutError, Conflict, DrivenElsewhere, NotFound, RateLimitError
from interlock.governance.budgets import Budget
from interlock.governance.charging import Till
from interlock.governance.gate import PolicyGate
from interlock.records.fact import RunAdmitted
from interlock.records.money import Usage
from interlock.records.run import Run
from interlock.records.task import TaskStatus
from interlock.records.verdict import Act
from interlock.stores.journal import Query
from interlock.stores.sqlite import SqliteJournal
from tests.crash.killing import Log

CALLS = 3
#: What a call is held for, in micro-dollars, and what it costs at most and at least.
HELD, DEAREST, CHEAPEST = 10_000, 10_000, 1_000
BUDGET = Budget(limit="2 USD", per="total", name="storm")
TENANTS = Budget(limit="0.50 USD", per="total", scope="tenant", name="tenants")


async def spend(bench: RunBench, run: Run, log: Log, dice: random.Random) -> Outcome:
    """A few model calls, some of which fail: for nothing, or nobody knows for how much."""

    async def act(attempt: Attempt) -> Done:
        cost = dice.randint(CHEAPEST, DEAREST)
        log.write("call", run=run.run_id, path=attempt.path, cost=cost)
        await asyncio.sleep(dice.random() * 0.1)
        match dice.random():
            case chance if chance < 0.08:
                log.write("free", run=run.run_id, path=attempt.path, cost=cost)
                raise RateLimitError("busy")
            case chance if chance < 0.14:
                raise AgentTimeoutError("late")
        return Done(output=cost, usage=Usage(input_tokens=1, requests=1), cost_micros=cost)

    judge = Act(kind="model", name="m", agent="ann", arguments={"provider": "sim"} | bound())
    for number in range(CALLS):
        await bench.step(f"model/{number}", act, what="model", label="sim:m", judge=judge)
    return Outcome(output="spent", agent="ann")


def bound() -> dict[str, Any]:
    return {"input_bytes": 10, "max_output_tokens": 10}


async def main(folder: Path, worker: int, tasks: int) -> None:
    log, dice = Log(folder / "log"), random.Random()
    journal = SqliteJournal(folder / "interlock.db")
    now = asyncio.get_running_loop().time
    till = Till(lambda: [BUDGET, TENANTS], lambda: None, lambda *of: HELD, lambda: now() + 1_800_000_000)
    engine = Engine(
        journal,
        PolicyGate(judges={"model": [till]}),
        {"spend": lambda bench, run: spend(bench, run, log, dice)},
        settings=EngineSettings(retry=RetryPolicy(base=0.001, cap=0.002), adopt=True),
    )
    log.write("born", worker=worker)
    async with asyncio.TaskGroup() as group:
        for number in range(tasks):
            group.create_task(one(engine, f"run-{worker}-{number}", f"tenant-{number % 5}"))
    while rows := [row for row in await journal.runs(Query(limit=10_000)) if not row.status.is_final]:
        await engine.recover()
        await asyncio.sleep(0.02)
        if all(row.driven for row in rows):  # they are somebody else's
            break
    await engine.close()
    await journal.close()
    log.write("done", worker=worker)


async def one(engine: Engine, run_id: str, tenant: str) -> None:
    task = {"description": "spend", "priority": 3, "tenant": tenant}
    try:
        await engine.submit(run_id, [RunAdmitted(task=task, task_id=run_id, flow="spend", digest="d")])
    except Conflict:  # an earlier life of this worker began it
        try:
            if (await engine.load(run_id)).status in (TaskStatus.PENDING, TaskStatus.RUNNING):
                await engine.resume(run_id, by="again")
        except (DrivenElsewhere, Conflict, NotFound):
            return
    await engine.wait(run_id)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
