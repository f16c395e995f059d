"""Opening an SQLite file as a store: the checks, the settings that make it durable, the migrations."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
from pathlib import Path

from interlock.errors import StoreFailed
from interlock.stores.sql import migrations

#: Marks our files ("ILCK"), so that nobody's photo album is taken for a journal.
APPLICATION_ID = 0x494C434B
BUSY_SECONDS = 20.0
_HEADER = b"SQLite format 3\x00"
#: How many connections of this process have a file open, by its device and inode.
_OPEN: dict[tuple[int, int], int] = {}
_PREPARING = threading.Lock()


def open_writer(path: Path | None, patience: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Open (or make) the store for writing, checked and at this version's schema.

    Args:
        path: The file, or None for one in memory.
        patience: Seconds to wait for another program that holds the file.

    Raises:
        StoreFailed: `store.foreign`, `store.corrupt`, `store.newer`, `store.read_only`, `store.missing`,
            `store.locked`, `store.full`.
    """
    try:
        with _PREPARING:
            if path is not None and not is_open_here(path):
                _prepare(path)
            connection = _connect(str(path) if path else ":memory:", patience, path)
    except sqlite3.Error as error:
        raise explain(error, path) from error
    try:
        _check_and_migrate(connection, path, patience)
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            raise explain(error, path) from error
        raise
    return connection


