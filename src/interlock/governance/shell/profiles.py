"""Profiles: what the options of well-known programs do, kept as data beside this module, and how a command fits."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from interlock.governance.shell.expand import Pattern
from interlock.governance.shell.options import KINDS, WORDS, Objection, Table, first_word, object_to
from interlock.governance.shell.paths import why_secret
from interlock.records.verdict import Effect

#: Programs that have a profile: one file each.
PROGRAMS = frozenset(
    {
        *(
            "cat",
            "cd",
            "df",
            "docker",
            "du",
            "find",
            "free",
            "git",
            "grep",
            "head",
            "kubectl",
            "ls",
            "lsblk",
            "npm",
            "nproc",
            "ps",
            "pytest",
            "systemctl",
        ),
        *("tail", "terraform", "top", "uname", "uptime", "wc"),
    }
)

_SETTINGS = frozenset({"abbreviated", "negatable", "single", "numbers", "globs"})
_SETS = frozenset({"recursive", "patterns", "twofold"})


@dataclass(frozen=True, slots=True)
class Profile:
    """One program's options, and those of its subcommands where it has any.

    Args:
        table: The options of the program itself; those before the subcommand.
        commands: The tables of its subcommands.
        has_commands: Whether the first word is a subcommand.
    """

    table: Table
    commands: Mapping[str, Table] = field(default_factory=dict)
    has_commands: bool = False

    def command_at(self, argv: tuple[str, ...]) -> int | None:
        """Where the subcommand stands in a command, or None where there is none or no telling."""
        if not self.has_commands:
            return None
        found = first_word(self.table, argv[1:])
        return None if found is None else found + 1


def profile_for(program: str) -> Profile | None:
    """The profile of a program, by its name."""
    return load(program) if program in PROGRAMS else None


def straight(argv: tuple[str, ...]) -> tuple[str, ...]:
    """The command with its subcommand in second place, whatever options stand before it."""
    profile = profile_for(argv[0])
    at = profile.command_at(argv) if profile is not None else None
    return argv if at is None else (argv[0], argv[at], *argv[1:at], *argv[at + 1 :])


def object_to_command(argv: tuple[str, ...], named: Collection[str], cwd: str = "") -> Iterator[Objection]:
    """What speaks against a command that a rule covers.

    Args:
        argv: The program's name and its words.
        named: Words the rule itself names.
        cwd: The workspace, where it is known.
    """
    profile = profile_for(argv[0])
    if profile is None:
        yield from _without_profile(argv[1:], named, cwd)
        return
    if not profile.has_commands:
        yield from object_to(profile.table, argv[1:], named, cwd)
        return
    at = profile.command_at(argv)
    if at is None:
        # No subcommand, or an option nobody knows before it.
        yield from object_to(profile.table, argv[1:], named, cwd)
        return
    yield from object_to(profile.table, argv[1:at], named, cwd)
    if argv[at] in profile.commands:
        yield from object_to(profile.commands[argv[at]], argv[at + 1 :], named, cwd)
    else:
        yield from _without_profile(argv[at + 1 :], named, cwd)


def _without_profile(words: tuple[str, ...], named: Collection[str], cwd: str) -> Iterator[Objection]:
    """Of a program without a profile, only words that are final and name no credentials."""
    for word in words:
        if word in named:
            continue
        if isinstance(word, Pattern):
            yield Objection(Effect.BLOCK, f"`{word}` is a pattern, and this program has no profile")
        elif reason := why_secret(word, cwd=cwd) or ("=" in word and why_secret(word.partition("=")[2], cwd=cwd)):
            yield Objection(Effect.BLOCK, str(reason))


@cache
def load(program: str) -> Profile:
    """Read a profile.

    Raises:
        ValueError: it says something that is not understood.
    """
    data = document(program)
    tables = data.get("commands", {})
    anywhere = data.get("options", {}) if data.get("anywhere") else {}
    commands = {name: _table(table, tables, anywhere) for name, table in tables.items()}
    return Profile(_table(data.get("options", {}), {}, {}), commands, bool(data.get("subcommands")))


def document(program: str) -> dict[str, Any]:
    """A profile as it is written, with its examples."""
    text = files("interlock.governance.shell").joinpath(f"profiles/{program}.toml").read_text("utf-8")
    return tomllib.loads(text)


def _table(data: Mapping[str, Any], others: Mapping[str, Any], anywhere: Mapping[str, Any]) -> Table:
    kinds: dict[str, str] = {}
    layers = [anywhere, *(others[name] for name in data.get("includes", "").split()), data]
    for layer in layers:
        for kind in KINDS & layer.keys():
            kinds.update(dict.fromkeys(layer[kind].split(), kind))
    unknown = data.keys() - KINDS - _SETTINGS - _SETS - {"includes", "words", "only", "bare", "early"}
    if unknown or data.get("words", "none") not in WORDS:
        raise ValueError(f"a profile does not understand {sorted(unknown)} or {data.get('words')!r}")
    merged = {key: layer[key] for layer in layers for key in layer}
    only = {name: pattern for layer in layers for name, pattern in layer.get("only", {}).items()}
    bare = {letter: kind for kind, letters in merged.get("bare", {}).items() for letter in letters.split()}
    settings: dict[str, Any] = {name: frozenset(merged.get(name, "").split()) for name in _SETS}
    settings |= {name: bool(merged.get(name, False)) for name in _SETTINGS}
    return Table(
        kinds=kinds,
        words=data.get("words", "none"),
        only={name: re.compile(pattern, re.S) for name, pattern in only.items()},
        bare=bare,
        early=tuple(data.get("early", "").split()),
        **settings,
    )
