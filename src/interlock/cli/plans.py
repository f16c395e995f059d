"""The verbs about plans: make, show, check, run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interlock.cli.door import Door
from interlock.cli.grammar import Dollars, Duration, Verb
from interlock.cli.plan_files import is_plan_file, read_plan, tools_named, write_plan, written
from interlock.cli.staying import Stay, exit_code, platform_for, stay, tell_result, words_of
from interlock.cli.stopping import signals
from interlock.cli.wording import Ink, count
from interlock.errors import UsageError
from interlock.records.plan import Plan

if TYPE_CHECKING:
    from interlock.platform.platform import Platform
    from interlock.platform.result import TaskResult

_TOOLS = "Where the steps' tools are: module:attribute, or a plan file; may be repeated."


@click.command("make", cls=Verb)
@click.argument("task", metavar="TASK")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="The new file.")
@click.option("--max-steps", type=int, default=50, show_default=True, help="Steps at most.")
@click.option("--tool", "names", multiple=True, metavar="NAME", help="A built-in tool that steps may use.")
@click.option("--tools", "modules", multiple=True, metavar="WHERE", help=_TOOLS)
@click.option("--model", metavar="NAME", help="The model or agent that plans.")
@click.option("--user", metavar="NAME", help="For whom it is done.")
@click.pass_obj
def make(door: Door, /, task: str, out: Path | None, names: tuple[str, ...], **given: Any) -> None:
    """Have a model take a task apart into a plan; without a key, a task that numbers its steps becomes just these.

    \b
      interlock plan make "1. extract sales 2. compare regions 3. write a report" --out plan.yaml

    TASK `-` is read from standard input. Without --out the plan goes to standard output. Nothing is carried out.
    """
    from interlock.cli.orders import text_of
    from interlock.cli.plan_page import tell_warnings

    if out is not None and out.exists():
        raise UsageError(f"{out} is there already.", "Choose another name.", code="usage.plan_file")
    plan = asyncio.run(_made(door, text_of(task), [*names, *tools_named(given.pop("modules"))], given))
    if out is not None:
        write_plan(out, plan)
    if door.out.json:
        door.out.record({**plan.to_json(), "file": str(out) if out is not None else None})
    elif out is None:
        door.out.answer(written(plan, "yaml"))
    else:
        door.out.answer(str(out))
        door.out.say(f"{count(len(plan.steps), 'step')}. Look at it: {door.command('plan show', str(out))}")
    if plan.metadata.get("planner") == "outline":
        door.out.say(Ink("There is no key: these are the steps that the task lists, and no model was asked.", "dim"))
    tell_warnings(door, plan)


async def _made(door: Door, task: str, tools: Sequence[Any], given: dict[str, Any]) -> Plan:
    async with platform_for(door, (), simulated=False) as platform:
        door.out.status("  planning …")
        try:
            return await platform.decompose(task, tools=tools, **given)
        finally:
            door.out.status("")


@click.command("show", cls=Verb)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--max-concurrent", type=int, default=3, show_default=True, help="For the estimate of its time.")
@click.pass_obj
def show(door: Door, file: Path, max_concurrent: int) -> None:
    """Show a plan: its steps in the order they can be done, what it may cost, and what is doubtful about it.

    \b
      interlock plan show plan.yaml
    """
    from interlock.cli.plan_page import show_plan
    from interlock.platform.platform import Platform

    plan = read_plan(file).plan
    platform = Platform(home=door.home, profile=door.profile)  # nothing of it is opened
    show_plan(door, plan, platform.estimate_plan(plan, max_concurrent), platform.where_of_plan(plan))


@click.command("check", cls=Verb)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--tools", "modules", multiple=True, metavar="WHERE", help=_TOOLS)
@click.pass_obj
def check(door: Door, file: Path, modules: tuple[str, ...]) -> None:
    """Say whether a plan can be carried out here: its form, its dependencies, its tools. Exit code 2 if not.

    \b
      interlock plan check plan.yaml --tools sales.tools:ALL
    """
    from interlock.cli.plan_page import tell_warnings
    from interlock.platform.platform import Platform

    found = read_plan(file)
    plan = found.plan
    platform = Platform(home=door.home, profile=door.profile)  # nothing of it is opened
    found.refuse(platform.faults_of_plan(plan, tools_named(modules)))
    says = f"{file}: {count(len(plan.steps), 'step')}, nothing wrong."
    if door.out.json:
        door.out.record({"target": str(file), "ok": True, "steps": len(plan.steps), "detail": {"says": says}})
    else:
        door.out.answer(says)
    tell_warnings(door, plan)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """What `plan run` is asked for."""

    file: Path
    run_id: str | None
    resume: bool
    max_concurrent: int
    attempts: int
    timeout: float
    modules: tuple[str, ...]
    allow: tuple[str, ...]
    simulated: bool
    user: str | None
    max_cost: float | None


@click.command("run", cls=Verb)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--run-id", metavar="ID", help="Your own id for the run, under which it can be resumed.")
@click.option("--resume", is_flag=True, help="Go on with that run: what is done stays done.")
@click.option("--max-concurrent", type=int, default=3, show_default=True, help="Steps at the same time, at most.")
@click.option("--attempts", type=int, default=1, show_default=True, help="Tries of a step, in all.")
@click.option(
    "--timeout", type=Duration(), default=300.0, metavar="TIME", help="For one try of a step; 300 s if not said."
)
@click.option("--tools", "modules", multiple=True, metavar="WHERE", help=_TOOLS)
@click.option("--allow", multiple=True, metavar="COMMAND", help="Let this command run too; may be repeated.")
@click.option("--max-cost", type=Dollars(), metavar="USD", help="The most all of it may cost, like '5 USD'.")
@click.option("--user", metavar="NAME", help="For whom it is done.")
@click.option("--simulated", is_flag=True, help="Without a key: simulate the models.")
@click.pass_obj
def run(door: Door, /, **given: Any) -> int:
    """Carry a plan out: each step once, as far in parallel as the plan allows; what fails holds up only what needs it.

    \b
      interlock plan run plan.yaml --run-id q4
      interlock plan run plan.yaml --run-id q4 --resume

    Exit code 0: all steps completed. 1: some failed. 3: it waits for a person. 4: no key. 5: refused. 6: over budget.
    SIGTERM lets running steps finish and ends with 0 (Ctrl-C: 130); in both cases the run can be resumed.
    """
    order = _Order(**given)
    if order.resume and order.run_id is None:
        raise UsageError("--resume needs --run-id: which run is to go on?", code="usage.option")
    return asyncio.run(_carried_out(door, order))


async def _carried_out(door: Door, order: _Order) -> int:
    from interlock.cli.progress import JsonLines
    from interlock.platform.executor import Executor

    found, tools = read_plan(order.file), tools_named(order.modules)
    tools_from = _tools_from(order, found.plan)
    executor = Executor(order.max_concurrent, order.timeout, order.attempts)
    async with signals() as stop, platform_for(door, order.allow, simulated=order.simulated) as platform:
        told, anew = await _told_before(platform, order)
        if not order.resume:  # what is done already needs no tools any more
            found.refuse(platform.faults_of_plan(found.plan, tools))
        handle = await platform.submit_plan(
            found.plan,
            order.run_id,
            tools=tools,
            user=order.user,
            executor=executor,
            resume=order.resume,
            tools_from=tools_from,
            max_cost=order.max_cost,
        )
        door.run, door.options = handle.run_id, words_of(order.allow, order.simulated, tools_from)
        door.out.say(Ink(handle.run_id, "bold"), f"  {count(len(found.plan.steps), 'step')}")
        for warning in filter(None, [anew, await _of_another_plan(platform, order, found.plan)]):
            door.out.say(Ink("  ! ", "warn"), warning)
        how = Stay(
            again=_again(door, order, handle.run_id),
            told=told,
            teller=JsonLines(door.out) if door.out.json else None,
            tell=lambda platform, result: tell_plan(door, platform, result, anew, with_steps=True),
            orderly=True,
            options=door.options,
        )
        return await stay(door, platform, handle.result(), stop, how)


def _tools_from(order: _Order, plan: Plan) -> tuple[str, ...]:
    """Where the tools can be found again, as `--tools` takes it: also in the file, where it describes MCP servers."""
    own = is_plan_file(str(order.file)) and any(isinstance(one, Mapping) for one in plan.tools)
    return tuple(dict.fromkeys([*order.modules, *([str(order.file)] if own else [])]))


async def _told_before(platform: Platform, order: _Order) -> tuple[int, str | None]:
    """How many facts of the run were told by whoever began it; and where it should go on but is not there, that."""
    from interlock.platform.lookup import NEWEST, begun_anew
    from interlock.stores.journal import Query

    if not order.resume or order.run_id is None:
        return 0, None
    rows = await platform.runs(Query(run_id=order.run_id, limit=1))
    if rows:
        return rows[0].seq, None
    return 0, begun_anew(order.run_id, await platform.runs(Query(limit=NEWEST)))


async def _of_another_plan(platform: Platform, order: _Order, plan: Plan) -> str | None:
    """What is to be known of a run that goes on with other steps than its file has by now."""
    from interlock.flows.plan import plan_of

    if not order.resume or order.run_id is None:
        return None
    begun = plan_of(await platform.show(order.run_id))
    if begun is None or begun.to_json()["steps"] == plan.to_json()["steps"]:
        return None
    return (
        f"{order.run_id} goes on with the steps it began with; those in {order.file} are others. "
        "`interlock run fork` changes a step, another --run-id begins anew."
    )


def _again(door: Door, order: _Order, run_id: str) -> str:
    options = words_of(order.allow, order.simulated, order.modules)
    return door.command("plan run", str(order.file), "--run-id", run_id, "--resume", *options)


async def tell_plan(
    door: Door, platform: Platform, result: TaskResult, anew: str | None = None, *, with_steps: bool = False
) -> int:
    """Print what a plan's run came to.

    Args:
        door: Where it is asked for.
        platform: The platform.
        result: The run's result.
        anew: What is to be known of a run that should go on and was begun, because it was not there.
        with_steps: Whether JSON is the last of the run's facts, with the result of every step.

    Returns:
        The exit code: of failures that are all for want of a key 4, all refusals 5, all for want of money 6.
    """
    from interlock.cli.plan_page import progress_of, tell_answer
    from interlock.platform.result import TaskResult

    results = list((await platform.run_state(result.run_id)).results)
    code = exit_code(result)
    kinds = {one.kind for one in results if one.status == "failed"}
    if result.error_code == "plan.steps_failed" and len(kinds) == 1:
        code = {"authentication": 4, "refused": 5, "over_budget": 6}.get(kinds.pop(), code)
    if door.out.json and not with_steps:
        door.out.record(result.to_dict())
        return code
    if door.out.json:
        steps = [one.to_json() for one in results]
        told = {"run_id": result.run_id, "result": result.to_dict(), "steps": steps, "begun_anew": anew}
        door.out.record({"kind": "result", **told})
        return code
    door.out.say(Ink(f"  {progress_of(results)}", "dim"))
    if result.output is not None:
        tell_answer(door, result.run_id, result.output)
    tell_result(door, TaskResult({**result, "output": None}))
    return code
