"""Who is who: users with their roles and tenant, and the tokens by which they are known."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

#: What tenants pay for, by default.
FREE = "free"
#: What users, tenants and tiers may be called.
USER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@+-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Someone who may ask for work.

    Args:
        name: What they are called; nobody else is, in any tenant.
        roles: What they may do.
        tenant: Whose they are; None where there are no tenants.
        tier: Which rate limits hold for them.
    """

    name: str
    roles: frozenset[str] = field(default_factory=frozenset)
    tenant: str | None = None
    tier: str = FREE


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An API token, without the token: nobody can read it again.

    Args:
        id: What it is called when it is revoked.
        user: Who it stands for.
        created_at: Seconds since 1970, as all times here.
        expires_at: When it ends; None for never.
        last_used_at: When it was last used, to a minute; None for never.
        revoked_at: When it was taken back; None where it was not.
    """

    id: str
    user: str
    created_at: float
    expires_at: float | None = None
    last_used_at: float | None = None
    revoked_at: float | None = None
