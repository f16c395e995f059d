"""Reads a command's words by a table of its options, and says which of them may not be."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from interlock.governance.shell.expand import Pattern
from interlock.governance.shell.handed_on import why_not_hand_on
from interlock.governance.shell.paths import why_not_inside, why_not_read
from interlock.records.verdict import Effect

#: What an option may be. All but the first two take a value; "maybe" only one that is attached to it.
KINDS = frozenset({"flag", "refuse", "maybe", "text", "read", "place", "inside", "ask"})
_VALUED = KINDS - {"flag", "refuse", "maybe"}
#: What the words beside the options may be.
WORDS = frozenset(
    {"none", "text", "read", "list", "place", "inside", "pattern", "revision", "remote", "tests", "runner", "resources"}
)

#: Words that are paths a shell pattern may stand for, where a profile allows patterns at all.
_MATCHED = frozenset({"read", "list", "place", "pattern"})
_REVISION_MAGIC = re.compile(r":(?:\([^)]*\)|[!^/]+)?")
#: A repository that is a program (`ext::sh -c ...`), or an option for the one that connects to it.
#: Kinds of resources whose whole use is to hold credentials.
_SECRET_RESOURCE = re.compile(r"(?:.*,)?[\w.-]*secrets?(?:[./,].*)?", re.I | re.S)
_REMOTE_PROGRAM = re.compile(r"\w+::|.*://-|-", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The options of one program or subcommand.

    Args:
        kinds: What each option is.
        words: What the other words are.
        only: What an option's value must look like.
        recursive: Options that make a reader go down.
        patterns: Options by which a pattern is given, so that the first word is none.
        bare: Options that are written without a dash, in bundles, as `ps` knows them.
        twofold: Options whose attached value is read as bare options where it makes no sense otherwise.
        abbreviated: Whether a long option may be shortened.
        negatable: Whether `--no-` before any long option switches it off.
        single: Whether long options have one dash, and there are no bundles.
        numbers: Whether `-5` is an option.
        globs: Whether its words may be shell patterns.
        early: What the program looks for in all words, whatever stands before them, at the beginning of a word.
    """

    kinds: Mapping[str, str]
    words: str = "none"
    only: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    recursive: frozenset[str] = frozenset()
    patterns: frozenset[str] = frozenset()
    bare: Mapping[str, str] = field(default_factory=dict)
    twofold: frozenset[str] = frozenset()
    abbreviated: bool = False
    negatable: bool = False
    single: bool = False
    numbers: bool = False
    globs: bool = False
    early: tuple[str, ...] = ()

    @property
    def special(self) -> frozenset[str]:
        """Options of which more is to be known than their kind."""
        return self.recursive | self.patterns | self.only.keys()


class Found(NamedTuple):
    """One option with its kind and value, or another word (`kind` is "word", after `--` "rest").

    `apart` tells that the value is a word of its own, which another reader might take for an option.
    """

    kind: str
    name: str
    value: str = ""
    apart: bool = False


class Objection(NamedTuple):
    """What a profile has against a command. `known` tells whether it knows what it objects to."""

    effect: Effect
    reason: str
    known: bool = True


def read(table: Table, words: tuple[str, ...]) -> Iterator[Found]:
    """The options and other words in order; "unknown" for an option the table does not have."""
    at = 0
    while at < len(words):
        if words[at] == "--":
            yield from (Found("rest", word, word) for word in words[at + 1 :])
            return
        found, at = _step(table, words, at)
        yield from found


def first_word(table: Table, words: tuple[str, ...]) -> int | None:
    """Where the first word stands that is no option and no option's value; None if there is none, or no telling."""
    at = 0
    while at < len(words) and words[at] != "--":
        found, after = _step(table, words, at)
        if found[0].kind == "word":
            return at
        if any(one.kind == "unknown" for one in found):
            return None
        at = after
    return None


def _step(table: Table, words: tuple[str, ...], at: int) -> tuple[list[Found], int]:
    """What one word says, with the next where that is its value; and where to go on."""
    word = words[at]
    if word == "-" or not word.startswith("-"):
        if not table.bare or word.isdecimal():
            return [Found("word", word, word)], at + 1
        found = _letters(table.bare, word, "")
    elif table.numbers and word[1:].isdecimal():
        return [Found("flag", word)], at + 1
    elif word.startswith("--") or table.single:
        found = [_named(table, word)]
    elif isinstance(word, Pattern):
        return [Found("unknown", word)], at + 1
    else:
        found = _letters(table.kinds, word[1:], "-")
        if (last := found[-1]).name in table.twofold and any(table.bare.get(char) == "refuse" for char in last.value):
            found.append(Found("refuse", last.value))
    last = found[-1]
    if last.value or last.kind not in _VALUED:
        return found, at + 1
    if at + 1 == len(words):
        return [*found[:-1], Found("unknown", last.name)], at + 1
    return [*found[:-1], last._replace(value=words[at + 1], apart=True)], at + 2


def _named(table: Table, word: str) -> Found:
    """A long option, perhaps with its value."""
    name, equals, value = word.partition("=")
    if table.single:
        name = f"-{name.lstrip('-')}"
    kind, name = _long(table, name)
    if isinstance(word, Pattern):
        # What the shell makes of it begins in the same way, so only the value is open.
        kind = "unknown" if any(char in name for char in "*?[") else kind
        value = Pattern(value)
    # A blank for an empty value, so that the next word is not taken for it.
    return Found(kind, name, value or (" " if equals else ""))


def _letters(kinds: Mapping[str, str], letters: str, dash: str) -> list[Found]:
    """Short options in one word, of which the last may have its value attached."""
    found: list[Found] = []
    for at, letter in enumerate(letters):
        name = f"{dash}{letter}"
        kind = kinds.get(name, "unknown")
        if kind != "flag":
            return [*found, Found(kind, name, letters[at + 1 :])]
        found.append(Found(kind, name))
    return found


