"""Checking the journal against its audit log: every fact has its entry, and is still what the entry saw."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, NamedTuple

from interlock.governance.audit.entry import in_micros
from interlock.governance.audit.findings import Finding

_PAGE = 1_000
_FACT = "SELECT position, run_id, seq, kind, body, at FROM facts"


class _Fact(NamedTuple):
    position: int
    run: str
    seq: int
    kind: str
    body: str
    at: float

    @property
    def name(self) -> str:
        return f"fact {self.seq} of run {self.run}"


class FactsBeside:
    """Goes through the facts in the order they were written, beside the entries that tell of them.

    Entries and facts are written together and in the same order, so each entry must find its fact next.

    Args:
        db: A reader's connection, which sees log and facts at one moment.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._facts: Iterator[_Fact] | None = None
        self._next: _Fact | None = None
        self._last = 0
        self.older = 0

    def __call__(self, n: int, told: dict[str, Any]) -> Iterator[Finding]:
        """What is wrong with the fact of this entry."""
        run, seq = str(told.get("run")), told.get("seq")
        if self._next is None or (self._next.run, self._next.seq) != (run, seq):
            fact = self._find(run, seq)
            if fact is None:
                yield Finding(n=n, kind="fact", says=f"Entry {n} tells of fact {seq} of run {run}, which was removed.")
                return
            yield from self._go_to(fact)
            if self._next is None or self._next.position != fact.position:
                says = f"The facts of entry {n} and of one before it changed places: {fact.name} was moved."
                yield Finding(n=n, kind="fact", says=says)
                return
        fact, self._next = self._next, next(self._facts or iter(()), None)
        self._last = fact.position
        if sha256(fact.body.encode("utf-8", "surrogatepass")).hexdigest() != told.get("fact_sha256"):
            yield Finding(n=n, kind="fact", says=f"Entry {n} saw {fact.name} otherwise: the fact was edited.")
        elif fact.kind != told.get("kind"):
            yield Finding(n=n, kind="fact", says=f"Entry {n} saw {fact.name} as {told.get('kind')}, not {fact.kind}.")
        elif in_micros(fact.at) != told.get("at"):
            yield Finding(n=n, kind="fact", says=f"Entry {n} saw {fact.name} at another time: its time was edited.")

    def finish(self) -> Iterator[Finding]:
        """The facts behind the last entry."""
        if self._facts is None:
            self.older = self._db.execute("SELECT COUNT(*) FROM facts").fetchone()[0]
            return
        while self._next is not None:
            yield _unknown(self._next)
            self._next = next(self._facts, None)

    def _go_to(self, fact: _Fact) -> Iterator[Finding]:
        if self._facts is None:  # the first entry: what is older than its fact was written before there was a log
            self.older = self._db.execute("SELECT COUNT(*) FROM facts WHERE position < ?", (fact.position,)).fetchone()[
                0
            ]
            self._facts = self._from(fact.position)
            self._next = next(self._facts, None)
        while self._next is not None and self._next.position < fact.position:
            yield _unknown(self._next)
            self._next = next(self._facts, None)

    def _find(self, run: str, seq: Any) -> _Fact | None:
        row = self._db.execute(f"{_FACT} WHERE run_id = ? AND seq = ?", (run, seq)).fetchone()
        return _Fact(*row) if row is not None else None

    def _from(self, position: int) -> Iterator[_Fact]:
        position -= 1
        sql = f"{_FACT} WHERE position > ? ORDER BY position LIMIT ?"
        while page := self._db.execute(sql, (position, _PAGE)).fetchall():
            for row in page:
                yield _Fact(*row)
            position = page[-1][0]


def _unknown(fact: _Fact) -> Finding:
    return Finding(n=None, kind="fact", says=f"No entry tells of {fact.name}, which is in the journal.")
