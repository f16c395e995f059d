"""Read a PostgreSQL database: a read-only transaction, a role without powers, and limits the server keeps itself."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Any

from interlock.errors import ToolFailed, UsageError
from interlock.tools.database_rows import Collector, Rows, refused, unreachable
from interlock.tools.result import clean

#: Seconds to connect, and to wait for a lock.
CONNECT = 10.0
LOCK = 2.0
#: The role a superuser's statements run as: it may read every table, and nothing else.
READER = "pg_read_all_data"
#: Rows fetched at once.
_BATCH = 50

_ROLE = re.compile(r"[^\0\"]{1,63}")
#: Classes of PostgreSQL's error codes whose messages speak of the statement and not of the server.
_ABOUT_THE_STATEMENT = ("0A", "21", "22", "42")


class PostgresReader:
    """One PostgreSQL database that is only read. Connects for each statement and leaves nothing open.

    Args:
        url: Where it is, with user and password. Never shown.
        role: The role that statements run as; by default whoever connects, or `READER` for a superuser.

    Raises:
        UsageError: code `usage.database`: asyncpg is not installed, or the role is no name.
    """

    dialect = "postgres"

    def __init__(self, url: str, role: str | None = None) -> None:
        if find_spec("asyncpg") is None:
            raise UsageError(
                "Reading PostgreSQL needs the package asyncpg.",
                "Install it with `pip install 'interlock[postgres]'`.",
                code="usage.database",
            )
        if role is not None and not _ROLE.fullmatch(role):
            raise UsageError("That is no name of a PostgreSQL role.", code="usage.database")
        self._url, self._role = url, role

    async def read(self, sql: str, max_rows: int, seconds: float) -> Rows:
        """Run one statement; the server ends it after that many seconds.

        Raises:
            ToolFailed: `tool.database` or `tool.sql`.
            TimeoutError: it took longer.
        """
        connection = await self._connect(seconds)
        try:
            rows = await self._read(connection, sql, max_rows, seconds)
        except BaseException:
            connection.terminate()  # whatever the server still does for us, nobody waits for it
            raise
        await connection.close(timeout=CONNECT)
        return rows

    async def _connect(self, seconds: float) -> Any:
        import asyncpg  # type: ignore[import-untyped]

        try:
            # Without a cache of statements it also works through a pool of connections such as PgBouncer.
            return await asyncpg.connect(self._url, timeout=min(CONNECT, seconds), statement_cache_size=0)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, ValueError) as error:
            raise unreachable(type(error).__name__) from None  # its text names hosts, users and more

    async def _read(self, connection: Any, sql: str, max_rows: int, seconds: float) -> Rows:
        import asyncpg

        async with connection.transaction(readonly=True):
            try:
                await self._bind(connection, seconds)
            except asyncpg.PostgresError as error:
                raise unreachable(f"{type(error).__name__} {error.sqlstate}") from None
            try:
                # A prepared statement is one statement: the server itself refuses a second.
                statement = await connection.prepare(sql)
                taken = Collector([attribute.name for attribute in statement.get_attributes()], max_rows)
                async for record in statement.cursor(prefetch=min(_BATCH, max_rows + 1)):
                    if not taken.add(record):
                        break
                return taken.rows
            except asyncpg.QueryCanceledError:
                raise TimeoutError from None
            except asyncpg.PostgresError as error:
                raise _explained(error) from None
            except asyncpg.InterfaceError as error:  # a statement with parameters, for example
                raise refused("The statement cannot be run as it is; it may have no parameters.", repr(error)) from None

    async def _bind(self, connection: Any, seconds: float) -> None:
        """Bind the transaction to limits and a role before the statement is seen. SET LOCAL ends with it."""
        await connection.execute(
            f"SET LOCAL statement_timeout = {max(1, int(seconds * 1000))};"
            f"SET LOCAL lock_timeout = {int(LOCK * 1000)};"
            f"SET LOCAL idle_in_transaction_session_timeout = {int((seconds + LOCK) * 1000)};"
            "SET LOCAL standard_conforming_strings = on"
        )
        role = self._role or (READER if await _is_superuser(connection) else None)
        if role is not None:
            await connection.execute(f'SET LOCAL ROLE "{role}"')
        if await _is_superuser(connection):
            raise ToolFailed(
                "The database tool does not run statements as a superuser.",
                "Give it a role that may only read.",
                code="tool.database",
            )


async def _is_superuser(connection: Any) -> bool:
    return bool(await connection.fetchval("SELECT current_setting('is_superuser') = 'on'"))


def _explained(error: Any) -> ToolFailed:
    code = error.sqlstate or ""
    if code == "25006":
        return refused("The database allows only reading.", code)
    if code.startswith(_ABOUT_THE_STATEMENT):
        return refused(f"The database refuses the statement: {clean(error.args[0])[:300].rstrip('.')}.", code)
    return refused("The database could not run the statement.", f"{type(error).__name__} {code}")
