"""Where a log is read from: a store, a file of lines, or a folder of segments; always the same few kinds of items."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from interlock.errors import UsageError
from interlock.governance.audit.checkpoint import Checkpoint, read_checkpoint
from interlock.governance.audit.entry import canonical
from interlock.governance.audit.tree import CompactRange
from interlock.stores.audit_chain import GENESIS, Mark, entries_after, read_mark

_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Anchor:
    """What stands for the entries before: how many, the hash of the newest, and their tree."""

    n: int = 0
    leaf: str = GENESIS
    range: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, mark: Mark) -> Anchor:
        """The anchor that a mark of the store holds."""
        return cls(mark.n, mark.state.get("leaf", GENESIS), list(mark.state.get("range", ())))

    def mark(self, **more: Any) -> Mark:
        """The anchor as a mark of the store, with whatever else belongs to it."""
        return Mark(self.n, {"leaf": self.leaf, "range": self.range, **more})

    def tree(self) -> CompactRange:
        """The tree so far.

        Raises:
            ValueError: it is none.
        """
        return CompactRange.from_hex(self.n, self.range)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it is written; `leaf` is the hash it was stored with, and `n` its place, where those are known."""

    body: bytes
    leaf: str | None = None
    n: int | None = None


@dataclass(frozen=True, slots=True)
class Junk:
    """A line that is nothing of a log's."""

    where: str


Item: TypeAlias = Anchor | Entry | Checkpoint | Junk


def anchor_line(anchor: Anchor) -> bytes:
    """An anchor as a line of a file."""
    return canonical({"anchor": {"n": anchor.n, "leaf": anchor.leaf, "range": anchor.range}}) + b"\n"


def checkpoint_line(checkpoint: Checkpoint) -> bytes:
    """A checkpoint as a line of a file."""
    return canonical({"checkpoint": checkpoint.note}) + b"\n"


def read_lines(lines: Iterable[bytes], name: str) -> Iterator[Item]:
    """The items of a file; `name` is what findings call it."""
    for number, line in enumerate(lines, 1):
        raw = line.rstrip(b"\r\n")
        if raw:
            yield _item(raw) or Junk(f"{name}:{number}")


def _item(raw: bytes) -> Item | None:
    if not raw.startswith((b'{"anchor":', b'{"checkpoint":')):
        return Entry(raw)
    try:
        value = msgspec.json.decode(raw)
        if "checkpoint" in value:
            return read_checkpoint(value["checkpoint"])
        anchor = Anchor(**value["anchor"])
        anchor.tree()
    except (ValueError, TypeError, KeyError, AttributeError, UsageError):
        return None
    return anchor


def read_store(db: sqlite3.Connection) -> Iterator[Item]:
    """The items of a store; checkpoints are not in it. A store without a log has no items."""
    if not has_log(db):
        return
    mark = read_mark(db, "anchor")
    if mark.n:
        yield Anchor.of(mark)
    place = 0
    while page := entries_after(db, place, _PAGE):
        for n, leaf, body in page:
            yield Entry(body.encode("utf-8", "surrogatepass") if isinstance(body, str) else bytes(body), leaf, n)
        place = page[-1][0]


def has_log(db: sqlite3.Connection) -> bool:
    """Whether this store has a place for a log: stores of older versions have none before they are opened."""
    return db.execute("SELECT 1 FROM sqlite_master WHERE name = 'audit_marks'").fetchone() is not None
