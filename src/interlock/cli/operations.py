"""The verbs that look after the installation: doctor, config show, agent list, agent test."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from interlock.cli.door import Door
from interlock.cli.grammar import Verb
from interlock.cli.wording import Cell, Ink, iso
from interlock.errors import NotFound, from_code

if TYPE_CHECKING:
    from interlock.platform.doctor import Check

_MARKS = {"ok": ("✓", "good"), "warning": ("!", "warn"), "failed": ("✕", "bad")}


@click.command("doctor", cls=Verb)
@click.option("--deep", is_flag=True, help="Also reach out to the providers; never a paid call.")
@click.option("--quick", is_flag=True, help="Only the store: for health checks of containers.")
@click.pass_obj
def doctor(door: Door, deep: bool, quick: bool) -> int:
    """Check that everything works, and say what to do if not. Exit code 1 when something does not.

    \b
      interlock doctor --deep
    """
    checks = asyncio.run(_examine(door, deep=deep, quick=quick))
    states = {check.state for check in checks}
    status = "unhealthy" if "failed" in states else "degraded" if "warning" in states else "healthy"
    if door.out.json:
        items = [{"name": check.name, **check.to_json()} for check in checks]
        counts = Counter(check.state for check in checks)
        told = {"as_of": iso(time.time()), "status": status, "items": items, "next": None, "truncated": False}
        door.out.record({**told, "counts": counts})
    else:
        door.out.table(("", "check", "finding"), [_finding(check) for check in checks], wrap=True)
        door.out.say(Ink(status, {"healthy": "good", "degraded": "warn"}.get(status, "bad")))
    return 1 if status == "unhealthy" else 0


def _finding(check: Check) -> list[Cell | str]:
    mark, style = _MARKS[check.state]
    return [Cell(mark, check.state, style), check.name, " ".join(filter(None, [check.says, check.do]))]


async def _examine(door: Door, *, deep: bool, quick: bool) -> list[Check]:
    from interlock.platform.doctor import check_home, check_machine

    settings = door.settings()
    checks = await check_home(settings)
    if quick:
        return checks
    checks += check_machine(settings)
    if deep:
        checks += await _reach_out(door)
    return checks


async def _reach_out(door: Door) -> list[Check]:
    """The checks that need the network: whether each provider with a key answers."""
    from interlock.platform.doctor import Check
    from interlock.platform.platform import Platform

    async with Platform(home=door.home, profile=door.profile) as platform:
        report = await platform.health(deep=True)
    found = [(name, check) for name, check in report["checks"].items() if name.startswith("provider ")]
    return [Check(name=name, **check) for name, check in found]


@click.command("show", cls=Verb)
@click.option("--origin", is_flag=True, help="Also where each value comes from.")
@click.pass_obj
def show_config(door: Door, origin: bool) -> None:
    """Show all settings as they are used here. Of keys only whether they are set.

    \b
      interlock config show --origin
    """
    entries = door.settings().entries()
    if door.out.json:
        items = [{"key": key, "value": value, "origin": where} for key, value, where in entries]
        _listed(door, items)
        return
    rows = [[key, _written(value), where][: 3 if origin else 2] for key, value, where in entries]
    door.out.table(("setting", "value", "from")[: 3 if origin else 2], rows)


def _written(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _listed(door: Door, items: list[dict[str, Any]], **counts: int) -> None:
    told = {"as_of": iso(time.time()), "items": items, "next": None, "truncated": False}
    door.out.record({**told, "counts": counts or {"all": len(items)}})


@click.command("list", cls=Verb)
@click.pass_obj
def list_agents(door: Door) -> None:
    """List the agents that tasks can be given to, and whether they have a key.

    \b
      interlock agent list
    """
    settings = door.settings()
    items = [
        {
            "name": name,
            "ready": settings.has_key(name),
            "provider": agent.provider,
            "model": agent.model,
            "tools": list(agent.tools),
        }
        for name, agent in settings.agents.items()
    ]
    if door.out.json:
        _listed(door, items, ready=sum(bool(item["ready"]) for item in items), all=len(items))
        return
    rows: list[list[Cell | str]] = [
        [
            name,
            Cell("✓ ready", "ready", "good") if settings.has_key(name) else Cell("! no key", "no key", "warn"),
            agent.provider,
            agent.model,
            " ".join(agent.tools),
        ]
        for name, agent in settings.agents.items()
    ]
    door.out.table(("agent", "state", "provider", "model", "tools"), rows)


@click.command("test", cls=Verb)
@click.argument("name", metavar="AGENT")
@click.pass_obj
def test_agent(door: Door, name: str) -> int:
    """Reach out to an agent's provider with its key. Never makes a paid call.

    \b
      interlock agent test claude
    """
    settings = door.settings()
    if name not in settings.agents:
        known = f"There are: {', '.join(settings.agents)}."
        raise NotFound(f"There is no agent {name[:60]}.", known, code="agent.not_found")
    if not settings.has_key(name):
        from interlock.platform.doctor import check_keys

        check = next(check for check in check_keys(settings) if check.name == f"agent {name}")
        raise from_code("agent.authentication", check.says, check.do)
    provider = settings.agents[name].provider
    found = next((one for one in asyncio.run(_reach_out(door)) if one.name == f"provider {provider}"), None)
    works = found is None or found.state == "ok"
    says = found.says if found else f"{provider} is not one of the settings' providers; it was not asked."
    if not works and found is not None:
        raise from_code(found.code or "agent.connection", found.says, found.do)
    if door.out.json:
        door.out.record(
            {"target": name, "applied": False, "dry_run": True, "detail": {"provider": provider, "says": says}}
        )
    else:
        door.out.answer(says)
    return 0
