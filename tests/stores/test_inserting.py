"""Many rows go in by few statements, all of them and in order."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from interlock.stores.inserting import LARGEST, Inserts


@pytest.mark.parametrize("count", [0, 1, 2, 3, 16, 17, 31, 100, LARGEST, LARGEST + 1, 5 * LARGEST + 77])
def test_every_row_is_inserted_once_and_in_order(count: int) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.execute("CREATE TABLE pairs (place INTEGER PRIMARY KEY, one, two)")
        statements: list[str] = []
        db.set_trace_callback(statements.append)
        Inserts(db, "pairs", ("one", "two")).insert([value for n in range(count) for value in (n, f"{n}")])
        db.set_trace_callback(None)
        rows = db.execute("SELECT one, two FROM pairs ORDER BY place").fetchall()
    assert rows == [(n, f"{n}") for n in range(count)]
    assert len(statements) <= count // LARGEST + 4
