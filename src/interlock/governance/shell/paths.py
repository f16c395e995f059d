"""Which places commands may read: not credentials, devices, other processes, or what lies outside by `..`."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise

from interlock.governance.shell.expand import Pattern

#: Where `~` stands in the paths judged here, whoever's home it is.
_HOME = ("home", "~")

_PLACES = tomllib.loads(files("interlock.governance.shell").joinpath("places.toml").read_text("utf-8"))
_SECRET_NAME = re.compile("|".join(_PLACES["names"]))
_SECRET_PLACES = tuple(tuple(place.strip("/").split("/")) for place in _PLACES["places"])
_SECRET_PAIRS = frozenset(map(tuple, _PLACES["pairs"]))
_SAMPLES, _PROC, _PROCESS, _DEVICES = (tuple(_PLACES[name]) for name in ("samples", "proc", "process", "devices"))

#: A reader that goes down must not start at one of these or above; a home directory itself is one of them.
_ABOVE = (("home",), ("Users",), ("proc",), ("dev",), ("sys",))
_BELOW_HOME = frozenset({".config", ".local", ".cache", "Library"})

_BRACKET = re.compile(r"\[(?:\[:\w+:\]|[^\]])+\]")
_WILD = frozenset("*?[")
#: No file system has longer names; a pattern has a character for each, or a bracket, which is one here.
_LONGEST_NAME = 1_024


def why_not_read(path: str, *, cwd: str = "", recursive: bool = False, devices: bool = False) -> str:
    """Why this path may not be read; "" where it may.

    Paths are judged as they are written; what a link on disk points to is for the sandbox to hold.

    Args:
        path: The path, perhaps a `Pattern`.
        cwd: The workspace as an absolute path, where it is known. What lies below it counts as inside.
        recursive: Whether the reader goes down from there.
        devices: Whether naming a device is harmless, since only its file system is asked for.
    """
    return _judge(str(path), isinstance(path, Pattern), cwd, recursive, devices)


def why_secret(path: str, *, cwd: str = "") -> str:
    """Why this path, or what may be one, is taken for credentials; "" where it is not."""
    parts, absolute = _normal(path)
    workspace = _normal(cwd)[0] if cwd else ()
    secret = _has_secret_name(parts, False) or _is_secret_place(parts, absolute, False, workspace)
    return f"`{path}` may hold credentials" if secret else ""


def why_not_inside(path: str, *, cwd: str = "") -> str:
    """Why this path is not plainly inside the workspace; "" where it is."""
    if isinstance(path, Pattern) or path.startswith("~") or path == "-":
        return f"`{path}` lies outside the workspace, or may"
    parts, absolute = _normal(path)
    if absolute:
        below = _normal(cwd)[0] if cwd else ()
        inside = bool(below) and parts[: len(below)] == below
        return "" if inside else f"`{path}` lies outside the workspace"
    return f"`{path}` leaves the workspace" if parts[:1] == ("..",) else ""


@lru_cache(maxsize=4_096)
def _judge(path: str, pattern: bool, cwd: str, recursive: bool, devices: bool) -> str:
    if path in ("", "-"):
        return ""
    parts, absolute = _normal(_without_brackets(path) if pattern else path)
    if pattern and any(len(name) > _LONGEST_NAME for name in parts):
        return f"`{path[:60]}...` is longer than any name, and matching it would take long"
    if not absolute and parts[:1] == ("..",):
        return f"`{path}` leaves the workspace"
    workspace = _normal(cwd)[0] if cwd else ()
    if _has_secret_name(parts, pattern) or _is_secret_place(parts, absolute, pattern, workspace):
        return f"`{path}` may hold credentials"
    if absolute and not devices and not _is_ordinary_file(parts):
        return f"`{path}` is a device, or shows other processes"
    below = bool(workspace) and parts[: len(workspace)] == workspace
    if absolute and recursive and not below and _is_above(parts, pattern):
        return f"`{path}` has credentials below it"
    return ""


def _without_brackets(path: str) -> str:
    end = path.rfind("]") + 1  # behind it no bracket closes, and looking for its end would take the square of the time
    return _BRACKET.sub("?", path[:end]) + path[end:]


def _normal(path: str) -> tuple[tuple[str, ...], bool]:
    """The names of a path, with `.` and `..` resolved as written, and whether it is absolute."""
    absolute = path.startswith("/")
    names = path.split("/")
    kept: list[str] = []
    if path.startswith("~"):
        kept, absolute = ["root"] if names[0] == "~root" else [*_HOME], True
        del names[0]
    for name in names:
        if name == "..":
            if kept and kept[-1] != "..":
                kept.pop()
            elif not absolute:
                kept.append(name)
        elif name not in ("", "."):
            kept.append(name)
    return tuple(kept), absolute


def _has_secret_name(parts: tuple[str, ...], pattern: bool) -> bool:
    for name in parts:
        if _SECRET_NAME.fullmatch(name.casefold()):
            return True
        if pattern and not _WILD.isdisjoint(name) and any(_could_be(name, sample) for sample in _SAMPLES):
            return True
    return any(pair in _SECRET_PAIRS for pair in pairwise(parts))


def _is_secret_place(parts: tuple[str, ...], absolute: bool, pattern: bool, workspace: tuple[str, ...]) -> bool:
    if not absolute:
        parts = (*workspace, *parts)
        if not workspace:
            return False
    inside = bool(workspace) and parts[: len(workspace)] == workspace
    for place in _SECRET_PLACES:
        # A workspace below such a place, such as one in /root, is not secret for that.
        if _starts(parts, place, pattern) and not (inside and _starts(workspace, place, False)):
            return True
    return False


def _could_be(pattern: str, name: str) -> bool:
    """Whether a pattern is likely meant for a name. A lone `*` or one letter with it is not."""
    if not fnmatchcase(name, pattern.casefold()) or (name[0] == "." and pattern[0] != "."):
        return False
    return pattern[0] == "." or len(re.sub(r"[*?]", "", pattern)) > 1


def _starts(parts: tuple[str, ...], place: tuple[str, ...], pattern: bool) -> bool:
    """Whether a path is a place or lies below it."""
    return len(parts) >= len(place) and _along(parts, place, pattern)


def _along(parts: tuple[str, ...], place: tuple[str, ...], pattern: bool) -> bool:
    for name, wanted in zip(parts, place, strict=False):
        if name == wanted or wanted == "*":
            continue
        if not pattern or _WILD.isdisjoint(name) or not fnmatchcase(wanted, name):
            return False
    return True


def _is_ordinary_file(parts: tuple[str, ...]) -> bool:
    top = parts[0] if parts else ""
    if not _WILD.isdisjoint(top):
        return not any(fnmatchcase(name, top) for name in ("dev", "proc", "root", "sys"))
    if top == "dev":
        return len(parts) > 1 and parts[1] in _DEVICES
    if top != "proc" or len(parts) == 1:
        return True
    if parts[1] in ("self", "thread-self") or parts[1].isdecimal():
        return len(parts) == 3 and parts[2] in _PROCESS
    return parts[1] in _PROC


def _is_above(parts: tuple[str, ...], pattern: bool) -> bool:
    if any(len(parts) <= len(place) and _along(parts, place, pattern) for place in _SECRET_PLACES):
        return True
    if parts[:1] in _ABOVE:
        return len(parts) <= 2 or parts[0] not in ("home", "Users") or parts[2] in _BELOW_HOME
    return False
