"""What a policy file says, compiled: rules about commands, SQL and tools, and guardrails made of data."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import Any
from unicodedata import normalize

from interlock.governance.commands import CommandPolicy
from interlock.governance.guardrails import Guardrail
from interlock.governance.sqltext import STATEMENT_ARGUMENTS, SqlPolicy
from interlock.governance.terms import NO_TERMS, USUAL_GRANTS, Terms
from interlock.governance.validation import texts_in, texts_of
from interlock.records.task import Task
from interlock.records.verdict import Act, Effect, Verdict, strictest


class Matcher:
    """A regular expression of RE2, which takes linear time whatever the text.

    Args:
        pattern: In RE2's syntax.

    Raises:
        ValueError: it is no regular expression.
    """

    __slots__ = ("_compiled", "pattern")

    def __init__(self, pattern: str) -> None:
        re2 = import_module("re2")
        options = re2.Options()
        options.log_errors = False
        try:
            self._compiled = re2.compile(pattern, options)
        except re2.error as error:
            says = error.args[0] if error.args else ""
            raise ValueError(says.decode() if isinstance(says, bytes) else str(says)) from None
        self.pattern = pattern

    def found_in(self, text: str) -> bool:
        """Whether it matches anywhere in a text."""
        return self._compiled.search(_encodable(text)) is not None

    def is_all_of(self, text: str) -> bool:
        """Whether it matches the whole text."""
        return self._compiled.fullmatch(_encodable(text)) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRule:
    """What becomes of calls of some tools.

    Args:
        tools: Names of tools, with `*` and `?`.
        effect: What is decided.
        arguments: What arguments must look like for the rule to count. A rule that allows wants the whole argument to
            match; one that says no is content with a part, and with an argument that is not there.
        terms: What goes with it.
    """

    tools: tuple[str, ...]
    effect: Effect
    arguments: Mapping[str, Matcher] = field(default_factory=dict)
    terms: Terms = NO_TERMS

    @property
    def name(self) -> str:
        """How people know the rule."""
        return f"tool {', '.join(self.tools)}"

    def judge(self, tool: str, arguments: Mapping[str, Any]) -> Verdict | None:
        """What it says about a call, or None when it is about others."""
        if not named(tool, self.tools) or not all(
            self._fits(arguments, name, look) for name, look in self.arguments.items()
        ):
            return None
        says = {Effect.BLOCK: "forbids", Effect.APPROVAL: "wants a person to allow"}.get(self.effect)
        reason = f"The policy {says} `{tool}`." if says else ""
        return self.terms.verdict(self.effect, self.name, reason, usual=USUAL_GRANTS)

    def _fits(self, arguments: Mapping[str, Any], name: str, look: Matcher) -> bool:
        if name not in arguments:
            return self.effect is not Effect.ALLOW
        value = arguments[name]
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        if self.effect is Effect.ALLOW:
            return look.is_all_of(text)
        # Wherever in the argument it stands: `^/etc` is meant for each name of a list, too.
        return look.found_in(text) or (text is not value and any(map(look.found_in, texts_in(value))))


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlRule:
    """Which statements some tools may run; what no rule of a tool covers is blocked.

    Args:
        tools: Names of the tools that take SQL, with `*` and `?`.
        policy: What is covered.
        effect: Allow, or ask a person.
        terms: What goes with it.
    """

    tools: tuple[str, ...]
    policy: SqlPolicy
    effect: Effect = Effect.ALLOW
    terms: Terms = NO_TERMS

    @property
    def name(self) -> str:
        """How people know the rule."""
        return f"sql {', '.join(self.tools)}"

    def judge(self, text: str, dialect: str | None, rows: int) -> Verdict:
        """What it says about a statement; a block means that it does not cover it."""
        if rows > self.policy.max_rows:
            reason = f"It asks for more than {self.policy.max_rows:,} rows at once."
            return Verdict(effect=Effect.BLOCK, rule="sql.rows", reason=reason, place=self.terms.place)
        found = self.policy.judge(text, dialect)
        if not found.allowed:
            return Verdict(effect=Effect.BLOCK, rule=found.rule, reason=found.reason, place=self.terms.place)
        usual = f"The policy wants a person to allow statements like this ({found.rule})."
        asks = self.effect is Effect.APPROVAL
        return self.terms.verdict(self.effect, found.rule, usual if asks else "", usual=("run",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A tool that is known to take SQL.

    Args:
        dialect: What its database speaks.
        max_rows: Most rows one call may ask for, where no rule says otherwise.
    """

    dialect: str
    max_rows: int


def judge_statement(rules: Sequence[SqlRule], text: str, dialect: str | None, rows: int = 0) -> Verdict:
    """What rules say about a statement: the strictest of those that cover it; a block when none does."""
    answers = [rule.judge(text, dialect, rows) for rule in rules]
    covering = [answer for answer in answers if answer.effect is not Effect.BLOCK]
    return strictest(covering) if covering else answers[0]


