"""The same walls as bubblewrap is told them: a file system of chosen places, and namespaces of the command's own."""

from __future__ import annotations

import os
from collections.abc import Iterable

from interlock.tools.sandbox.reach import EXECUTE, READ_FILE, SYSTEM, WRITE, Rule, parents

#: Where it is looked for. Never on the caller's PATH.
PROGRAMS = ("/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap")

_CHANGES = WRITE & ~(READ_FILE | 1 << 3)
#: Bubblewrap makes these itself.
_MADE = ("/dev", "/proc")


def bubblewrap_arguments(
    rules: Iterable[Rule], *, needed: Iterable[str], cwd: str, whole: bool, network: bool
) -> list[str]:
    """The words between `bwrap` and the command.

    Args:
        rules: What the command may reach.
        needed: Directories that the launcher itself is read from.
        cwd: Where the command runs.
        whole: Whether the rest of the disk is there too, to be read: for use with Landlock, which then narrows it.
        network: Whether it may use the network.
    """
    words = ["--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    words += [] if network else ["--unshare-net"]
    words += ["--cap-drop", "ALL"]
    if whole:
        words += ["--ro-bind", "/", "/"]
    else:
        for path in SYSTEM:
            if os.path.islink(path):  # /bin and its like, which lead into /usr
                words += ["--symlink", os.readlink(path), path]
    words += ["--proc", "/proc", "--dev", "/dev"]
    rules = [*(Rule(path, READ_FILE | EXECUTE) for path in needed), *rules]
    places = _Places(whole)
    for rule in sorted(rules, key=lambda one: one.path.count("/")):
        words += places.place(rule)
    for path in (*places.emptied, "/"):
        words += ["--remount-ro", path]
    return [*words, "--chdir", cwd, "--"]


class _Places:
    """What is bound where, parents before what is in them."""

    def __init__(self, whole: bool) -> None:
        self._whole = whole
        self._shown: set[str] = set()
        self.emptied: list[str] = []

    def place(self, rule: Rule) -> tuple[str, ...]:
        path = os.path.join(os.path.realpath(os.path.dirname(rule.path)), os.path.basename(rule.path))
        if path == "/" or path.startswith(_MADE) or not os.path.lexists(path):
            return ()
        if rule.rights & _CHANGES:
            return ("--bind", path, path)
        if self._whole:  # it is there already
            return ()
        if not rule.rights & READ_FILE:
            # Of this directory only some entries are there: each of them is bound by a rule of its own.
            self.emptied.append(path)
            return ("--tmpfs", path)
        if any(above in self._shown for above in parents(path)) or (path in SYSTEM and os.path.islink(path)):
            return ()
        self._shown.add(path)
        return ("--ro-bind-try", path, path)


def find_bubblewrap() -> str:
    """The path of bubblewrap, or nothing."""
    return next((path for path in PROGRAMS if os.access(path, os.X_OK)), "")