def _long(table: Table, name: str) -> tuple[str, str]:
    """The kind and full name of a long option, also where it is shortened or switched off."""
    if kind := table.kinds.get(name):
        return kind, name
    if table.negatable and name.startswith("--no-") and f"--{name[5:]}" in table.kinds:
        return "flag", name
    if not table.abbreviated or len(name) < 3:
        return "unknown", name
    meant = [option for option in table.kinds if option.startswith(name)]
    kinds = {table.kinds[option] for option in meant}
    if "refuse" in kinds:
        return "refuse", name
    # Where it could be several, it must not matter which.
    if len(kinds) != 1 or (len(meant) > 1 and not table.special.isdisjoint(meant)):
        return "unknown", name
    return kinds.pop(), meant[0]


def object_to(table: Table, words: tuple[str, ...], named: Collection[str], cwd: str) -> Iterator[Objection]:
    """What speaks against these words of a command.

    Args:
        table: The program's options.
        words: Its words, without its name.
        named: Words a rule names itself, against which nothing is said.
        cwd: The workspace, where it is known.
    """
    every = list(read(table, words))
    down = any(one.name in table.recursive or f"{one.name}={one.value}" in table.recursive for one in every)
    searching = table.words == "pattern" and not any(one.name in table.patterns for one in every)
    if table.words == "runner":
        handed = [one.value for one in every if one.kind in ("word", "rest")]
        every = [one for one in every if one.kind not in ("word", "rest")]
        if reason := why_not_hand_on(handed, cwd=cwd):
            yield Objection(Effect.BLOCK, reason)
    for one in every:
        if one.name in named or (one.value and one.value in named):
            continue
        yield from _against_other_readings(table, one, cwd)
        if one.kind not in ("word", "rest"):
            found = _against_option(table, one, cwd)
        elif searching:
            found, searching = None, False
        else:
            found = _against_word(table, one, cwd, down)
        if found is not None:
            yield found


def _against_other_readings(table: Table, one: Found, cwd: str) -> Iterator[Objection]:
    """What speaks against a value that may be taken for an option, or is looked at before all others.

    `git diff -U --output=x` writes `x`, since `-U` needs no value; `pytest -k -pevil` loads `evil` before it reads on.
    """
    if one.value.startswith(table.early or ("\0",)) and (one.apart or one.kind in ("word", "rest")):
        yield Objection(Effect.BLOCK, f"`{one.value}` is looked at wherever it stands")
    if one.apart and one.value.startswith("-") and not one.value[1:2].isdecimal() and len(one.value) > 1:
        for other in _step(table, (one.value,), 0)[0]:
            found = None if other.kind in ("unknown", "word") else _against_option(table, other, cwd)
            if found is not None:
                yield Objection(found.effect, f"`{one.value}` may be read as an option: {found.reason}")


def _against_option(table: Table, one: Found, cwd: str) -> Objection | None:
    kind, name, value, _ = one
    if kind == "unknown":
        return Objection(Effect.BLOCK, f"The option `{name}` is not known", known=False)
    if kind == "refuse":
        return Objection(Effect.BLOCK, f"The option `{name}` could run other programs, write files or reach outside")
    if isinstance(value, Pattern) and kind not in ("text", "maybe"):
        return Objection(Effect.BLOCK, f"The value of `{name}` is a pattern", known=False)
    if name in table.only and not table.only[name].fullmatch(value.strip()):
        return Objection(Effect.BLOCK, f"The value of `{name}` is none that is allowed")
    reason = ""
    if kind in ("inside", "ask"):
        reason = why_not_inside(value, cwd=cwd)
    elif kind in ("read", "place"):
        reason = why_not_read(value, cwd=cwd, devices=kind == "place")
    if reason:
        return Objection(Effect.BLOCK, reason)
    return Objection(Effect.APPROVAL, f"`{name}` changes where it acts") if kind == "ask" else None


def _against_word(table: Table, one: Found, cwd: str, down: bool) -> Objection | None:
    word, kind = one.value, table.words
    if isinstance(word, Pattern) and not (table.globs and kind in _MATCHED):
        return Objection(Effect.BLOCK, f"`{word}` is a pattern, and what it becomes is not known", known=False)
    reason = ""
    if kind == "none":
        return Objection(Effect.BLOCK, f"`{word}` is not expected here", known=False)
    if kind in ("read", "list", "place", "pattern"):
        reason = why_not_read(word, cwd=cwd, recursive=down, devices=kind == "place")
    elif kind == "revision":
        reason = _against_revision(word, cwd)
    elif kind == "remote":
        reason = _against_remote(word)
    elif kind == "resources":
        reason = f"`{word}` may show credentials" if _SECRET_RESOURCE.fullmatch(word) else ""
    elif kind == "inside":
        reason = why_not_inside(word, cwd=cwd)
    elif kind == "tests":
        reason = f"`{word}` names a file of options" if word.startswith("@") else why_not_inside(word, cwd=cwd)
    return Objection(Effect.BLOCK, reason) if reason else None


def _against_revision(word: str, cwd: str) -> str:
    path = _REVISION_MAGIC.sub("", word, count=1) if word.startswith(":") else word.rpartition(":")[2]
    # Between two directories it compares all that is below them.
    return why_not_read(path, cwd=cwd, recursive=True) or why_not_read(word, cwd=cwd, recursive=True)


def _against_remote(word: str) -> str:
    if _REMOTE_PROGRAM.match(word):
        return f"`{word}` would run a program of its own"
    return f"`{word}` leaves the workspace" if word.startswith(("/", "~", "../", "file:")) or "/../" in word else ""
