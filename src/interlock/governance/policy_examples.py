"""Tries the examples of a policy's rules: each must be decided as its rule says, or not be the rule's affair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from interlock.errors import UsageError
from interlock.governance.commands import CommandPolicy
from interlock.governance.guardrails import Guardrail, judge_at
from interlock.governance.policy_reader import Reader, Table
from interlock.governance.policy_rules import Policy, SqlRule, judge_statement
from interlock.records.task import Task
from interlock.records.toml_lines import Path
from interlock.records.verdict import Act, Effect, Verdict


def check_commands(reader: Reader, table: Table, policy: CommandPolicy, decided: Mapping[str, Effect]) -> None:
    """Try the examples of `[[command]]`: with the whole policy, for what another rule forbids is forbidden here too."""
    for key, rule in reader.tables(table, "command"):
        names = {text for text in reader.texts(key, rule, "rule") if text in decided}
        if not names:
            continue  # it is found fault with already
        wanted = decided[next(iter(names))]
        alike = {text for text, effect in decided.items() if effect is wanted}
        for at, example in _texts(reader, (*key, "match"), rule):
            verdict = policy.judge_text(example)
            # Blocked by default is no proof that the rule works.
            if verdict.effect is not wanted or (wanted is not Effect.ALLOW and not _who(verdict) & alike):
                reader.wrong(at, _instead(example, wanted, verdict))
        for at, example in _texts(reader, (*key, "no_match"), rule):
            if _who(policy.judge_text(example)) & names:
                reader.wrong(at, f"`{example}` must not be decided by this rule, but is")


def check_sql(reader: Reader, table: Table, policy: Policy) -> None:
    """Try the examples of `[[sql]]`."""
    for key, written in reader.tables(table, "sql"):
        place = reader.where(key)
        rule = next((one for one in policy.sql if one.terms.place == place), None)
        if rule is None:
            continue
        beside = [one for one in policy.sql if set(one.tools) & set(rule.tools)]
        for at, example in _texts(reader, (*key, "match"), written):
            verdict = _strictest_of(rule, beside, example)
            if verdict.effect is not rule.effect:
                reader.wrong(at, _instead(example, rule.effect, verdict))
        for at, example in _texts(reader, (*key, "no_match"), written):
            if rule.judge(example, None, 0).effect is not Effect.BLOCK:
                reader.wrong(at, f"`{example}` must not be covered by this rule, but is")


def _strictest_of(rule: SqlRule, beside: list[SqlRule], example: str) -> Verdict:
    own = rule.judge(example, None, 0)
    return own if own.effect is Effect.BLOCK else judge_statement(beside, example, None)


def check_tools(reader: Reader, table: Table, policy: Policy) -> None:
    """Try the examples of `[[tool]]`: names, or tables with `tool` and `arguments`."""
    for key, written in reader.tables(table, "tool"):
        place = reader.where(key)
        rule = next((one for one in policy.tools if one.terms.place == place), None)
        for at, example in _any(reader, (*key, "match"), written) if rule else ():
            if (act := _call(reader, at, example)) is None or rule is None:
                continue
            verdict = policy.judge_tool(act)
            effect = verdict.effect if verdict else Effect.ALLOW
            if effect is not rule.effect or rule.judge(act.name, act.arguments) is None:
                reader.wrong(at, _instead(act.name, rule.effect, verdict))
        for at, example in _any(reader, (*key, "no_match"), written) if rule else ():
            act = _call(reader, at, example)
            if act is not None and rule is not None and rule.judge(act.name, act.arguments) is not None:
                reader.wrong(at, f"`{act.name}` must not be decided by this rule, but is")


def check_guardrail(reader: Reader, key: Path, written: Table, guardrail: Guardrail) -> None:
    """Try the examples of a `[[guardrail]]`: texts, or numbers of dollars for the estimated cost, at each point."""
    for name, matches in (("match", True), ("no_match", False)):
        for at, example in _any(reader, (*key, name), written):
            for point in guardrail.on:
                subject = _subject(point, example, written)
                if subject is None:
                    reader.wrong(at, "an example of a guardrail is a text, or a number for the estimated cost")
                elif (judge_at(point, [guardrail], subject) is not None) is not matches:
                    says = "must match" if matches else "must not match"
                    reader.wrong(
                        at, f"{example!r:.80} {says} at the point {point}, but does{' not' if matches else ''}"
                    )


def _subject(point: str, example: Any, written: Table) -> Task | Act | None:
    if point == "task":
        if isinstance(example, int | float) and not isinstance(example, bool):
            return Task("an example", estimated_cost=example)
        return _task(example) if isinstance(example, str) else None
    if not isinstance(example, str):
        return None
    named = written.get("tools") or ["tool"]
    name = str(named if isinstance(named, str) else named[0]).replace("*", "x").replace("?", "x")
    if point == "tool_call":
        return Act(kind="tool", name=name, arguments={"text": example})
    return Act(kind="tool_result" if point == "tool_result" else "output", name=name, content=example)


def _task(text: str) -> Task | None:
    try:
        return Task(text)
    except UsageError:
        return None


def _call(reader: Reader, at: Path, example: Any) -> Act | None:
    if isinstance(example, str):
        return Act(kind="tool", name=example)
    name, arguments = (example.get("tool"), example.get("arguments", {})) if isinstance(example, Mapping) else ("", {})
    if not isinstance(name, str) or not name or not isinstance(arguments, Mapping):
        reader.wrong(at, 'an example is the name of a tool, or {tool = "...", arguments = {...}}')
        return None
    return Act(kind="tool", name=name, arguments=arguments)


def _any(reader: Reader, key: Path, table: Table) -> Iterator[tuple[Path, Any]]:
    found = table.get(str(key[-1]), [])
    if not isinstance(found, list):
        reader.wrong(key, f"{key[-1]} must be a list")
        return
    for number, example in enumerate(found):
        yield (*key, number), example


def _texts(reader: Reader, key: Path, table: Table) -> Iterator[tuple[Path, str]]:
    for at, example in _any(reader, key, table):
        if isinstance(example, str):
            yield at, example
        else:
            reader.wrong(at, f"an example must be a text, not {example!r:.60}")


def _who(verdict: Verdict) -> set[str]:
    """The rules that had a part in a verdict."""
    return {verdict.rule}.union(*(_who(part) for part in verdict.parts))


def _instead(example: str, wanted: Effect, verdict: Verdict | None) -> str:
    if verdict is None:
        return f"`{example}` must be decided {wanted.word}, but no rule is about it"
    by = f" by `{verdict.rule}`" if verdict.rule else ""
    place = f" ({verdict.place})" if verdict.place else ""
    reason = f": {verdict.reason.rstrip('.')}" if verdict.reason and not place else ""
    if verdict.effect is wanted:
        return f"`{example}` must be decided {wanted.word} by this rule, but the rule is not about it"
    return f"`{example}` must be decided {wanted.word}, but is decided {verdict.effect.word}{by}{place}{reason}"
