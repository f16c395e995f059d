"""Many processes spend one small budget while they are shot: not one micro-dollar too much, and nothing held for ever.

`INTERLOCK_CRASH=all` makes it the full size: more kills, over more rounds.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.crash.spender import BUDGET, TENANTS
from tests.stores.processes import ROOT

pytestmark = pytest.mark.crash

FULL = os.environ.get("INTERLOCK_CRASH") == "all"
PROCESSES, TASKS, KILLS = (4, 512, 40) if FULL else (4, 64, 8)  # more shots need more to shoot at
#: Longest life of the whole storm, in seconds.
LIFE = 110
SEED = 7


class Storm:
    """The processes, the shots, and what they left behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kills = 0

    async def rage(self) -> None:
        dice = random.Random(SEED)
        async with asyncio.timeout(LIFE), asyncio.TaskGroup() as group:
            for worker in range(PROCESSES):
                group.create_task(self._lives(worker, random.Random(dice.random())))

    async def _lives(self, worker: int, dice: random.Random) -> None:
        """One worker: begun again after each shot, until it comes to its end."""
        while True:
            process = self._begin(worker)
            if self.kills < KILLS:
                self.kills += 1
                await self._until_it_spends(worker, process)
                await asyncio.sleep(dice.uniform(0.01, 0.25))
                process.kill()
            code = await asyncio.to_thread(process.wait)
            if code == 0:
                return
            assert code == -signal.SIGKILL, (self.folder / f"errors-{worker}").read_text()

    def _begin(self, worker: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.crash.spender", str(self.folder), str(worker), str(TASKS)]
        env = {name: value for name, value in os.environ.items() if not name.startswith("INTERLOCK_")}
        with (self.folder / f"errors-{worker}").open("wb") as errors:
            return subprocess.Popen(command, cwd=ROOT, env=env, stdout=errors, stderr=errors)

    async def _until_it_spends(self, worker: int, process: subprocess.Popen[bytes]) -> None:
        lives = self._born(worker)
        while process.poll() is None and self._born(worker) == lives:
            await asyncio.sleep(0.01)

    def _born(self, worker: int) -> int:
        return sum(line["what"] == "born" and line["worker"] == worker for line in self.log)

    def survivors(self) -> None:
        """One last process, which nobody shoots, looks after what is left."""
        command = [sys.executable, "-m", "tests.crash.spender", str(self.folder), "99", "0"]
        subprocess.run(command, cwd=ROOT, check=True, timeout=LIFE)

    @property
    def log(self) -> list[dict[str, Any]]:
        path = self.folder / "log"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]

    def asked(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self.folder / "interlock.db")) as db:
            return db.execute(sql).fetchall()


async def test_no_process_and_no_crash_ever_spends_more_than_there_is(tmp_path: Path) -> None:
    storm = Storm(tmp_path)
    await storm.rage()
    await asyncio.to_thread(storm.survivors)
    assert storm.kills == KILLS

    # Every run came to its end, and nothing is held for anyone any more.
    assert storm.asked("SELECT COUNT(*) FROM runs") == [(PROCESSES * TASKS,)]
    assert storm.asked("SELECT DISTINCT status FROM runs WHERE status NOT IN ('completed', 'failed')") == []
    assert storm.asked("SELECT COUNT(*) FROM holds") == [(0,)]
    assert storm.asked("SELECT SUM(reserved) FROM accounts") == [(0,)]

    # No account was overspent, and the money was really used up.
    accounts = storm.asked('SELECT name, "limit", spent FROM accounts')
    assert all(spent <= limit for _, limit, spent in accounts)
    (spent,) = (spent for name, _, spent in accounts if name == BUDGET.name)
    assert spent > BUDGET.micros / 2
    assert sum(spent for name, _, spent in accounts if name == TENANTS.name) == spent

    # Not even what really happened outside, call by call, comes to more than the books say and the budget allows.
    made = sum(line["cost"] * {"call": 1, "free": -1}.get(line["what"], 0) for line in storm.log if "cost" in line)
    assert made <= spent <= BUDGET.micros

    # The record and the reports say the same as the books.
    told = storm.asked("SELECT SUM(json_extract(body, '$.cost_micros')) FROM facts WHERE kind LIKE 'step.f%'")
    assert told == storm.asked("SELECT SUM(micros) FROM spend") == [(spent,)]
    assert storm.asked("SELECT SUM(cost_micros) FROM runs") == [(spent,)]
