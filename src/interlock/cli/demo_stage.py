"""The demo's stage: its home, its simulated provider, and the processes of ours that it starts."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.cli.door import Door
from interlock.errors import InterlockError, from_code

if TYPE_CHECKING:
    from interlock.cli.progress import Progress
    from interlock.records.fact import Recorded
    from interlock.stores.sqlite import SqliteJournal

#: Seconds a process at this terminal gets to stop after Ctrl-C.
GRACE = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What the scenes share.

    Args:
        door: Where the demo was asked for.
        home: The demo's own home.
        run_id: The run it plays.
        environ: The environment of its processes.
        journal: What they write, opened for looking.
        progress: Tells what is written.
    """

    door: Door
    home: Path
    run_id: str
    environ: dict[str, str]
    journal: SqliteJournal
    progress: Progress

    def command(self, *words: str) -> list[str]:
        """A command line of ours, for a process of its own."""
        return [sys.executable, "-m", "interlock", *words, "--home", str(self.home)]

    def shown(self, *words: str) -> str:
        """The same as a person types it."""
        verbs = [word for word in words[:2] if word.isalpha()]
        return Door(self.door.out, home=short(self.home)).command(" ".join(verbs), *words[len(verbs) :])

    @asynccontextmanager
    async def unseen(self, *words: str) -> AsyncIterator[Process]:
        """A process of ours that answers in JSON, says nothing else, and does not outlive the scene."""
        command = self.command(*words, "--json", "--quiet")
        process = await asyncio.create_subprocess_exec(
            *command, env=self.environ, cwd=self.home, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    @asynccontextmanager
    async def in_front(self, *words: str) -> AsyncIterator[Process]:
        """A process of ours at this terminal, which may ask whoever sits there; given time to stop in good order."""
        flags = ["--quiet"] if self.door.out.quiet else []
        command = self.command(*words, *flags, "--color", self.door.out.color)
        process = await asyncio.create_subprocess_exec(*command, env=self.environ, cwd=self.home)
        try:
            yield process
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(GRACE):
                    await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def answer_of(self, *words: str) -> tuple[int, dict[str, Any]]:
        """What a command answers in JSON, with its exit code.

        Raises:
            InterlockError: it answers nothing.
        """
        async with self.unseen(*words) as process:
            assert process.stdout is not None
            said = await process.stdout.read()
            code = await process.wait()
            try:
                return code, dict(json.loads(said))
            except ValueError:
                raise _early(code) from None

    async def tell_until(self, last: Callable[[Recorded], bool], after: int = 0) -> None:
        """Tell the run's facts, whichever process writes them, up to the one that `last` recognises."""
        from interlock.platform.events import event_of

        beat = asyncio.ensure_future(self.progress.beat())
        try:
            async for record in self.journal.watch(after=0, run_id=self.run_id):
                self.progress.hear(event_of(record), aloud=record.seq > after)
                if record.seq > after and last(record):
                    return
        finally:
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)
            self.door.out.status("")


@asynccontextmanager
async def stage(door: Door, home: Path, pace: float) -> AsyncIterator[Stage]:
    """Set the stage, and clear it.

    Args:
        door: Where the demo was asked for.
        home: The demo's own home.
        pace: Seconds each answer of a simulated model takes.
    """
    from interlock.cli.progress import Progress
    from interlock.platform.demo import environment, paced, prepare
    from interlock.platform.ids import new_run_id
    from interlock.platform.lookup import STORE
    from interlock.stores.sqlite import SqliteJournal
    from interlock.testing import SimulatedProvider

    settings = prepare(home)
    journal = SqliteJournal(home / STORE)
    try:
        async with SimulatedProvider(script=paced(pace)) as provider:
            environ = environment(os.environ, provider.env(), settings)
            yield Stage(
                door=door, home=home, run_id=new_run_id(), environ=environ, journal=journal, progress=Progress(door.out)
            )
    finally:
        await journal.close()


async def failed(process: Process) -> InterlockError:
    """What a process that ended too early said about it."""
    assert process.stdout is not None
    line = (await process.stdout.read()).decode(errors="replace").strip()
    try:
        told = json.loads(line)
    except ValueError:
        told = {}
    error = told.get("error")
    if isinstance(error, dict):
        return from_code(error["code"], error["says"], error["do"])
    code = told.get("error_code")
    return from_code(code, str(error), told.get("hint") or "") if code else _early(process.returncode)


def _early(code: int | None) -> InterlockError:
    return InterlockError(f"The demo's process ended with code {code}.", "Run it again.", code="run.ended_early")


def short(path: Path) -> str:
    """A path as one types it from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
