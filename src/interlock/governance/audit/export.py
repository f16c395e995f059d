"""Taking the log out of its store: as a file of lines that can be checked anywhere, and as entries for people."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from interlock.governance.audit.checkpoint import Checkpoint
from interlock.governance.audit.log import Anchor, Entry, anchor_line, checkpoint_line, has_log, read_store

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_PAGE = 500


def as_lines(db: sqlite3.Connection, checkpoints: Iterable[Checkpoint]) -> Iterator[bytes]:
    """The log as lines: what stands for older entries, each entry as it was hashed, each checkpoint behind its last.

    Args:
        db: A reader's connection.
        checkpoints: What was kept outside of the store.
    """
    signed: dict[int, list[Checkpoint]] = {}
    for checkpoint in checkpoints:
        signed.setdefault(checkpoint.size, []).append(checkpoint)
    place = 0
    for item in read_store(db):
        if isinstance(item, Anchor):
            place = item.n
            yield anchor_line(item)
        elif isinstance(item, Entry):
            place = item.n or place
            yield item.body + b"\n"
        yield from (checkpoint_line(one) for one in signed.pop(place, ()))
    # What was signed beyond the end shows that the end is missing.
    yield from (checkpoint_line(one) for size in sorted(signed) if size > place for one in signed[size])


def export(db: sqlite3.Connection, checkpoints: Iterable[Checkpoint], path: Path) -> int:
    """Write the log into a new file, readable by its owner only; returns how many lines it has.

    Raises:
        OSError: it cannot be written, or is there already.
    """
    count = 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        for line in as_lines(db, checkpoints):
            file.write(line)
            count += 1
        file.flush()
        os.fsync(file.fileno())
    return count


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which entries to show, the newest first.

    Args:
        run: Only of this run.
        actor: Only where this user, person, agent or tool acted.
        rule: Only where this rule answered, alone or among others.
        verdict: Only with this verdict: allow, approval or block.
        since: Only from this time on, seconds since 1970.
        before: Only entries with a smaller number.
        limit: At most so many.
    """

    run: str = ""
    actor: str = ""
    rule: str = ""
    verdict: str = ""
    since: float | None = None
    before: int | None = None
    limit: int = 50

    def fits(self, told: Mapping[str, Any]) -> bool:
        """Whether an entry is one of those."""
        verdict = told.get("verdict", {})
        rules = {verdict.get("rule"), *(part.get("rule") for part in verdict.get("parts", ()))}
        return (
            (not self.run or told.get("run") == self.run)
            and (not self.actor or self.actor in told.get("who", {}).values())
            and (not self.rule or self.rule in rules)
            and (not self.verdict or verdict.get("effect") == self.verdict)
        )


def newest(db: sqlite3.Connection, wanted: Wanted) -> list[dict[str, Any]]:
    """The newest entries that are wanted."""
    found: list[dict[str, Any]] = []
    for told in _backwards(db, wanted.before):
        if wanted.since is not None and told["at"] < wanted.since * 1e6:
            break
        if wanted.fits(told):
            found.append(told)
            if len(found) >= wanted.limit:
                break
    return found


def _backwards(db: sqlite3.Connection, before: int | None) -> Iterator[dict[str, Any]]:
    if not has_log(db):
        return
    sql = "SELECT n, body FROM audit WHERE n < ? ORDER BY n DESC LIMIT ?"
    place = before if before is not None else 1 << 62
    while rows := db.execute(sql, (place, _PAGE)).fetchall():
        yield from (_decode(body) for _, body in rows)
        place = rows[-1][0]
