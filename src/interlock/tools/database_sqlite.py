"""Read a SQLite file: opened read-only, behind an authorizer, with a limit on time."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from pathlib import Path

from interlock.errors import ToolFailed, UsageError
from interlock.tools.database_rows import Collector, Rows, refused, unreachable
from interlock.tools.function import in_thread
from interlock.tools.result import clean

#: Longest text, blob or row SQLite makes, in bytes: what one call of a function can cost in memory.
MAX_LENGTH = 10_000_000
#: After so many of SQLite's own steps the clock is looked at.
_STEPS = 1_000
#: Seconds to wait for a writer that holds the file.
_BUSY = 2.0

_READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})
#: Functions that reach outside of the database, where a build of SQLite has them.
_OUTSIDE = frozenset({"load_extension", "readfile", "writefile", "edit", "eval", "fts3_tokenizer", "lsdir", "shell"})
#: What tells about tables and changes nothing; also behind `SELECT * FROM pragma_table_info(...)`.
_PRAGMAS = frozenset(
    {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list"}
)


class SqliteReader:
    """One SQLite file that is only read.

    Args:
        path: The file. It must exist; it is never made.

    Raises:
        UsageError: code `usage.database`: it is no path of a file.
    """

    dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        if str(path) in ("", ".", ":memory:") or path.is_dir():
            raise UsageError("A SQLite database for agents is the path of a file.", code="usage.database")
        self._path = path.expanduser().absolute()

    async def read(self, sql: str, max_rows: int, seconds: float) -> Rows:
        """Run one statement in a thread of its own; when nobody waits any more, it stops by itself.

        Raises:
            ToolFailed: `tool.database` or `tool.sql`.
            TimeoutError: it took longer than that many seconds.
        """
        stop = threading.Event()
        try:
            return await in_thread(lambda: self._read(sql, max_rows, time.monotonic() + seconds, stop))
        finally:
            stop.set()

    def _read(self, sql: str, max_rows: int, until: float, stop: threading.Event) -> Rows:
        with contextlib.closing(self._open()) as connection:
            connection.set_progress_handler(lambda: int(stop.is_set() or time.monotonic() > until), _STEPS)
            connection.set_authorizer(_authorize)
            try:
                cursor = connection.execute(sql)
                taken = Collector([column[0] for column in cursor.description or ()], max_rows)
                for row in cursor:
                    if not taken.add(row):
                        break
            except (sqlite3.Error, sqlite3.Warning) as error:
                raise _explained(error) from None
            return taken.rows

    def _open(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(
                f"{self._path.as_uri()}?mode=ro", uri=True, timeout=_BUSY, isolation_level=None, check_same_thread=True
            )
        except sqlite3.Error as error:
            raise unreachable(type(error).__name__) from None
        try:
            connection.text_factory = lambda raw: raw.decode(errors="replace")
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_LENGTH)
            connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
            connection.execute("PRAGMA query_only = ON")
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("SELECT count(*) FROM sqlite_master")  # reads the file: now it is known to be one
            for pragma in _PRAGMAS:  # at its first use SQLite writes to its own schema in memory, which none may later
                connection.execute(f"SELECT 1 FROM pragma_{pragma} LIMIT 0")
        except sqlite3.Error as error:
            connection.close()
            raise unreachable(type(error).__name__) from None
        return connection


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """Whether a step of a statement is reading; SQLite asks for each of them while it prepares the statement."""
    if action in _READING:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() not in _OUTSIDE:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA and (first or "").lower() in _PRAGMAS:
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _explained(error: Exception) -> ToolFailed | TimeoutError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    name = f"{type(error).__name__} {code}"
    match code:
        case sqlite3.SQLITE_INTERRUPT:
            return TimeoutError()
        case sqlite3.SQLITE_AUTH | sqlite3.SQLITE_READONLY:
            return refused("The database allows only reading.", name)
        case sqlite3.SQLITE_ERROR | sqlite3.SQLITE_TOOBIG | sqlite3.SQLITE_MISMATCH | 0:
            return refused(f"The database refuses the statement: {clean(str(error))[:300].rstrip('.')}.", name)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return ToolFailed("The database is busy.", "Try again a little later.", code="tool.database", detail=name)
    return unreachable(name)
