"""What an act would use as it is now: policy, program, files. An approval holds while these do not change."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import Any

from interlock.governance.commands import CommandPolicy
from interlock.governance.guardrails import POINT_OF, Guardrail
from interlock.records.verdict import Act
from interlock.stores.sqlite_file import is_open_here

#: Files of one command that are looked at, and the size in bytes up to which one is read.
MOST_FILES = 16
LARGEST = 1_000_000
#: Words of one command that are looked up.
MOST_NAMES = 2_000

#: What may stand between names of files in one word: shell text, and lists of names.
_BETWEEN = " \t\n,;:&|()<>\"'"

#: What programs read without being told its name.
_IMPLIED: Mapping[str, Sequence[str]] = {
    "make": ("GNUmakefile", "makefile", "Makefile"),
    "npm": ("package.json",),
    "pnpm": ("package.json",),
    "yarn": ("package.json",),
    "npx": ("package.json",),
    "cargo": ("Cargo.toml", "build.rs"),
    "docker": ("Dockerfile", "compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"),
    "docker-compose": ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"),
    "tox": ("tox.ini", "pyproject.toml"),
    "pytest": ("conftest.py", "pyproject.toml", "pytest.ini"),
}


async def gather(act: Act, commands: CommandPolicy | None, guardrails: Sequence[Guardrail]) -> dict[str, Any]:
    """What must still be the same when an approved act is done.

    Args:
        act: What a person is to allow.
        commands: The command policy; of the policy only a digest is kept.
        guardrails: All guardrails.

    Returns:
        `policy`, and for a command `program`, `files` (names below the workspace with their SHA-256) and `env`.
    """
    evidence: dict[str, Any] = {"policy": digest_of(rules_for(act, commands, guardrails))}
    if act.kind == "command":
        argv = [str(word) for word in act.arguments.get("argv", ())]
        evidence["program"] = str(act.arguments.get("program", argv[0] if argv else ""))
        evidence["env"] = dict(act.arguments.get("env") or {})
        evidence["files"] = await asyncio.to_thread(files_of, [*argv, evidence["program"]], act.cwd)
    return evidence


def rules_for(act: Act, commands: CommandPolicy | None, guardrails: Sequence[Guardrail]) -> dict[str, Any]:
    """The rules that have a say in an act, as JSON. A condition that is code is known by its guardrail's name."""
    point = POINT_OF.get(act.kind)
    said = [[one.name, one.type, one.message, one.approver] for one in guardrails if point in one.on]
    rules: dict[str, Any] = {"guardrails": said}
    if act.kind == "command" and commands is not None:
        lists = (commands.allowed, commands.forbidden, commands.require_approval)
        rules["commands"] = [*(list(one) for one in lists), commands.on_unknown]
    return rules


def digest_of(rules: Any) -> str:
    """A digest of rules: the same rules have the same, in every process."""
    text = json.dumps(rules, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def files_of(argv: Sequence[str], cwd: str) -> dict[str, str]:
    """The regular files below the workspace that a command names, by name, each with its SHA-256.

    Of a file above the limit, and of those beyond the sixteenth, it is the size and the time of the last change.

    Args:
        argv: The program and its words.
        cwd: The workspace, absolute; without one nothing is looked at.
    """
    found: dict[str, str] = {}
    if not cwd or not argv:
        return found
    root = os.path.realpath(cwd)
    for name in islice(dict.fromkeys(_named(argv)), MOST_NAMES):
        path = os.path.realpath(os.path.join(root, os.path.expanduser(name)))
        if path not in found and os.path.commonpath((root, path)) == root:
            state = _state_of(path, read=len(found) < MOST_FILES)
            if state is not None:
                found[os.path.relpath(path, root)] = state
    return found


def _named(argv: Sequence[str]) -> Iterator[str]:
    """Words that may be names of files, also behind `--option=`, `@` and `-f`, and in a text such as `-c` takes."""
    yield from _IMPLIED.get(os.path.basename(argv[0]), ())
    for before, word in pairwise(("", *argv)):
        yield from _pieces(word)
        if before == "-m":  # Python's modules
            yield from (f"{word.replace('.', '/')}{end}" for end in (".py", "/__main__.py", "/__init__.py"))
        if any(char in word for char in _BETWEEN):
            for inner in islice(re.split(f"[{_BETWEEN}]+", word), MOST_NAMES):
                yield from _pieces(inner)


def _pieces(word: str) -> Iterator[str]:
    for piece in (word, word.partition("=")[2], word.partition("@")[2], word[2:] if word.startswith("-") else ""):
        if piece and len(piece) < 4096 and "\0" not in piece:
            yield piece


def _state_of(path: str, *, read: bool) -> str | None:
    """What a regular file holds; None for anything else, and for our own store, which must not be opened beside."""
    if is_open_here(path):
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        return _unread(path, error)
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            return None
        if not read or about.st_size > LARGEST:
            # Whoever changes a file can set the time of its last change back, but not that of its inode.
            return f"{about.st_size} bytes, changed {about.st_mtime_ns} ({about.st_ino}, {about.st_ctime_ns})"
        content = os.read(descriptor, LARGEST + 1)
        return f"sha256:{hashlib.sha256(content).hexdigest()}"
    except OSError as error:
        return _unread(path, error)
    finally:
        os.close(descriptor)


def _unread(path: str, error: OSError) -> str | None:
    try:
        about = os.stat(path)
    except OSError:
        return None
    return f"unreadable ({error.strerror}), {about.st_size} bytes" if stat.S_ISREG(about.st_mode) else None
