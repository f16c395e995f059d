"""Inserting many rows with few statements."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

#: Most rows of one statement; so few are inserted by one of exactly their number.
LARGEST = 128
_EXACT = 16


class Inserts:
    """Inserts into one table. Called on the writer's thread, in a transaction.

    Each statement gives the interpreter lock away and has to win it back from a busy event loop, which costs more than
    the insert itself. The sizes are few, so that all statements stay prepared.

    Args:
        db: The writer's connection.
        table: The table.
        columns: Its columns, in the order of the values.
    """

    def __init__(self, db: sqlite3.Connection, table: str, columns: Sequence[str]) -> None:
        self._db = db
        self._width = len(columns)
        row = f"({', '.join('?' * self._width)})"
        into = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "
        self._sql = {size: into + ", ".join([row] * size) for size in _SIZES}

    def insert(self, values: list[Any]) -> None:
        """Insert rows.

        Args:
            values: The values of all rows, one row behind the other.
        """
        width, start = self._width, 0
        while start < len(values):
            size = _size(len(values) // width - start // width)
            self._db.execute(self._sql[size], values[start : start + size * width])
            start += size * width


def _size(count: int) -> int:
    return count if count <= _EXACT else min(LARGEST, 1 << (count.bit_length() - 1))


_SIZES = sorted({_size(count) for count in range(1, LARGEST + 1)})
