"""The physical limit of durable steps: bytes appended to one file, one fdatasync for all who wait."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from pathlib import Path

from stopwatch import RESULT, STEPS_PER_RUN, journal_arguments, time_runs


class AppendOnly:
    """One file and one writer thread; `append` returns when the bytes are safe against power loss."""

    def __init__(self, path: Path) -> None:
        self.loop = asyncio.get_running_loop()
        self.waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self.wake = threading.Condition()
        self.closed = False
        self.file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        self.thread = threading.Thread(target=self._write)
        self.thread.start()

    async def append(self, line: bytes) -> None:
        """Add one line and wait until it is on the disk."""
        future = self.loop.create_future()
        with self.wake:
            self.waiting.append((line, future))
            self.wake.notify()
        await future

    def _write(self) -> None:
        while True:
            with self.wake:
                while not self.waiting and not self.closed:
                    self.wake.wait()
                batch, self.waiting = self.waiting, []
            if not batch:
                return
            os.write(self.file, b"".join(line for line, _ in batch))
            os.fdatasync(self.file)
            self.loop.call_soon_threadsafe(_tell, [future for _, future in batch])

    def close(self) -> None:
        """Write what waits and close."""
        with self.wake:
            self.closed = True
            self.wake.notify()
        self.thread.join()
        os.close(self.file)


def _tell(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        future.set_result(None)


async def main() -> None:
    """Measure it at each load: one line for a step, and then two, since we write the intent before an act too."""
    found = journal_arguments()
    journal = AppendOnly(Path(found.directory) / "facts.jsonl")

    async def write(run_id: str, step: int, kind: str) -> None:
        fact = {"run": run_id, "step": step, "kind": kind, "output": RESULT if kind == "finished" else None}
        await journal.append(json.dumps(fact).encode() + b"\n")

    async def outcomes(run_id: str) -> int:
        for step in range(STEPS_PER_RUN):
            await write(run_id, step, "finished")
        return STEPS_PER_RUN

    async def intents_and_outcomes(run_id: str) -> int:
        for step in range(STEPS_PER_RUN):
            await write(run_id, step, "started")
            await write(run_id, step, "finished")
        return STEPS_PER_RUN

    try:
        await time_runs("append-only file, group fsync", "", found.loads, outcomes)
        await time_runs("append-only file, intent and outcome", "", found.loads, intents_and_outcomes)
    finally:
        journal.close()


if __name__ == "__main__":
    asyncio.run(main())
