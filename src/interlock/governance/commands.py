"""Which commands may run: three lists of rules, where what no rule allows is blocked."""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from interlock.governance.redaction.logs import RedactedLog
from interlock.governance.shell.agreement import agrees
from interlock.governance.shell.expand import Call, Calls, expand
from interlock.governance.shell.grammar import parse
from interlock.governance.shell.lexer import NotUnderstood
from interlock.governance.shell.paths import why_not_read
from interlock.governance.shell.profiles import PROGRAMS, object_to_command
from interlock.governance.shell.rules import (
    Rule,
    by_name,
    compile_rule,
    covers,
    feeds_phrase,
    matches,
    matches_pipe,
    unusable,
)
from interlock.governance.terms import NO_TERMS, USUAL_GRANTS, Terms
from interlock.governance.wrappers import FEEDERS, MAX_DEPTH, inner_start, inner_text, last_name, parts, runs_another
from interlock.records.verdict import Effect, Verdict, strictest

_log = logging.getLogger(__name__)
_log.addFilter(RedactedLog())

#: Variables that may be set for one command, and how their values may look.
_SAFE_VARIABLES = re.compile(r"CI|NO_COLOR|FORCE_COLOR|NODE_ENV|TZ|LANG|LC_[A-Z]+|COLUMNS|TERM")
_SAFE_VALUE = re.compile(r"(?![/:~])(?!.*\.\.)[\w.,:@+/-]{0,64}", re.ASCII)
_DESCRIPTOR = re.compile(r"\d{1,3}-?|-", re.ASCII)


