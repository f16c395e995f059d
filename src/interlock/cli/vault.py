"""The verbs of the vault: set, list, rotate, remove. A value comes from stdin or a prompt, and never goes out."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from interlock.cli.door import Door
from interlock.cli.grammar import Verb
from interlock.cli.wording import iso
from interlock.errors import UsageError

if TYPE_CHECKING:
    from interlock.governance.vault import Vault

#: Most bytes of a secret that are read from standard input.
MOST_READ = 256 * 1024


@click.command("set", cls=Verb)
@click.argument("name", metavar="NAME")
@click.option(
    "--from", "source", metavar="WHERE", help="Keep where it is: env:VARIABLE, file:/PATH or keyring:SERVICE/NAME."
)
@click.option("--tenant", metavar="TENANT", default="", help="Whose it is.")
@click.option("--make-key", is_flag=True, help="Make a key for a new vault, in the keyring or in vault.key.")
@click.pass_obj
def set_secret(door: Door, name: str, source: str | None, tenant: str, make_key: bool) -> None:
    """Keep a secret. Its value is asked for, or read from standard input; it never stands on the command line.

    \b
      interlock vault set openai --make-key
      pass show openai | interlock vault set openai
    """
    vault = _vault(door, make_key=make_key)
    vault.check_key()  # before anyone types a secret
    entry = vault.refer(name, source, tenant=tenant) if source else vault.set(name, _value(name), tenant=tenant)
    if make_key:
        door.out.say("Keep a copy of the vault's key apart from the store: without it nobody can read the vault again.")
    _changed(door, name, f"kept as version {entry.version}", version=entry.version, tenant=tenant)


@click.command("list", cls=Verb)
@click.option("--tenant", metavar="TENANT", help="Only this tenant's.")
@click.pass_obj
def list_secrets(door: Door, tenant: str | None) -> None:
    """List the secrets that are kept, without their values.

    \b
      interlock vault list
    """
    entries = _vault(door).entries(tenant=tenant)
    if door.out.json:
        items = [
            {
                "name": one.name,
                "tenant": one.tenant or None,
                "version": one.version,
                "kind": one.kind,
                "created_at": iso(one.created_at),
            }
            for one in entries
        ]
        told = {"as_of": iso(time.time()), "items": items, "next": None, "truncated": False}
        door.out.record({**told, "counts": {"all": len(items)}})
        return
    rows = [[one.name, one.tenant, str(one.version), one.kind, iso(one.created_at) or ""] for one in entries]
    door.out.table(("name", "tenant", "version", "kind", "since"), rows)


@click.command("rotate", cls=Verb)
@click.pass_obj
def rotate(door: Door) -> None:
    """Take a new key for the vault and wrap every secret with it.

    \b
      interlock vault rotate
    """
    key_id = _vault(door).rotate()
    _changed(door, "vault", f"closed with the new key {key_id}", key=key_id)


@click.command("remove", cls=Verb)
@click.argument("name", metavar="NAME")
@click.option("--tenant", metavar="TENANT", default="", help="Whose it is.")
@click.pass_obj
def remove(door: Door, name: str, tenant: str) -> None:
    """Forget a secret with all its versions.

    \b
      interlock vault remove openai
    """
    versions = _vault(door).remove(name, tenant=tenant)
    _changed(door, name, f"removed, with {versions} version(s)", versions=versions, tenant=tenant)


def _vault(door: Door, *, make_key: bool = False) -> Vault:
    from interlock.platform.safeguards import open_vault

    return open_vault(door.settings(), time.time, make_key=make_key)


def _value(name: str) -> str:
    """The value: asked for at a terminal, without showing it; else standard input to its end."""
    if sys.stdin.isatty():
        import getpass

        with suppress(EOFError):
            return _checked(getpass.getpass(f"Value of {name}: ", sys.stderr))
        return _checked("")
    raw = sys.stdin.buffer.read(MOST_READ + 1)
    try:
        return _checked(raw.decode().rstrip("\r\n"))
    except UnicodeDecodeError:
        raise UsageError("The secret on standard input is not UTF-8 text.", code="usage.vault") from None


def _checked(value: str) -> str:
    if not value:
        raise UsageError("There is no value.", "Type it when asked, or pipe it in.", code="usage.vault")
    return value


def _changed(door: Door, target: str, says: str, **detail: object) -> None:
    if door.out.json:
        door.out.record({"target": target, "applied": True, "dry_run": False, "detail": detail})
    else:
        door.out.answer(f"{target}: {says}")
