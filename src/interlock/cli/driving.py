"""The verbs that stay with a run until it has ended: start, resume, watch."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from interlock.cli.door import Door
from interlock.cli.grammar import Dollars, Duration, Verb
from interlock.cli.orders import Order, read_order
from interlock.cli.stopping import INTERRUPTED, Stop, signals
from interlock.cli.wording import Ink, count
from interlock.errors import InterlockError, UsageError, from_code
from interlock.records.task import TaskStatus, TaskType

if TYPE_CHECKING:
    from interlock.platform.platform import Platform
    from interlock.platform.result import TaskResult
    from interlock.platform.settings import Settings
    from interlock.records.run import Run

SIMULATED = "The models are simulated, everything else is real. Costs are what the real models would have cost."


@click.command("start", cls=Verb)
@click.argument("task", metavar="TASK")
@click.option(
    "--id", "task_id", metavar="ID", help="Your own id for the task. The same task under the same id runs once."
)
@click.option("--run-id", metavar="ID", help="Your own id for the run; by default the task's, else a new one.")
@click.option(
    "--type",
    "kind",
    type=click.Choice([one.value for one in TaskType]),
    metavar="TYPE",
    help="What kind of work it is: " + ", ".join(TaskType) + ".",
)
@click.option("--system", is_flag=True, help="It must run commands or touch files.")
@click.option("--multi-step", is_flag=True, help="Plan it, do it, verify it.")
@click.option("--agent", metavar="NAME", help="Who is to do it; `interlock agent list` shows who there is.")
@click.option(
    "--allow", multiple=True, metavar="COMMAND", help="Let this command run too, like 'git log'; may be repeated."
)
@click.option("--priority", type=int, default=3, show_default=True, help="1 (first) to 5 (last).")
@click.option("--timeout", type=Duration(), metavar="TIME", help="The most time it may take, like 90, 30m or 2h.")
@click.option("--max-cost", type=Dollars(), metavar="USD", help="The most it may cost, like '5 USD'.")
@click.option("--context", multiple=True, metavar="KEY=TEXT", help="What the agent should know; or one JSON object.")
@click.option("--label", multiple=True, metavar="KEY=TEXT", help="Words to group runs and costs by.")
@click.option("--user", metavar="NAME", help="For whom it is done.")
@click.option("--detach", is_flag=True, help="Come back as soon as it is durable; it goes on by itself.")
@click.option("--simulated", is_flag=True, help="Without a key: simulate the models, as the demo does.")
@click.pass_obj
def start(door: Door, /, task: str, detach: bool, **given: Any) -> int:
    """Give an agent a task, and wait for the answer. TASK `-` is read from standard input.

    \b
      interlock run start "How full are the disks here, and what should I clean first?"
      interlock run start - --multi-step --max-cost '2 USD' < task.txt
    """
    order = read_order(door, task, given)
    if detach:
        from interlock.cli.background import launch

        return launch(door, order)
    return asyncio.run(perform(door, order))


@click.command("resume", cls=Verb)
@click.argument("run_id", metavar="ID")
@click.option("--repeat", is_flag=True, help="Do again what was cut off and may have happened.")
@click.option("--skip", is_flag=True, help="Take what was cut off for failed.")
@click.option("--allow", multiple=True, metavar="COMMAND", help="Let this command run too; may be repeated.")
@click.option("--simulated", is_flag=True, help="Without a key: simulate the models.")
@click.pass_obj
def resume(door: Door, run_id: str, repeat: bool, skip: bool, allow: tuple[str, ...], simulated: bool) -> int:
    """Go on with a run from its last fact; no finished step is done again.

    \b
      interlock run resume run_01k9x3
    """
    if repeat and skip:
        raise UsageError("--repeat and --skip cannot both be.", code="usage.option")
    in_doubt = "repeat" if repeat else "skip" if skip else None
    return asyncio.run(go_on_with(door, run_id, in_doubt, allow, simulated))


@click.command("watch", cls=Verb)
@click.argument("run_id", metavar="ID")
@click.pass_obj
def watch(door: Door, run_id: str) -> int:
    """Follow a run until it has ended, whoever drives it. Ctrl-C leaves it running.

    \b
      interlock run watch run_01k9x3
      interlock run watch run_01k9x3 --json | jq -r 'select(.kind=="step.finished").path'
    """
    return asyncio.run(_watch(door, run_id))


# --- Doing it -----------------------------------------------------------------------------------------------------


async def perform(door: Door, order: Order, launched: Callable[[Run], None] | None = None) -> int:
    """Start a run and stay with it.

    Args:
        door: Where it is asked for.
        order: What to start.
        launched: Shown the run once it is durable.

    Returns:
        The exit code.
    """
    async with signals() as stop, _platform(door, order.allow, simulated=order.simulated) as platform:
        handle = await platform.submit(order.task, run_id=order.run_id)
        door.run = handle.run_id
        if launched is not None:
            launched(await platform.show(handle.run_id))
        door.out.say(
            Ink(handle.run_id, "bold"),
            Ink("  Ctrl-C stops it here; it can be resumed." if door.out.is_live else "", "dim"),
        )
        hint = _hint(order.allow, order.simulated)
        return await _stay(door, platform, handle.result(), stop, told=0, hint=hint)


async def go_on_with(
    door: Door,
    given: str,
    in_doubt: str | None,
    allow: tuple[str, ...],
    simulated: bool,
    launched: Callable[[Run], None] | None = None,
) -> int:
    """Resume a run and stay with it.

    Args:
        door: Where it is asked for.
        given: The run's id, or the beginning of it.
        in_doubt: What becomes of steps that were cut off: `repeat`, `skip`, or None to ask.
        allow: Commands that may run besides those of the settings.
        simulated: Whether models are simulated.
        launched: Shown the run before it goes on.

    Returns:
        The exit code.
    """
    from interlock.cli.runs import who

    async with signals() as stop, _platform(door, allow, simulated=simulated) as platform:
        door.run = run_id = await platform.find(given)
        run = await platform.show(run_id)
        done = sum(step.status == "finished" for step in run.steps.values())
        if not run.status.is_final or run.status is TaskStatus.FAILED:
            door.out.say(Ink(run_id, "bold"), f"  is at fact {run.seq}: {count(done, 'step')} done, not repeated")
        if launched is not None:
            launched(run)
        result = platform.resume(run_id, in_doubt=in_doubt, by=who())
        told = 0 if run.status is TaskStatus.COMPLETED else run.seq
        return await _stay(door, platform, result, stop, told=told, hint=_hint(allow, simulated))


async def _stay(
    door: Door, platform: Platform, result: Awaitable[TaskResult], stop: Stop, *, told: int, hint: list[str]
) -> int:
    """Show what happens until the run has ended, waits, or is stopped by a signal; ask, if it waits for the person
    who sits here; print the answer."""
    from interlock.cli.asking import ask_in_place, waiting_for
    from interlock.cli.progress import Progress

    assert door.run is not None
    progress = Progress(door.out)
    ended = asyncio.ensure_future(result)
    helpers: list[asyncio.Future[Any]] = [
        asyncio.ensure_future(progress.follow(platform.watch(door.run), told=told)),
        asyncio.ensure_future(progress.beat()),
        asyncio.ensure_future(stop.asked.wait()),
    ]
    try:
        await asyncio.wait([ended, helpers[2]], return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            door.out.say(Ink("  stopping: what is being done gets finished. Once more stops at once.", "warn"))
            await platform.close()
        # The last facts are shown before the answer; a run that waits is followed no further.
        await asyncio.wait([ended, helpers[0]], timeout=0.5)
    finally:
        await _end(door, helpers)
    stopped = stop.asked.is_set() and (not ended.done() or not _is_over(ended))
    if stopped:
        ended.cancel()
        await asyncio.gather(ended, return_exceptions=True)
        return _interrupted(door, hint)
    came_to = await ended
    approval = await waiting_for(platform, came_to) if came_to.approval_id is not None else None
    if approval is not None and approval.status == "pending" and door.out.can_ask:
        if await ask_in_place(door, platform, approval, stop.asked):
            told = (await platform.show(door.run)).seq
            return await _stay(door, platform, platform.resume(door.run), stop, told=told, hint=hint)
        approval = await waiting_for(platform, came_to)
    code = tell_result(door, came_to)
    if approval is not None and approval.status == "pending":
        door.out.say(f"Look at it: {door.command('approval show', approval.id)}")
    return code


async def _end(door: Door, helpers: list[asyncio.Future[Any]]) -> None:
    """Cancel what is still going on beside, and take the line at the bottom away."""
    for helper in helpers:
        helper.cancel()
    await asyncio.gather(*helpers, return_exceptions=True)
    door.out.status("")


def _is_over(ended: asyncio.Future[TaskResult]) -> bool:
    """Whether the run came to an end of its own, and not of the signal."""
    return ended.exception() is None and ended.result().status is not TaskStatus.WAITING


def _interrupted(door: Door, hint: list[str]) -> int:
    assert door.run is not None
    again = door.command("run resume", door.run, *hint)
    if door.out.json:
        door.out.error(
            InterlockError("Stopped by a signal; the run can be resumed.", again, code="run.interrupted"), run=door.run
        )
    else:
        door.out.say(f"Stopped. Nothing is lost; go on with: {again}")
    return INTERRUPTED


def tell_result(door: Door, result: TaskResult) -> int:
    """Print what a run came to.

    Returns:
        The exit code.
    """
    code = exit_code(result)
    if door.out.json:
        door.out.record(result.to_dict())
        return code
    if result.output is not None:
        door.out.answer(result.output)
    if result.error_code:
        says = (result.error or "").removeprefix(f"{result.error_code}: ")
        door.out.error(from_code(result.error_code, says, result.hint or ""), run=result.run_id)
    elif not result.status.is_final:
        waits = f": {result.hint}" if result.hint else "."
        door.out.say(
            Ink(f"{result.status.value.replace('_', ' ')}{waits}", "warn"),
            f" ({result.approval_id})" if result.approval_id else "",
        )
    return code


def exit_code(result: TaskResult) -> int:
    """The exit code that tells what a run came to."""
    match result.status:
        case TaskStatus.COMPLETED:
            return 0
        case TaskStatus.FAILED | TaskStatus.BLOCKED | TaskStatus.CANCELLED:
            code = from_code(result.error_code or "failed", "").exit_code
            return 5 if result.status is TaskStatus.BLOCKED and code == 1 else code
        case _:
            return 3


async def _watch(door: Door, given: str) -> int:
    from interlock.cli.progress import Progress
    from interlock.errors import NotFound
    from interlock.platform.lookup import find_run, row_of
    from interlock.platform.watching import watch_run

    async with signals() as stop, door.stored() as journal:
        door.run = run_id = await find_run(journal, given)
        if journal is None:
            raise NotFound(f"There is no run {given}.")
        progress = Progress(door.out)
        row = await row_of(journal, run_id)
        if row.status is TaskStatus.AWAITING_APPROVAL:
            door.out.say(Ink(f"It waits for a person: {door.command('approval list')}", "warn"))
        elif not row.status.is_final and not row.driven and not row.wake_at:
            door.out.say(Ink(f"Nobody drives it now. Go on: {door.command('run resume', run_id)}", "warn"))

        async def follow() -> TaskResult | None:
            last = None
            async for event in watch_run(journal, run_id, 0):
                last = event.result
                if door.out.json:
                    door.out.record(event.to_json())
                else:
                    progress.hear(event)
            return last

        followed = asyncio.ensure_future(follow())
        helpers: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(progress.beat()),
            asyncio.ensure_future(stop.asked.wait()),
        ]
        try:
            await asyncio.wait([followed, helpers[1]], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end(door, [followed, *helpers])
        result = None if followed.cancelled() else followed.result()
        if result is None:
            door.out.say(f"No longer watching; the run goes on without us. Again: {door.command('run watch', run_id)}")
            return INTERRUPTED
        return exit_code(result) if door.out.json else tell_result(door, result)


# --- What it takes ------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _platform(door: Door, allow: tuple[str, ...], *, simulated: bool) -> AsyncIterator[Platform]:
    """A platform for this command, closed at its end."""
    from interlock.governance.commands import CommandPolicy
    from interlock.platform.platform import Platform

    async with contextlib.AsyncExitStack() as stack:
        more: dict[str, Any] = {}
        if simulated:
            more = await _simulation(stack, door.settings())
            door.out.say(Ink(SIMULATED, "warn"))
        platform = Platform(home=door.home, profile=door.profile, **more)
        stack.push_async_callback(platform.close)
        door.known = platform.settings
        _log_to_home(platform)
        if allow:
            platform.set_command_policy(platform.command_policy.joined(CommandPolicy(allowed=allow)))
        yield platform


async def _simulation(stack: contextlib.AsyncExitStack, settings: Settings) -> dict[str, Any]:
    """Start the simulated provider, and give the settings that lead every provider's requests to it."""
    from interlock.testing import SimulatedProvider
    from interlock.testing.demo_brain import think

    provider = await stack.enter_async_context(SimulatedProvider(script=think, record=False))
    for name in ("NO_PROXY", "no_proxy"):  # no proxy knows the way to this machine's own loopback
        os.environ[name] = ",".join(filter(None, ["127.0.0.1", os.environ.get(name)]))
    for described in settings.providers.values():
        if described.key_env:  # a real key has no business with a simulation
            os.environ[described.key_env] = "simulated"
    addresses = {"anthropic": provider.anthropic_url}
    return {
        "providers": {
            name: {"base_url": addresses.get(described.api, provider.openai_url)}
            for name, described in settings.providers.items()
        }
    }


def _log_to_home(platform: Platform) -> None:
    """Without a wish for logs they go to the home folder: what is internal is not for the screen."""
    if platform.settings.log.level is not None:
        return
    import logging

    from interlock.cli.door import LOG
    from interlock.cli.private_log import PrivateLog

    logging.getLogger("interlock").addHandler(PrivateLog(platform.settings.home / LOG))


def _hint(allow: tuple[str, ...], simulated: bool) -> list[str]:
    words = [word for rule in allow for word in ("--allow", rule)]
    return [*words, "--simulated"] if simulated else words
