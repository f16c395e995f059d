"""The verbs that look at runs and steer them: list, show, pause, cancel."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from interlock.cli.door import Door
from interlock.cli.grammar import Duration, Verb
from interlock.cli.wording import Cell, Ink, ago, finite, iso, marked, money, state, took, usd
from interlock.errors import UsageError

if TYPE_CHECKING:
    from interlock.stores.journal import RunRow

STATES = (
    "pending",
    "running",
    "interrupted",
    "waiting",
    "awaiting_approval",
    "completed",
    "failed",
    "blocked",
    "cancelled",
)
PAGE = 200


@click.command("list", cls=Verb)
@click.option(
    "--status",
    "states",
    type=click.Choice(STATES),
    metavar="STATE",
    multiple=True,
    help=f"Only runs in this state: {', '.join(STATES)}.",
)
@click.option(
    "--since", type=Duration(), metavar="TIME", help="Only runs accepted in the last TIME, like 30m, 2h or 7d."
)
@click.option("--limit", type=click.IntRange(1, 100_000), default=30, show_default=True, help="At most so many.")
@click.option("--before", metavar="ID", help="Only runs older than this one: the `next` of the page before.")
@click.pass_obj
def list_runs(door: Door, states: tuple[str, ...], since: float | None, limit: int, before: str | None) -> None:
    """List runs, newest first.

    \b
      interlock run list --status failed --since 2h
      interlock run list --json | jq -r '.items[].run_id'

    In a pipe the columns are: id, state, agent, cost in USD, seconds, time of acceptance, task.
    """
    now = time.time()
    if since is not None and since <= 0:
        raise UsageError("--since must be more than 0.", code="usage.option")
    rows = asyncio.run(_listed(door, states, now - since if since is not None else -math.inf, limit + 1, before))
    rows, more = rows[:limit], len(rows) > limit
    following = rows[-1].run_id if more else None
    if door.out.json:
        counts = Counter(state(row) for row in rows)
        items = [row_as_json(row) for row in rows]
        door.out.record({"as_of": iso(now), "items": items, "next": following, "truncated": more, "counts": counts})
        return
    headers = ("run", "state", "agent", "cost", "took", "accepted", "task")
    door.out.table(headers, [_line(row, now) for row in rows], spare=("took", "agent", "cost"))
    if following:
        door.out.say(Ink(f"There are more: {door.command('run list', '--before', following)}", "dim"))
    elif not rows:
        door.out.say(Ink("No runs. Start one: interlock run start 'What is to be done'", "dim"))


async def _listed(door: Door, states: Sequence[str], since: float, most: int, before: str | None) -> list[RunRow]:
    """Rows that match, newest first, read page by page."""
    from interlock.platform.lookup import find_run
    from interlock.records.task import TaskStatus
    from interlock.stores.journal import Query

    asked = {"running", "pending"} | set(states) if "interrupted" in states else set(states)
    wanted = tuple(status for status in TaskStatus if status.value in asked)
    found: list[RunRow] = []
    async with door.stored() as journal:
        if before is not None:
            before = await find_run(journal, before)
        while journal is not None:
            page = await journal.runs(Query(status=wanted, limit=PAGE, before=before or ""))
            found += [row for row in page if row.created_at >= since and (not states or state(row) in states)]
            if len(page) < PAGE or len(found) >= most or page[-1].created_at < since:
                break
            before = page[-1].run_id
    return found[:most]


def row_as_json(row: RunRow) -> dict[str, Any]:
    """A run's row as JSON: metadata, and of its content only the beginning of the task."""
    return {
        "run_id": row.run_id,
        "task_id": row.task_id,
        "status": row.status.value,
        "state": state(row),
        "driven": row.driven,
        "title": row.title,
        "flow": row.flow,
        "platform": row.platform,
        "agent": row.agent or None,
        "priority": row.priority,
        "user": row.user,
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
        "finished_at": iso(row.finished_at),
        "wake_at": iso(row.wake_at),
        "seconds": finite(row.seconds),
        "tokens": row.tokens,
        "cost_usd": money(row.cost_micros),
        "error": {"code": row.failure_code, "says": row.failure_says} if row.failure_code else None,
        "guardrail": row.guardrail,
    }


