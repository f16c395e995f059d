"""The verb that tells what was spent, what is reserved and what is left."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import Any

import click

from interlock.cli.door import Door
from interlock.cli.grammar import Verb
from interlock.cli.wording import Cell, Ink, count, iso, usd

GROUPS = ("run", "agent", "model", "tenant", "user", "label", "day")


@click.command("cost", cls=Verb)
@click.option(
    "--by",
    type=click.Choice(GROUPS),
    metavar="GROUP",
    default="run",
    show_default=True,
    help=f"How to group what was spent: {', '.join(GROUPS)}.",
)
@click.option("--limit", type=click.IntRange(1, 100_000), default=30, show_default=True, help="At most so many groups.")
@click.pass_obj
def cost(door: Door, by: str, limit: int) -> None:
    """Show what is spent, reserved and left of each budget, and what the work cost.

    \b
      interlock cost --by model
      interlock cost --by label --json | jq -r '.items[] | [.name, .cost_usd] | @tsv'

    In a pipe the columns of budgets are: `budget`, name, scope, period, limit, spent, reserved and left in USD; of
    limits: `limit`, name, scope, period, limit, used, nothing, left; of groups: `spent`, name, cost in USD, tokens,
    requests, requests of unknown price.
    """
    report = asyncio.run(_report(door, by))
    shown = report["spending"][:limit]
    more = len(report["spending"]) > limit
    if door.out.json:
        told = {"as_of": iso(time.time()), "by": by, "total_usd": report["total_usd"], "unknown": report["unknown"]}
        told |= {"budgets": [_dated(row) for row in report["budgets"]]}
        told |= {"limits": [_dated(row) for row in report["limits"]]}
        counts = {"all": len(report["spending"])}
        door.out.record({**told, "items": shown, "next": None, "truncated": more, "counts": counts})
        return
    _tell_budgets(door, report)
    _tell_spending(door, by, shown)
    total = usd(_micros(report["total_usd"]))
    unknown = f"; {count(report['unknown'], 'request')} of unknown price" if report["unknown"] else ""
    door.out.say(Ink(f"{total if total != '–' else 'Nothing'} spent in all{unknown}.", "dim"))


async def _report(door: Door, by: str) -> dict[str, Any]:
    from interlock.platform.spending import all_budgets, cost_report, first_budgets, first_limits

    settings = door.settings()
    budgets = all_budgets(first_budgets(settings), first_limits(settings))
    async with door.stored() as journal:
        return await cost_report(journal, by, budgets, time.time())


def _tell_budgets(door: Door, report: dict[str, Any]) -> None:
    rows: list[list[Cell | str]] = []
    for row in report["budgets"]:
        left = _money(row["left_usd"], "bad" if _micros(row["left_usd"]) == 0 else "")
        amounts = [_money(row[name]) for name in ("limit_usd", "spent_usd", "reserved_usd")]
        rows.append([Cell("", "budget"), row["name"], row["window"] or "–", *amounts, left, row["scope"]])
    for row in report["limits"]:
        figures = [Cell(f"{row[name]:,}", str(row[name])) for name in ("limit", "used")]
        left = Cell(f"{row['left']:,}", str(row["left"]), "bad" if row["left"] == 0 else "")
        rows.append([Cell("", "limit"), row["name"], row["window"], *figures, "–", left, "platform"])
    door.out.table(("", "budget", "period", "limit", "spent", "reserved", "left", "whose"), rows, spare=("period",))
    if rows and door.out.for_people:
        door.out.answer(" ")


def _tell_spending(door: Door, by: str, shown: list[dict[str, Any]]) -> None:
    rows: list[list[Cell | str]] = [
        [
            Cell("", "spent"),
            Cell(row["name"] or "–", row["name"] or "", "" if row["name"] else "dim"),
            _money(row["cost_usd"]),
            Cell(f"{row['tokens']:,}", str(row["tokens"])),
            Cell(f"{row['requests']:,}", str(row["requests"])),
            Cell(str(row["unknown"] or "–"), str(row["unknown"]), "warn" if row["unknown"] else ""),
        ]
        for row in shown
    ]
    door.out.table(("", by, "cost", "tokens", "requests", "unpriced"), rows)


def _dated(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "until": iso(row["until"])}


def _micros(text: str) -> int:
    return int(Decimal(text) * 1_000_000)


def _money(text: str, style: str = "") -> Cell:
    return Cell(usd(_micros(text)), text, style)