@dataclass(frozen=True, slots=True)
class CommandPolicy:
    """Which commands agents may run. What no rule allows is blocked; forbidden beats approval beats allowed.

    A rule is a program with its leading words: "git status" allows `git status -s`, not `git push`. An allow rule
    is exact, and for programs with a profile it covers only options that neither run other programs nor write files,
    and only paths that hold no credentials, unless the rule names these words itself. The other two lists are read
    generously: options before and between the words do not hide them, "rm -rf" means both options in any spelling
    and place, and what a wrapper such as `sudo`, `timeout` or `sh -c` runs is looked at too. A wrapper is allowed
    only when a rule names it, and then what it runs must be allowed as well, unless the rule names that too
    ("sudo systemctl status").

    "curl | bash" means a pipe from the one into any shell; a phrase such as "DROP TABLE" is looked for in what
    database clients are told; "*" stands for every program.

    Args:
        allowed: What may run.
        forbidden: What may never run.
        require_approval: What a person must allow each time.
        on_unknown: What happens to shell text that is not understood: "block", or "approval" by a person.
        terms: Where rules stand, why, and who may answer, by the text of the rule.

    Raises:
        UsageError: code `usage.commands`: a list is no list of texts, or an allow rule could never match.
    """

    allowed: Sequence[str] = ()
    forbidden: Sequence[str] = ()
    require_approval: Sequence[str] = ()
    on_unknown: Literal["block", "approval"] = field(default="block", kw_only=True)
    terms: Mapping[str, Terms] = field(default_factory=dict, kw_only=True, hash=False)
    _rules: _Rules = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("allowed", "forbidden", "require_approval"):
            entries = getattr(self, name)
            if isinstance(entries, str) or not isinstance(entries, Sequence):
                raise unusable(f"CommandPolicy.{name} must be a list of commands, not {type(entries).__name__}.")
            object.__setattr__(self, name, tuple(entries))
        if self.on_unknown not in ("block", "approval"):
            raise unusable(f"CommandPolicy.on_unknown is 'block' or 'approval', not {self.on_unknown!r:.40}.")
        rules = _Rules(
            allow=tuple(compile_rule(entry, exact=True) for entry in self.allowed),
            refuse=(
                *((compile_rule(entry, exact=False), Effect.BLOCK) for entry in self.forbidden),
                *((compile_rule(entry, exact=False), Effect.APPROVAL) for entry in self.require_approval),
            ),
        )
        object.__setattr__(self, "_rules", rules)

    def judge(self, argv: Sequence[str], cwd: str = "") -> Verdict:
        """May this command run, exactly so?

        Args:
            argv: The program and its words.
            cwd: The workspace as an absolute path. What lies below it counts as inside.

        Returns:
            The verdict, with the rule that decided it as it was written.
        """
        words = tuple(argv)
        return self._safely(lambda judge: judge.command(Call(words), 0), cwd)

    def judge_text(self, text: str, cwd: str = "") -> Verdict:
        """May this shell text run: pipelines, lists, conditions, loops over known words?

        Every simple command anywhere in it counts, and the strictest answer wins. What is not understood, and what a
        second parser reads differently, is not allowed.

        Args:
            text: The text a shell would be given.
            cwd: The workspace as an absolute path. What lies below it counts as inside.

        Returns:
            The verdict, with those of the parts.
        """
        return self._safely(lambda judge: judge.text(text, 0), cwd)

    def judge_each(self, text: str, cwd: str = "") -> list[tuple[str, Verdict]]:
        """What each simple command in a shell text gets by itself, for people to read; `judge_text` decides.

        Returns:
            The commands with their verdicts; none where the text is not understood.
        """
        try:
            calls = tuple(dict.fromkeys(expand(parse(text)).all))
        except NotUnderstood:
            return []
        return [(shlex.join(call.argv), self._safely(_one(call), cwd)) for call in calls if call.argv]

    def joined(self, other: CommandPolicy, *, allowed: bool = True) -> CommandPolicy:
        """This policy together with another one: what either forbids or asks about stays so.

        Args:
            other: The other policy. What is done with text that is not understood stays as it is here.
            allowed: Whether what the other one allows is allowed as well.
        """
        return CommandPolicy(
            allowed=_together(self.allowed, other.allowed if allowed else ()),
            forbidden=_together(self.forbidden, other.forbidden),
            require_approval=_together(self.require_approval, other.require_approval),
            on_unknown=self.on_unknown,
            terms={**self.terms, **other.terms},
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What whoever wrote the lists should know about them: one sentence each."""
        found = []
        for rule in self._rules.allow:
            if rule.every:
                found.append("`*` allows every program; only the forbidden list is left to stop something.")
            elif rule.words[0] not in PROGRAMS:
                found.append(f"`{rule.words[0]}` has no profile, so `{rule.text}` covers options nobody has looked at.")
        for rule, _ in self._rules.refuse:
            if not rule.stages and not rule.every:
                found.append(f"`{rule.text}` is no command or pipeline, so it never matches.")
        return tuple(found)

    def _safely(self, judged: Callable[[_Judge], Verdict], cwd: str) -> Verdict:
        try:
            return judged(_Judge(self._rules, cwd, self.on_unknown, self.terms))
        except Exception:  # noqa: BLE001 - fail closed: whatever goes wrong is a block
            _log.exception("the command policy could not judge a command")
            return Verdict(effect=Effect.BLOCK, rule="commands.error", reason="The command could not be judged.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rules:
    """The lists, compiled: what allows, and what refuses, the strictest first."""

    allow: tuple[Rule, ...]
    refuse: tuple[tuple[Rule, Effect], ...]


@dataclass(frozen=True, slots=True)
class _Judge:
    """Judges commands and texts by the rules, in one workspace."""

    rules: _Rules
    cwd: str
    on_unknown: str
    terms: Mapping[str, Terms]

    def text(self, text: str, depth: int) -> Verdict:
        if depth > MAX_DEPTH:
            return _block("What it would run cannot be judged.")
        try:
            script = parse(text)
            found = expand(script)
        except NotUnderstood as error:
            effect = Effect.APPROVAL if self.on_unknown == "approval" else Effect.BLOCK
            return Verdict(effect=effect, rule="not understood", reason=f"It is not understood: {error}.")
        verdict = self.calls(found, depth)
        if verdict.effect is not Effect.BLOCK and not agrees(text, script.names):
            return _block("Two readers of shell text see different commands in it.", "not understood")
        return verdict

    def calls(self, found: Calls, depth: int) -> Verdict:
        verdicts = [self.command(call, depth) for call in dict.fromkeys(found.all)]
        for stages in found.pipes:
            for rule, effect in self.rules.refuse:
                if matches_pipe(rule, stages):
                    verdicts.append(self.refused(rule, effect))
        return strictest(verdicts)

    def command(self, call: Call, depth: int) -> Verdict:
        """One command with what belongs to it: variables, redirections, input."""
        beside = self.beside(call)
        if beside is not None:
            return beside
        if not call.argv:
            return Verdict(effect=Effect.ALLOW) if call.redirections or call.data else _block("There is no command.")
        try:
            inside = list(parts(call.argv))
        except ValueError:
            return _block("What it would run cannot be judged.")
        for rule, effect in self.rules.refuse:
            if any(matches(rule, part) for part in inside) or (call.data and feeds_phrase(rule, call)):
                if effect is Effect.APPROVAL:
                    return self.asked(rule, by_name(call.argv), depth)
                return self.refused(rule, effect)
        return self.allowed(by_name(call.argv), depth)

    def beside(self, call: Call) -> Verdict | None:
        """What speaks against the variables and redirections of a command."""
        for name, value in call.assignments:
            if not _SAFE_VARIABLES.fullmatch(name) or not _SAFE_VALUE.fullmatch(value):
                return _block(f"The variable `{name}` may not be set for a command.", "environment")
        for operator, target in call.redirections:
            if operator in (">&", "<&") and _DESCRIPTOR.fullmatch(target):
                continue
            if operator == "<":
                if reason := why_not_read(target, cwd=self.cwd):
                    return _block(f"{reason}.", "paths")
            elif target != "/dev/null" or operator == "<&":
                return _block(f"Output may only go to /dev/null, not to `{target}`.", "paths")
        return None

    def asked(self, rule: Rule, argv: tuple[str, ...], depth: int) -> Verdict:
        """A command that a person must allow: not even asked for where it carries what is never allowed."""
        verdict = self.refused(rule, Effect.APPROVAL)
        if matches(rule, argv):
            for objection in object_to_command(argv, rule.words, self.cwd):
                if objection.effect is Effect.BLOCK and objection.known:
                    return _block(f"{objection.reason}.", f"profile {argv[0]}")
            return verdict
        inner = self.inner(argv, depth)
        if inner is None:
            inner = self.allowed(argv, depth)
        return verdict if inner.effect is not Effect.BLOCK else inner

    def inner(self, argv: tuple[str, ...], depth: int) -> Verdict | None:
        """The verdict on what a wrapper runs, where that is plain to see."""
        if depth >= MAX_DEPTH:
            return _block("What it would run cannot be judged.")
        if (text := inner_text(argv)) is not None:
            return self.text(text, depth + 1)
        start = inner_start(argv)
        return None if start is None else self.command(Call(argv[start:]), depth + 1)

    def allowed(self, argv: tuple[str, ...], depth: int) -> Verdict:
        covering = [rule for rule in self.rules.allow if covers(rule, argv)]
        if not covering:
            return _block(f"No rule of the command policy allows `{argv[0]}` with these words.")
        rule = max(covering, key=lambda one: len(one.words))
        start = inner_start(argv)
        if runs_another(argv) and rule.words != argv and not (start is not None and len(rule.words) > start):
            open_ended = last_name(argv[0]) in FEEDERS and not rule.every
            inner = None if open_ended else self.inner(argv, depth)
            return inner if inner is not None else _block("What it would run cannot be judged.")
        worst = None
        for objection in object_to_command(argv, rule.words, self.cwd):
            if worst is None or objection.effect > worst.effect:
                worst = objection
        if worst is not None:
            return Verdict(effect=worst.effect, rule=f"profile {argv[0]}", reason=f"{worst.reason}.")
        return self.terms.get(rule.text, NO_TERMS).verdict(Effect.ALLOW, rule.text)

    def refused(self, rule: Rule, effect: Effect) -> Verdict:
        """What a rule that says no, or not yet, answers."""
        says = "forbids" if effect is Effect.BLOCK else "wants a person to allow"
        reason = f"The command policy {says} `{rule.text}`."
        return self.terms.get(rule.text, NO_TERMS).verdict(effect, rule.text, reason, usual=USUAL_GRANTS)


def _block(reason: str, rule: str = "default") -> Verdict:
    return Verdict(effect=Effect.BLOCK, rule=rule, reason=reason)


def _one(call: Call) -> Callable[[_Judge], Verdict]:
    return lambda judge: judge.command(call, 0)


def _together(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))


#: What may run when nobody configured anything, outside the production profile: a look at the machine, no more.
LOOK_AROUND = CommandPolicy(allowed=["df", "du", "ls", "free", "uptime", "uname", "nproc", "lsblk"])
