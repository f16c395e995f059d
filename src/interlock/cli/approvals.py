"""The verbs for what waits for a person: approval list, show, allow, deny."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any, Literal

import click

from interlock.cli.card import card
from interlock.cli.door import Door
from interlock.cli.doubts import as_json as doubt_as_json
from interlock.cli.doubts import doubt_card, tell_doubts
from interlock.cli.grammar import Verb
from interlock.cli.output import visible
from interlock.cli.wording import Cell, Ink, ago, iso, took
from interlock.errors import NotFound, UsageError

if TYPE_CHECKING:
    from interlock.platform.approval import Approval
    from interlock.platform.approvals import Approvals
    from interlock.records.run import Run
    from interlock.stores.journal import Journal

#: Seconds that the process which parked a run gets to hear the answer.
PATIENCE = 3.0


@click.command("list", cls=Verb)
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="At most so many.")
@click.pass_obj
def list_approvals(door: Door, limit: int) -> None:
    """List what waits for an answer, the oldest first: acts that a person must allow, and steps in doubt.

    \b
      interlock approval list
      interlock approval list --json | jq -r '.items[].id'

    A step in doubt was cut off in the middle and may have happened: it is answered by `run resume ID --repeat STEP` or
    `--skip STEP`; the exact commands are shown.

    In a pipe the columns are: id, run, who must answer, what would be done, the rule, when it was asked, until when.
    """
    now = time.time()
    found = asyncio.run(_listed(door, limit + 1))
    found, more = found[:limit], len(found) > limit
    if door.out.json:
        items = [as_json(door, one) for one in found]
        counts = {"pending": len(items)}
        door.out.record({"as_of": iso(now), "items": items, "next": None, "truncated": more, "counts": counts})
        return
    headers = ("approval", "run", "must answer", "asks", "rule", "asked", "denied in")
    door.out.table(headers, [_line(one, now) for one in found], spare=("rule", "asked", "must answer"))
    if not found:
        door.out.say(Ink("Nothing waits for an answer.", "dim"))
    tell_doubts(door, [one for one in found if one.about == "in_doubt"])


async def _listed(door: Door, limit: int) -> list[Approval]:
    async with door.stored() as journal:
        return [] if journal is None else await _over(door, journal).waiting(limit)


def _over(door: Door, journal: Journal) -> Approvals:
    """Approvals that are only looked at."""
    from interlock.platform.approvals import Approvals

    return Approvals(lambda: journal, door.settings().home, time.time)


def _line(one: Approval, now: float) -> list[Cell | str]:
    left = (one.expires_at or now) - now
    in_doubt = one.about == "in_doubt"
    return [
        one.id,
        one.run_id,
        visible(one.approver or "anyone"),
        visible(f"{one.step} in doubt: {one.does}" if in_doubt else one.does),
        visible("cut off" if in_doubt else f"{one.rule} {one.place}".strip()),
        Cell(ago(now - one.asked_at), iso(one.asked_at) or ""),
        Cell(took(max(0.0, left)), iso(one.expires_at) or "") if one.expires_at is not None else "–",
    ]


def as_json(door: Door, one: Approval) -> dict[str, Any]:
    """An approval as JSON, its times in ISO 8601; of a step in doubt with the commands that answer."""
    told = {**one.to_json(), "does": one.does, "rule_text": one.rule_text or None, **doubt_as_json(door, one)}
    return {**told, "asked_at": iso(one.asked_at), "expires_at": iso(one.expires_at)}


@click.command("show", cls=Verb)
@click.argument("approval_id", metavar="ID")
@click.pass_obj
def show(door: Door, approval_id: str) -> None:
    """Show what is asked: exactly what would be done, why it is asked, by which rule, and what happens on silence.
    Of a step in doubt: what was being done, under which key, and the commands that answer.

    ID may be the beginning of an id, 6 characters or more. Control characters are written out, as in \\u{202e}.

    \b
      interlock approval show q_5f0c1a
    """
    approval, run = asyncio.run(_shown(door, approval_id))
    if door.out.json:
        door.out.record(as_json(door, approval))
        return
    if approval.about == "in_doubt":
        door.out.pairs(doubt_card(door, approval, run))
        return
    door.out.pairs(card(approval, run, time.time()))
    if approval.status == "pending":
        for word in ("allow", "deny"):
            door.out.say(Ink(door.command(f"approval {word}", approval.id), "dim"))


async def _shown(door: Door, given: str) -> tuple[Approval, Run]:
    from interlock.platform.lookup import load_run

    async with door.stored() as journal:
        if journal is None:
            raise NotFound(f"There is no approval {given[:60]}.", code="approval.not_found")
        approval = await _over(door, journal).show(given)
        door.run = approval.run_id
        return approval, await load_run(journal, approval.run_id)


_BY = click.option("--by", metavar="NAME", help="Who answers; by default the user of this machine.")
_REASON = click.option("--reason", default="", metavar="TEXT", help="Why; it is written down, and a denial told.")
_TOKEN = click.option("--token", metavar="TOKEN", help="Answer with a link's token, in the name it was made for.")
_RULE = click.option("--allow", "rules", multiple=True, metavar="COMMAND", help="As for `run resume`.")
_SIMULATED = click.option("--simulated", is_flag=True, help="As for `run resume`.")


@click.command("allow", cls=Verb)
@click.argument("approval_id", metavar="ID", required=False)
@_BY
@_REASON
@click.option("--edit", metavar="JSON", help="Other arguments; what comes of them is judged again before it is done.")
@click.option("--in-run", is_flag=True, help="Allow the same act for the rest of this run, where the rule offers it.")
@_TOKEN
@_RULE
@_SIMULATED
@click.pass_obj
def allow(door: Door, /, **given: Any) -> int:
    """Say yes to exactly what `approval show` shows, once. The run goes on by itself.

    \b
      interlock approval allow q_5f0c1a
      interlock approval allow q_5f0c1a --edit '{"argv": ["git", "push", "origin", "dev"]}'
    """
    return asyncio.run(_answer(door, "allow", given))


@click.command("deny", cls=Verb)
@click.argument("approval_id", metavar="ID", required=False)
@_BY
@_REASON
@_TOKEN
@_RULE
@_SIMULATED
@click.pass_obj
def deny(door: Door, /, **given: Any) -> int:
    """Say no. The agent is told, with your reason, and may find another way.

    \b
      interlock approval deny q_5f0c1a --reason "not on a Friday"
    """
    return asyncio.run(_answer(door, "deny", {**given, "edit": None, "in_run": False}))


async def _answer(door: Door, answer: Literal["allow", "deny"], given: dict[str, Any]) -> int:
    from interlock.platform.platform import Platform

    async with Platform(home=door.home, profile=door.profile) as platform:
        door.known = platform.settings
        approval = await _say(door, platform.approvals.without_driving(), answer, given)
        door.run = approval.run_id
        after = ""
        if approval.status == "pending":
            after = f"{approval.quorum - len(approval.allowed_by)} more must agree."
        elif not await _is_heard(platform, approval.run_id):
            run = await platform.show(approval.run_id)
            after = await asyncio.to_thread(_drive, door, run, given["rules"], simulated=given["simulated"])
    if door.out.json:
        detail = {**as_json(door, approval), "goes_on": after or None}
        door.out.record({"target": approval.id, "applied": True, "dry_run": False, "detail": detail})
        return 0
    word = {"pending": "allowed so far", "denied": "denied"}.get(approval.status, "allowed")
    by = approval.by or ("", *approval.allowed_by)[-1]
    door.out.answer(f"{approval.id} is {word} by {visible(by)}.")
    door.out.say(after or f"The run goes on. Watch it: {door.command('run watch', approval.run_id)}")
    return 0


async def _say(door: Door, approvals: Approvals, answer: Literal["allow", "deny"], given: dict[str, Any]) -> Approval:
    from interlock.cli.runs import who
    from interlock.platform.approvals import not_for_approval

    token, reason = given["token"], given["reason"]
    if token is not None:
        if given["by"] or given["edit"] or given["in_run"]:
            raise UsageError("A link's token says who answers, and only yes or no.", code="usage.option")
        return await approvals.answer_link(token, answer, reason=reason)
    if given["approval_id"] is None:
        raise UsageError("Which approval?", "`interlock approval list` shows them.", code="usage.command")
    if (asked := await approvals.show(given["approval_id"])).about == "in_doubt":
        door.run = asked.run_id
        raise not_for_approval(asked, door.command)
    by = given["by"] if given["by"] is not None else who()
    if answer == "deny":
        return await approvals.reject(given["approval_id"], by=by, reason=reason)
    edit = read_edit(given["edit"]) if given["edit"] is not None else None
    scope: Literal["run", "once"] = "run" if given["in_run"] else "once"
    return await approvals.approve(given["approval_id"], by=by, reason=reason, edit=edit, scope=scope)


def read_edit(text: str) -> dict[str, Any]:
    """Arguments that a person wrote as JSON.

    Raises:
        UsageError: it is no JSON object.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UsageError(
            "An edit is a JSON object with the new arguments.",
            """For example '{"argv": ["ls"]}'.""",
            code="usage.option",
        )
    return found