def judge_sql_act(act: Act, rules: Sequence[SqlRule], databases: Mapping[str, Database]) -> Verdict | None:
    """What is said about a call of a tool that takes SQL; nothing about other tools.

    Args:
        act: The call.
        rules: All rules about SQL.
        databases: The tools that are known to be databases: each statement of theirs is judged, with a rule or not.
    """
    known = databases.get(act.name)
    about = [rule for rule in rules if named(act.name, rule.tools)]
    if known is not None and not about:
        about = [SqlRule(tools=(act.name,), policy=SqlPolicy(dialect=known.dialect, max_rows=known.max_rows))]
    if not about:
        return None
    texts = [act.arguments[name] for name in STATEMENT_ARGUMENTS if name in act.arguments]
    rows = act.arguments.get("max_rows", 0)
    if not texts or not all(isinstance(text, str) for text in texts) or not isinstance(rows, int):
        return Verdict(effect=Effect.BLOCK, rule="sql.statement", reason="The call holds no statement to judge.")
    # Only of a database tool the dialect is known; an argument of that name could be the agent's own word.
    dialect = known.dialect if known is not None else None
    return strictest([judge_statement(about, text, dialect, rows) for text in texts])


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A guardrail's condition made of data: it matches when any of these is found.

    Args:
        contains: Words and phrases, found as whole words in any case.
        matches: A regular expression, found anywhere.
        max_length: Most characters.
        estimated_cost_over: Most that a task may say it will cost, in USD.
        tools: At the points about tools, only about tools of these names.
    """

    contains: Sequence[str] = ()
    matches: Matcher | None = None
    max_length: int | None = None
    estimated_cost_over: float | None = None
    tools: tuple[str, ...] = ()
    _phrases: Callable[[str], object] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        words = "|".join(r"\s+".join(map(re.escape, words.casefold().split())) for words in self.contains)
        phrases = re.compile(rf"(?<!\w)(?:{words})(?!\w)").search if words else None
        object.__setattr__(self, "_phrases", phrases)

    def __call__(self, subject: Task | Act) -> bool:
        """Whether it matches a task, or an act."""
        if isinstance(subject, Act):
            if self.tools and subject.kind != "output" and not named(subject.name, self.tools):
                return False
            text = texts_of(subject)
            length = len(text)
        else:
            length = len(subject.description)
            text = "\n".join([subject.description, *texts_in(subject.context)])
            if self.estimated_cost_over is not None and subject.estimated_cost > self.estimated_cost_over:
                return True
        if self.max_length is not None and length > self.max_length:
            return True
        # Wide and styled letters read like plain ones, to people and models.
        spellings = {text} if text.isascii() else {text, normalize("NFKC", text)}
        return any(
            (self._phrases is not None and self._phrases(one.casefold()) is not None)
            or (self.matches is not None and self.matches.found_in(one))
            for one in spellings
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Everything a policy file says.

    Args:
        path: The file; None where there is none.
        commands: Its rules about commands; None where it has none.
        sql: Its rules about SQL.
        tools: Its rules about tools.
        other_tools: What becomes of registered tools that no rule is about.
        other_place: Where that is said.
        guardrails: Its guardrails.
        digest: SHA-256 of what it says; comments and order of keys do not count.
        warnings: What whoever wrote it should know, each with its place.
        rules: How many rules it has.
    """

    path: Path | None = None
    commands: CommandPolicy | None = None
    sql: tuple[SqlRule, ...] = ()
    tools: tuple[ToolRule, ...] = ()
    other_tools: Effect = Effect.ALLOW
    other_place: str = ""
    guardrails: tuple[Guardrail, ...] = ()
    digest: str = ""
    warnings: tuple[str, ...] = ()
    rules: int = 0

    def judge_tool(self, act: Act) -> Verdict | None:
        """What the rules about tools say about a call; None where nobody restricts it."""
        answers = [answer for rule in self.tools if (answer := rule.judge(act.name, act.arguments)) is not None]
        if answers:
            return strictest(answers)
        if self.other_tools is Effect.ALLOW:
            return None
        says = "forbids" if self.other_tools is Effect.BLOCK else "wants a person to allow"
        reason = f"The policy {says} tools that no rule names, such as `{act.name}`."
        return Terms(place=self.other_place).verdict(self.other_tools, "tools.others", reason, usual=USUAL_GRANTS)


#: What holds where there is no policy file.
NO_POLICY = Policy()


def named(tool: str, patterns: Sequence[str]) -> bool:
    """Whether a tool is one of those that patterns name."""
    return any(fnmatchcase(tool, pattern) for pattern in patterns)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
