"""The verb demo: a real governed run on simulated models, killed, resumed, and allowed one thing by a person."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interlock.cli.demo_stage import Stage, failed, stage
from interlock.cli.door import Door
from interlock.cli.grammar import Verb
from interlock.cli.wording import Cell, Ink, count
from interlock.errors import UsageError

if TYPE_CHECKING:
    from interlock.platform.approval import Approval
    from interlock.platform.demo import Tally
    from interlock.platform.result import TaskResult

#: Seconds each answer of a simulated model takes, so that eyes can follow.
PACE, FAST = 0.7, 0.05
#: Seconds the whole demo may take, where it waits for nobody.
PATIENCE = 120.0
#: Who answers where nobody sits at a terminal.
SECOND = "second-process"
#: What of the approval's card is shown then.
SHOWN = {"asks", "command", "in", "program", "files", "rule", "the model says", "on silence", "digest"}
#: What is shown at the end, by the command line itself.
PROOFS = (("cost", "--by", "model"), ("audit", "verify"))


@click.command("demo", cls=Verb)
@click.option("--fast", is_flag=True, help="Do not wait for eyes to follow.")
@click.pass_obj
def demo(door: Door, fast: bool) -> int:
    """Play a real governed run, killed in the middle; no key needed.

    Plans, runs real `df` and `du` past a real gate, is killed with SIGKILL, goes on in another process, is refused an
    `rm`, asks you before it changes a file, and answers: how full are the disks here, and what should be cleaned
    first? Then come what it cost, and the proof that its record is whole. Only the models are simulated.

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


async def _play(door: Door, home: Path, pace: float, with_key: str) -> int:
    from interlock.testing.demo_brain import TASK

    async with asyncio.timeout(None if door.out.can_ask else PATIENCE), stage(door, home, pace) as scene:
        door.run = scene.run_id
        _say_opening(door, home, TASK, with_key)
        killed = await _until_the_kill(scene, TASK)
        code = await (_asked_here(scene) if door.out.can_ask else _asked_elsewhere(scene))
        result = await _result(scene)
        if result is None:  # somebody left without an answer, and the process has said so
            return code
        return await (_record if door.out.json else _say_end)(scene, killed, result)


def _say_opening(door: Door, home: Path, task: str, with_key: str) -> None:
    out = door.out
    if with_key:
        out.say(Ink(f"{with_key} The real thing: interlock run start '{task}'", "warn"))
    first = "The models here are simulated" if with_key else "No key found: the models are simulated"
    out.say(Ink(f"{first}, everything else is real. Costs are what real models would have cost.", "warn"))
    out.say(Ink(f"Everything is kept in {home}", "dim"))
    out.say("")
    out.say(Ink(task, "bold"))


async def _until_the_kill(scene: Stage, task: str) -> int:
    """Start the run in a process, and kill that in the middle of a step.

    Returns:
        The process id it had.
    """
    from interlock.platform.demo import KILLED_IN, LOG, home_folder, in_the_middle

    context = ["--context", f"home={home_folder()}", "--context", f"log={LOG}"]
    words = ["--multi-step", "--system", "--run-id", scene.run_id, *context]
    async with scene.unseen("run", "start", task, *words) as process:
        scene.door.out.say(Ink(f"Process {process.pid} takes the run {scene.run_id}", "accent"))
        seen = asyncio.ensure_future(scene.tell_until(in_the_middle))
        ended = asyncio.ensure_future(process.wait())
        await asyncio.wait([seen, ended], return_when=asyncio.FIRST_COMPLETED)
        if not seen.done():  # it ended by itself, so something is wrong
            seen.cancel()
            await asyncio.gather(seen, return_exceptions=True)
            raise await failed(process)
        await asyncio.sleep(0.3)
        process.kill()
        await ended
        scene.door.out.say(
            Ink(f"  ✕ kill -9 {process.pid}", "bad"),
            f"  in the middle of {KILLED_IN}, which was asked and not answered",
        )
        return process.pid


async def _asked_here(scene: Stage) -> int:
    """Have another process go on at this terminal, which asks whoever sits here; the exit code it had."""
    words = ("run", "resume", scene.run_id)
    scene.door.out.say(Ink(f"$ {scene.shown(*words)}", "accent"))
    async with scene.in_front(*words) as process:
        return await process.wait()


