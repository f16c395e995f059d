"""Files of one workspace, for agents: read, list, write, and never a step outside it."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interlock.errors import ToolFailed, UsageError
from interlock.tools.function import FunctionTool
from interlock.tools.protected import Guard
from interlock.tools.result import clean

#: Largest file that is read or written, in bytes.
MAX_FILE = 10_000_000
#: Most text one call returns, in characters.
MAX_TEXT = 200_000
#: Most entries one listing returns.
MAX_ENTRIES = 1_000
#: Longest path, in characters.
MAX_PATH = 4_096
#: Names an agent never writes, at any depth, also where they do not exist yet: what configures the tools it uses.
PROTECTED = frozenset({".git", ".interlock", "interlock.toml"})

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def files_tools(root: str | Path, protected: Iterable[str | Path] = ()) -> list[FunctionTool[..., Any]]:
    """The tools `files_read`, `files_list` and `files_write` for one workspace.

    Args:
        root: The workspace. Nothing outside it is read or written.
        protected: Files, and directories with all that is in them, that are neither read nor written, by whatever
            name or hard link; listings may name them. They need not exist yet.

    Raises:
        UsageError: code `usage.files`: it is no directory.
    """
    workspace = Workspace(root, protected)
    at = str(workspace.root)
    return [
        FunctionTool(workspace.read, name="files_read", repeatable=True, cwd=at),
        FunctionTool(workspace.entries, name="files_list", repeatable=True, cwd=at),
        FunctionTool(workspace.write, name="files_write", repeatable=True, cwd=at),
    ]


@dataclass(frozen=True, slots=True)
class Workspace:
    """A directory and what is in it.

    Every path is walked name by name from an open directory, and no symbolic link is followed: neither `..` nor a
    link, nor one that is put in place during the walk, leads outside.

    Args:
        root: The directory.
        protected: What is neither read nor written; see `files_tools`.

    Raises:
        UsageError: code `usage.files`: it is no directory.
    """

    root: Path
    guard: Guard

    def __init__(self, root: str | Path, protected: Iterable[str | Path] = ()) -> None:
        found = Path(root).expanduser().resolve()
        if not found.is_dir():
            raise UsageError(f"The workspace {root} is no directory.", code="usage.files")
        object.__setattr__(self, "root", found)
        object.__setattr__(self, "guard", Guard(protected))

    def read(self, path: str, start: int = 1, lines: int = 2_000) -> dict[str, Any]:
        """Read a text file of the workspace.

        Args:
            path: The file, relative to the workspace.
            start: The first line to return, from 1.
            lines: How many lines to return at most.
        """
        if start < 1 or lines < 1:
            raise _wrong("`start` and `lines` must be 1 or more")
        with self._parent(path) as (directory, name), _opened(directory, name, path) as file:
            self._refuse_protected(os.fstat(file), path)
            content = _read_all(file, path)
        text = content.decode(errors="replace")
        rows = list(io.StringIO(text, newline="\n"))
        part = "".join(rows[start - 1 : start - 1 + lines])[:MAX_TEXT]
        found = {"path": path, "text": part, "start": start, "lines": len(rows), "truncated": part != text}
        return found if _is_utf8(content) else found | {"note": "bytes that are not UTF-8 are shown as \ufffd"}

    def entries(self, path: str = ".", depth: int = 1) -> dict[str, Any]:
        """List a directory of the workspace, directories before what is in them.

        Args:
            path: The directory, relative to the workspace.
            depth: How many levels to show, 1 to 8.
        """
        if not 1 <= depth <= 8:
            raise _wrong("`depth` must be 1 to 8")
        entries: list[dict[str, Any]] = []
        with self._directory(self._names(path), path) as directory:
            whole = _list_into(entries, directory, "", depth)
        return {"path": path, "entries": entries, "truncated": not whole}

    def write(self, path: str, content: str) -> dict[str, Any]:
        """Write a text file of the workspace, whole: what was in it before is replaced. Directories are created.

        Args:
            path: The file, relative to the workspace.
            content: All that the file shall hold.
        """
        encoded = content.encode()
        if len(encoded) > MAX_FILE:
            raise _failed(f"{path} would have {len(encoded):,} bytes; at most {MAX_FILE:,} are possible.")
        if any(name.casefold() in PROTECTED for name in self._names(path)):
            raise _protected(path)
        with self._parent(path, create=True) as (directory, name):
            there = _replaceable(directory, name, path)
            if there is not None:
                self._refuse_protected(there, path)
            # Never setuid on what an agent wrote.
            mode = None if there is None else stat.S_IMODE(there.st_mode) & 0o777
            _replace(directory, name, encoded, mode)
        return {"path": path, "bytes": len(encoded), "created": mode is None}

    def _names(self, path: str) -> list[str]:
        """The names a path consists of.

        Raises:
            ToolFailed: code `tool.arguments`: it leads out of the workspace or cannot be a path.
        """
        if not path or len(path) > MAX_PATH or not path.isprintable():
            raise _wrong(f"a path needs 1 to {MAX_PATH:,} printable characters")
        if path.startswith("/"):
            if not Path(path).is_relative_to(self.root):
                raise _wrong(f"{path} is outside the workspace {self.root}; give a path relative to it")
            path = str(Path(path).relative_to(self.root))
        names = [name for name in path.split("/") if name not in ("", ".")]
        if ".." in names or path.startswith("~"):
            raise _wrong(f"{path} may lead out of the workspace; give a path relative to it, without `..` and `~`")
        return names

    @contextmanager
    def _parent(self, path: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """The open directory a file is in, and the file's name."""
        names = self._names(path)
        if not names or path.endswith("/"):
            raise _failed(f"{path} is a directory.")
        with self._directory(names[:-1], path, create=create, guarded=True) as directory:
            with _explained(path):
                if self.guard.holds_name(os.fstat(directory), names[-1]):
                    raise _protected(path)
                yield directory, names[-1]

    @contextmanager
    def _directory(self, names: list[str], path: str, *, create: bool = False, guarded: bool = False) -> Iterator[int]:
        """The open directory these names lead to; where `guarded`, not into what is protected."""
        with _explained(path):
            current = os.open(self.root, _DIRECTORY)
        try:
            for name in names:
                with _explained(path):
                    if guarded and self.guard.holds_name(os.fstat(current), name):
                        raise _protected(path)
                    below = _enter(current, name, create)
                os.close(current)
                current = below
                if guarded:
                    self._refuse_protected(os.fstat(current), path)
            yield current
        finally:
            os.close(current)

    def _refuse_protected(self, found: os.stat_result, path: str) -> None:
        if self.guard.holds(found):
            raise _protected(path)


