"""Which commands may run: rules of exact programs and leading words, where what no rule allows is blocked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from interlock.errors import UsageError
from interlock.governance.wrappers import (
    MAX_DEPTH,
    acting_options,
    inner_command,
    inner_start,
    last_name,
    parts,
    risky_words,
    runs_another,
)
from interlock.records.verdict import Effect, Verdict
from interlock.tools.shell import TRUSTED, read_command

_SQL_CLIENTS = frozenset({"psql", "mysql", "mariadb", "sqlite3", "sqlcmd", "duckdb", "clickhouse-client"})
#: Ways to write the same option, for those that rules are written about.
_SAME = (frozenset({"r", "R", "recursive"}), frozenset({"f", "force"}))


@dataclass(frozen=True, slots=True)
class CommandPolicy:
    """Which commands agents may run. What no rule allows is blocked; forbidden beats approval beats allowed.

    A rule is a program with its leading words: "git status" allows `git status -s`, not `git push`. An allow rule
    is exact. The other two lists are read generously: options before and between the words do not hide them,
    "rm -rf" means both options in any spelling and place, and what a wrapper such as `sudo`, `timeout` or `sh -c`
    runs is looked at too. A wrapper is allowed only when a rule names it, and then what it runs must be allowed
    as well, unless the rule names that too ("sudo systemctl status").

    An entry of the other lists that is no single command, such as "curl | bash", is kept and never matches:
    commands are run without a shell, so no pipeline can run at all. A phrase such as "DROP TABLE" is looked for
    in what is said to database clients.

    Args:
        allowed: What may run.
        forbidden: What may never run.
        require_approval: What a person must allow each time.

    Raises:
        UsageError: code `usage.commands`: a list is no list of texts, or an allow rule could never match.
    """

    allowed: Sequence[str] = ()
    forbidden: Sequence[str] = ()
    require_approval: Sequence[str] = ()
    _rules: _Rules = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("allowed", "forbidden", "require_approval"):
            entries = getattr(self, name)
            if isinstance(entries, str) or not isinstance(entries, Sequence):
                raise _unusable(f"CommandPolicy.{name} must be a list of commands, not {type(entries).__name__}.")
            object.__setattr__(self, name, tuple(entries))
        rules = _Rules(
            allow=tuple(_compile(entry, exact=True) for entry in self.allowed),
            refuse=(
                *((_compile(entry, exact=False), Effect.BLOCK) for entry in self.forbidden),
                *((_compile(entry, exact=False), Effect.APPROVAL) for entry in self.require_approval),
            ),
        )
        object.__setattr__(self, "_rules", rules)

    def judge(self, argv: Sequence[str]) -> Verdict:
        """May this command run, exactly so?

        Args:
            argv: The program and its words.

        Returns:
            The verdict, with the rule that decided it as it was written.
        """
        return _judge(self._rules, tuple(argv), 0)


@dataclass(frozen=True, slots=True)
class _Rule:
    """One entry of a list, read once. Without words it matches nothing."""

    text: str
    words: tuple[str, ...] = ()

    @property
    def is_phrase(self) -> bool:
        """Whether it is a phrase of SQL."""
        return len(self.words) > 1 and self.text.isupper() and all(word.isalpha() for word in self.words)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rules:
    """The lists, compiled: what allows, and what refuses, the strictest first."""

    allow: tuple[_Rule, ...]
    refuse: tuple[tuple[_Rule, Effect], ...]


def _judge(rules: _Rules, argv: tuple[str, ...], depth: int) -> Verdict:
    try:
        inside = list(parts(argv))
    except ValueError:
        inside = []
    if not inside or depth > MAX_DEPTH:
        return _no_rule("What it would run cannot be judged.")
    for rule, effect in rules.refuse:
        if rule.words and any(_matches(rule, part) for part in inside):
            says = "forbids" if effect is Effect.BLOCK else "wants a person to allow"
            return Verdict(effect=effect, rule=rule.text, reason=f"The command policy {says} `{rule.text}`.")
    return _judge_allowed(rules, _by_name(argv), depth)


def _judge_allowed(rules: _Rules, argv: tuple[str, ...], depth: int) -> Verdict:
    covering = [rule for rule in rules.allow if _covers(rule, argv)]
    if not covering:
        return _no_rule(f"No rule of the command policy allows `{argv[0]}` with these words.")
    rule = max(covering, key=lambda one: len(one.words))
    start = inner_start(argv)
    names_it_too = rule.words == argv or (start is not None and len(rule.words) > start)
    if not runs_another(argv) or names_it_too:
        return Verdict(effect=Effect.ALLOW, rule=rule.text)
    return _judge(rules, inner_command(argv), depth + 1)


def _no_rule(reason: str) -> Verdict:
    return Verdict(effect=Effect.BLOCK, rule="default", reason=reason)


def _covers(rule: _Rule, argv: tuple[str, ...]) -> bool:
    """Whether an allow rule covers a command: the same leading words, and every risky option named."""
    acting = acting_options(argv[0])
    leading = tuple(word for word in rule.words if word not in acting)
    return argv[: len(leading)] == leading and risky_words(argv) <= set(rule.words)


def _matches(rule: _Rule, argv: tuple[str, ...]) -> bool:
    """Whether a rule that says no means this command, in any of its spellings."""
    program = last_name(argv[0])
    if rule.is_phrase and program in _SQL_CLIENTS:
        phrase = r"\b" + r"\s+".join(rule.words) + r"\b"
        return any(re.search(phrase, word, re.I) for word in argv[1:])
    if rule.words[0] not in (program, argv[0]):
        return False
    options = [word for word in rule.words[1:] if word.startswith("-")]
    words = [word for word in rule.words[1:] if not word.startswith("-")]
    return _follow(words, argv) and all(_has_option(option, argv) for option in options)


def _follow(words: list[str], argv: tuple[str, ...]) -> bool:
    """Whether the words come in this order, with nothing before and between them but options and their values."""
    at = 1
    for word in words:
        while at < len(argv) and argv[at] != word and (argv[at].startswith("-") or argv[at - 1].startswith("-")):
            at += 1
        if at >= len(argv) or argv[at] != word:
            return False
        at += 1
    return True


def _has_option(option: str, argv: tuple[str, ...]) -> bool:
    """Whether an option, or each letter of a bundle, is given in any bundle, spelling or shortening."""
    asked = [option[2:]] if option.startswith("--") else list(option[1:])
    return all(any(_spells(name, word) for word in argv[1:]) for name in asked)


def _spells(name: str, word: str) -> bool:
    names = next((same for same in _SAME if name in same), {name})
    if word.startswith("--"):
        given = word[2:].split("=", 1)[0]
        return bool(given) and any(len(one) > 1 and one.startswith(given) for one in names)
    return word.startswith("-") and any(len(one) == 1 and one in word for one in names)


def _by_name(argv: tuple[str, ...]) -> tuple[str, ...]:
    """The command with a program of a trusted directory called by its name; any other path stays what it is."""
    directory, _, name = argv[0].rpartition("/")
    return (name if directory in TRUSTED and name else argv[0], *argv[1:])


def _compile(entry: object, *, exact: bool) -> _Rule:
    if not isinstance(entry, str) or not entry.strip():
        raise _unusable(f"{entry!r:.80} is no rule for commands.")
    try:
        return _Rule(entry.strip(), _by_name(tuple(read_command(entry))))
    except ValueError as error:
        if exact:
            raise _unusable(f"The rule {entry!r:.80} can never match: {error}.") from None
        return _Rule(entry.strip())


def _unusable(says: str) -> UsageError:
    return UsageError(
        says, 'Write a program and its leading words, for example "ls" or "git status".', code="usage.commands"
    )


#: What may run when nobody configured anything, outside the production profile: a look at the machine, no more.
LOOK_AROUND = CommandPolicy(allowed=["df", "du", "ls", "free", "uptime", "uname", "nproc", "lsblk"])
