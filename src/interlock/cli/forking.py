"""The verbs that go back in a run: fork, diff, replay."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

import click

from interlock.cli.door import Door
from interlock.cli.grammar import Verb, as_pairs
from interlock.cli.plan_files import tools_named
from interlock.cli.plans import tell_plan
from interlock.cli.staying import Stay, platform_for, stay, words_of
from interlock.cli.stopping import signals
from interlock.cli.wording import Cell, Ink, finite, marked, money, took, usd

if TYPE_CHECKING:
    from interlock.platform.comparison import RunDiff, Side, StepDiff
    from interlock.platform.handle import Handle
    from interlock.platform.platform import Platform
    from interlock.records.run import Run

#: Characters of one side of a difference that are shown to people; JSON has all of it.
SHOWN = 300
#: Characters of an id that leave room for `-fork-2`.
LONGEST = 180


@click.command("fork", cls=Verb)
@click.argument("run_id", metavar="ID")
@click.option("--from", "from_step", metavar="STEP", required=True, help="From which step on all is done anew.")
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="A new value, like input.limit=10.")
@click.option("--run-id", "child", metavar="ID", help="Your own id for the new run; else that of a run q4 is q4-fork.")
@click.option("--tools", "modules", multiple=True, metavar="WHERE", help="Tools: module:attribute, or a plan file.")
@click.option("--allow", multiple=True, metavar="COMMAND", help="Let this command run too; may be repeated.")
@click.option("--user", metavar="NAME", help="For whom it is done; by default the parent's user.")
@click.option("--detach", is_flag=True, help="Come back as soon as it is durable; it goes on by itself.")
@click.option("--dry-run", is_flag=True, help="Only say what would be kept and done.")
@click.option("--simulated", is_flag=True, help="Without a key: simulate the models.")
@click.pass_obj
def fork(door: Door, /, *, changes: tuple[str, ...], detach: bool, dry_run: bool, **given: Any) -> int:
    """Begin a new run with the results of another one, from a step on. Approvals are never kept.

    \b
      interlock run fork q4 --from step_3 --set input.limit=10
      interlock run fork run_01k9x3 --from tool/2 --set description="Only the second disk"

    A value is read as JSON where it is JSON, else as text. STEP is a step of the plan, or a path of `run show`.
    """
    read = {name: _value(text) for name, text in as_pairs("--set", changes).items()}
    if dry_run:
        asyncio.run(_tried(door, given["run_id"], given["from_step"], read))
        return 0
    if detach:
        from interlock.cli.background import launch_fork

        return launch_fork(door, {**given, "changes": read})
    return asyncio.run(perform_fork(door, {**given, "changes": read}))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


async def _tried(door: Door, given: str, from_step: str, changes: dict[str, Any]) -> None:
    from interlock.errors import NotFound
    from interlock.flows.forking import fork_of
    from interlock.platform.lookup import find_run, load_run

    async with door.stored() as journal:
        run_id = await find_run(journal, given)
        if journal is None:
            raise NotFound(f"There is no run {given}.")
        found = fork_of(await load_run(journal, run_id), from_step, changes)
    kept = [one.path for one in found.kept if found.plan is None or one.failure is None]
    if door.out.json:
        detail = {"from": found.step, "kept": kept, "approvals_kept": 0, "to_do": [one.id for one in found.to_do]}
        detail["left_undone"] = found.left_undone
        door.out.record({"target": run_id, "applied": False, "dry_run": True, "detail": detail})
        return
    to_do = f" To do: {', '.join(one.id for one in found.to_do)}." if found.plan is not None else ""
    door.out.answer(f"Would be f{found.says[1:]}{to_do} Nothing was changed.")


async def perform_fork(door: Door, given: dict[str, Any], launched: Callable[[Run], None] | None = None) -> int:
    """Fork a run and stay with the new one.

    Args:
        door: Where it is asked for.
        given: The options of `run fork`.
        launched: Shown the run once it is durable.

    Returns:
        The exit code.
    """
    allow, simulated = tuple(given["allow"]), bool(given["simulated"])
    async with signals() as stop, platform_for(door, allow, simulated=simulated) as platform:
        handle = await _begun(door, platform, given)
        door.run, door.options = handle.run_id, words_of(allow, simulated, given["modules"])
        run = await platform.show(handle.run_id)
        if launched is not None:
            launched(run)
        door.out.say(Ink(handle.run_id, "bold"), f"  {run.notes[0].says}" if run.notes else "")
        again = door.command("run resume", handle.run_id, *door.options)
        is_plan = run.admitted is not None and run.admitted.flow == "plan"
        tell = (lambda platform, result: tell_plan(door, platform, result)) if is_plan else None
        return await stay(door, platform, handle.result(), stop, Stay(again=again, tell=tell, options=door.options))


async def _begun(door: Door, platform: Platform, given: dict[str, Any]) -> Handle:
    """Fork; where the tools of the steps are missing, say with which they were begun."""
    from interlock.errors import UsageError
    from interlock.flows.doubts import options_for, tools_of

    parent = await platform.find(given["run_id"])
    try:
        return await platform.fork(
            parent,
            from_step=given["from_step"],
            changes=given["changes"],
            run_id=given["child"] or await _own_id(platform, parent),
            tools=tools_named(given["modules"]),
            user=given["user"],
        )
    except UsageError as error:
        options = options_for(tools_of(await platform.show(parent)))
        if error.code == "usage.unknown_tool" and options and not given["modules"]:
            changes = [word for pair in given["changes"].items() for word in ("--set", _pair(*pair))]
            words = [parent, "--from", given["from_step"], *changes, *options]
            error.do = f"It was begun with {shlex.join(options)}: `{door.command('run fork', *words)}`."
        raise


def _pair(name: str, value: Any) -> str:
    """A change as `--set` takes it."""
    plain = isinstance(value, str) and _value(value) == value
    return f"{name}={value if plain else json.dumps(value, ensure_ascii=False)}"


async def _own_id(platform: Platform, parent: str) -> str | None:
    """The id of a fork that is given none: `q4-fork` of `q4`, then `q4-fork-2`; a new one where nobody chose either."""
    from interlock.platform.ids import is_made
    from interlock.stores.journal import Query

    if is_made(parent) or len(parent) > LONGEST:
        return None
    taken = {row.run_id for row in await platform.runs(Query(run_prefix=f"{parent}-fork", limit=10_000))}
    names = (f"{parent}-fork{f'-{number}' if number > 1 else ''}" for number in count(1))
    return next(name for name in names if name not in taken)


@click.command("diff", cls=Verb)
@click.argument("run_a", metavar="A")
@click.argument("run_b", metavar="B")
@click.option("--all", "whole", is_flag=True, help="Also the steps that are the same.")
@click.pass_obj
def diff(door: Door, run_a: str, run_b: str, whole: bool) -> None:
    """Lay two runs beside each other: input, output, state, cost and time of every step.

    \b
      interlock run diff q4 q4-fork
    """
    found = asyncio.run(_compared(door, run_a, run_b))
    if door.out.json:
        door.out.record(_as_json(found))
        return
    told = [step for step in found.steps if whole or step.differs]
    rows: list[list[Cell | str]] = [["run", _side(found.a), _side(found.b), ", ".join(found.differs)]]
    rows += [[step.step, _side(step.a), _side(step.b), ", ".join(step.differs)] for step in told]
    door.out.table(("step", found.run_a, found.run_b, "differs"), rows)
    for step in told:
        _tell_difference(door, found, step)
    if found.same:
        door.out.say(Ink("Nothing differs but the time.", "dim"))


async def _compared(door: Door, given_a: str, given_b: str) -> RunDiff:
    from interlock.errors import NotFound
    from interlock.platform.comparison import diff_of
    from interlock.platform.lookup import find_run, load_run

    async with door.stored() as journal:
        ids = [await find_run(journal, given) for given in (given_a, given_b)]
        if journal is None:
            raise NotFound(f"There is no run {given_a}.")
        return diff_of(await load_run(journal, ids[0]), await load_run(journal, ids[1]))


def _side(side: Side | None) -> Cell:
    """How a step stands in one run, on one line."""
    if side is None:
        return Cell("not there", "absent", "dim")
    mark = marked("kept" if side.inherited else side.status)
    exact = f"{side.status} {money(side.cost_micros) or 'unknown'} {side.seconds:.3f}"
    return Cell(f"{mark.text}  {usd(side.cost_micros)}  {took(side.seconds)}", exact, mark.style)


def _tell_difference(door: Door, found: RunDiff, step: StepDiff) -> None:
    for name in ("input", "output", "error"):
        if name in step.differs:
            door.out.answer(f"\n{step.step} {name}:")
            for run_id, side in ((found.run_a, step.a), (found.run_b, step.b)):
                door.out.answer(f"  {run_id}: {_short(getattr(side, name), whole=not door.out.for_people)}")


def _short(value: Any, *, whole: bool) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if whole or len(text) <= SHOWN else f"{text[:SHOWN]} … ({len(text):,} characters)"


def _as_json(found: RunDiff) -> dict[str, Any]:
    told = found.to_json()
    for side in (told["a"], told["b"], *(step[which] for step in told["steps"] for which in ("a", "b"))):
        if side is not None:
            side["cost_usd"] = money(side.pop("cost_micros"))
            side["seconds"] = finite(side["seconds"])
    return told


@click.command("replay", cls=Verb)
@click.argument("run_id", metavar="ID")
@click.pass_obj
def replay(door: Door, run_id: str) -> None:
    """Tell again what happened in a run so far, from its facts alone; nothing is done.

    \b
      interlock run replay q4 --json | jq -r 'select(.kind=="step.failed").path'
    """
    asyncio.run(_replayed(door, run_id))


async def _replayed(door: Door, given: str) -> None:
    from interlock.cli.progress import Progress
    from interlock.errors import NotFound
    from interlock.platform.lookup import find_run
    from interlock.platform.watching import replay_run

    async with door.stored() as journal:
        run_id = await find_run(journal, given)
        if journal is None:
            raise NotFound(f"There is no run {given}.")
        door.run, progress = run_id, Progress(door.out)
        async for event in replay_run(journal, run_id):
            if door.out.json:
                door.out.record(event.to_json())
            else:
                progress.hear(event)
            if event.result is not None and event.result.output is not None and not door.out.json:
                door.out.answer(event.result.output)
