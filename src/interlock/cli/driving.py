"""The verbs that stay with a run until it has ended: start, resume, watch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from interlock.cli.door import Door
from interlock.cli.grammar import Dollars, Duration, Verb
from interlock.cli.orders import Order, read_order
from interlock.cli.staying import Stay, end_with, exit_code, platform_for, stay, tell_result, words_of
from interlock.cli.stopping import INTERRUPTED, signals
from interlock.cli.wording import Ink, count
from interlock.errors import UsageError
from interlock.records.task import TaskStatus, TaskType

if TYPE_CHECKING:
    from interlock.platform.result import TaskResult
    from interlock.records.run import Run

#: What `--repeat` and `--skip` stand for where no step is named.
ALL = "*"


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
@click.option(
    "--repeat",
    multiple=True,
    is_flag=False,
    flag_value=ALL,
    metavar="[STEP]",
    help="Do this step again, which was cut off and may have happened; without STEP all such steps.",
)
@click.option(
    "--skip",
    multiple=True,
    is_flag=False,
    flag_value=ALL,
    metavar="[STEP]",
    help="Take this step, which was cut off, for failed; without STEP all such steps.",
)
@click.option("--allow", multiple=True, metavar="COMMAND", help="Let this command run too; may be repeated.")
@click.option("--tools", "modules", multiple=True, metavar="WHERE", help="Tools: module:attribute, or a plan file.")
@click.option("--simulated", is_flag=True, help="Without a key: simulate the models.")
@click.pass_obj
def resume(
    door: Door, /, run_id: str, repeat: tuple[str, ...], skip: tuple[str, ...], modules: tuple[str, ...], **given: Any
) -> int:
    """Go on with a run from its last fact; no finished step is done again.

    \b
      interlock run resume run_01k9x3
      interlock run resume q4 --repeat step_3 --skip step_5 --tools sales:ALL

    What is in doubt is shown by `run show ID` and `approval list`, with the exact commands.
    """
    in_doubt = _in_doubt(repeat, skip)
    return asyncio.run(go_on_with(door, run_id, in_doubt, given["allow"], given["simulated"], modules=modules))


def _in_doubt(repeat: tuple[str, ...], skip: tuple[str, ...]) -> str | dict[str, str] | None:
    """What becomes of steps in doubt: of all of them, or of each that is named."""
    if ALL in (*repeat, *skip):
        if len((*repeat, *skip)) > 1:
            says = "--repeat and --skip without a step are about all that is in doubt: only one of them can be."
            raise UsageError(says, "Name the steps: --repeat STEP --skip OTHER.", code="usage.option")
        return "repeat" if repeat else "skip"
    if both := set(repeat) & set(skip):
        raise UsageError(f"--repeat and --skip cannot both be, for {min(both)[:60]}.", code="usage.option")
    return {**dict.fromkeys(repeat, "repeat"), **dict.fromkeys(skip, "skip")} or None


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
    async with signals() as stop, platform_for(door, order.allow, simulated=order.simulated) as platform:
        handle = await platform.submit(order.task, run_id=order.run_id)
        door.run = handle.run_id
        if launched is not None:
            launched(await platform.show(handle.run_id))
        door.out.say(
            Ink(handle.run_id, "bold"),
            Ink("  Ctrl-C stops it here; it can be resumed." if door.out.is_live else "", "dim"),
        )
        door.options = words_of(order.allow, order.simulated)
        again = door.command("run resume", handle.run_id, *door.options)
        return await stay(door, platform, handle.result(), stop, Stay(again=again, options=door.options))


async def go_on_with(
    door: Door,
    given: str,
    in_doubt: str | dict[str, str] | None,
    allow: tuple[str, ...],
    simulated: bool,
    launched: Callable[[Run], None] | None = None,
    *,
    modules: Sequence[str] = (),
) -> int:
    """Resume a run and stay with it.

    Args:
        door: Where it is asked for.
        given: The run's id, or the beginning of it.
        in_doubt: What becomes of steps that were cut off: `repeat`, `skip`, one of them by step, or None to ask.
        allow: Commands that may run besides those of the settings.
        simulated: Whether models are simulated.
        launched: Shown the run before it goes on.
        modules: Where the tools of a plan's steps are; see `tools_named`.

    Returns:
        The exit code.
    """
    from interlock.cli.plan_files import tools_named
    from interlock.cli.plans import tell_plan
    from interlock.cli.runs import who

    async with signals() as stop, platform_for(door, allow, simulated=simulated) as platform:
        door.run = run_id = await platform.find(given)
        door.options = words_of(allow, simulated, modules)
        run = await platform.show(run_id)
        if not run.status.is_final or run.status is TaskStatus.FAILED:
            door.out.say(Ink(run_id, "bold"), f"  is at fact {run.seq}: {_done(run)} done, not repeated")
        if launched is not None:
            launched(run)
        tools = tools_named(modules) if modules else None
        result = platform.resume(run_id, in_doubt=in_doubt, by=who(), tools=tools)
        told = 0 if run.status is TaskStatus.COMPLETED else run.seq
        again = door.command("run resume", run_id, *door.options)
        is_plan = run.admitted is not None and run.admitted.flow == "plan"
        tell = (lambda platform, result: tell_plan(door, platform, result)) if is_plan else None
        return await stay(door, platform, result, stop, Stay(again=again, told=told, tell=tell, options=door.options))


def _done(run: Run) -> str:
    """How much of a run is finished: of a plan the steps it is made of, else everything that was a step."""
    from interlock.flows.plan import plan_of
    from interlock.flows.plan_results import results_of

    plan = plan_of(run)
    if plan is None:
        return count(sum(step.status == "finished" for step in run.steps.values()), "step")
    done = sum(result.status == "completed" for result in results_of(run, plan))
    return f"{done} of {count(len(plan.steps), 'step')}"


async def _watch(door: Door, given: str) -> int:
    from interlock.cli.progress import Progress
    from interlock.errors import NotFound
    from interlock.flows.doubts import options_for, tools_of
    from interlock.platform.lookup import find_run, load_run, row_of
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
            go_on = door.command("run resume", run_id, *options_for(tools_of(await load_run(journal, run_id))))
            door.out.say(Ink(f"Nobody drives it now. Go on: {go_on}", "warn"))

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
            await end_with(door, [followed, *helpers])
        result = None if followed.cancelled() else followed.result()
        if result is None:
            door.out.say(f"No longer watching; the run goes on without us. Again: {door.command('run watch', run_id)}")
            return INTERRUPTED
        return exit_code(result) if door.out.json else tell_result(door, result)