def _enter(directory: int, name: str, create: bool) -> int:
    if create:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=directory)
    return os.open(name, _DIRECTORY, dir_fd=directory)


@contextmanager
def _opened(directory: int, name: str, path: str) -> Iterator[int]:
    # Looked at before it is opened, since opening alone may do something (a tape, a pipe's other end), and
    # again after, since it may have been exchanged in between; without blocking in either case.
    _refuse_unless_file(os.stat(name, dir_fd=directory, follow_symlinks=False), path)
    file = os.open(name, _READ, dir_fd=directory)
    try:
        _refuse_unless_file(os.fstat(file), path)
        yield file
    finally:
        os.close(file)


def _refuse_unless_file(found: os.stat_result, path: str) -> None:
    kind = _kind(found.st_mode)
    if kind != "file":
        raise _failed(f"{path} is {_KINDS[kind]}, not a file.")
    if found.st_size > MAX_FILE:
        raise _failed(f"{path} has {found.st_size:,} bytes; at most {MAX_FILE:,} are possible.")


def _read_all(file: int, path: str) -> bytes:
    content = bytearray()
    while chunk := os.read(file, 1 << 20):
        content += chunk
        if len(content) > MAX_FILE:  # it grew meanwhile
            raise _failed(f"{path} has more than {MAX_FILE:,} bytes.")
    if b"\0" in content:
        raise _failed(f"{path} is binary, not text ({len(content):,} bytes).")
    return bytes(content)


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _list_into(entries: list[dict[str, Any]], directory: int, prefix: str, depth: int) -> bool:
    """Add a directory's entries; False when there are more than may be listed."""
    with os.scandir(directory) as found:
        names = sorted(entry.name for entry in found)
    for name in names:
        if len(entries) >= MAX_ENTRIES:
            return False
        try:
            seen = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except OSError:
            continue  # gone meanwhile
        kind = _kind(seen.st_mode)
        shown = clean(f"{prefix}{name}").replace("\n", " ")
        entries.append({"name": shown, "type": kind} | ({"size": seen.st_size} if kind == "file" else {}))
        if kind == "directory" and depth > 1 and not _list_below(entries, directory, name, shown, depth - 1):
            return False
    return True


def _list_below(entries: list[dict[str, Any]], directory: int, name: str, shown: str, depth: int) -> bool:
    try:
        below = os.open(name, _DIRECTORY, dir_fd=directory)
    except OSError:
        return True  # not ours to look into, or exchanged meanwhile: the entry itself stands in the list
    try:
        return _list_into(entries, below, f"{shown}/", depth)
    finally:
        os.close(below)


def _replaceable(directory: int, name: str, path: str) -> os.stat_result | None:
    """The file that would be replaced, or None where there is none yet."""
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    kind = _kind(found.st_mode)
    if kind != "file":
        raise _failed(f"{path} is {_KINDS[kind]}, not a file.")
    return found


def _replace(directory: int, name: str, content: bytes, mode: int | None) -> None:
    """Put a file in place in one stroke: readers see the old or the new one, a crash leaves one of them."""
    draft = f".{secrets.token_hex(8)}.draft"
    file = os.open(draft, _CREATE, 0o666, dir_fd=directory)
    try:
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(file, rest) :]
            if mode is not None:
                os.fchmod(file, mode)
            os.fsync(file)
        finally:
            os.close(file)
        os.rename(draft, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft, dir_fd=directory)
        raise
    os.fsync(directory)


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turn what the system says about a path into a sentence."""
    try:
        yield
    except FileNotFoundError:
        raise _failed(f"There is no {path}.") from None
    except OSError as error:
        # ELOOP and ENOTDIR are how the system says that a name on the way is a link.
        reason = "a part of it is a symbolic link or no directory" if error.errno in _LINK else error.strerror
        raise _failed(f"{path} cannot be used: {reason or 'the system refused'}.") from error


def _kind(mode: int) -> str:
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
    return kinds.get(stat.S_IFMT(mode), "special")


_KINDS = {"directory": "a directory", "link": "a symbolic link", "special": "a device, pipe or socket"}
_LINK = (errno.ELOOP, errno.ENOTDIR)


def _wrong(why: str) -> ToolFailed:
    return ToolFailed(f"The arguments do not fit: {why}.", code="tool.arguments")


def _protected(path: str) -> ToolFailed:
    return _failed(f"{path} is protected: it belongs to what runs agents and their tools.")


def _failed(says: str) -> ToolFailed:
    return ToolFailed(says, "Choose another file; files_list shows what is there.", code="tool.file")
