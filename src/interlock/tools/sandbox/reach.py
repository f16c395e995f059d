"""What a command may reach on the disk: places with rights, written once for every kind of wall."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

# Landlock's rights, from linux/landlock.h; bubblewrap is told the same by binding a place or not, for writing or not.
EXECUTE, READ_FILE, LIST = 1 << 0, 1 << 2, 1 << 3
#: What a command may do where it writes: everything but making devices and, unless added, executing.
WRITE = 0x7FFE & ~(1 << 6 | 1 << 11)
READ = READ_FILE | LIST
RUN = READ | EXECUTE
#: Reading and writing a device or pipe that is there, with the requests a device understands.
USE_DEVICE = READ_FILE | 1 << 1 | 1 << 14 | 1 << 15

#: Where programs and what they need live.
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store")
#: The same without the directories of programs.
LIBRARIES = (
    *("/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libx32", "/usr/share", "/usr/include", "/usr/local/lib"),
    *("/usr/local/lib64", "/usr/local/share", "/usr/local/include", "/lib", "/lib32", "/lib64", "/libx32", "/opt"),
)
#: Of /etc, what programs need to run; not all of it, since keys and passwords stand beside it.
ETC = tuple(
    f"/etc/{name}"
    for name in (
        *("alternatives", "bash.bashrc", "ca-certificates", "ca-certificates.conf", "crypto-policies"),
        *("debian_version", "default/locale", "fonts", "fstab", "gai.conf", "gitconfig", "group", "host.conf"),
        *("hostname", "hosts", "inputrc", "java", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "locale.alias"),
        *("locale.conf", "localtime", "lsb-release", "magic", "manpath.config", "mime.types", "mtab", "networks"),
        *("nsswitch.conf", "openssl", "os-release", "passwd", "perl", "pki/ca-trust", "pki/tls/certs", "profile"),
        *("protocols", "python", "python3", "redhat-release", "resolv.conf", "rpc", "services", "shells"),
        *("ssl/certs", "ssl/openssl.cnf", "terminfo", "timezone", "vconsole.conf", "xattr.conf"),
    )
)
#: What the kernel tells about the machine. Other processes' memory and environment are kept from sandboxed ones.
MACHINE = ("/proc", "/sys")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")


class Rule(NamedTuple):
    """One place with what may be done there and below.

    Args:
        path: A file or directory; it need not be there.
        rights: Landlock's bits.
        follow: Whether a symbolic link at this place is meant for what it leads to.
    """

    path: str
    rights: int
    follow: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What one command may reach.

    Args:
        programs: Files and directories of programs it may execute; None for all of the system's and its own.
        read: Further places it may read.
        write: Places it may change.
        protected: What stays out of reach inside those places, be it there or not.
    """

    programs: tuple[str, ...] | None = None
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()


def rules_for(reach: Reach, *, listing: bool) -> list[Rule]:
    """The rules for one command.

    Args:
        reach: What it may reach.
        listing: Whether it may see the names of files everywhere, as `ls`, `du` and `find` do; not what is in them.
    """
    free = reach.programs is None
    found = [Rule("/", LIST)] if listing else []
    found += [Rule(path, RUN if free else READ) for path in (SYSTEM if free else LIBRARIES)]
    found += [Rule(path, READ) for path in (*ETC, *MACHINE)]
    found += [Rule(path, USE_DEVICE) for path in DEVICES]
    found += [Rule(path, RUN) for path in reach.programs or ()]
    runs = EXECUTE if free else 0
    forbidden = _Forbidden(reach.protected)
    for place in reach.read:
        found += forbidden.around(os.path.realpath(place), READ | runs)
    for place in reach.write:
        found += forbidden.around(os.path.realpath(place), WRITE | runs)
    return found


class _Forbidden:
    """Protected paths, and how to give rights around them.

    Rights go down and nothing can be taken out again. So a directory that holds something protected, or would hold it
    if it were made, gets no rights but its entries do: nothing can be made, removed or renamed directly in it, and
    what is there already can be used and changed.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        # Both where a link stands and what it leads to.
        self._paths = frozenset(path for given in paths for path in (os.path.abspath(given), os.path.realpath(given)))
        self._above = frozenset(above for path in self._paths for above in parents(path))
        self._files = frozenset(found for path in self._paths if (found := _identity(path)) is not None)

    def around(self, place: str, rights: int) -> Iterator[Rule]:
        """Rules for a place and all below it but what is protected."""
        if place in self._paths or not self._paths.isdisjoint(parents(place)):
            return
        if place not in self._above:
            yield Rule(place, rights, follow=False)
            return
        yield Rule(place, LIST, follow=False)
        try:
            entries = list(os.scandir(place))
        except OSError:
            return
        for entry in entries:
            if not entry.is_symlink() and _identity(entry.path) not in self._files:
                yield from self.around(entry.path, rights)


def parents(path: str) -> Iterator[str]:
    """Every directory above a path, the nearest first."""
    while (above := os.path.dirname(path)) != path:
        yield above
        path = above


def _identity(path: str) -> tuple[int, int] | None:
    """What a file or directory is under whatever name."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
