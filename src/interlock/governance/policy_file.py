"""The policy file, reviewed like code: read once, with the line of every rule, and every example tried."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from interlock.errors import PolicyError, UsageError
from interlock.governance import policy_examples as examples
from interlock.governance.commands import CommandPolicy
from interlock.governance.guardrails import POINTS, Guardrail, GuardrailType, Point
from interlock.governance.policy_reader import ASKING, Reader, Table
from interlock.governance.policy_rules import Matcher, Policy, SqlRule, ToolRule, Words
from interlock.governance.shell.rules import compile_rule
from interlock.governance.sqltext import DATABASE_TOOL, SqlPolicy
from interlock.governance.terms import Terms
from interlock.records.toml_lines import Path as Key
from interlock.records.toml_lines import lines_of
from interlock.records.verdict import Effect

#: How the file is called where it is looked for.
NAME = "policy.toml"
_MAX_SIZE = 1024 * 1024
_EFFECTS = {effect.word: effect for effect in Effect}
_LISTS = {"allowed": Effect.ALLOW, "forbidden": Effect.BLOCK, "require_approval": Effect.APPROVAL}
_EXAMPLES = frozenset({"match", "no_match"})
_AT_LINE = re.compile(r"^(?P<says>.*?) \(at line (?P<line>\d+), column \d+\)$", re.S)


def read_policy(path: Path, shown: str = "") -> Policy:
    """Read a policy file and try all its examples.

    Args:
        path: The file.
        shown: How messages name it; by default its name.

    Raises:
        PolicyError: it cannot be read, is not TOML, holds a rule that cannot be, or an example is decided otherwise
            than it says. Everything that is wrong is listed, each with its line.
    """
    shown = shown or path.name
    reason = ""
    try:
        if not path.is_file():
            reason = "there is no such file"
        elif path.stat().st_size > _MAX_SIZE:
            reason = "it is larger than 1 MB"
        else:
            text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        reason = "it is not UTF-8 text"
    except OSError as error:
        reason = (error.strerror or "the system refuses it").lower()
    if reason:
        raise PolicyError(f"The policy file {shown} cannot be read: {reason}.")
    return parse_policy(text, shown, path)


def parse_policy(text: str, shown: str = NAME, path: Path | None = None) -> Policy:
    """The policy that a text says; see `read_policy`."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _AT_LINE.match(str(error))
        where, says = (f"{shown}:{found['line']}", found["says"]) if found else (shown, str(error))
        raise PolicyError(f"{where} is not valid TOML: {says[:1].lower()}{says[1:]}.") from None
    except RecursionError:
        raise PolicyError(f"{shown} is nested too deeply.") from None
    return _Sections(Reader(shown, lines_of(text)), table).policy(path)