async def _asked_elsewhere(scene: Stage) -> int:
    """Have another process go on until it asks, answer through a second one, and follow the third, which goes on."""
    from interlock.errors import from_code
    from interlock.records.fact import RunFinished, RunWaiting

    out, before = scene.door.out, await _at(scene)
    async with scene.unseen("run", "resume", scene.run_id) as process:
        out.say(
            Ink(f"Process {process.pid} goes on from fact {before[0]}", "accent"), f": {before[1]} done, not repeated"
        )
        told = asyncio.ensure_future(
            scene.tell_until(lambda record: isinstance(record.fact, RunWaiting | RunFinished), after=before[0])
        )
        code = await process.wait()
        await asyncio.wait([told], timeout=1.0)
        told.cancel()
        await asyncio.gather(told, return_exceptions=True)
        approval = await _asked(scene)
        if approval is None:
            raise await failed(process)
    await _show_card(scene, approval)
    words = ("approval", "allow", approval.id, "--by", SECOND)
    out.say(Ink("No terminal to ask at, so a second process answers", "warn"), f": {scene.shown(*words)}")
    after = (await _at(scene))[0]
    code, said = await scene.answer_of(*words, "--reason", "The demo was started without a terminal.")
    if error := said.get("error"):
        raise from_code(error["code"], error["says"], error["do"])
    out.say(Ink(f"  {said['detail']['goes_on']}", "dim"))
    await scene.tell_until(lambda record: isinstance(record.fact, RunFinished), after=after)
    return code


async def _at(scene: Stage) -> tuple[int, str]:
    """The run's last fact, and how many of its steps are done."""
    from interlock.platform.lookup import load_run

    run = await load_run(scene.journal, scene.run_id)
    return run.seq, count(sum(step.status == "finished" for step in run.steps.values()), "step")


async def _asked(scene: Stage) -> Approval | None:
    """What the run waits for."""
    from interlock.platform.approvals import Approvals

    waiting = await Approvals(lambda: scene.journal, scene.home, time.time).waiting()
    return next((one for one in waiting if one.run_id == scene.run_id and one.about == "approval"), None)


async def _show_card(scene: Stage, approval: Approval) -> None:
    """Show what of the card one decides by; `approval show` has all of it."""
    from interlock.cli.card import card, card_lines
    from interlock.platform.lookup import load_run

    run = await load_run(scene.journal, scene.run_id)
    for line in card_lines(row for row in card(approval, run, time.time()) if row[0] in SHOWN):
        scene.door.out.say(line)


async def _result(scene: Stage) -> TaskResult | None:
    """What the run came to; None if it has not ended."""
    from interlock.engine.engine import end_of
    from interlock.platform.lookup import load_run
    from interlock.platform.result import result_of

    run = await load_run(scene.journal, scene.run_id)
    end = end_of(run)
    return None if end is None else result_of(run, end)


async def _record(scene: Stage, killed: int, result: TaskResult) -> int:
    """Tell it all as JSON; the exit code counts the proofs too."""
    from interlock.cli.staying import exit_code
    from interlock.platform.demo import tally, workspace

    steps = tally(await scene.journal.read(scene.run_id))
    again = sum(step.again for step in steps)
    (cost_code, cost), (audit_code, audit) = [await scene.answer_of(*words) for words in PROOFS]
    told = [{"path": step.path, "begun": step.begun, "ended": step.ended, "repeated": step.again} for step in steps]
    scene.door.out.record(
        {"run_id": scene.run_id, "home": str(scene.home), "workspace": str(workspace(scene.home))}
        | {"status": result.status, "killed_pid": killed, "steps": told, "repeated": again}
        | {"cost": cost, "audit": audit, "output": result.output}
    )
    return exit_code(result) or int(again > 0) or cost_code or audit_code


async def _say_end(scene: Stage, killed: int, result: TaskResult) -> int:
    """Tell people: the answer, how often each step was done, what it cost, and whether its record is whole."""
    from interlock.cli.staying import exit_code, tell_result
    from interlock.platform.demo import tally

    out, steps = scene.door.out, tally(await scene.journal.read(scene.run_id))
    again = sum(step.again for step in steps)
    out.say("")
    # The process at this terminal has told the answer.
    code = exit_code(result) if out.can_ask else tell_result(scene.door, result)
    if not result.status.is_final:
        out.say(
            Ink("It was left without an answer. The models end with the demo; start it again to see the rest.", "warn")
        )
    out.say(Ink("How often each step was done, counted from the journal", "bold"))
    out.table(("step", "begun", "ended", ""), [_counted(step) for step in steps])
    out.say(Ink(f"Finished steps that were done again: {again}", "bad" if again else "good"))
    code = code or int(again > 0)
    for words in PROOFS:
        out.say("")
        out.say(Ink(f"$ {scene.shown(*words)}", "accent"))
        async with scene.in_front(*words) as process:
            code = await process.wait() or code
    out.say("")
    out.say(Ink("Look closer", "bold"))
    for closer in (("run", "show", scene.run_id), ("audit", "show", "--run", scene.run_id)):
        out.say(f"  {scene.shown(*closer)}")
    out.say("  README.md shows what else it does")
    return code


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
