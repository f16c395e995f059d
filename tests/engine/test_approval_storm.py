"""Many approvals, each answered twice at once by two processes: every one counts once, and is used once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

from interlock.agents.agent import Attempt
from interlock.engine.bench import RunBench
from interlock.engine.drive import Outcome
from interlock.records.fact import ApprovalUsed
from interlock.records.run import Run
from interlock.records.verdict import Act, Effect, Verdict
from tests.engine.rig import ToldGate, rig
from tests.stores.processes import started

NUMBER = 1_000


async def test_a_thousand_approvals_answered_twice_at_once_are_each_used_once(tmp_path: Path) -> None:
    path = tmp_path / "interlock.db"
    did: Counter[str] = Counter()
    gate = ToldGate()
    gate.verdicts = {"tool": Verdict(effect=Effect.APPROVAL, rule="deploys", reason="Deploys need a yes.")}

    async def flow(bench: RunBench, run: Run) -> Outcome:
        async def deploy(attempt: Attempt) -> str:
            did[bench.run_id] += 1
            return "deployed"

        judge = Act(kind="tool", name="deploy", arguments={"to": bench.run_id})
        return Outcome(output=await bench.step("tool/1", deploy, what="tool", judge=judge))

    async with rig(flow, path=path, gate=gate) as test:
        runs = [f"run-{number}" for number in range(NUMBER)]
        async with asyncio.TaskGroup() as group:
            for run in runs:
                group.create_task(test.go(run))
        assert len(await test.journal.questions(limit=2 * NUMBER)) == NUMBER
        went = await _answered_twice(path)
        async with asyncio.timeout(60):
            while len(did) < NUMBER:
                await asyncio.sleep(0.05)
        used: Counter[str] = Counter()
        for run in runs:
            facts = [one.fact for one in await test.journal.read(run)]
            used.update(fact.question_id for fact in facts if isinstance(fact, ApprovalUsed))
    assert went["won"] == NUMBER
    assert went["won"] + went["approval.already_answered"] == 2 * NUMBER
    assert (len(used), max(used.values())) == (NUMBER, 1)
    assert (len(did), max(did.values())) == (NUMBER, 1)


async def _answered_twice(path: Path) -> Counter[str]:
    """Two processes that begin at the same moment, with the same list."""

    def both() -> list[dict[str, Any]]:
        with (
            started("tests.engine.answerer", str(path), "ben", str(NUMBER)) as one,
            started("tests.engine.answerer", str(path), "cem", str(NUMBER)) as two,
        ):
            processes = (one, two)
            for process in processes:
                assert process.stdout is not None
                assert process.stdout.readline() == f"ready {NUMBER}\n"
            for process in processes:
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
            return [json.loads(process.stdout.readline()) for process in processes if process.stdout is not None]

    went: Counter[str] = Counter()
    for one in await asyncio.to_thread(both):
        went.update(one)
    return went