def open_reader(path: Path, patience: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Open the store for reading only."""
    try:
        with _PREPARING:
            connection = _connect(f"{path.absolute().as_uri()}?mode=ro", patience, path, uri=True)
        connection.execute("PRAGMA query_only = 1")
    except sqlite3.Error as error:
        raise explain(error, path) from error
    return connection


def is_open_here(path: Path | str) -> bool:
    """Whether this process has a file open as a store. Such a file must not be opened in any other way.

    POSIX forgets all of a process's locks on a file as soon as the process closes it once, through whichever
    descriptor. SQLite would go on without locks, and another process would take the write-ahead log away under it.
    """
    return _OPEN.get(_identity(path), 0) > 0


def _identity(path: Path | str) -> tuple[int, int]:
    try:
        about = os.stat(path)
    except OSError:
        return (0, 0)
    return (about.st_dev, about.st_ino)


class _Counted(sqlite3.Connection):
    """A connection that is known to be open, until it is closed."""

    file: tuple[int, int] | None = None

    def count(self, path: Path) -> None:
        """Take note of the file that is open by it."""
        self.file = _identity(path)
        _OPEN[self.file] = _OPEN.get(self.file, 0) + 1

    def close(self) -> None:
        """Close it."""
        super().close()
        file, self.file = self.file, None
        if file is not None:
            with _PREPARING:
                _OPEN[file] -= 1


def explain(error: sqlite3.Error, path: Path | None) -> StoreFailed:
    """Say in a person's words what SQLite said in its own."""
    text = str(error).lower()
    name = getattr(error, "sqlite_errorname", "") or ""
    where = path.name if path else "The store"
    for signs, code, says, do in _EXPLAINED:
        if any(sign in text or (sign.isupper() and name.startswith(sign)) for sign in signs):
            return StoreFailed(f"{where} {says}", do, code=code, detail=f"{name} {error}")
    return StoreFailed(f"{where} could not be used.", code="store.failed", detail=f"{name} {error}")


_EXPLAINED: tuple[tuple[tuple[str, ...], str, str, str], ...] = (
    (
        ("disk is full", "SQLITE_FULL"),
        "store.full",
        "cannot grow: the disk is full.",
        "Free some space; what was acknowledged is safe, and interrupted runs resume.",
    ),
    (
        ("database is locked", "database table is locked", "SQLITE_BUSY"),
        "store.locked",
        "is held by another program.",
        "End the program that holds it, then try again.",
    ),
    (
        ("readonly", "SQLITE_READONLY"),
        "store.read_only",
        "cannot be written: it is read-only.",
        "Give this user write permission to the file and its folder, or choose another home.",
    ),
    (
        ("not a database", "SQLITE_NOTADB"),
        "store.foreign",
        "is not an Interlock store.",
        "Move the file away, or choose another home with INTERLOCK_HOME.",
    ),
    (
        ("malformed", "SQLITE_CORRUPT"),
        "store.corrupt",
        "is damaged.",
        "Keep the damaged file, restore a backup, and run `interlock doctor`.",
    ),
    (
        ("disk i/o error", "SQLITE_IOERR"),
        "store.io",
        "could not be read or written: the disk reports an error.",
        "Check the disk and its free space; what was acknowledged is safe.",
    ),
    (
        ("unable to open", "SQLITE_CANTOPEN"),
        "store.missing",
        "cannot be opened.",
        "Check that the folder exists and this user may write in it.",
    ),
)


def _prepare(path: Path) -> None:
    """Make the folder, and refuse a file that is foreign or cut short before SQLite touches it."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_header(path)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.close(descriptor)
    except OSError as error:
        raise explain_os(error, path) from error


def _check_header(path: Path) -> None:
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("rb") as file:
        header = file.read(100)
    if not header.startswith(_HEADER) or len(header) < 100:
        raise StoreFailed(
            f"{path.name} is not an Interlock store.",
            "Move the file away, or choose another home with INTERLOCK_HOME.",
            code="store.foreign",
        )
    size = int.from_bytes(header[16:18], "big")
    pages = int.from_bytes(header[28:32], "big")
    wal = path.with_name(path.name + "-wal")
    settled = not wal.exists() or wal.stat().st_size == 0
    if settled and path.stat().st_size < (65536 if size == 1 else size) * pages:
        raise StoreFailed(
            f"{path.name} is cut short: its end is missing.",
            "Keep the damaged file, restore a backup, and run `interlock doctor`.",
            code="store.corrupt",
        )


def explain_os(error: OSError, path: Path) -> StoreFailed:
    """Say in a person's words why the system does not let a file or folder be made or opened."""
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreFailed(
            f"{path.parent} cannot be written by this user.",
            "Give this user write permission, or choose another home with INTERLOCK_HOME.",
            code="store.read_only",
            detail=str(error),
        )
    if error.errno == errno.ENOSPC:
        return StoreFailed("The disk is full.", "Free some space and try again.", code="store.full", detail=str(error))
    return StoreFailed(
        f"{path.parent} cannot hold the store.",
        "Choose a folder that exists or can be made, for example with INTERLOCK_HOME.",
        code="store.missing",
        detail=str(error),
    )


def _connect(name: str, patience: float, path: Path | None, *, uri: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        name,
        timeout=patience,
        isolation_level=None,
        check_same_thread=False,
        uri=uri,
        cached_statements=256,
        factory=_Counted,
    )
    if path is not None:
        connection.count(path)
    return connection


def _check_and_migrate(connection: sqlite3.Connection, path: Path | None, patience: float) -> None:
    connection.execute("BEGIN")  # one look at both: another process may be making the store just now
    tables = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
    found = connection.execute("PRAGMA application_id").fetchone()[0]
    connection.execute("COMMIT")
    if tables and found != APPLICATION_ID:
        raise StoreFailed(
            f"{path.name if path else 'The store'} is a database of another program.",
            "Move the file away, or choose another home with INTERLOCK_HOME.",
            code="store.foreign",
        )
    if path is not None:
        _write_ahead(connection, patience)
    # FULL makes every commit safe against power loss, not only against a crash of the process.
    connection.execute("PRAGMA synchronous = FULL")
    _migrate(connection, path)


def _write_ahead(connection: sqlite3.Connection, patience: float) -> None:
    """Switch to the write-ahead log. SQLite itself does not wait here for another process that is making the store."""
    end = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= end:
                raise
        time.sleep(0.005)


def _migrate(connection: sqlite3.Connection, path: Path | None) -> None:
    steps = migrations()
    newest = max(steps)
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > newest:
            raise StoreFailed(
                f"{path.name if path else 'The store'} was written by a newer Interlock "
                f"(schema {version}; this one knows {newest}).",
                "Upgrade Interlock, or choose another home with INTERLOCK_HOME. Nothing was changed.",
                code="store.newer",
            )
        # By number and not by count: branches that were made side by side may each have brought a step.
        missing = sorted(steps.keys() - _taken(connection, version))
        for number in missing:
            for statement in _statements(steps[number]):
                connection.execute(statement)
            connection.execute("INSERT INTO migrations (number) VALUES (?)", (number,))
        if missing:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {newest}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite may have rolled back by itself
            connection.execute("ROLLBACK")
        raise


def _taken(connection: sqlite3.Connection, version: int) -> set[int]:
    """The numbers of the migrations this store has been through; stores before there was a list had all up to one."""
    there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'migrations'").fetchone()
    if there is None:
        connection.execute("CREATE TABLE migrations (number INTEGER PRIMARY KEY)")
        connection.executemany("INSERT INTO migrations VALUES (?)", [(number,) for number in range(1, version + 1)])
    return {number for (number,) in connection.execute("SELECT number FROM migrations")}


def _statements(script: str) -> list[str]:
    plain = "\n".join(line for line in script.splitlines() if not line.lstrip().startswith("--"))
    return [part.strip() for part in plain.split(";") if part.strip()]
