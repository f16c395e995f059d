"""Letting go of old entries without breaking the chain: only what is signed goes, and what stands for it stays."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from interlock.errors import AuditFailed
from interlock.governance.audit.checkpoint import Checkpoint, PublicKey
from interlock.governance.audit.log import Anchor, has_log
from interlock.governance.audit.sinks import segments_in
from interlock.stores.audit_chain import Mark, leaves_after, read_mark

_PAGE = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What may go.

    Args:
        anchor: What will stand for the entries that leave the store; None where none leaves.
        entries: How many leave the store.
        segments: The files that go.
    """

    anchor: Mark | None
    entries: int
    segments: Sequence[Path]


def plan(
    db: sqlite3.Connection,
    *,
    before: float,
    checkpoints: Iterable[Checkpoint],
    keys: Sequence[PublicKey],
    sinks: Iterable[str] = (),
    folder: Path | None = None,
) -> Plan:
    """What may go: entries older than `before` that a kept checkpoint covers and every sink has.

    Args:
        db: A reader's connection.
        before: Seconds since 1970.
        checkpoints: What is kept outside of the store.
        keys: The log's keys.
        sinks: Names of the sinks that must have had an entry before it goes.
        folder: A folder of segments to be looked through as well.
    """
    signed = sorted(one.size for one in checkpoints if any(key.accepts(one) for key in keys))
    segments = list(_old_segments(folder, before, signed)) if folder is not None and folder.is_dir() else []
    if not signed or not has_log(db):
        return Plan(anchor=None, entries=0, segments=segments)
    reached = min([signed[-1], *(read_mark(db, name).n for name in ("checkpoints", *sinks))])
    start = Anchor.of(read_mark(db, "anchor"))
    old = _last_older(db, start.n, reached, round(before * 1e6))
    last = max((size for size in signed if size <= old), default=0)
    if last <= start.n:
        return Plan(anchor=None, entries=0, segments=segments)
    return Plan(anchor=_anchor(db, start, last).mark(), entries=last - start.n, segments=segments)


def _last_older(db: sqlite3.Connection, low: int, high: int, at: int) -> int:
    """The newest entry up to `high` that was written before a time; entries are in the order of time."""
    while low < high:
        middle = (low + high + 1) // 2
        found = db.execute("SELECT body FROM audit WHERE n = ?", (middle,)).fetchone()
        if found is not None and msgspec.json.decode(found[0])["at"] < at:
            low = middle
        else:
            high = middle - 1
    return low


def _anchor(db: sqlite3.Connection, start: Anchor, last: int) -> Anchor:
    tree, newest = start.tree(), start.leaf
    while tree.size < last:
        for n, leaf in leaves_after(db, tree.size, min(_PAGE, last - tree.size)) or [(0, "")]:
            if n != tree.size + 1:
                raise AuditFailed(f"Entry {tree.size + 1} of the audit log is missing.", code="audit.tampered")
            tree.add(bytes.fromhex(leaf))
            newest = leaf
    return Anchor(last, newest, tree.to_hex())


def _old_segments(folder: Path, before: float, signed: Sequence[int]) -> Iterable[Path]:
    """Whole segments whose newest entry is old, and which a checkpoint covers; never the newest segment of a log."""
    by_log: dict[Path, list[tuple[int, Path]]] = {}
    for _, last, path in segments_in(folder):
        by_log.setdefault(path.parent, []).append((last, path))
    for found in by_log.values():
        for last, path in found[:-1]:
            if not signed or last > signed[-1] or _newest_time(path) >= before:
                break
            yield path


def _newest_time(path: Path) -> float:
    entries = [line for line in path.read_bytes().splitlines() if not line.startswith((b'{"anchor"', b'{"checkpoint"'))]
    if not entries:
        return float("inf")
    return float(msgspec.json.decode(entries[-1])["at"]) / 1e6


def remove(segments: Iterable[Path]) -> None:
    """Delete segments that may go."""
    for path in segments:
        path.unlink(missing_ok=True)
