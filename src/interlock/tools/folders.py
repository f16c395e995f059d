"""Folders that code nobody vouches for has filled: walked and removed, however deep, and no link is followed."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def walk(folder: str | Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Each folder from the top, with the names of the folders and of all else in it; as `os.walk`, which recurses.

    Whoever is given the names of the folders may change them: only those that are left are walked. What cannot be
    read, or lies so deep that it has no path, is left out.
    """
    waiting = [os.fspath(folder)]
    while waiting:
        above = waiting.pop()
        folders: list[str] = []
        others: list[str] = []
        try:
            with os.scandir(above) as found:
                for one in found:
                    (folders if one.is_dir(follow_symlinks=False) else others).append(one.name)
        except OSError:
            continue
        yield above, folders, others
        waiting += [os.path.join(above, name) for name in reversed(folders)]


def remove(folder: str | Path) -> None:
    """Remove a folder with all that is in it, also where code has taken its own rights to that away.

    Every folder is emptied into the one at the top before it goes: so none is ever deeper than one below it.

    Raises:
        OSError: something cannot be removed.
    """
    if not stat.S_ISDIR(os.lstat(folder).st_mode):
        os.unlink(folder)
        return
    os.chmod(folder, 0o700)
    top = os.open(folder, _DIRECTORY)
    try:
        _empty(top)
    finally:
        os.close(top)
    os.rmdir(folder)


def _empty(top: int) -> None:
    mark, moved = secrets.token_hex(8), 0
    left = _without_files(top)
    while left:
        name = left.pop()
        inner = os.open(name, _DIRECTORY, dir_fd=top)
        try:
            for below in _without_files(inner):
                moved += 1
                left.append(f"{mark}-{moved}")
                os.rename(below, left[-1], src_dir_fd=inner, dst_dir_fd=top)
        finally:
            os.close(inner)
        os.rmdir(name, dir_fd=top)


def _without_files(folder: int) -> list[str]:
    """Remove what is in a folder but the folders in it, which are opened up; and name these."""
    with os.scandir(folder) as found:
        entries = list(found)
    folders = []
    for one in entries:
        if one.is_dir(follow_symlinks=False):
            os.chmod(one.name, 0o700, dir_fd=folder)
            folders.append(one.name)
        else:
            os.unlink(one.name, dir_fd=folder)
    return folders
