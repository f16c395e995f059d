"""Another process on the same store: `python -m tests.stores.peer FILE VERB ...`, a line on stdout for each answer."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from interlock.errors import InterlockError
from interlock.records.fact import CancelAsked, Noted, RunAdmitted, RunStarted
from interlock.stores.journal import Claim
from interlock.stores.sqlite import SqliteJournal


def admitted(task_id: str = "task", *, priority: int = 3, says: str = "do nothing") -> RunAdmitted:
    return RunAdmitted(
        task={"description": says, "priority": priority}, task_id=task_id, flow="task", digest=f"digest-{task_id}"
    )


def note(says: str) -> Noted:
    return Noted(level="info", code="test.note", says=says)


def tell(line: object) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def new_claimed_run(journal: SqliteJournal, run_id: str) -> Claim:
    """A run admitted, claimed and started in one stroke."""
    claim = Claim(run_id=run_id, owner=journal.owner, fence=1, seq=2)
    await journal.append(run_id, [admitted(), RunStarted(driver=journal.owner, fence=1)], claim=claim)
    return claim


async def storm(journal: SqliteJournal, name: str, most: int) -> None:
    """Append to eight runs at once and say `run seq` after each acknowledgement, until killed or done."""

    async def one(run_id: str) -> None:
        claim = await new_claimed_run(journal, run_id)
        for number in range(most):
            seq = await journal.append(run_id, [note(f"{number} " + "x" * 200)], claim=claim)
            tell(f"{run_id} {seq}")

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(one(f"{name}-{number}"))


async def outside(journal: SqliteJournal, run_id: str, most: int) -> None:
    """Write facts from outside to a run that others write to as well."""
    for number in range(most):
        tell(await journal.append(run_id, [CancelAsked(by=f"peer {number}")]))


async def hold(journal: SqliteJournal, run_id: str) -> None:
    """Claim a run and stay alive."""
    claim = await journal.claim(run_id)
    tell(f"claimed {claim.fence}")
    await asyncio.to_thread(sys.stdin.readline)


async def main(arguments: list[str]) -> None:
    journal = SqliteJournal(Path(arguments[0]))
    try:
        match arguments[1:]:
            case ["storm", name, most]:
                await storm(journal, name, int(most))
            case ["outside", run_id, most]:
                await outside(journal, run_id, int(most))
            case ["hold", run_id]:
                await hold(journal, run_id)
            case ["claim", run_id]:
                tell((await journal.claim(run_id)).fence)
            case ["append", run_id]:
                tell(await journal.append(run_id, [admitted()]))
            case ["open"]:
                tell("open")
            case _:
                raise SystemExit(f"unknown: {arguments}")
    except InterlockError as error:
        tell(f"error {error.code}")
    await journal.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
