"""Following the log in threads of their own: one signs checkpoints, one for each sink sends segments."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from interlock.errors import AuditFailed, InterlockError
from interlock.governance.audit.checkpoint import KeyFiles, Signer, written
from interlock.governance.audit.log import Anchor
from interlock.governance.audit.sinks import LOGGER, Segment, Sink
from interlock.governance.durable import append_durably
from interlock.stores.audit_chain import Mark, end_of_log, entries_after, leaves_after, read_mark, write_mark
from interlock.stores.sqlite_file import open_reader

#: How often a follower looks while there is something that is not yet due, in seconds.
TICK = 0.5
#: A checkpoint is signed after so many entries, or so many seconds.
CHECKPOINT_ENTRIES = 256
CHECKPOINT_SECONDS = 60.0
#: A segment holds at most so many entries.
LARGEST_SEGMENT = 4_096
#: Seconds to wait at the end for another process that does the same work.
LAST_PATIENCE = 5.0
_PAGE = 4_096

_log = logging.getLogger(LOGGER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """What followers share.

    Args:
        store: The file with the log.
        folder: Where the checkpoints and the followers' locks lie.
        keys: The log's keys.
        change: Changes the store, durable when it returns; called from the followers' threads.
    """

    store: Path
    folder: Path
    keys: KeyFiles
    change: Callable[[Callable[[sqlite3.Connection], None]], None]

    @property
    def checkpoints(self) -> Path:
        """The file of checkpoints, outside of the store."""
        return self.folder / "checkpoints"

    def keep(self, name: str, mark: Mark) -> None:
        """Remember a place in the log."""
        self.change(lambda db: write_mark(db, name, mark))


class Follower:
    """Goes behind the log in a thread of its own; what is left when the process ends is done by the next one.

    Several processes may follow the same log: a lock lets one of them work at a time, and all go by the mark that is
    kept in the store.

    Args:
        home: What followers share.
        name: What the place it has come to is remembered by.
        interval: Seconds after which it works even if there is little to do.
        limit: Seconds it may be behind.
        now: The time it goes by.
    """

    batch = 1

    def __init__(
        self,
        home: Home,
        name: str,
        *,
        interval: float,
        limit: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.limit = limit
        self.trouble = ""
        self._home = home
        self._interval = interval
        self._now = now
        self._since: float | None = None
        self._working: float | None = None
        self._event = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def wake(self) -> None:
        """There is something new. Cheap, and safe from any thread."""
        if self._since is None:
            self._since = self._now()
            self._event.set()
        if self._thread is None:
            self._start()

    def behind(self) -> float:
        """For how many seconds something has been waiting to be done."""
        waiting = [since for since in (self._since, self._working) if since is not None]
        return self._now() - min(waiting) if waiting else 0.0

    def close(self, timeout: float) -> bool:
        """Do what is left and end; False when that was not done in time, and is left for another process."""
        self._closing = True
        self._event.set()
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive() and self._since is None

    def step(self, db: sqlite3.Connection, mark: Mark, end: int) -> int:
        """Do a piece of work behind a mark, and say up to which entry it is done now."""
        raise NotImplementedError

    def signer(self) -> Signer:
        """The log's key."""
        return self._home.keys.signer()

    # In the thread.

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"interlock-audit-{self.name}", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._closing:
            self._event.wait(TICK if self._since is not None else None)
            self._event.clear()
            if self._since is not None and not self._closing:
                self._try(due=self.behind() >= self._interval)
        deadline = self._now() + LAST_PATIENCE
        while self._since is not None and self._try(due=True) is False and self._now() < deadline:
            time.sleep(TICK / 10)  # another process is at it

    def _try(self, *, due: bool) -> bool | None:
        """Do what can be done now. False when another process was at it; None when it failed."""
        self._working, self._since = self._since, None
        try:
            with self._alone() as alone:
                done = alone and self._work(due=due)
        except Exception as error:  # noqa: BLE001 - whatever happens, it is told, and tried again
            self._told(error)
            done = None
        else:
            self.trouble = ""
        if not done:
            self._since = self._working if self._since is None else min(self._working or 0.0, self._since)
        self._working = None
        return done

    def _work(self, *, due: bool) -> bool:
        """Go on until nothing is left; whether nothing is left."""
        db = open_reader(self._home.store)
        try:
            while True:
                mark, (end, _) = read_mark(db, self.name), end_of_log(db)
                if mark.n >= end:
                    return True
                if not due and end - mark.n < self.batch:
                    return False
                if self.step(db, mark, end) <= mark.n:
                    raise AuditFailed("The audit log has a hole; `interlock audit verify` says where.")
        finally:
            db.close()

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether no other process does the same work just now."""
        self._home.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._home.folder / f"{self.name}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(descriptor)

    def _told(self, error: Exception) -> None:
        """Say what goes wrong, once and not every half second."""
        says = error.says if isinstance(error, InterlockError) else f"{type(error).__name__}"
        if says != self.trouble:
            self.trouble = says
            _log.warning("audit.trouble follower=%s error=%s", self.name, says)


class Notary(Follower):
    """Signs checkpoints and appends them to a file outside of the store.

    Args:
        home: What followers share.
        limit: Seconds that signing may be late.
        now: The time it goes by.
        after: Called when a checkpoint is kept, in this thread: what is signed may be let go of.
    """

    batch = CHECKPOINT_ENTRIES

    def __init__(
        self,
        home: Home,
        *,
        limit: float,
        now: Callable[[], float] = time.monotonic,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(home, "checkpoints", interval=CHECKPOINT_SECONDS, limit=CHECKPOINT_SECONDS + limit, now=now)
        self._after = after

    def step(self, db: sqlite3.Connection, mark: Mark, end: int) -> int:
        """Sign what there is now."""
        start = Anchor.of(mark)
        tree, last = start.tree(), start.leaf
        while page := leaves_after(db, tree.size, _PAGE):
            for n, leaf in page:
                if n != tree.size + 1:
                    raise AuditFailed(f"Entry {tree.size + 1} of the audit log is missing.", code="audit.tampered")
                tree.add(bytes.fromhex(leaf))
                last = leaf
            if tree.size >= end:
                break
        checkpoint = self.signer().sign(tree.size, tree.root())
        append_durably(self._home.checkpoints, written([checkpoint]))
        self._home.keep(self.name, Anchor(tree.size, last, tree.to_hex()).mark())
        _log.info("audit.checkpoint_signed size=%d root=%s", tree.size, tree.root().hex())
        self._after()
        return tree.size


class Shipper(Follower):
    """Sends sealed segments to a sink.

    Where a segment ends is written down before it is sent: after a crash the very same segment is sent again.
    """

    batch = LARGEST_SEGMENT

    def __init__(
        self,
        home: Home,
        sink: Sink,
        *,
        interval: float,
        limit: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(home, sink.name, interval=interval, limit=limit, now=now)
        self.sink = sink

    def step(self, db: sqlite3.Connection, mark: Mark, end: int) -> int:
        """Send one segment."""
        oldest = read_mark(db, "anchor")
        start = Anchor.of(max(mark, oldest, key=lambda one: one.n))  # what retention took cannot be sent any more
        last = mark.state.get("until")
        if last is None or last <= start.n:
            last = min(end, start.n + LARGEST_SEGMENT)
            self._home.keep(self.name, start.mark(until=last))
        rows = entries_after(db, start.n, last - start.n)
        if not rows or rows[-1][0] != last:
            raise AuditFailed(f"Entry {start.n + 1} of the audit log is missing.", code="audit.tampered")
        signer = self.signer()
        segment = Segment.seal(start, rows, signer)
        self.sink.put(signer.public.name, segment)
        self._home.keep(self.name, segment.end.mark())
        return segment.end.n
