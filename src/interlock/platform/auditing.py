"""The audit log of a platform: worded, signed, sent, checked and shown."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

from interlock.errors import UsageError
from interlock.governance.audit.checkpoint import KeyFiles, read_keys
from interlock.governance.audit.entry import EntryMaker
from interlock.governance.audit.export import Wanted, export, newest
from interlock.governance.audit.findings import Report
from interlock.governance.audit.follower import Follower, Home, Notary, Shipper
from interlock.governance.audit.places import Progress, kept_checkpoints, verify_place, verify_store
from interlock.governance.audit.retention import Plan, plan, remove
from interlock.governance.audit.sinks import FolderSink, Sink, open_sink
from interlock.governance.audit.verify import Verification
from interlock.governance.audit.verify import verify as verify_log
from interlock.governance.gate import Judge
from interlock.platform.lookup import STORE
from interlock.platform.scratch import Change
from interlock.platform.settings import Settings
from interlock.records.veil import NO_VEIL, Veil
from interlock.records.verdict import Act, ActKind, Effect, Verdict
from interlock.stores.audit_chain import take_away
from interlock.stores.sqlite import SqliteJournal
from interlock.stores.sqlite_file import open_reader

#: Seconds that followers get at the end to sign and send what is left; the store keeps what is not sent.
LAST_SECONDS = 15.0
#: A segment is sealed after so many seconds at most.
_SEGMENT_SECONDS = 5.0
_A_DAY = 86_400.0
#: What must not begin while the log cannot be kept. What is done already is still written down.
_NEW: tuple[ActKind, ...] = ("task", "model", "agent", "tool", "command", "message")

_log = logging.getLogger(__name__)


class AuditBook:
    """The audit log of a home folder, for looking at: nothing is started or made.

    Args:
        home: The folder of the store.
    """

    def __init__(self, home: Path) -> None:
        self.store = home / STORE
        self.folder = home / "audit"
        self.keys = KeyFiles(home / "keys")

    @property
    def checkpoints(self) -> Path:
        """The file of signed checkpoints."""
        return self.folder / "checkpoints"

    def check(
        self, *, more: Path | None = None, pubkey: Path | None = None, progress: Progress | None = None
    ) -> Verification:
        """Check the log and the facts beside it; see `places.verify_store`.

        Args:
            more: A file with further checkpoints, kept elsewhere.
            pubkey: The file of the log's public key, kept elsewhere; by default the home's own.
            progress: Told how far it is.
        """
        keys = read_keys(pubkey) if pubkey is not None else self.keys.verifiers()
        extra = kept_checkpoints(_there(more))[0] if more is not None else []
        if not self.store.exists():  # whatever was signed before is missing
            return verify_log((), keys, [*kept_checkpoints(self.checkpoints)[0], *extra])
        return verify_store(self.store, self.checkpoints, keys, more=extra, progress=progress)

    def check_place(
        self, place: str, *, more: Path | None = None, pubkey: Path | None = None, progress: Progress | None = None
    ) -> Verification:
        """Check a log that left its store; see `places.verify_place`. Without `pubkey` this home's key counts."""
        keys = read_keys(pubkey) if pubkey is not None else self.keys.verifiers()
        extra = kept_checkpoints(_there(more))[0] if more is not None else []
        return verify_place(place, keys, checkpoints=extra, progress=progress)

    def newest(self, wanted: Wanted) -> list[dict[str, Any]]:
        """Entries, the newest first."""
        if not self.store.exists():
            return []
        with closing(open_reader(self.store)) as db:
            return newest(db, wanted)

    def export(self, path: Path) -> int:
        """Write the log with its checkpoints into a new file; returns how many lines it has.

        Raises:
            UsageError: the file is there already, or cannot be written.
        """
        checkpoints, _ = kept_checkpoints(self.checkpoints)
        try:
            with closing(open_reader(self.store)) as db:
                db.execute("BEGIN")
                return export(db, checkpoints, path)
        except FileExistsError:
            raise UsageError(f"{path} is there already.", "Name a new file.", code="usage.audit_export") from None
        except OSError as error:
            says = f"{path} cannot be written."
            raise UsageError(says, "Name another file.", code="usage.audit_export", detail=repr(error)) from error

    def old(self, before: float, sinks: list[Sink]) -> Plan:
        """What retention may let go of; see `retention.plan`."""
        checkpoints, _ = kept_checkpoints(self.checkpoints)
        folder = next((sink.folder for sink in sinks if isinstance(sink, FolderSink)), None)
        with closing(open_reader(self.store)) as db:
            return plan(
                db,
                before=before,
                checkpoints=checkpoints,
                keys=self.keys.verifiers(),
                sinks=[sink.name for sink in sinks],
                folder=folder,
            )


