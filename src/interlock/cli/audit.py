"""The verbs of the audit log: show, verify, export, prune."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interlock.cli.door import Door
from interlock.cli.grammar import Duration, Verb
from interlock.cli.wording import Cell, Ink, iso
from interlock.errors import NotFound

if TYPE_CHECKING:
    from interlock.governance.audit.findings import Report
    from interlock.governance.audit.verify import Verification
    from interlock.platform.auditing import AuditBook

_OUTCOMES = {"block": "bad", "failed": "bad", "blocked": "bad", "deny": "bad", "approval": "warn", "completed": "good"}
_FILE = click.Path(dir_okay=False, path_type=Path)


def _book(door: Door) -> AuditBook:
    from interlock.platform.auditing import AuditBook

    return AuditBook(door.settings().home)


@click.command("show", cls=Verb)
@click.option("--run", "run_id", metavar="ID", default="", help="Only what happened in this run.")
@click.option("--actor", metavar="NAME", default="", help="Only where this user, person, agent or tool acted.")
@click.option("--rule", metavar="NAME", default="", help="Only where this rule answered.")
@click.option("--verdict", type=click.Choice(["allow", "approval", "block"]), help="Only with this verdict.")
@click.option("--since", type=Duration(), metavar="TIME", help="Only of the last TIME, like 30m, 2h or 7d.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="At most so many.")
@click.option("--before", type=click.IntRange(1), metavar="N", help="Only older ones: the `next` of the page before.")
@click.pass_obj
def show(
    door: Door,
    run_id: str,
    actor: str,
    rule: str,
    verdict: str | None,
    since: float | None,
    limit: int,
    before: int | None,
) -> None:
    """Show the audit log, newest first: who did what, when, by which rule, and with which outcome.

    \b
      interlock audit show --verdict block --since 1d
      interlock audit show --run run_01k9x3 --json
    """
    from interlock.governance.audit.export import Wanted

    now = time.time()
    run_id = asyncio.run(_full(door, run_id)) if run_id else ""
    wanted = Wanted(
        run=run_id,
        actor=actor,
        rule=rule,
        verdict=verdict or "",
        since=now - since if since is not None else None,
        before=before,
        limit=limit + 1,
    )
    found = _book(door).newest(wanted)
    found, more = found[:limit], len(found) > limit
    following = found[-1]["n"] if more else None
    if door.out.json:
        told = {"as_of": iso(now), "items": found, "next": following, "truncated": more}
        door.out.record({**told, "counts": {"all": len(found)}})
        return
    door.out.table(("n", "time", "who", "did", "outcome", "by rule", "run"), [_line(one) for one in found])
    if following:
        door.out.say(Ink(f"There are more: {door.command('audit show', '--before', str(following))}", "dim"))
    elif not found:
        door.out.say(Ink("No entries.", "dim"))


async def _full(door: Door, run_id: str) -> str:
    from interlock.platform.lookup import find_run

    async with door.stored() as journal:
        return await find_run(journal, run_id)


def _line(told: dict[str, Any]) -> list[Cell | str]:
    who = told.get("who", {})
    chain = [who.get("person") or who.get("user"), None if who.get("person") else who.get("agent"), who.get("tool")]
    outcome = str(told.get("outcome", ""))
    verdict = told.get("verdict", {})
    step = f" {told['step']}" if told.get("action") == "step" else ""
    return [
        str(told["n"]),
        iso(told["at"] / 1e6) or "",
        " → ".join(str(one) for one in chain if one) or "–",
        f"{told.get('action', '')}{step}",
        Cell(outcome, outcome, _OUTCOMES.get(outcome, "")),
        " ".join(filter(None, [verdict.get("rule"), verdict.get("place")])) or "–",
        str(told["run"]),
    ]


@click.command("verify", cls=Verb)
@click.argument("place", metavar="[PATH|URL]", required=False)
@click.option("--pubkey", type=_FILE, metavar="FILE", help="The log's public key, kept elsewhere.")
@click.option("--checkpoint", "more", type=_FILE, metavar="FILE", help="Checkpoints that were kept elsewhere.")
@click.option("--entry", type=click.IntRange(1), metavar="N", help="Also prove that entry N is in the signed log.")
@click.option("--from", "old", type=_FILE, metavar="FILE", help="Also prove that the log only grew since then.")
@click.pass_obj
def verify(
    door: Door, place: str | None, pubkey: Path | None, more: Path | None, entry: int | None, old: Path | None
) -> int:
    """Prove, offline, that nothing in the audit log was edited, moved, removed or cut off. Exit code 1 when it was.

    Without PATH it is this home's log, together with the facts it tells of. PATH may be a file that `audit export`
    wrote, or a folder of segments; URL the s3://, gs:// or az:// address of one.

    \b
      interlock audit verify
      interlock audit verify export.jsonl --pubkey audit.ed25519.pub --checkpoint checkpoints
    """
    book = _book(door)

    def progress(count: int) -> None:
        door.out.status(f"{count:,} entries")

    if place is None:
        found = book.check(more=more, pubkey=pubkey, progress=progress)
    else:
        found = book.check_place(place, more=more, pubkey=pubkey, progress=progress)
    door.out.status("")
    proofs = _proofs(found, entry, old)
    if door.out.json:
        door.out.record({"as_of": iso(time.time()), "place": place or "store", **found.report.to_json(), **proofs})
    else:
        _tell(door, found.report, proofs)
    return 0 if found.report.ok else 1


def _proofs(found: Verification, entry: int | None, old: Path | None) -> dict[str, Any]:
    from interlock.governance.audit.places import kept_checkpoints

    proofs: dict[str, Any] = {}
    if entry is not None:
        proofs["inclusion"] = found.prove_entry(entry)
    if old is not None:
        checkpoints, _ = kept_checkpoints(old)
        if not checkpoints:
            raise NotFound(f"There is no checkpoint in {old}.", "Name a file that holds one.", code="audit.not_found")
        proofs["consistency"] = found.prove_growth(checkpoints[-1])
    return proofs


def _tell(door: Door, report: Report, proofs: dict[str, Any]) -> None:
    for finding in report.findings:
        door.out.answer(f"✕ {finding.says}")
    for note in report.notes:
        door.out.say(Ink(note, "dim"))
    if not report.findings:
        span = f"entries {report.first} to {report.last}" if report.entries else "no entries"
        signed = f"; signed up to entry {report.signed}" if report.signed else ""
        door.out.answer(f"✓ {span}: nothing was edited, moved, removed or cut off{signed}.")
    if "inclusion" in proofs:
        proof = proofs["inclusion"]
        door.out.answer(f"Entry {proof['entry']} is in the signed log: {len(proof['proof'])} hashes prove it (--json).")
    if "consistency" in proofs and not any(one.kind in ("rewritten", "signature") for one in report.findings):
        proof = proofs["consistency"]
        door.out.answer(f"The log of {proof['to']} entries begins with the {proof['from']} signed before (--json).")


@click.command("export", cls=Verb)
@click.argument("path", metavar="OUT.jsonl", type=_FILE)
@click.pass_obj
def export(door: Door, path: Path) -> None:
    """Write the audit log with its checkpoints into a new file, which can be checked anywhere.

    \b
      interlock audit export audit.jsonl
    """
    book = _book(door)
    if not book.store.exists():
        raise NotFound("Nothing was ever written here.", "Choose another home with --home.", code="audit.not_found")
    lines = book.export(path)
    says = f"{lines} lines in {path}; check them with {door.command('audit verify', str(path))}"
    if door.out.json:
        door.out.record({"target": str(path), "applied": True, "dry_run": False, "detail": {"lines": lines}})
    else:
        door.out.answer(says)


@click.command("prune", cls=Verb)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.pass_obj
def prune(door: Door, dry_run: bool) -> None:
    """Let go of entries older than `audit.retention_days` that are signed and sent. The chain stays whole.

    This happens by itself once a day wherever work is done. Facts are not touched.

    \b
      interlock audit prune --dry-run
    """
    asyncio.run(_prune(door, dry_run))


async def _prune(door: Door, dry_run: bool) -> None:
    from interlock.governance.audit.retention import remove
    from interlock.governance.audit.sinks import open_sink
    from interlock.stores.audit_chain import take_away

    audit = door.settings().audit
    entries, segments = 0, 0
    async with door.stored() as journal:
        if journal is not None:
            sink = open_sink(audit.destination)
            old = _book(door).old(time.time() - audit.retention_days * 86_400, [sink] if sink is not None else [])
            entries, segments = old.entries, len(old.segments)
            anchor = old.anchor
            if not dry_run:
                if anchor is not None:
                    await journal.change(lambda db: take_away(db, anchor))
                remove(old.segments)
    if door.out.json:
        detail = {"entries": entries, "segments": segments}
        applied = not dry_run and bool(entries or segments)
        door.out.record({"target": "audit", "applied": applied, "dry_run": dry_run, "detail": detail})
    else:
        verb = "would go" if dry_run else "went"
        door.out.answer(f"{entries} entries and {segments} segments {verb}.")