async def _is_heard(platform: Any, run_id: str) -> bool:
    """Whether a process that lives hears the answer: the one that drives the run, or that parked it."""
    from interlock.records.task import TaskStatus
    from interlock.stores.journal import Query

    late = time.monotonic() + PATIENCE
    while True:
        (row,) = await platform.runs(Query(run_id=run_id, limit=1))
        if row.driven or row.status is not TaskStatus.AWAITING_APPROVAL:
            return True
        if not row.parker_alive or time.monotonic() > late:
            return False
        await asyncio.sleep(0.05)


def _drive(door: Door, run: Run, rules: tuple[str, ...], *, simulated: bool) -> str:
    """Start a process that goes on with the run, or say why none is started."""
    from interlock.cli.background import take_up
    from interlock.flows.doubts import options_for, tools_of

    if lent := _tools_of_others(run):
        go_on = door.command("run resume", run.run_id, *(options_for(tools_of(run)) or ("--tools", "WHERE")))
        return f"It is written down. Go on where the plan's tools are ({visible(lent)}), or with: {go_on}"
    settings, hint = door.settings(), door.command("run resume", run.run_id)
    for name in run.routed.candidates if run.routed else ():
        if name not in settings.agents:
            return f"The agent {visible(name)} lives in a program of yours: resume the run there."
        if not simulated and not settings.has_key(name):
            return f"It is written down, but {name} has no key here. Go on with: {hint}"
    return f"The run goes on by itself, in process {take_up(door, run.run_id, rules, simulated=simulated)}."


def _tools_of_others(run: Run) -> str:
    """The tools that a plan's run needs and that no process has unless it is given them."""
    from interlock.flows.plan import plan_of
    from interlock.platform.built_in import BUILT_IN_TOOLS

    plan = plan_of(run)
    named = {step.tool for step in plan.steps if step.tool is not None} if plan is not None else set()
    return ", ".join(sorted(named - set(BUILT_IN_TOOLS))[:5])
