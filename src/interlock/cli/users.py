"""The verbs about people: user add, list, token, revoke, remove."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from interlock.cli.door import Door
from interlock.cli.grammar import Duration, Verb
from interlock.cli.wording import iso

if TYPE_CHECKING:
    from interlock.platform.access import Access


@click.command("add", cls=Verb)
@click.argument("name", metavar="NAME")
@click.option("--role", "roles", metavar="ROLE", multiple=True, help="What they may do; may be given more than once.")
@click.option("--tenant", metavar="TENANT", help="Whose they are.")
@click.option("--tier", metavar="TIER", default="free", help="Which rate limits hold for them.")
@click.pass_obj
def add(door: Door, name: str, roles: tuple[str, ...], tenant: str | None, tier: str) -> None:
    """Add a user. From the first one on, only users may do anything by a name.

    \b
      interlock user add ann --role operator --role approver
    """
    user = _access(door).add_user(name, roles, tenant, tier)
    told = {"roles": sorted(user.roles), "tenant": user.tenant, "tier": user.tier}
    _changed(door, name, f"added with the roles {', '.join(sorted(user.roles)) or '(none)'}", **told)


@click.command("remove", cls=Verb)
@click.argument("name", metavar="NAME")
@click.pass_obj
def remove(door: Door, name: str) -> None:
    """Remove a user and revoke their tokens.

    \b
      interlock user remove ann
    """
    _access(door).remove_user(name)
    _changed(door, name, "removed, with their tokens")


@click.command("list", cls=Verb)
@click.pass_obj
def list_users(door: Door) -> None:
    """List the users with their roles and the tokens that stand for them.

    \b
      interlock user list
    """
    access = _access(door)
    users, tokens = access.users(), access.tokens()
    if door.out.json:
        items = [
            {
                "name": one.name,
                "roles": sorted(one.roles),
                "tenant": one.tenant,
                "tier": one.tier,
                "tokens": [
                    {
                        "id": token.id,
                        "created_at": iso(token.created_at),
                        "expires_at": _iso(token.expires_at),
                        "last_used_at": _iso(token.last_used_at),
                        "revoked_at": _iso(token.revoked_at),
                    }
                    for token in tokens
                    if token.user == one.name
                ],
            }
            for one in users
        ]
        told = {"as_of": iso(time.time()), "items": items, "next": None, "truncated": False}
        door.out.record({**told, "counts": {"all": len(items)}})
        return
    live = {one.name: [t.id for t in tokens if t.user == one.name and t.revoked_at is None] for one in users}
    rows = [
        [one.name, " ".join(sorted(one.roles)), one.tenant or "", one.tier, " ".join(live[one.name])] for one in users
    ]
    door.out.table(("user", "roles", "tenant", "tier", "tokens"), rows)


@click.command("token", cls=Verb)
@click.argument("name", metavar="NAME")
@click.option("--expires-in", type=Duration(), metavar="TIME", help="When it ends, for example 90d; never by default.")
@click.pass_obj
def token(door: Door, name: str, expires_in: float | None) -> None:
    """Make an API token for a user. It is shown this once.

    \b
      interlock user token ann --expires-in 90d
    """
    made = _access(door).issue_token(name, expires_in)
    if door.out.json:
        door.out.record({"target": name, "applied": True, "dry_run": False, "detail": {"token": made}})
        return
    door.out.say("Keep it now: it is not shown again.")
    door.out.answer(made)


@click.command("revoke", cls=Verb)
@click.argument("token_id", metavar="TOKEN_ID")
@click.pass_obj
def revoke(door: Door, token_id: str) -> None:
    """Take an API token back, by its id.

    \b
      interlock user revoke tok_1a2b3c4d5e6f
    """
    _access(door).revoke_token(token_id)
    _changed(door, token_id, "revoked")


def _access(door: Door) -> Access:
    from interlock.platform.safeguards import open_access

    return open_access(door.settings(), time.time)


def _iso(at: float | None) -> str | None:
    return None if at is None else iso(at)


def _changed(door: Door, target: str, says: str, **detail: object) -> None:
    if door.out.json:
        door.out.record({"target": target, "applied": True, "dry_run": False, "detail": detail})
    else:
        door.out.answer(f"{target}: {says}")
