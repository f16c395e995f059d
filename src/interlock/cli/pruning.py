"""The verb that removes what runs have left behind and no longer need: prune."""

from __future__ import annotations

import asyncio
import time

import click

from interlock.cli.door import Door
from interlock.cli.grammar import Verb
from interlock.cli.wording import Cell, ago, count, iso


@click.command("prune", cls=Verb)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.pass_obj
def prune(door: Door, dry_run: bool) -> None:
    """Remove the scratch folders of runs that ended more than `code_interpreter.retention_days` ago.

    \b
      interlock run prune --dry-run

    They hold the files that code left there. This happens by itself once a day wherever work is done. A run that has
    not ended keeps its files, and what happened in a run stays written down.
    """
    asyncio.run(_prune(door, dry_run))


async def _prune(door: Door, dry_run: bool) -> None:
    from interlock.platform.scratch import Scratch, size_of

    settings, now = door.settings(), time.time()
    scratch = Scratch(settings)
    old = scratch.old(now)
    sizes = {one.folder: size_of(one.folder) for one in old}
    if old and not dry_run:
        async with door.stored() as journal:
            change = (lambda what: asyncio.run(journal.change(what))) if journal is not None else None
            old = await asyncio.to_thread(scratch.remove, old, change, now)
    taken = sum(sizes[one.folder] for one in old)
    items = [{"run_id": one.run_id or None, "folder": one.folder.name, "since": iso(one.since)} for one in old]
    if door.out.json:
        detail = {
            "folders": len(old),
            "bytes": taken,
            "items": [{**item, "bytes": sizes[one.folder]} for item, one in zip(items, old, strict=True)],
        }
        applied = not dry_run and bool(old)
        door.out.record({"target": "scratch", "applied": applied, "dry_run": dry_run, "detail": detail})
        return
    if old:
        rows: list[list[Cell | str]] = [
            [one.run_id or one.folder.name, Cell(ago(now - one.since), iso(one.since) or ""), f"{sizes[one.folder]:,}"]
            for one in old
        ]
        door.out.table(("run", "ended", "bytes"), rows)
    verb = "would go" if dry_run else "went"
    door.out.say(f"{count(len(old), 'folder')} with {taken / 1e6:,.1f} MB {verb}.")
