"""Rules of the three lists, compiled: exact where they allow, generous where they say no."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from interlock.errors import UsageError
from interlock.governance.shell.expand import Call, Pattern, expand
from interlock.governance.shell.grammar import parse
from interlock.governance.shell.lexer import NotUnderstood
from interlock.governance.shell.profiles import PROGRAMS, profile_for, straight
from interlock.governance.shell.same_command import is_same, plain_words
from interlock.governance.wrappers import (
    SHELLS,
    STATEFUL,
    acting_options,
    last_name,
    parts,
    reads_code,
    risky_words,
)
from interlock.tools.shell import TRUSTED

#: Programs that run SQL they are given as a word or as input.
_SQL_CLIENTS = frozenset(
    {
        "psql",
        "mysql",
        "mariadb",
        "sqlite3",
        "sqlcmd",
        "duckdb",
        "clickhouse-client",
        "usql",
        "mycli",
        "pgcli",
        "cockroach",
    }
)
_SQL_COMMENT = re.compile(r"/\*.*?\*/|--[^\n]*", re.S)
#: Ways to write the same option, for those that rules are written about.
_SAME = tuple(map(frozenset, (("r", "R", "recursive"), ("f", "force"), ("d", "delete"), ("a", "all"), ("y", "yes"))))
_PROGRAM = re.compile(r"[\w./+@%:,-]+", re.ASCII)
_NUMERIC_MODE = re.compile(r"[0-7]*777")
_MODE_CLAUSE = re.compile(r"([ugoa]*)[+=]([rwxXst]*)")


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of a list, read once.

    Args:
        text: As it was written.
        stages: The program with its words; several where it is a pipeline; none where it can never match.
        every: Whether it stands for every program.
        words: The program and its words, of a rule about one command.
        is_phrase: Whether it is a phrase of SQL.
    """

    text: str
    stages: tuple[tuple[str, ...], ...] = ()
    every: bool = False
    words: tuple[str, ...] = field(init=False)
    is_phrase: bool = field(init=False)

    def __post_init__(self) -> None:
        words = self.stages[0] if len(self.stages) == 1 else ()
        object.__setattr__(self, "words", words)
        phrase = len(words) > 1 and self.text.isupper() and all(word.isalpha() for word in words)
        object.__setattr__(self, "is_phrase", phrase)


def compile_rule(entry: object, *, exact: bool) -> Rule:
    """Read one entry of a list.

    Args:
        entry: What somebody wrote.
        exact: Whether it is to allow something, and so must be one plain command.

    Raises:
        UsageError: code `usage.commands`: it is no text, or could never allow anything.
    """
    if not isinstance(entry, str) or not entry.strip():
        raise unusable(f"{entry!r:.80} is no rule for commands.")
    text = entry.strip()
    if text == "*":
        return Rule(text, every=True)
    try:
        return Rule(text, tuple(_stages(text, exact)))
    except NotUnderstood as error:
        if exact:
            raise unusable(f"The rule {entry!r:.80} can never match: {error}.") from None
        return Rule(text)


def unusable(says: str) -> UsageError:
    """The error for a list that makes no sense."""
    return UsageError(
        says, 'Write a program and its leading words, for example "ls" or "git status".', code="usage.commands"
    )


def _stages(text: str, exact: bool) -> list[tuple[str, ...]]:
    found = expand(parse(text))
    if any(call.assignments or call.redirections or call.data for call in found.all):
        raise NotUnderstood("it has more than a program and its words")
    if len(found.all) > 1 and (exact or len(found.pipes) != 1 or len(found.pipes[0]) != len(found.all)):
        raise NotUnderstood("it is more than one command")
    if exact and any(isinstance(word, Pattern) for word in found.all[0].argv):
        raise NotUnderstood("it has a pattern; a rule covers whatever follows its words")
    # A pattern in a rule that says no adds nothing: whatever follows its words is meant anyway.
    return [by_name(tuple(word for word in call.argv if not isinstance(word, Pattern))) for call in found.all]


def by_name(argv: tuple[str, ...]) -> tuple[str, ...]:
    """The command with a program of a trusted directory called by its name; any other path stays what it is."""
    directory, _, name = argv[0].rpartition("/")
    return (name if directory in TRUSTED and name else argv[0], *argv[1:])


def covers(rule: Rule, argv: tuple[str, ...]) -> bool:
    """Whether an allow rule covers a command: the same leading words, and every risky option named."""
    if not rule.every and rule.words[0] != argv[0]:
        return False
    risky = risky_words(argv)
    if rule.every:
        return bool(_PROGRAM.fullmatch(argv[0])) and not risky and argv[0] not in STATEFUL and not reads_code(argv)
    acting = acting_options(argv[0])
    leading = tuple(word for word in rule.words if word not in acting)
    fits = argv[: len(leading)] == leading or straight(argv)[: len(leading)] == leading
    return fits and {word.partition("=")[0] for word in risky} <= set(rule.words)


