"""The verb demo: a real governed run on simulated models, killed in the middle and resumed in another process."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interlock.cli.door import Door
from interlock.cli.grammar import Verb
from interlock.cli.wording import Cell, Ink, count
from interlock.errors import InterlockError, UsageError, from_code

if TYPE_CHECKING:
    from interlock.cli.progress import Progress
    from interlock.platform.demo import Tally
    from interlock.platform.result import TaskResult
    from interlock.stores.sqlite import SqliteJournal

#: Seconds each answer of a simulated model takes, so that eyes can follow.
PACE, FAST = 0.7, 0.05
#: Seconds the whole demo may take.
PATIENCE = 120.0


@click.command("demo", cls=Verb)
@click.option("--fast", is_flag=True, help="Do not wait for eyes to follow.")
@click.pass_obj
def demo(door: Door, fast: bool) -> int:
    """Play a real governed run, killed in the middle; no key needed.

    Plans, runs real `df` and `du` past a real gate, is refused an `rm`, is killed with SIGKILL, goes on in another
    process, and answers: how full are the disks here, and what should be cleaned first? Only the models are simulated.

    \b
      interlock demo
    """
    from interlock.platform.demo import missing_packages

    if missing := missing_packages():
        says = f"The demo needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed."
        raise UsageError(says, "Run `pip install 'interlock[all]'`.", code="usage.extra")
    settings = door.settings()
    ready = [name for name in settings.agents if settings.has_key(name)]
    keys = f"There is a key for {' and '.join(ready)}."
    if ready and door.out.ask(f"{keys} Play it with the real models? It costs a few cents."):
        return _play_for_real(door)
    return asyncio.run(_play(door, settings.home / "demo", FAST if fast else PACE, keys if ready else ""))


def _play_for_real(door: Door) -> int:
    from interlock.cli.driving import perform
    from interlock.cli.orders import Order
    from interlock.records.task import Task
    from interlock.testing.demo_brain import TASK

    return asyncio.run(perform(door, Order(task=Task(TASK))))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """What the scenes share."""

    door: Door
    home: Path
    run_id: str
    environ: dict[str, str]
    journal: SqliteJournal
    progress: Progress

    def command(self, *words: str) -> list[str]:
        """A command line of ours, for a process of its own."""
        return [sys.executable, "-m", "interlock", *words, "--home", str(self.home), "--json", "--quiet"]


async def _play(door: Door, home: Path, pace: float, with_key: str) -> int:
    from interlock.testing.demo_brain import TASK

    async with asyncio.timeout(PATIENCE), _stage(door, home, pace) as stage:
        door.run = stage.run_id
        _say_opening(door, home, TASK, with_key)
        killed = await _until_the_kill(stage, TASK)
        result = await _after_the_kill(stage)
        facts = await stage.journal.read(stage.run_id)
        return _say_end(stage, killed, result, facts)


@asynccontextmanager
async def _stage(door: Door, home: Path, pace: float) -> AsyncIterator[_Stage]:
    """The demo's home, its simulated provider, and the journal its processes write, opened for looking."""
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
            yield _Stage(
                door=door, home=home, run_id=new_run_id(), environ=environ, journal=journal, progress=Progress(door.out)
            )
    finally:
        await journal.close()


def _say_opening(door: Door, home: Path, task: str, with_key: str) -> None:
    out = door.out
    if with_key:
        out.say(Ink(f"{with_key} The real thing: interlock run start '{task}'", "warn"))
    first = "The models here are simulated" if with_key else "No key found: the models are simulated"
    out.say(Ink(f"{first}, everything else is real. Costs are what real models would have cost.", "warn"))
    out.say(Ink(f"Everything is kept in {home}", "dim"))
    out.say("")
    out.say(Ink(task, "bold"))


async def _until_the_kill(stage: _Stage, task: str) -> int:
    """Start the run in a process, and kill that in the middle of a step.

    Returns:
        The process id it had.
    """
    from interlock.platform.demo import KILLED_IN, home_folder, in_the_middle

    words = ["--multi-step", "--system", "--run-id", stage.run_id, "--context", f"home={home_folder()}"]
    async with _process(stage, stage.command("run", "start", task, *words)) as process:
        stage.door.out.say(Ink(f"Process {process.pid} takes the run {stage.run_id}", "accent"))
        seen = asyncio.ensure_future(_tell_until(stage, in_the_middle))
        ended = asyncio.ensure_future(process.wait())
        await asyncio.wait([seen, ended], return_when=asyncio.FIRST_COMPLETED)
        if not seen.done():  # it ended by itself, so something is wrong
            seen.cancel()
            await asyncio.gather(seen, return_exceptions=True)
            raise await _why(process)
        await asyncio.sleep(0.3)
        process.kill()
        await ended
        stage.door.out.status("")
        stage.door.out.say(
            Ink(f"  ✕ kill -9 {process.pid}", "bad"),
            f"  in the middle of {KILLED_IN}, which was asked and not answered",
        )
        return process.pid