class AuditTrail:
    """The audit log of a platform. On from the first fact; `enable` sends it somewhere else as well.

    Args:
        settings: What is set.
        veil: Takes secrets out of every entry.
        now: The clock: seconds since 1970.
        passing: The time that lags are measured by: seconds that only grow.

    Raises:
        SettingsError: the destination of the settings is wrong.
    """

    def __init__(
        self,
        settings: Settings,
        veil: Veil = NO_VEIL,
        now: Callable[[], float] = time.time,
        passing: Callable[[], float] = time.monotonic,
    ) -> None:
        described = settings.audit
        self.book = AuditBook(settings.home)
        self.maker = EntryMaker(
            veil,
            include_context=described.include_context,
            include_results=described.include_results,
            price_version=_price_version(settings),
        )
        self._now, self._passing = now, passing
        self._retention = described.retention_days * _A_DAY
        self._max_lag = described.max_lag
        self._followers: list[Follower] = []
        self._sinks: list[Sink] = []
        self._home: Home | None = None
        self._daily: Callable[[Change, float], None] | None = None
        self._enable(described.destination, described.max_lag)

    # What a program says.

    def enable(
        self,
        destination: str,
        *,
        include_context: bool,
        include_results: bool,
        retention_days: int,
        max_lag: float,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """See `Platform.enable_audit_log`."""
        if not isinstance(destination, str):
            raise UsageError("The destination of the audit log is a text.", code="usage.audit")
        if retention_days < 1 or max_lag < 1:
            raise UsageError("retention_days and max_lag are 1 or more.", code="usage.audit")
        self._enable(destination, max_lag, options)
        self.maker.include_context, self.maker.include_results = include_context, include_results
        self._retention = retention_days * _A_DAY

    async def verify(self) -> Report:
        """Check the log, the checkpoints and the facts; see `interlock audit verify`."""
        return (await asyncio.to_thread(self.book.check)).report

    async def show(self, limit: int = 50, **wanted: Any) -> list[dict[str, Any]]:
        """The newest entries.

        Args:
            limit: At most so many.
            wanted: Which: `run`, `actor`, `rule`, `verdict`, `since` (seconds since 1970), `before` (a number).
        """
        return await asyncio.to_thread(self.book.newest, Wanted(limit=limit, **wanted))

    async def export(self, path: str | Path) -> int:
        """Write the log with its checkpoints into a new file, which can be checked anywhere; how many lines it has.

        Raises:
            UsageError: the file is there already, or cannot be written.
        """
        return await asyncio.to_thread(self.book.export, Path(path))

    # What the platform does with it.

    def attach(self, journal: SqliteJournal, daily: Callable[[Change, float], None] | None = None) -> None:
        """Follow the log of a journal that was opened with `maker`, until it is closed.

        Args:
            journal: The journal.
            daily: Called once a day, when old entries are let go of, for whatever else has had its time.
        """

        def change(what: Callable[[sqlite3.Connection], None]) -> None:
            asyncio.run(journal.change(what))

        self._daily = daily
        self._home = Home(store=self.book.store, folder=self.book.folder, keys=self.book.keys, change=change)
        notary = Notary(self._home, limit=self._max_lag, now=self._passing, after=self._prune)
        self._followers = [notary]
        for sink in self._sinks:
            self._ship(sink)
        journal.followed_by(self._wake, self.close)

    def judge(self, act: Act) -> Verdict | None:
        """Refuse what is new while the log cannot be kept."""
        for follower in self._followers:
            if follower.behind() > follower.limit:
                where = "signed" if isinstance(follower, Notary) else "sent to its destination"
                says = f"The audit log has not been {where} for {follower.behind():.0f} seconds; nothing new is begun."
                return Verdict(effect=Effect.BLOCK, rule="audit.sink", reason=says, code="audit.sink_failed")
        return None

    def voices(self) -> dict[ActKind, list[Judge]]:
        """What the audit log has to say at the gate, by kind of act."""
        return {kind: [self.judge] for kind in _NEW}

    def close(self) -> None:
        """Sign and send what is left, for a bounded time. What is not sent stays in the store for the next process."""
        followers, self._followers = self._followers, []
        deadline = time.monotonic() + LAST_SECONDS
        for follower in reversed(followers):  # the notary last: what it signs covers all
            if not follower.close(max(0.1, deadline - time.monotonic())):
                _log.warning("audit.unfinished follower=%s error=%s", follower.name, follower.trouble or "too slow")
        self._home = None

    def _enable(self, destination: str, max_lag: float, options: Mapping[str, Any] | None = None) -> None:
        self._max_lag = max_lag
        sink = open_sink(destination, options, timeout=min(10.0, max_lag))
        if sink is None or any(sink.name == known.name for known in self._sinks):
            return
        self._sinks.append(sink)
        if self._home is not None:
            self._ship(sink)

    def _ship(self, sink: Sink) -> None:
        assert self._home is not None
        interval = min(_SEGMENT_SECONDS, self._max_lag / 3)
        shipper = Shipper(self._home, sink, interval=interval, limit=self._max_lag, now=self._passing)
        self._followers.append(shipper)
        shipper.wake()  # there may be entries that no process has sent yet

    def _wake(self) -> None:
        for follower in self._followers:
            follower.wake()

    def _is_due(self) -> bool:
        """Whether no process of this home has let go of anything for a day; then this one does."""
        mark, now = self.book.folder / "pruned", self._now()
        if 0.0 <= now - _changed(mark) < _A_DAY:
            return False
        mark.touch(mode=0o600)
        os.utime(mark, (now, now))
        return True

    def _prune(self) -> None:
        """Let go of what is old, once a day; called in the notary's thread."""
        home = self._home
        if home is None or not self._is_due():
            return
        if self._daily is not None:
            self._daily(home.change, self._now())
        decided = self.book.old(self._now() - self._retention, self._sinks)
        anchor = decided.anchor
        if anchor is not None:
            home.change(lambda db: take_away(db, anchor))
        remove(decided.segments)
        if decided.entries or decided.segments:
            _log.info("audit.pruned entries=%d segments=%d", decided.entries, len(decided.segments))


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def sink_folder(settings: Settings) -> list[Path]:
    """The folder of segments that the settings name; none where the log goes elsewhere."""
    destination = settings.audit.destination
    if destination in ("store", "logger") or "://" in destination:
        return []
    return [Path(destination).expanduser().absolute()]


def _there(path: Path) -> Path:
    if not path.is_file():
        raise UsageError(f"There is no file {path}.", "Name a file of checkpoints.", code="usage.audit_checkpoint")
    return path


def _price_version(settings: Settings) -> Callable[[], str]:
    """The version of the prices, worked out when the first cost is written down."""

    @cache
    def version() -> str:
        from interlock.platform.registry import price_table

        return price_table(settings).version

    return version
