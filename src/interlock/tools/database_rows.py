"""Rows from a database as JSON that a model can read: bounded, and without control characters."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, time
from typing import Any, Protocol

import msgspec

from interlock.errors import ToolFailed
from interlock.tools.result import clean, cut

#: Most bytes of JSON that the rows of one call make.
MAX_BYTES = 200_000
#: Most bytes of one value.
MAX_VALUE = 20_000
#: Deepest nesting of one value.
_MAX_DEPTH = 16


@dataclass(frozen=True, slots=True)
class Rows:
    """What a statement returned.

    Args:
        columns: The names of the columns.
        rows: The rows, as JSON values.
        truncated: Whether there was more than is returned.
    """

    columns: list[str]
    rows: list[list[Any]]
    truncated: bool


class Reader(Protocol):
    """One database that can be read."""

    @property
    def dialect(self) -> str:
        """What it speaks."""
        ...

    async def read(self, sql: str, max_rows: int, seconds: float) -> Rows:
        """Run one statement that reads.

        Raises:
            ToolFailed: `tool.database` or `tool.sql`.
            TimeoutError: it took longer than that many seconds.
        """
        ...


class Collector:
    """Takes in rows until there are enough.

    Args:
        columns: The names of the columns.
        max_rows: Most rows to keep.
    """

    def __init__(self, columns: Iterable[str], max_rows: int) -> None:
        self._max_rows, self._size = max_rows, 0
        self.rows = Rows([clean(column) for column in columns], [], False)

    def add(self, row: Iterable[Any]) -> bool:
        """Keep a row; False, and `truncated`, when it is one too many or makes the whole too large."""
        made = [as_value(value) for value in row]
        self._size += len(msgspec.json.encode(made))
        kept = self.rows.rows
        if len(kept) == self._max_rows or (kept and self._size > MAX_BYTES):
            self.rows = Rows(self.rows.columns, kept, True)
            return False
        kept.append(made)
        return True


def as_value(value: Any, depth: int = 0) -> Any:
    """A value of a database as JSON: exact numbers, dates and whatever JSON does not know become texts."""
    match value:
        case None | bool():
            return value
        case int():
            return value if abs(value) < 2**63 else str(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case str():
            return cut(clean(value), MAX_VALUE)
        case bytes() | bytearray() | memoryview():
            return cut(f"\\x{bytes(value[: MAX_VALUE // 2]).hex()}", MAX_VALUE)
        case date() | time():
            return value.isoformat()
        case _ if depth >= _MAX_DEPTH:
            return cut(clean(str(value)), MAX_VALUE)
        case _ if callable(getattr(value, "items", None)):  # a dict, or a record within a record
            return {clean(str(key)): as_value(below, depth + 1) for key, below in value.items()}
        case list() | tuple():
            return [as_value(below, depth + 1) for below in value]
    return cut(clean(str(value)), MAX_VALUE)


def refused(says: str, detail: str) -> ToolFailed:
    """The error for a statement the database did not take; the sentence goes back to the model."""
    return ToolFailed(says, "Correct the statement and call it again.", code="tool.sql", detail=detail)


def unreachable(detail: str) -> ToolFailed:
    """The error for a database that cannot be opened. It never says where the database is."""
    return ToolFailed(
        "The database could not be opened.",
        "Ask whoever runs Interlock; its log says why.",
        code="tool.database",
        detail=detail,
    )