def matches(rule: Rule, argv: tuple[str, ...]) -> bool:
    """Whether a rule that says no means this command, in any of its spellings."""
    if rule.every:
        return True
    if not rule.words:
        return False
    program = last_name(argv[0])
    if rule.is_phrase and program in _SQL_CLIENTS:
        return _says(rule, argv[1:])
    if rule.words[0] not in (program, argv[0]):
        return False
    options = [word for word in rule.words[1:] if word.startswith("-")]
    words = [word for word in rule.words[1:] if not word.startswith("-")]
    if program == "chmod" and words and _opens_to_everyone(words[0]):
        return any(map(_opens_to_everyone, argv[1:])) and all(_has_option(one, argv) for one in options)
    return _follow(words, (program, *argv[1:])) and all(_has_option(option, argv) for option in options)


def matches_pipe(rule: Rule, stages: Sequence[Sequence[Call]]) -> bool:
    """Whether a rule that says no means what is connected by these pipes: `curl | bash`, or SQL for a client."""
    if rule.is_phrase:
        clients = any(last_name(call.argv[0]) in _SQL_CLIENTS for stage in stages for call in stage if call.argv)
        return clients and any(_says(rule, (*call.argv, *call.data)) for stage in stages for call in stage)
    if len(rule.stages) < 2:
        return False
    wanted = list(rule.stages)
    for stage in stages:
        if wanted and any(_is_stage(wanted[0], part) for call in stage for part in parts(call.argv)):
            wanted.pop(0)
    return not wanted


def feeds_phrase(rule: Rule, call: Call) -> bool:
    """Whether a phrase of SQL is in what a database client is given as input."""
    return rule.is_phrase and last_name(call.argv[0]) in _SQL_CLIENTS and _says(rule, call.data)


def _is_stage(words: tuple[str, ...], argv: tuple[str, ...]) -> bool:
    if words[0] in SHELLS and len(words) == 1:
        # Whatever runs what it is sent is meant, not one shell among many.
        return last_name(argv[0]) in SHELLS or reads_code(argv)
    return matches(Rule(" ".join(words), (words,)), argv)


def _says(rule: Rule, texts: Iterable[str]) -> bool:
    phrase = re.compile(r"\b" + r"\s+".join(rule.words) + r"\b", re.I)
    return any(phrase.search(text) or phrase.search(_SQL_COMMENT.sub(" ", text)) for text in texts)


def _opens_to_everyone(mode: str) -> bool:
    """Whether a mode gives everything to owner, group and others, in numbers or letters."""
    whole: set[str] = set()
    for who, what in _MODE_CLAUSE.findall(mode):
        if {"r", "w"} <= set(what) and not {"x", "X"}.isdisjoint(what):
            whole |= set(who.replace("a", "ugo") or "ugo")
    return bool(_NUMERIC_MODE.fullmatch(mode)) or {"u", "g", "o"} <= whole


def _follow(words: list[str], argv: tuple[str, ...]) -> bool:
    """Whether the words come in this order, with nothing before and between them but options and their values."""
    at = 1
    profile = profile_for(argv[0]) if argv[0] in PROGRAMS else None
    found = profile.command_at(argv) if profile is not None else None
    if words and found is not None:
        argv, words = (*argv[:found], *plain_words(argv[0], argv[found:])), [*plain_words(argv[0], tuple(words))]
        if not is_same(argv[0], argv[found], words[0]):
            return False
        words, at = words[1:], found + 1
    for word in words:
        while at < len(argv) and argv[at] != word and (argv[at].startswith("-") or argv[at - 1].startswith("-")):
            at += 1
        if at >= len(argv) or argv[at] != word:
            return False
        at += 1
    return True


def _has_option(option: str, argv: tuple[str, ...]) -> bool:
    """Whether an option, or each letter of a bundle, is given in any bundle, spelling or shortening."""
    given = argv[1 : argv.index("--")] if "--" in argv else argv[1:]
    asked = [option[2:]] if option.startswith("--") else list(option[1:])
    return all(any(_spells(name, word) for word in given) or _is_forced(name, argv) for name in asked)


def _is_forced(name: str, argv: tuple[str, ...]) -> bool:
    """Whether a push is forced by a plus before what is pushed, which is the same as the option."""
    push = last_name(argv[0]) == "git" and "push" in argv
    return push and name in ("f", "force") and any(word.startswith("+") for word in argv)


def _spells(name: str, word: str) -> bool:
    names = next((same for same in _SAME if name in same), {name})
    if word.startswith("--"):
        given = word[2:].split("=", 1)[0]
        return bool(given) and any(len(one) > 1 and one.startswith(given) for one in names)
    if not word.startswith("-"):
        return False
    return any(len(one) == 1 and one in word for one in names) or (len(name) > 1 and word == f"-{name}")
