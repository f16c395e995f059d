"""The database tool: one statement that reads, on SQLite or PostgreSQL, with a limit on time, rows and size."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interlock.errors import ToolFailed, UsageError
from interlock.records.verdict import Act, Permit
from interlock.tools.database_postgres import PostgresReader
from interlock.tools.database_rows import Reader
from interlock.tools.database_sqlite import SqliteReader
from interlock.tools.signature import misfit, refuse_unknown
from interlock.tools.tool import Caller, ToolSpec, act_for, permitted

#: The tool's name for models and policies, unless it is given another.
NAME = "database_query"
#: Longest statement, in characters.
MAX_SQL = 20_000

_SPEAKS = {"sqlite": "SQLite", "postgres": "PostgreSQL"}
_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class DatabaseTool:
    """Lets an agent read a database: one statement a call, on a connection that cannot write.

    The database itself enforces that nothing is changed: SQLite is opened read-only behind an authorizer that
    permits nothing but reading; PostgreSQL gets a read-only transaction and a role without the superuser's powers.
    What may be read and which functions may be called is for a policy at the gate: `governance.sqltext.sql_judge`.

    Args:
        database: The path of a SQLite file (also `sqlite:///path`), or a `postgresql://` URL. Never shown to anyone.
        name: The tool's name, where there are several databases.
        about: What is in it, for the model.
        timeout: Seconds a statement may take.
        max_rows: Most rows one call returns.
        role: The PostgreSQL role that statements run as. By default whoever connects; a superuser becomes
            `pg_read_all_data`.

    Raises:
        UsageError: code `usage.database`: the address or a limit cannot be used, or a package is missing.
    """

    #: Reading twice is harmless.
    repeatable = True

    def __init__(
        self,
        database: str | Path,
        *,
        name: str = NAME,
        about: str = "",
        timeout: float = 30.0,
        max_rows: int = 1_000,
        role: str | None = None,
    ) -> None:
        if not _TOOL_NAME.fullmatch(name):
            raise _unusable("The name of a database tool is 1 to 64 letters, digits, `_` and `-`.")
        if not 0 < timeout < math.inf or max_rows < 1:
            raise _unusable("The database tool needs a timeout and a max_rows of more than 0.")
        self._reader = _reader(database, role)
        self.timeout, self.max_rows = float(timeout), max_rows
        self.spec = ToolSpec(name=name, description=self._describe(about), parameters=_parameters(max_rows))

    def __repr__(self) -> str:
        return f"DatabaseTool({self.spec.name}, {self.dialect})"

    @property
    def dialect(self) -> str:
        """What the database speaks: `sqlite` or `postgres`."""
        return self._reader.dialect

    def act(self, arguments: Mapping[str, Any], caller: Caller) -> Act:
        """Say which statement would run: `{"sql", "dialect", "max_rows"}` is what a policy judges and what is run.

        Raises:
            ToolFailed: code `tool.arguments`: there is no statement, or the number of rows is out of bounds.
        """
        name = self.spec.name
        refuse_unknown(name, arguments, self.spec.parameters["properties"])
        sql, rows = arguments.get("sql"), arguments.get("max_rows", self.max_rows)
        if not isinstance(sql, str) or not sql.strip() or len(sql) > MAX_SQL or "\0" in sql:
            raise misfit(name, f"`sql` must be one statement of at most {MAX_SQL:,} characters")
        if not isinstance(rows, int) or isinstance(rows, bool) or not 1 <= rows <= self.max_rows:
            raise misfit(name, f"`max_rows` must be a number from 1 to {self.max_rows}")
        return act_for(caller, "tool", name, {"sql": sql, "dialect": self.dialect, "max_rows": rows})

    async def run(self, permit: Permit, caller: Caller) -> Any:
        """Run what the permit allows: `{"columns": [...], "rows": [[...]], "truncated": bool}`.

        Raises:
            ToolFailed: `tool.timeout`; `tool.database` when it cannot be reached; `tool.sql` when the database
                refuses the statement. None of them says where the database is.
        """
        allowed = permitted(permit, "tool", self.spec.name)
        if allowed["dialect"] != self.dialect:
            raise UsageError("This permit is for another database.", code="usage.permit")
        seconds = self.timeout if caller.timeout is None else min(self.timeout, caller.timeout)
        try:
            async with asyncio.timeout(seconds + 1.0):  # the database's own limit comes first and says more
                rows = await self._reader.read(str(allowed["sql"]), int(allowed["max_rows"]), seconds)
        except TimeoutError as error:
            raise ToolFailed(
                f"The statement took longer than {seconds:g} seconds.",
                "Ask for less: a narrower condition, fewer tables, a LIMIT.",
                code="tool.timeout",
            ) from error
        return {"columns": rows.columns, "rows": rows.rows, "truncated": rows.truncated}

    def _describe(self, about: str) -> str:
        speaks = f"Run one SQL statement that only reads, in the dialect of {_SPEAKS[self.dialect]}."
        return f"{speaks} {about}".strip()


def _reader(database: str | Path, role: str | None) -> Reader:
    if isinstance(database, Path):
        return SqliteReader(database)
    if not isinstance(database, str):
        raise _unusable("A database is the path of a SQLite file or a postgresql:// URL.")
    scheme, found, rest = database.partition("://")
    if found and scheme in ("postgresql", "postgres"):
        return PostgresReader(database, role)
    if found and scheme != "sqlite":
        raise _unusable("A database is the path of a SQLite file or a postgresql:// URL.")
    return SqliteReader(Path(rest.removeprefix("/") if found else database))


def _parameters(max_rows: int) -> dict[str, Any]:
    rows = {"type": "integer", "minimum": 1, "maximum": max_rows, "description": "Most rows to return."}
    return {
        "type": "object",
        "properties": {"sql": {"type": "string", "description": "One SELECT statement."}, "max_rows": rows},
        "required": ["sql"],
        "additionalProperties": False,
    }


def _unusable(says: str) -> UsageError:
    return UsageError(says, code="usage.database")