def _line(row: RunRow, now: float) -> list[Cell | str]:
    status = state(row)
    mark = marked(status)
    ended = row.status.is_final
    return [
        row.run_id,
        Cell(mark.text, status, mark.style),
        row.agent or row.platform or "–",
        Cell(usd(row.cost_micros), money(row.cost_micros) or "unknown") if ended else "–",
        Cell(took(row.seconds), f"{row.seconds:.3f}") if ended else "–",
        Cell(ago(now - row.created_at), iso(row.created_at) or ""),
        row.title,
    ]


@click.command("show", cls=Verb)
@click.argument("run_id", metavar="ID")
@click.option("--content", is_flag=True, help="Also what went into the steps and came out.")
@click.option("--steps", is_flag=True, help="Of a plan: also all that was done for its steps.")
@click.pass_obj
def show(door: Door, run_id: str, content: bool, steps: bool) -> None:
    """Show one run: where it stands, who did what, what it cost, and the answer.

    ID may be the beginning of an id, 6 characters or more.

    \b
      interlock run show run_01k9x3 --content
    """
    from interlock.cli import show as page

    asyncio.run(page.show_run(door, run_id, content=content, steps=steps))


@click.command("pause", cls=Verb)
@click.argument("run_id", metavar="ID")
@click.pass_obj
def pause(door: Door, run_id: str) -> None:
    """Let a run finish the step it is in, and begin nothing new until it is resumed.

    \b
      interlock run pause run_01k9x3
    """
    asyncio.run(_pause(door, run_id))


async def _pause(door: Door, run_id: str) -> None:
    from interlock.platform.platform import Platform

    async with Platform(home=door.home, profile=door.profile) as platform:
        door.run = run_id = await platform.find(run_id)
        await platform.pause(run_id, by=who())
    _tell(door, run_id, f"{run_id} begins nothing new. Go on: {door.command('run resume', run_id)}", applied=True)


@click.command("cancel", cls=Verb)
@click.argument("run_id", metavar="ID")
@click.option("--reason", default="", help="Why; it is written down.")
@click.pass_obj
def cancel(door: Door, run_id: str, reason: str) -> None:
    """Stop a run for good, whichever process drives it.

    \b
      interlock run cancel run_01k9x3 --reason "wrong host"
    """
    asyncio.run(_cancel(door, run_id, reason))


#: Seconds a driver in another process gets to notice and write the end down.
PATIENCE = 10.0


async def _cancel(door: Door, run_id: str, reason: str) -> None:
    from interlock.platform.platform import Platform

    async with Platform(home=door.home, profile=door.profile) as platform:
        door.run = run_id = await platform.find(run_id)
        applied = await platform.cancel(run_id, by=who(), reason=reason)
        status = ""
        try:
            async with asyncio.timeout(PATIENCE):
                async for event in platform.watch(run_id):
                    status = event.data["status"] if event.kind == "result" else status
        except TimeoutError:
            status = "cancelling"
    says = f"{run_id} was {status} already." if not applied else f"{run_id} is {status}."
    if status == "cancelling":
        says = f"{run_id} will be cancelled; whoever drives it has not answered yet."
    _tell(door, run_id, says, applied=applied, status=status)


def _tell(door: Door, run_id: str, says: str, *, applied: bool, **detail: str) -> None:
    """The answer of a verb that changes something."""
    if door.out.json:
        door.out.record({"target": run_id, "applied": applied, "dry_run": False, "detail": {"says": says, **detail}})
    else:
        door.out.answer(says)


def who() -> str:
    """The name that a decision made here is written down under."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        return "someone"
