"""The sections of the settings that are about people and secrets: users, roles, access, the vault's key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from interlock.governance.access import flaw_of
from interlock.records.access import USER_NAME

Name = Annotated[str, Meta(pattern=r"\S", description="a text that is not empty")]


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultSettings:
    """`[vault]`: where the key of the vault is, besides the keyring, a passphrase and ENCRYPTION_KEY.

    Args:
        key_file: A file that only its owner may read; None for `vault.key` in the home folder.
        key_command: A program with its words that prints the key, for example one that asks a KMS.
    """

    key_file: Path | None = None
    key_command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessSettings:
    """`[access]`: whether users must say who they are.

    Args:
        required: Whether nothing is allowed to someone without a name, as on a server.
    """

    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSettings:
    """`[roles.NAME]`: a role besides the built-in ones. Permissions are `resource:action`, with `*` as a pattern.

    Args:
        allow: What is allowed, such as `run:create` or `agent:use:claude`.
        deny: What is not, whatever this or another role allows.
    """

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSettings:
    """`[users.NAME]`: someone who may ask for work.

    Args:
        roles: Built-in roles (admin, operator, approver, auditor, developer, viewer) and those of `[roles.NAME]`.
        tenant: Whose they are; None where there are no tenants.
        tier: Which rate limits hold for them.
    """

    roles: tuple[str, ...] = ()
    tenant: Name | None = None
    tier: Name = "free"


def strange_people(
    users: Mapping[str, UserSettings], roles: Mapping[str, RoleSettings], agents: Mapping[str, Any]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Names that no user can have, and permissions that would allow or deny nothing: each with its key."""
    for name in users:
        if not USER_NAME.fullmatch(name):
            yield ("users", name), "is no name a user can have"
    written = [(("roles", name, "allow"), role.allow) for name, role in roles.items()]
    written += [(("roles", name, "deny"), role.deny) for name, role in roles.items()]
    written += [(("agents", name, "permissions"), agent.permissions or ()) for name, agent in agents.items()]
    for key, permissions in written:
        for flaw in filter(None, map(flaw_of, permissions)):
            yield key, f"is wrong: {flaw}"
