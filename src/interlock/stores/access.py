"""Users and tokens in the store: few, seldom written, read by every process."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from interlock.errors import Conflict
from interlock.records.access import Token, User
from interlock.stores.sqlite_file import explain, open_reader, open_writer

_TOKEN = 'id, "user", created_at, expires_at, last_used_at, revoked_at'


class AccessStore:
    """Users and tokens in the embedded store's file. Each call opens the file and closes it: safe in any thread
    and after any fork.

    Args:
        path: The store's file; it need not exist, and reading does not make it.

    Raises:
        StoreFailed: from every method, when the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._migrated = False

    def changes(self) -> int:
        """How often users were changed; while this stays the same, so do they."""
        with self._reading() as db:
            return db.execute("SELECT number FROM access_changes").fetchone()[0] if db is not None else 0

    def users(self) -> list[User]:
        """All users, by name."""
        with self._reading() as db:
            if db is None:
                return []
            rows = db.execute("SELECT name, roles, tenant, tier FROM users ORDER BY name").fetchall()
        return [
            User(name=name, roles=frozenset(json.loads(roles)), tenant=tenant, tier=tier)
            for name, roles, tenant, tier in rows
        ]

    def add_user(self, user: User, at: float) -> None:
        """Keep a new user.

        Raises:
            Conflict: `access.user_taken`: there is one of that name.
        """
        roles = json.dumps(sorted(user.roles))
        try:
            with self._writing() as db:
                db.execute(
                    "INSERT INTO users (name, tenant, tier, roles, created_at) VALUES (?, ?, ?, ?, ?)",
                    (user.name, user.tenant, user.tier, roles, at),
                )
                db.execute("UPDATE access_changes SET number = number + 1")
        except sqlite3.IntegrityError:
            raise Conflict(
                f"There is already a user {user.name}.", "Choose another name.", code="access.user_taken"
            ) from None

    def remove_user(self, name: str, at: float) -> bool:
        """Forget a user and revoke their tokens; False where there is none."""
        with self._writing() as db:
            found = db.execute("DELETE FROM users WHERE name = ?", (name,)).rowcount > 0
            db.execute('UPDATE tokens SET revoked_at = ? WHERE "user" = ? AND revoked_at IS NULL', (at, name))
            db.execute("UPDATE access_changes SET number = number + 1")
        return found

    def add_token(self, token: Token, digest: str) -> None:
        """Keep what a token is known by."""
        with self._writing() as db:
            db.execute(
                'INSERT INTO tokens (id, digest, "user", created_at, expires_at) VALUES (?, ?, ?, ?, ?)',
                (token.id, digest, token.user, token.created_at, token.expires_at),
            )

    def token(self, digest: str) -> tuple[Token, str] | None:
        """The token with this digest, and the digest as it is kept."""
        with self._reading() as db:
            sql = f"SELECT {_TOKEN}, digest FROM tokens WHERE digest = ?"
            row = db.execute(sql, (digest,)).fetchone() if db is not None else None
        return (_token(row[:-1]), row[-1]) if row is not None else None

    def tokens(self) -> list[Token]:
        """All tokens, oldest first."""
        with self._reading() as db:
            rows = db.execute(f"SELECT {_TOKEN} FROM tokens ORDER BY created_at, id").fetchall() if db else []
        return [_token(row) for row in rows]

    def used(self, token_id: str, at: float) -> None:
        """Note that a token was used."""
        with self._writing() as db:
            db.execute("UPDATE tokens SET last_used_at = ? WHERE id = ?", (at, token_id))

    def revoke(self, token_id: str, at: float) -> bool:
        """Take a token back; False where there is none, or it was before."""
        with self._writing() as db:
            sql = "UPDATE tokens SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL"
            return db.execute(sql, (at, token_id)).rowcount > 0

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        if not self._path.exists():
            yield None
            return
        if not self._migrated:  # the file may be older than these tables
            open_writer(self._path).close()
            self._migrated = True
        with closing(open_reader(self._path)) as db:
            try:
                yield db
            except sqlite3.Error as error:
                raise explain(error, self._path) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with closing(open_writer(self._path)) as db:
            try:
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
            except sqlite3.IntegrityError:
                raise
            except sqlite3.Error as error:
                raise explain(error, self._path) from error


def _token(row: tuple[str, str, float, float | None, float | None, float | None]) -> Token:
    token_id, user, created_at, expires_at, last_used_at, revoked_at = row
    return Token(
        id=token_id,
        user=user,
        created_at=created_at,
        expires_at=expires_at,
        last_used_at=last_used_at,
        revoked_at=revoked_at,
    )
