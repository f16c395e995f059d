"""Which files the kernel lets commands execute, found from the names of the programs a policy lists."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

#: What well-known programs cannot work without: programs by name, or directories by path.
NEEDS = {
    "git": ("/usr/lib/git-core", "/usr/libexec/git-core", "ssh", "gpg"),
    "npm": ("node", "sh", "env"),
    "npx": ("node", "sh", "env"),
    "pip": ("python3",),
    "gcc": ("cc1", "as", "ld", "/usr/lib/gcc", "/usr/libexec/gcc"),
    "cc": ("cc1", "as", "ld", "/usr/lib/gcc", "/usr/libexec/gcc"),
    "man": ("groff", "nroff", "preconv", "tbl", "/usr/libexec/man-db"),
    "psql": ("/usr/lib/postgresql",),
    "ssh": ("/usr/lib/openssh",),
    "java": ("/usr/lib/jvm",),
    "javac": ("/usr/lib/jvm",),
}
#: The dynamic loader, which the kernel opens for every program that is not static.
_LOADERS = ("/lib64/ld-linux-*.so.*", "/lib/ld-linux*.so.*", "/lib/ld-musl-*.so.*", "/lib64/ld64.so.*")
#: Links of interpreters that are followed from one script to the next.
_DEPTH = 3


def executables(names: Iterable[str], directories: Sequence[str], own: str) -> tuple[str, ...]:
    """The files and directories that may be executed.

    Args:
        names: The programs that are listed; a path stands for itself.
        directories: Where they are looked for.
        own: The path of the program that is about to run.
    """
    # Asked anew where a directory has changed: a program that is installed later is found.
    stamp = tuple(_changed(directory) for directory in directories)
    return _found(frozenset(names), tuple(directories), own, stamp)


@lru_cache(maxsize=256)
def _found(names: frozenset[str], directories: tuple[str, ...], own: str, stamp: tuple[int, ...]) -> tuple[str, ...]:
    found: dict[str, None] = dict.fromkeys(path for pattern in _LOADERS for path in glob.glob(pattern))
    for name in (own, *sorted(names)):
        found.update(dict.fromkeys(_of(name, directories, _DEPTH)))
    return tuple(found)


def _of(name: str, directories: Sequence[str], depth: int) -> Iterator[str]:
    """A program's file, its interpreter's where it is a script, and what it needs."""
    path = name if name.startswith("/") else _look_up(name, directories)
    if not path or not os.path.exists(path):
        return
    yield path
    if os.path.isdir(path) or not depth:
        return
    real = os.path.realpath(path)
    needed = {*NEEDS.get(os.path.basename(path), ()), *NEEDS.get(os.path.basename(real), ())}
    for other in (*_interpreters(real), *sorted(needed)):
        yield from _of(other, directories, depth - 1)


def _look_up(name: str, directories: Sequence[str]) -> str:
    return next((path for folder in directories if os.path.isfile(path := f"{folder}/{name}")), "")


def _interpreters(path: str) -> list[str]:
    """What the first line of a script names: the interpreter, and the program that `env` is to find."""
    try:
        with open(path, "rb") as file:
            line = file.readline(256)
    except OSError:
        return []
    if not line.startswith(b"#!"):
        return []
    words = line[2:].decode(errors="replace").split()
    return [word for word in words[:3] if not word.startswith("-")] if words[:1] else []


def _changed(directory: str) -> int:
    try:
        return os.stat(directory).st_mtime_ns
    except OSError:
        return 0
