"""The scratch folders of runs: kept while a run may need its files, copied for its forks, and then removed by rule."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from interlock.errors import InterlockError, StoreFailed
from interlock.platform.lookup import STORE
from interlock.platform.settings import Settings
from interlock.stores.ended import all_run_ids, ends_of
from interlock.stores.sqlite_file import open_reader
from interlock.tools.folders import remove, walk
from interlock.tools.python import folder_name

#: The folder of the code interpreter's files, in the home folder.
SCRATCH = "scratch"
#: How the name of a folder begins that is on its way out, and of one that is not complete yet; no run's does.
_GOING, _COMING = ".going-", ".coming-"
_A_DAY = 86_400.0

#: Does something in a transaction of the store's, in which no run can begin to move.
Change = Callable[[Callable[[sqlite3.Connection], None]], None]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A folder that may go.

    Args:
        folder: The folder.
        run_id: Its run; empty where there is none of that name.
        since: When the run ended, or the folder was last changed, in seconds since 1970.
    """

    folder: Path
    run_id: str
    since: float


class Scratch:
    """The scratch folders of a home.

    One goes when its run ended more than `code_interpreter.retention_days` ago and no file was added to it or taken
    away since. That of a run which has not ended never goes. One that belongs to no run goes so many days after it
    was last changed.

    Args:
        settings: What is set.
    """

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.home / SCRATCH
        self._store = settings.home / STORE
        self._keep = settings.code_interpreter.retention_days * _A_DAY

    def folders(self) -> list[Path]:
        """All folders there are, by name."""
        if not self.folder.is_dir():
            return []
        with os.scandir(self.folder) as found:
            return sorted(self.folder / one.name for one in found if one.is_dir(follow_symlinks=False))

    def old(self, now: float) -> list[Leftover]:
        """What may go, by name.

        Args:
            now: Seconds since 1970.
        """
        still = {path: changed for path in self.folders() if (changed := _changed(path)) < now - self._keep}
        if not still:
            return []
        if not self._store.exists():
            return [Leftover(folder=path, run_id="", since=changed) for path, changed in still.items()]
        with closing(open_reader(self._store)) as db:
            names = self._run_ids(db, [path.name for path in still])
            ends = ends_of(db, names.values())
        found = []
        for path, changed in still.items():
            run_id = names.get(path.name, "")
            since = ends.get(run_id, changed)
            if since is not None and since < now - self._keep:
                found.append(Leftover(folder=path, run_id=run_id if run_id in ends else "", since=since))
        return found

    def remove(self, leftovers: Sequence[Leftover], change: Change | None, now: float) -> list[Leftover]:
        """Remove what may go, and say what went. Whether it still may is asked once more in the store's transaction.

        Args:
            leftovers: What `old` found.
            change: Does something in a transaction of the store's; None where there is no store.
            now: Seconds since 1970.
        """
        gone = []
        for one in leftovers:
            going = self.folder / f"{_GOING}{one.folder.name.removeprefix(_GOING)}"
            if going != one.folder:
                _delete(going)  # what a removal that was cut off has left

            def take(db: sqlite3.Connection, one: Leftover = one, going: Path = going) -> None:
                since = ends_of(db, [one.run_id]).get(one.run_id, one.since)
                if since is not None and since < now - self._keep:
                    _move(one.folder, going)

            if change is None:
                _move(one.folder, going)
            else:
                change(take)
            if os.path.lexists(going):
                _delete(going)
                gone.append(one)
        return gone

    def sweep(self, change: Change, now: float) -> None:
        """Remove what may go; what cannot be removed stays for the next time."""
        try:
            gone = self.remove(self.old(now), change, now)
        except (OSError, sqlite3.Error, InterlockError) as error:
            _log.warning("scratch.stays error=%r", error)
            return
        if gone:
            _log.info("scratch.pruned folders=%d", len(gone))

    def copy(self, parent: str, child: str) -> None:
        """Have a fork begin with the files of its parent as they are now. What it has already is left alone.

        Raises:
            StoreFailed: they cannot be copied.
        """
        source, target = (self.folder / folder_name(run_id) for run_id in (parent, child))
        if not source.is_dir() or target.exists():
            return
        coming = self.folder / f"{_COMING}{os.getpid()}-{time.monotonic_ns()}"
        try:
            coming.mkdir(mode=0o700)
            files = shutil.copytree(source, coming / "files", symlinks=True, ignore=_special)
            os.utime(files)
            os.rename(files, target)
            coming.rmdir()
        except (OSError, shutil.Error, RecursionError) as error:
            _delete(coming)
            raise StoreFailed(
                f"The files of {parent} cannot be copied for its fork.",
                "See whether the disk is full, or folders are nested hundreds deep.",
                detail=repr(error),
            ) from error

    def _run_ids(self, db: sqlite3.Connection, names: Sequence[str]) -> dict[str, str]:
        """The runs these folders belong to, if there are such runs, by folder."""
        found = {name: name for name in names if folder_name(name) == name}
        if any(name not in found and not name.startswith((_GOING, _COMING)) for name in names):
            found |= {folder_name(run_id): run_id for run_id in all_run_ids(db)}
        return found


def size_of(folder: Path) -> int:
    """The bytes of all files below a folder; no symbolic link is followed."""
    return sum(_size(os.path.join(above, name)) for above, _, names in walk(folder) for name in names)


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:  # just gone
        return 0


def _changed(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:  # just gone
        return float("inf")


def _special(above: str, names: list[str]) -> list[str]:
    """What is no file, folder or link: pipes and sockets that code left there."""
    kinds = (stat.S_ISREG, stat.S_ISDIR, stat.S_ISLNK)
    modes = {name: os.lstat(os.path.join(above, name)).st_mode for name in names}
    return [name for name, mode in modes.items() if not any(is_kind(mode) for is_kind in kinds)]


def _move(folder: Path, going: Path) -> None:
    with contextlib.suppress(OSError):  # it is gone already, or cannot be moved and stays
        os.rename(folder, going)


def _delete(folder: Path) -> None:
    with contextlib.suppress(OSError):  # what cannot be removed stays for the next time
        remove(folder)
