"""Interlock in bench/audit: facts appended with and without the audit log, and how long checking one takes."""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

from bench.peers.stopwatch import RESULT, at_once, measured
from interlock.governance.audit.checkpoint import KeyFiles
from interlock.governance.audit.entry import EntryMaker
from interlock.governance.audit.follower import Home, Notary
from interlock.governance.audit.places import verify_store
from interlock.governance.redaction import Redactor
from interlock.records.fact import GateAnswered, RunAdmitted, RunStarted, StepFinished, StepStarted
from interlock.stores.journal import Claim
from interlock.stores.sqlite import SqliteJournal

ALONE = "the journal alone"
DIGESTS = "with the audit log, results as digests"
WHOLE = "with the audit log, results redacted in it"
MAKERS: dict[str, Callable[[], EntryMaker | None]] = {
    ALONE: lambda: None,
    DIGESTS: lambda: EntryMaker(Redactor(key=b"bench"), include_results=False),
    WHOLE: lambda: EntryMaker(Redactor(key=b"bench")),
}
WORKERS = 256
#: Facts of one step: the gate's answer and the intent in one append, the outcome in another.
FACTS = 3


def main() -> None:
    """Measure one way of keeping the journal, and checking its log where it has one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", required=True)
    parser.add_argument("--name", required=True, choices=MAKERS)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--entries", type=int, default=20_000)
    found = parser.parse_args()
    asyncio.run(measure(Path(found.dir), found.name, found.steps))
    if found.name == DIGESTS:
        checked = Path(found.dir) / "checked"
        asyncio.run(measure(checked, found.name, found.entries // FACTS + 1, told=False))
        keys = KeyFiles(checked / "keys").verifiers()
        with measured(found.name, "verify", 1, "interlock"):
            report = verify_store(checked / "interlock.db", checked / "audit" / "checkpoints", keys).report
        if not report.ok or report.entries < found.entries or report.unsigned:
            raise SystemExit(f"the log is not good: {report.to_json()}")


async def measure(folder: Path, name: str, steps: int, *, told: bool = True) -> None:
    """Do so many steps with as many runs at once, every fact safe against power loss."""
    maker = MAKERS[name]()
    journal = SqliteJournal(folder / "interlock.db", auditor=maker)
    if maker is not None:

        def change(what: Callable[[sqlite3.Connection], None]) -> None:
            asyncio.run(journal.change(what))

        keys = KeyFiles(folder / "keys")
        notary = Notary(
            Home(store=folder / "interlock.db", folder=folder / "audit", keys=keys, change=change), limit=60
        )
        journal.followed_by(notary.wake, lambda: print(end="" if notary.close(60) else "the log was not signed"))
    claims = [await begun(journal, f"run-{number}") for number in range(WORKERS)]
    free = list(claims)

    async def step(number: int) -> None:
        claim = free.pop()
        path = f"step-{number}"
        gate = GateAnswered(path=path, act="tool", name="lookup", effect="allow", rule="tool.registered")
        start = StepStarted(path=path, what="tool", name="lookup", attempt=1, key=path, repeatable=True)
        await journal.append(claim.run_id, [gate, start], claim=claim)
        done = StepFinished(path=path, attempt=1, output=RESULT, seconds=0.001)
        await journal.append(claim.run_id, [done], claim=claim)
        free.append(claim)

    await at_once(WORKERS, WORKERS, step)
    if told:
        with measured(name, "facts", steps * FACTS, "interlock"):
            await at_once(WORKERS, steps, step)
    else:
        await at_once(WORKERS, steps, step)
    await journal.close()


async def begun(journal: SqliteJournal, run_id: str) -> Claim:
    """A run that is driven."""
    claim = Claim(run_id=run_id, owner=journal.owner, fence=1, seq=2)
    admitted = RunAdmitted(task={"description": "do nothing"}, task_id="bench", flow="task", digest="bench")
    await journal.append(run_id, [admitted, RunStarted(driver=journal.owner, fence=1)], claim=claim)
    return claim


if __name__ == "__main__":
    main()
