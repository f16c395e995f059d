"""Another process that writes to an audited store: `python -m tests.stores.audit_peer FOLDER NAME COUNT`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from interlock.governance.audit.follower import Notary
from interlock.records.fact import RunStarted
from interlock.stores.journal import Claim
from tests.governance.audit_rig import AuditedHome
from tests.stores.peer import admitted, note, tell


async def main(folder: Path, name: str, most: int) -> None:
    """Write to four runs at once, an acknowledged line for each append, and sign now and then."""
    home = AuditedHome(folder)
    journal = home.journal()
    notary = Notary(home.followers_home(journal), limit=10)
    journal.followed_by(notary.wake, lambda: notary.close(30) and None)

    async def one(run_id: str) -> None:
        claim = Claim(run_id=run_id, owner=journal.owner, fence=1, seq=2)
        await journal.append(run_id, [admitted(), RunStarted(driver=journal.owner, fence=1)], claim=claim)
        for number in range(most):
            tell(f"{run_id} {await journal.append(run_id, [note(f'{number}')], claim=claim)}")

    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(one(f"{name}-{number}"))
    await journal.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