class _Sections:
    """The sections of one file, read one after another."""

    def __init__(self, reader: Reader, table: Table) -> None:
        self._reader = reader
        self._table = table
        self._warnings: list[str] = []
        self._rules = 0

    def policy(self, path: Path | None) -> Policy:
        reader, table = self._reader, self._table
        reader.only((), table, {"commands", "command", "sql", "tools", "tool", "guardrail"})
        tools = reader.table(table, "tools")
        reader.only(("tools",), tools, {"others"})
        found = Policy(
            path=path,
            commands=self._commands(),
            sql=self._sql(),
            tools=self._tools(),
            other_tools=reader.choice(("tools",), tools, "others", _EFFECTS, Effect.ALLOW),
            other_place=reader.where(("tools", "others")) if tools else "",
            guardrails=self._guardrails(),
            digest=_digest(table),
        )
        examples.check_sql(reader, table, found)
        examples.check_tools(reader, table, found)
        reader.refuse()
        return replace(found, warnings=tuple(self._warnings), rules=self._rules)

    # Commands.

    def _commands(self) -> CommandPolicy | None:
        reader, table = self._reader, self._table
        lists = reader.table(table, "commands")
        reader.only(("commands",), lists, {*_LISTS, "on_unknown", *ASKING})
        usual = replace(reader.terms(("commands",), lists, asks=True), reason="")
        decided: dict[str, Effect] = {}
        terms: dict[str, Terms] = {}
        for name, effect in _LISTS.items():
            for number, text in enumerate(reader.texts(("commands",), lists, name)):
                at: Key = ("commands", name, number)
                self._command(at, text, effect, replace(usual, place=reader.where(at)), decided, terms)
        for key, rule in reader.tables(table, "command"):
            reader.only(key, rule, {"rule", "decision", *ASKING, *_EXAMPLES})
            found = self._decision(key, rule)
            written = reader.terms(key, rule, asks=found is Effect.APPROVAL, usual=usual)
            texts = reader.texts(key, rule, "rule")
            if not texts:
                reader.wrong(key, 'a [[command]] needs a rule, for example rule = "git push"')
            for text in texts:
                self._command((*key, "rule"), text, found, written, decided, terms)
            self._without_example(key, rule, f"`{', '.join(texts)}`")
        if not decided and not lists:
            return None
        by_effect = {effect: [text for text, one in decided.items() if one is effect] for effect in Effect}
        policy = CommandPolicy(
            allowed=by_effect[Effect.ALLOW],
            forbidden=by_effect[Effect.BLOCK],
            require_approval=by_effect[Effect.APPROVAL],
            on_unknown=reader.choice(
                ("commands",), lists, "on_unknown", {"block": "block", "approval": "approval"}, "block"
            ),
            terms=terms,
        )
        examples.check_commands(reader, table, policy, decided)
        return policy

    def _command(
        self, key: Key, text: str, effect: Effect, terms: Terms, decided: dict[str, Effect], found: dict[str, Terms]
    ) -> None:
        reader = self._reader
        self._rules += 1
        if text in decided:
            reader.wrong(key, f"the rule `{text}` stands at {found[text].place} already")
            return
        try:
            rule = compile_rule(text, exact=effect is Effect.ALLOW)
        except UsageError as error:
            reader.wrong(key, error.says.rstrip("."))
            return
        if not rule.stages and not rule.every:
            reader.wrong(key, f"`{text}` is no command or pipeline, so the rule can never match")
            return
        decided[text], found[text] = effect, terms
        single = CommandPolicy(allowed=[text] if effect is Effect.ALLOW else [])
        self._warnings += [f"{terms.place} {says}" for says in single.warnings]

    # SQL and tools.

    def _sql(self) -> tuple[SqlRule, ...]:
        reader, found = self._reader, []
        for key, rule in reader.tables(self._table, "sql"):
            known = {"tool", "dialect", "statements", "functions", "tables", "max_rows", "decision"}
            reader.only(key, rule, {*known, *ASKING, *_EXAMPLES})
            effect = self._decision(key, rule)
            if effect is Effect.BLOCK:
                reader.wrong(key, "decision of an [[sql]] rule is allow or approval; what no rule covers is blocked")
            terms = reader.terms(key, rule, asks=effect is Effect.APPROVAL)
            tools = tuple(reader.texts(key, rule, "tool")) or (DATABASE_TOOL,)
            try:
                policy = SqlPolicy(
                    statements=reader.texts(key, rule, "statements") or ("select",),
                    functions=reader.texts(key, rule, "functions"),
                    dialect=reader.text(key, rule, "dialect", None),
                    max_rows=reader.number(key, rule, "max_rows", 1_000),
                    tables=reader.texts(key, rule, "tables") if "tables" in rule else None,
                )
            except UsageError as error:
                reader.wrong(key, error.says.rstrip("."))
                continue
            self._rules += 1
            found.append(SqlRule(tools=tools, policy=policy, effect=effect, terms=terms))
            self._without_example(key, rule, "the [[sql]] rule")
        return tuple(found)

    def _tools(self) -> tuple[ToolRule, ...]:
        reader, found = self._reader, []
        for key, rule in reader.tables(self._table, "tool"):
            reader.only(key, rule, {"name", "decision", "arguments", *ASKING, *_EXAMPLES})
            effect = self._decision(key, rule)
            names = tuple(reader.texts(key, rule, "name"))
            if not names:
                reader.wrong(key, 'a [[tool]] needs a name, for example name = "deploy_*"')
            terms = reader.terms(key, rule, asks=effect is Effect.APPROVAL)
            looks = self._matchers((*key, "arguments"), rule.get("arguments", {}))
            found.append(ToolRule(tools=names, effect=effect, arguments=looks, terms=terms))
            self._rules += 1
            self._without_example(key, rule, f"`{', '.join(names)}`")
            if "*" in names and effect is Effect.ALLOW and not looks:
                self._warnings.append(f"{terms.place} `*` allows every tool without asking anyone")
        return tuple(found)

    def _matchers(self, key: Key, table: Any) -> dict[str, Matcher]:
        if not isinstance(table, Mapping):
            self._reader.wrong(key, "arguments must be a table of regular expressions by argument")
            return {}
        read = {str(name): self._matcher((*key, name), table, str(name)) for name in table}
        return {name: matcher for name, matcher in read.items() if matcher is not None}

    def _matcher(self, key: Key, table: Table, name: str) -> Matcher | None:
        pattern = self._reader.text(key[:-1], table, name, None)
        try:
            return None if pattern is None else Matcher(pattern)
        except ValueError as error:
            self._reader.wrong(key, f"{name} is no regular expression of RE2 ({error})")
            return None

    # Guardrails.

    def _guardrails(self) -> tuple[Guardrail, ...]:
        found: dict[str, Guardrail] = {}
        for key, rule in self._reader.tables(self._table, "guardrail"):
            made = self._guardrail(key, rule)
            if made is None:
                continue
            if made.name in found:
                place = found[made.name].terms.place
                self._reader.wrong(key, f"the guardrail {made.name!r:.60} stands at {place} already")
            found[made.name] = made
            self._rules += 1
            self._without_example(key, rule, f"the guardrail {made.name}")
            examples.check_guardrail(self._reader, key, rule, made)
        return tuple(found.values())

    def _guardrail(self, key: Key, rule: Table) -> Guardrail | None:
        reader = self._reader
        conditions = {"contains", "matches", "max_length", "estimated_cost_over"}
        known = {"name", "type", "on", "tools", "message", "decision", *conditions}
        reader.only(key, rule, ({*known, *ASKING, *_EXAMPLES}) - {"decision", "reason"})
        name, message = (reader.text(key, rule, part, "") for part in ("name", "message"))
        for part, value in (("name", name), ("message", message)):
            if not value and part not in rule:
                reader.wrong(key, f"a [[guardrail]] needs a {part}")
        kind = reader.choice(key, rule, "type", {kind.value: kind for kind in GuardrailType}, GuardrailType.BLOCK)
        on = self._points(key, rule)
        words = Words(
            contains=reader.texts(key, rule, "contains"),
            matches=self._matcher((*key, "matches"), rule, "matches"),
            max_length=reader.number(key, rule, "max_length", None),
            estimated_cost_over=reader.amount(key, rule, "estimated_cost_over"),
            tools=tuple(reader.texts(key, rule, "tools")),
        )
        self._possible(key, rule, conditions, on)
        terms = reader.terms(key, rule, asks=kind is GuardrailType.APPROVAL_REQUIRED)
        if kind is GuardrailType.APPROVAL_REQUIRED and {"tool_result", "output"} & set(on):
            says = "results and answers cannot wait for a person; there this guardrail refuses"
            self._warnings.append(f"{terms.place} {says}")
        if not name or not message:
            return None
        return Guardrail(name, kind, words, message, terms.approver, on, terms=terms)

    def _points(self, key: Key, rule: Table) -> tuple[Point, ...]:
        given = self._reader.texts(key, rule, "on") or ["task"]
        for point in given:
            if point not in POINTS:
                self._reader.wrong((*key, "on"), f"on holds {point!r:.60}; it may hold {', '.join(POINTS)}")
        return tuple(point for point in POINTS if point in given) or ("task",)

    def _possible(self, key: Key, rule: Table, conditions: set[str], on: tuple[Point, ...]) -> None:
        """Find fault with a guardrail that could never match."""
        if not conditions & rule.keys():
            self._reader.wrong(key, f"a [[guardrail]] needs one of {', '.join(sorted(conditions))}")
        if "estimated_cost_over" in rule and on != ("task",):
            self._reader.wrong((*key, "estimated_cost_over"), "estimated_cost_over has a meaning for tasks only")
        if "tools" in rule and not {"tool_call", "tool_result"} & set(on):
            self._reader.wrong((*key, "tools"), "tools has a meaning at the points tool_call and tool_result only")

    def _decision(self, key: Key, rule: Table) -> Effect:
        if "decision" not in rule:
            self._reader.wrong(key, "the rule needs a decision: allow, approval or block")
        return self._reader.choice(key, rule, "decision", _EFFECTS, Effect.BLOCK)

    def _without_example(self, key: Key, rule: Table, name: str) -> None:
        if not rule.get("match"):
            self._warnings.append(f"{self._reader.where(key)} {name} has no example: add match = [...]")


def _digest(table: Table) -> str:
    text = json.dumps(table, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
