"""A journal that kills its process before or after an append, and a log that outlives it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any

from interlock.agents.agent import Attempt
from interlock.records.fact import Fact
from interlock.stores.encoding import encode
from interlock.stores.journal import Claim
from interlock.stores.sqlite import SqliteJournal

#: `before:N` or `after:N`: at which append of this process it dies.
POINT = "CRASH_AT"


class Log:
    """One line for each thing that really happened, in the order it happened. A killed process loses none:
    what was given to the kernel is not the process's any more."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, what: str, **details: Any) -> None:
        os.write(self._file, f"{json.dumps({'what': what, **details})}\n".encode())

    def did(self, attempt: Attempt) -> None:
        """An act was done in the world."""
        self.write("did", path=attempt.path, key=attempt.key, number=attempt.number)


class KillingJournal(SqliteJournal):
    """Kills its process at the chosen append, and logs what was acknowledged before."""

    def __init__(self, path: Path, log: Log, point: str) -> None:
        super().__init__(path)
        self._log = log
        self._when, _, number = point.partition(":")
        self._at = int(number or 0)
        self._appends = 0

    def append(  # type: ignore[override]
        self, run_id: str, facts: Sequence[Fact], *, claim: Claim | None = None, **more: Any
    ) -> Awaitable[int]:
        """As it is, with a death before or after it."""
        self._appends += 1
        number = self._appends
        if (self._when, self._at) == ("before", number):
            os.kill(os.getpid(), signal.SIGKILL)
        written = asyncio.ensure_future(super().append(run_id, facts, claim=claim, **more))
        written.add_done_callback(lambda done: self._acknowledged(number, facts, done))
        return written

    def _acknowledged(self, number: int, facts: Sequence[Fact], done: asyncio.Future[int]) -> None:
        if done.cancelled() or done.exception() is not None:
            return
        self._log.write("ack", number=number, seq=done.result(), bodies=[[fact.kind, encode(fact)] for fact in facts])
        if (self._when, self._at) == ("after", number):
            os.kill(os.getpid(), signal.SIGKILL)
