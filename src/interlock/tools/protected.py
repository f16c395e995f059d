"""What agents' files tools keep their hands off, known by what it is on the disk and not by its name."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from interlock.tools.folders import walk


class Guard:
    """Knows protected files and directories again under every name and hard link.

    The disk is asked each time: a file that is replaced, or made later, stays protected.

    Args:
        paths: Files, and directories with all that is in them. They need not exist yet.
    """

    def __init__(self, paths: Iterable[str | Path] = ()) -> None:
        given = [Path(path).expanduser().absolute() for path in paths]
        # Both where a link stands and what it leads to.
        self._paths = tuple(dict.fromkeys([*given, *(Path(os.path.realpath(path)) for path in given)]))

    def holds_name(self, directory: os.stat_result, name: str) -> bool:
        """Whether an entry of a directory is protected, be it there or not.

        Args:
            directory: The directory, open.
            name: The entry's name in it.
        """
        for path in self._paths:
            if path.name.casefold() == name.casefold():
                parent = _look(path.parent)
                if parent is not None and os.path.samestat(parent, directory):
                    return True
        return False

    def holds(self, found: os.stat_result) -> bool:
        """Whether this file or directory is protected, or a file of a protected directory under another name."""
        linked = stat.S_ISREG(found.st_mode) and found.st_nlink > 1
        for path in self._paths:
            protected = _look(path)
            if protected is None:
                continue
            if os.path.samestat(protected, found):
                return True
            # What has one name only is found by the way there.
            if linked and stat.S_ISDIR(protected.st_mode) and any(os.path.samestat(one, found) for one in _below(path)):
                return True
        return False


def _below(directory: Path) -> Iterator[os.stat_result]:
    for folder, _, names in walk(directory):
        for name in names:
            one = _look(Path(folder, name))
            if one is not None:
                yield one


def _look(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:  # there is none, or none that can be seen
        return None
