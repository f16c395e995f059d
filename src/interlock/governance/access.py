"""Who may do what: roles with permissions, tenants that never mix, and a voice at the gate."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from interlock.records.access import User
from interlock.records.verdict import ALLOWED, Act, Effect, Verdict

#: The rule that verdicts of this room name, and the code of the error that they become.
RULE = "access"
DENIED = "access.denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What someone may do: permissions `resource:action`, sometimes with an object behind, such as `agent:use:claude`.

    A `*` stands for any text within a part, and as the last part for all that follows. A permission with `:own`
    behind it is for what the user has begun.

    Args:
        allow: What is allowed.
        deny: What is not, whatever this or another role allows.
    """

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


#: The roles that are always there.
ROLES: Mapping[str, Role] = {
    "admin": Role(allow=("*",)),
    "operator": Role(
        allow=("run:*", "agent:*", "tool:*", "approval:read", "budget:read", "policy:read", "audit:read", "user:read")
    ),
    "approver": Role(allow=("run:read", "approval:*")),
    "auditor": Role(allow=("audit:*", "run:read", "approval:read", "budget:read", "policy:read", "user:read")),
    "developer": Role(allow=("run:create", "run:*:own", "approval:read:own", "agent:*", "tool:*", "budget:read:own")),
    "viewer": Role(allow=("run:read", "agent:read", "approval:read", "budget:read")),
}


#: What permissions can be about.
RESOURCES = frozenset(one.partition(":")[0] for role in ROLES.values() for one in role.allow) - {"*"}


def flaw_of(permission: str) -> str:
    """What is wrong with a permission that someone wrote, or nothing: a wrong one under `deny` would deny nothing."""
    resource, *more = permission.split(":")
    if permission != "*" and (not more or not all((resource, *more)) or any(map(str.isspace, permission))):
        return f"{permission!r:.80} is no permission; write it like 'run:create', 'run:*' or 'agent:use:claude'"
    if "*" not in resource and resource not in RESOURCES:
        return f"{permission!r:.80} is about nothing there is; there are {', '.join(sorted(RESOURCES))}"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRules:
    """All users and roles at one moment. Decides; changes and reads nothing.

    Args:
        users: Users by name.
        roles: Roles by name, beside the built-in ones.
        agents: What agents may do at most, whoever they work for; an agent that is not here may do what its user may.
        required: Whether nothing is allowed to someone who says no name, as on a server.
    """

    users: Mapping[str, User] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)
    agents: Mapping[str, Role] = field(default_factory=dict)
    required: bool = False

    @property
    def open(self) -> bool:
        """Whether nobody is configured: then everything belongs to the one who runs the program."""
        return not self.users and not self.required

    def may(self, user: str | None, permission: str, *, tenant: str | None = None, own: bool = False) -> Verdict:
        """Whether a user may do something.

        Args:
            user: Who; None for the program itself.
            permission: What, for example `run:cancel`.
            tenant: In whose rooms; None for the user's own.
            own: Whether it is about something the user has begun.
        """
        if self.open or (user is None and not self.required):
            return ALLOWED
        if user is None:
            return _denied("Say who you are: nothing is allowed to someone without a name.")
        known = self.users.get(user)
        if known is None:
            return _denied(f"There is no user {user[:60]!r}.")
        if tenant is not None and tenant != known.tenant:
            return _denied(f"{user} does not belong to that tenant.")
        if not self._allowed(known.roles, permission, own):
            return _denied(f"No role of {user} allows {permission}.")
        return ALLOWED

    def agent_may(self, agent: str, permission: str) -> Verdict:
        """Whether an agent may do something at all, whoever it works for."""
        limits = self.agents.get(agent)
        if limits is None or _allowed_by([limits], permission, own=False):
            return ALLOWED
        return _denied(f"The agent {agent} is not allowed {permission}.")

    def judge(self, act: Act) -> Verdict | None:
        """The voice at the gate: what access has to say about an act; None for nothing."""
        if act.kind == "task":
            return self._judge_task(act)
        asked = self._asked(act)
        # What an agent does for someone must be allowed to both.
        answers = [self.agent_may(act.agent, permission) for permission in asked if permission.startswith("tool:")]
        if not self.open:
            answers += [self.may(act.user, permission, tenant=act.tenant) for permission in asked]
        return next((answer for answer in answers if not answer.allowed), None)

    def _judge_task(self, act: Act) -> Verdict | None:
        if self.open:
            return None
        asked = ["run:create", *(f"agent:use:{name}" for name in act.crew)]
        answers = (self.may(act.user, permission, tenant=act.tenant) for permission in asked)
        return next((answer for answer in answers if not answer.allowed), None)

    def _asked(self, act: Act) -> list[str]:
        asked = [f"agent:use:{act.agent}"] if act.agent else []
        if act.kind == "tool":
            asked.append(f"tool:use:{act.name}")
        elif act.kind == "command":
            asked.append("tool:use:shell")
        return asked

    def _allowed(self, names: Iterable[str], permission: str, own: bool) -> bool:
        # A role that is no longer there may have denied something: then nothing is allowed.
        roles = [self.roles.get(name) or ROLES.get(name) for name in names]
        known = [role for role in roles if role is not None]
        return len(known) == len(roles) and _allowed_by(known, permission, own)


def _allowed_by(roles: list[Role], permission: str, own: bool) -> bool:
    asked = (permission, f"{permission}:own") if own else (permission,)
    if any(_matches(pattern, one) for role in roles for pattern in role.deny for one in asked):
        return False
    return any(_matches(pattern, one) for role in roles for pattern in role.allow for one in asked)


def _matches(pattern: str, permission: str) -> bool:
    return _compiled(pattern).fullmatch(permission) is not None


@lru_cache(4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    """`run:*:own` matches `run:read:own`; `run:*` matches `run:read` and `run:read:own`."""
    *parts, last = pattern.split(":")
    pieces = [_piece(part, "[^:]") for part in parts]
    pieces.append("[^:].*" if last == "*" else _piece(last, "[^:]"))
    return re.compile(":".join(pieces), re.DOTALL)


def _piece(part: str, any_character: str) -> str:
    return f"{any_character}*".join(re.escape(text) for text in part.split("*"))


def _denied(reason: str) -> Verdict:
    return Verdict(effect=Effect.BLOCK, rule=RULE, reason=reason, code=DENIED)
