"""The audit log beside the facts: one entry for each, chained by hashes, written in the same transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

from interlock.records.fact import Fact
from interlock.stores.inserting import Inserts
from interlock.stores.projection import Row

#: What the first entry names as the hash of the one before it.
GENESIS = "0" * 64
#: RFC 6962 hashes leaves with this byte in front, so that no leaf can be taken for an inner node.
LEAF = b"\x00"


class Auditor(Protocol):
    """Words the entries of the audit log; what they say is governance's to decide, their chain is the store's.

    Neither call may raise an `InterlockError`: an entry that cannot be made stops the append, and so the act.
    """

    def outline(self, fact: Fact, body: str) -> Mapping[str, Any]:
        """What there is to say about a fact wherever it will stand. Called by whoever appends; may take its time.

        Args:
            fact: The fact.
            body: The fact as it is stored.
        """
        ...

    def entry(self, outline: Mapping[str, Any], row: Row, *, n: int, prev: str, seq: int, at: float) -> bytes:
        """The entry as it is hashed and stored. Called on the writer's thread; must be quick.

        Args:
            outline: What `outline` gave.
            row: The run's row after the append.
            n: The entry's number in the log: 1, 2, 3 ...
            prev: The hash of the entry before it, in hexadecimal.
            seq: The fact's place in its run.
            at: When it is written, in seconds since 1970.
        """
        ...


class Mark(NamedTuple):
    """A place in the log that is remembered: the newest entry it covers, and what belongs to it."""

    n: int = 0
    state: Mapping[str, Any] = {}


class AuditChain:
    """Adds entries at the end of the log, on the writer's thread and connection.

    The end is remembered between groups, and read again after `forget`: another process may have written meanwhile.

    Args:
        db: The writer's connection, in a transaction.
        auditor: Words the entries.
    """

    def __init__(self, db: sqlite3.Connection, auditor: Auditor) -> None:
        self._db = db
        self._auditor = auditor
        self._inserts = Inserts(db, "audit", ("n", "leaf", "body"))
        self._n = -1
        self._prev = GENESIS
        self._rows: list[Any] = []

    def forget(self) -> None:
        """Drop what was not written, and read the end of the log again before the next entry."""
        self._n = -1
        self._rows = []

    def add(self, outline: Mapping[str, Any] | None, fact: Fact, body: str, row: Row, seq: int, at: float) -> None:
        """Put an entry at the end; it is written by `write`. Without an outline it is made now."""
        if outline is None:
            outline = self._auditor.outline(fact, body)
        if self._n < 0:
            self._n, self._prev = end_of_log(self._db)
        n = self._n + 1
        entry = self._auditor.entry(outline, row, n=n, prev=self._prev, seq=seq, at=at)
        leaf = sha256(LEAF + entry).hexdigest()
        self._rows += (n, leaf, entry.decode())
        self._n, self._prev = n, leaf

    def write(self) -> bool:
        """Insert what was added, and say whether there was anything."""
        rows, self._rows = self._rows, []
        self._inserts.insert(rows)
        return bool(rows)


def end_of_log(db: sqlite3.Connection) -> tuple[int, str]:
    """The number and the hash of the newest entry, also when retention has taken it away."""
    found = db.execute("SELECT n, leaf FROM audit ORDER BY n DESC LIMIT 1").fetchone()
    if found is not None:
        return int(found[0]), str(found[1])
    anchor = read_mark(db, "anchor")
    return anchor.n, anchor.state.get("leaf", GENESIS)


def read_mark(db: sqlite3.Connection, name: str) -> Mark:
    """A remembered place; the beginning of the log where there is none."""
    found = db.execute("SELECT n, state FROM audit_marks WHERE name = ?", (name,)).fetchone()
    return Mark(found[0], json.loads(found[1])) if found is not None else Mark()


def write_mark(db: sqlite3.Connection, name: str, mark: Mark) -> None:
    """Remember a place. It never goes back: whoever was further stays."""
    db.execute(
        "INSERT INTO audit_marks (name, n, state) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE "
        "SET n = excluded.n, state = excluded.state WHERE excluded.n >= audit_marks.n",
        (name, mark.n, json.dumps(mark.state, sort_keys=True)),
    )


def entries_after(db: sqlite3.Connection, n: int, most: int) -> list[tuple[int, str, str]]:
    """Entries behind a place as `(n, leaf, body)`, in order."""
    return db.execute("SELECT n, leaf, body FROM audit WHERE n > ? ORDER BY n LIMIT ?", (n, most)).fetchall()


def leaves_after(db: sqlite3.Connection, n: int, most: int) -> list[tuple[int, str]]:
    """The hashes of the entries behind a place as `(n, leaf)`, in order."""
    return db.execute("SELECT n, leaf FROM audit WHERE n > ? ORDER BY n LIMIT ?", (n, most)).fetchall()


def take_away(db: sqlite3.Connection, anchor: Mark) -> None:
    """Delete the entries up to a place, and remember it as the place where the log now begins."""
    write_mark(db, "anchor", anchor)
    db.execute("DELETE FROM audit WHERE n <= ?", (anchor.n,))