async def _tell_until(stage: _Stage, last: Any, after: int = 0) -> None:
    """Tell the run's facts, from wherever they are written, up to the one that `last` recognises."""
    from interlock.platform.events import event_of

    beat = asyncio.ensure_future(stage.progress.beat())
    try:
        async for record in stage.journal.watch(after=0, run_id=stage.run_id):
            stage.progress.hear(event_of(record), aloud=record.seq > after)
            if record.seq > after and last(record):
                return
    finally:
        beat.cancel()
        await asyncio.gather(beat, return_exceptions=True)


async def _after_the_kill(stage: _Stage) -> TaskResult:
    """Have another process go on, and read the result from the journal."""
    from interlock.engine.engine import end_of
    from interlock.platform.lookup import load_run
    from interlock.platform.result import result_of
    from interlock.records.fact import RunFinished

    before = await load_run(stage.journal, stage.run_id)
    done = sum(step.status == "finished" for step in before.steps.values())
    async with _process(stage, stage.command("run", "resume", stage.run_id)) as process:
        stage.door.out.say(
            Ink(f"Process {process.pid} goes on from fact {before.seq}", "accent"),
            f": {count(done, 'step')} done, not repeated",
        )
        told = asyncio.ensure_future(
            _tell_until(stage, lambda record: isinstance(record.fact, RunFinished), after=before.seq)
        )
        await process.wait()
        await asyncio.wait([told], timeout=1.0)
        told.cancel()
        await asyncio.gather(told, return_exceptions=True)
        stage.door.out.status("")
        run = await load_run(stage.journal, stage.run_id)
        end = end_of(run)
        if end is None:
            raise await _why(process)
        return result_of(run, end)


@asynccontextmanager
async def _process(stage: _Stage, command: list[str]) -> AsyncIterator[Process]:
    """A process of ours that does not outlive the scene."""
    process = await asyncio.create_subprocess_exec(
        *command, env=stage.environ, cwd=stage.home, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _why(process: Process) -> InterlockError:
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
    code = told.get("error_code") or "demo.ended_early"
    return from_code(
        code, str(error or f"The demo's process ended with code {process.returncode}."), told.get("hint") or ""
    )


def _say_end(stage: _Stage, killed: int, result: TaskResult, facts: list[Any]) -> int:
    from interlock.cli.driving import exit_code, tell_result
    from interlock.platform.demo import tally

    door, steps = stage.door, tally(facts)
    again = sum(step.again for step in steps)
    if door.out.json:
        told = [{"path": step.path, "begun": step.begun, "ended": step.ended, "repeated": step.again} for step in steps]
        door.out.record(
            {"run_id": stage.run_id, "home": str(stage.home), "status": result.status, "killed_pid": killed}
            | {"steps": told, "repeated": again, "output": result.output}
        )
        return exit_code(result) or int(again > 0)
    door.out.say("")
    door.out.say(Ink("How often each step was done, counted from the journal", "bold"))
    door.out.table(("step", "begun", "ended", ""), [_counted(step) for step in steps])
    door.out.say(Ink(f"Finished steps that were done again: {again}", "bad" if again else "good"))
    door.out.say("")
    code = tell_result(door, result)
    door.out.say("")
    door.out.say(Ink("Look closer", "bold"))
    for verb in ("run show", "run list"):
        words = [stage.run_id, "--content"] if verb == "run show" else []
        door.out.say(f"  {Door(door.out, home=_short(stage.home)).command(verb, *words)}")
    door.out.say("  README.md shows what else it does")
    return code or int(again > 0)


def _counted(step: Tally) -> list[Cell | str]:
    cut_off = step.begun > step.ended
    refused = step.begun == 0
    note = (
        "killed in the middle, asked again under the same key"
        if cut_off
        else "refused, so never begun"
        if refused
        else ""
    )
    return [step.path, str(step.begun), str(step.ended), Cell(note, note, "warn" if cut_off else "dim")]


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
