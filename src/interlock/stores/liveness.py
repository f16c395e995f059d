"""Who is alive: a file lock per open journal, which the kernel gives back the instant its process dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import weakref
from pathlib import Path


class Liveness:
    """Holds this owner's lock and tells whether other owners still hold theirs.

    A lease that must run out would make every crash cost its time to live; the kernel's lock is given back
    at once, also on kill -9. It holds for processes of one machine, which is where an SQLite file may be shared.

    Args:
        folder: Where the lock files lie, beside the store; None for a store that no other process can see.
        owner: This journal's name.
    """

    def __init__(self, folder: Path | None, owner: str) -> None:
        self._folder = folder
        self._owner = owner
        self._held: int | None = None
        if folder is not None:
            folder.mkdir(mode=0o700, exist_ok=True)
            self._held = os.open(self._path(owner), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(self._held, f"{os.getpid()}\n".encode())
            # A forked child shares the lock and would keep it after this process has died.
            myself = weakref.ref(self)
            os.register_at_fork(after_in_child=lambda: _let_go(myself()))

    def alive(self, owner: str) -> bool:
        """Whether the process that opened the journal under this name still lives."""
        if owner == self._owner:
            return True
        if self._folder is None or not owner:
            return False
        try:
            probe = os.open(self._path(owner), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            # Shared, so that two who ask at once do not take each other for the owner.
            fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(probe)
        with contextlib.suppress(FileNotFoundError):
            self._path(owner).unlink()
        return False

    def let_go(self) -> None:
        """In a forked child: close the lock's file without giving up the parent's lock."""
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def close(self) -> None:
        """Give this owner's lock back."""
        if self._held is not None and self._folder is not None:
            with contextlib.suppress(FileNotFoundError):
                self._path(self._owner).unlink()
            os.close(self._held)
            self._held = None

    def _path(self, owner: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{owner}.lock"


def _let_go(liveness: Liveness | None) -> None:
    if liveness is not None:
        liveness.let_go()
