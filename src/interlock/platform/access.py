"""Users, tenants, roles and API tokens, as a platform knows them: those of the settings and those of the store."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable
from dataclasses import replace

from interlock.errors import AuthenticationError, Conflict, NotFound, SettingsError, UsageError
from interlock.governance.access import ROLES, AccessRules, Role
from interlock.platform.settings import Settings
from interlock.records.access import FREE, USER_NAME, Token, User
from interlock.records.task import Task
from interlock.records.verdict import Act, Verdict, refusal
from interlock.stores.access import AccessStore
from interlock.stores.journal import RunRow

#: What every token begins with, so that scanners and people recognise it.
PREFIX = "ilk_"
#: Seconds for which the users of the store are remembered: so long may another process's change take to be seen.
REMEMBERED = 1.0
#: Seconds between two notes that a token was used.
USED_EVERY = 60.0
_TOKEN = re.compile(r"ilk_[A-Za-z0-9_-]{43}[0-9a-f]{8}")

_log = logging.getLogger(__name__)


class Access:
    """Who may do what on this platform. As long as nobody is configured, everything belongs to who runs the program.

    Args:
        settings: Where users and roles may stand.
        store: Where further users, and all tokens, are kept.
        now: The clock: seconds since 1970.
        random: Gives random bytes.

    Raises:
        SettingsError: a user of the settings has a role that is not there.
    """

    def __init__(
        self,
        settings: Settings,
        store: AccessStore,
        *,
        now: Callable[[], float],
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._store = store
        self._now = now
        self._random = random
        self._roles = {name: Role(allow=role.allow, deny=role.deny) for name, role in settings.roles.items()}
        self._settled = {
            name: User(name=name, roles=frozenset(user.roles), tenant=user.tenant, tier=user.tier)
            for name, user in settings.users.items()
        }
        for user in self._settled.values():
            for role in user.roles - self._known_roles():
                raise SettingsError(f"users.{user.name} has the role {role!r}, which is not there.", self._there_are())
        self._agents = {
            name: Role(allow=agent.permissions)
            for name, agent in settings.agents.items()
            if agent.permissions is not None
        }
        self.required = settings.access.required
        self._rules: AccessRules | None = None
        self._changes = -1
        self._looked_at = float("-inf")

    def rules(self) -> AccessRules:
        """Users and roles as they are now; a change by another process is seen within a second.

        Raises:
            StoreFailed: the users cannot be read.
        """
        now = self._now()
        if self._rules is None or not 0 <= now - self._looked_at < REMEMBERED:
            changes = self._store.changes()
            if self._rules is None or changes != self._changes:
                stored = {user.name: user for user in self._store.users()}
                self._rules = AccessRules(
                    users={**stored, **self._settled}, roles=self._roles, agents=self._agents, required=self.required
                )
            self._changes, self._looked_at = changes, now
        return self._rules

    def require(self) -> None:
        """From now on nothing is allowed to someone without a name, as a server wants it."""
        self.required = True
        self._rules = None

    # Users.

    def add_user(self, name: str, roles: Iterable[str] = (), tenant: str | None = None, tier: str = FREE) -> User:
        """Add a user, durable when this returns. From the first one on, only users may do anything by a name.

        Args:
            name: What they are called; unique over all tenants.
            roles: Roles, built in (admin, operator, approver, auditor, developer, viewer) or from the settings.
            tenant: Whose they are.
            tier: Which rate limits hold for them.

        Raises:
            UsageError: `usage.user`: a name or role that cannot be.
            Conflict: `access.user_taken`.
        """
        if isinstance(roles, str):
            raise UsageError("roles is a list of roles, not one text.", code="usage.user")
        user = User(name=name, roles=frozenset(roles), tenant=tenant, tier=tier)
        for text in (name, tier, *(() if tenant is None else (tenant,))):
            if not isinstance(text, str) or not USER_NAME.fullmatch(text):
                raise UsageError(f"{text!r:.80} is no name for a user, tenant or tier.", code="usage.user")
        for role in sorted(user.roles - self._known_roles()):
            raise UsageError(f"There is no role {role!r:.80}.", self._there_are(), code="usage.user")
        if name in self._settled:
            raise Conflict(f"There is already a user {name}.", "Choose another name.", code="access.user_taken")
        self._store.add_user(user, self._now())
        self._rules = None
        _log.info("access: user %s was added with %s in tenant %s", name, sorted(user.roles), tenant)
        return user

    def remove_user(self, name: str) -> None:
        """Forget a user of the store and revoke their tokens.

        Raises:
            NotFound: `access.user_not_found`: there is none, or they stand in the settings.
        """
        if not self._store.remove_user(name, self._now()):
            raise self._no_user(name)
        self._rules = None
        _log.info("access: user %s was removed", name)

    def users(self) -> list[User]:
        """All users, by name."""
        return sorted(self.rules().users.values(), key=lambda user: user.name)

    def roles_of(self, user: str) -> frozenset[str] | None:
        """The roles of a user, none for someone unknown; None where nobody is configured, and so anyone may."""
        rules = self.rules()
        if rules.open:
            return None
        known = rules.users.get(user)
        return known.roles if known is not None else frozenset()

    def tier_of(self, user: str | None, tenant: str | None = None) -> str | None:
        """The tier of a user; without one, that of the tenant's users where they share it. None where none is known."""
        users = self.rules().users
        if user is not None:
            return users[user].tier if user in users else None
        tiers = {one.tier for one in users.values() if one.tenant == tenant} if tenant is not None else set()
        return tiers.pop() if len(tiers) == 1 else None

    def tenant_of(self, user: str | None) -> str | None:
        """The tenant of a user; None for no tenant or no such user."""
        known = self.rules().users.get(user) if user is not None else None
        return known.tenant if known is not None else None

    def placed(self, task: Task) -> Task:
        """A task in the tenant of its user, where it names none itself."""
        tenant = self.tenant_of(task.user) if task.tenant is None else None
        return task if tenant is None else replace(task, tenant=tenant)

    # What they may do.

    def may(self, user: str | None, permission: str, tenant: str | None = None, *, own: bool = False) -> Verdict:
        """Whether a user may do something; see `AccessRules.may`."""
        return self.rules().may(user, permission, tenant=tenant, own=own)

    def check(self, user: str | None, permission: str, tenant: str | None = None, *, own: bool = False) -> None:
        """The same, for who wants an error.

        Raises:
            Refused: `access.denied`.
        """
        verdict = self.may(user, permission, tenant, own=own)
        if not verdict.allowed:
            raise refusal(verdict)

    def check_run(self, user: str | None, action: str, row: RunRow) -> None:
        """Make sure that a user may do something with a run; for them, another tenant's run does not exist.

        Args:
            user: Who; None for the program itself.
            action: `read`, `cancel`, `pause`, `resume` or `fork`.
            row: The run.

        Raises:
            NotFound: it is another tenant's.
            Refused: `access.denied`.
        """
        rules = self.rules()
        known = rules.users.get(user) if user is not None else None
        if known is not None and row.tenant != known.tenant:
            raise NotFound(f"There is no run {row.run_id}.")
        self.check(user, f"run:{action}", own=row.user is not None and row.user == user)

    def judge(self, act: Act) -> Verdict | None:
        """The voice at the gate."""
        return self.rules().judge(act)

    # Tokens.

    def issue_token(self, user: str, expires_in: float | None = None) -> str:
        """A new API token for a user. It is shown this once: of it only its SHA-256 is kept.

        Args:
            user: Who it stands for.
            expires_in: Seconds until it ends; None for never.

        Raises:
            NotFound: `access.user_not_found`.
            UsageError: `usage.expires_in`: it would have ended already.
        """
        if user not in self.rules().users:
            raise self._no_user(user)
        if expires_in is not None and not 0 < expires_in < float("inf"):
            raise UsageError("expires_in is a number of seconds greater than 0.", code="usage.expires_in")
        now = self._now()
        body = PREFIX + urlsafe_b64encode(self._random(32)).rstrip(b"=").decode()
        token = body + _checksum(body)
        token_id = f"tok_{self._random(6).hex()}"
        expires_at = None if expires_in is None else now + expires_in
        self._store.add_token(Token(id=token_id, user=user, created_at=now, expires_at=expires_at), _digest(token))
        _log.info("access: token %s was issued for %s", token_id, user)
        return token

    def tokens(self) -> list[Token]:
        """All tokens, oldest first, without the tokens themselves."""
        return self._store.tokens()

    def revoke_token(self, token_id: str) -> None:
        """Take a token back; it is refused from now on.

        Raises:
            NotFound: `access.token_not_found`: there is none, or it was revoked before.
        """
        if not self._store.revoke(token_id, self._now()):
            raise NotFound(
                f"There is no token {token_id[:60]} that could be revoked.",
                "`interlock user list` shows the tokens.",
                code="access.token_not_found",
            )
        _log.info("access: token %s was revoked", token_id)

    def authenticate(self, token: str) -> User:
        """The user that a token stands for.

        Raises:
            AuthenticationError: `access.token`, `access.token_expired` or `access.token_revoked`.
        """
        # A checksum, so that a mistyped token is told from an unknown one without a look at the store.
        if not isinstance(token, str) or not _TOKEN.fullmatch(token) or token[-8:] != _checksum(token[:-8]):
            raise _refused("That is no Interlock token.", "access.token")
        # SHA-256 and no slow hash: a token is 32 random bytes, and nobody guesses those however fast they try.
        digest = _digest(token)
        found = self._store.token(digest)
        if found is None or not hmac.compare_digest(found[1], digest):
            raise _refused("That token is not known here.", "access.token")
        known, now = found[0], self._now()
        if known.revoked_at is not None:
            raise _refused("That token was revoked.", "access.token_revoked")
        if known.expires_at is not None and now >= known.expires_at:
            raise _refused("That token has expired.", "access.token_expired")
        user = self.rules().users.get(known.user)
        if user is None:
            raise _refused("That token's user is no longer there.", "access.token")
        if known.last_used_at is None or now - known.last_used_at >= USED_EVERY:
            self._store.used(known.id, now)
        return user

    def _known_roles(self) -> frozenset[str]:
        return frozenset({*ROLES, *self._roles})

    def _there_are(self) -> str:
        return f"There are: {', '.join(sorted(self._known_roles()))}; more under [roles.NAME] in interlock.toml."

    def _no_user(self, name: str) -> NotFound:
        return NotFound(
            f"There is no user {name[:60]}.", "`interlock user list` shows them.", code="access.user_not_found"
        )


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _refused(says: str, code: str) -> AuthenticationError:
    return AuthenticationError(says, "Ask for a new one: `interlock user token NAME`.", code=code)
