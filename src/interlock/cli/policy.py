"""The verbs about the policy: try out what it says, show it, check a file before it is used."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interlock.cli.door import Door
from interlock.cli.grammar import Verb
from interlock.cli.wording import Cell, Ink
from interlock.errors import UsageError

if TYPE_CHECKING:
    from interlock.governance.gate import PolicyGate
    from interlock.governance.policy_rules import Policy
    from interlock.records.verdict import Act, Verdict

_CODES = {"allow": 0, "approval": 3, "block": 5}
_MARKS = {"allow": ("✓", "good"), "approval": ("?", "warn"), "block": ("⊘", "bad")}


@click.command("test", cls=Verb)
@click.argument("command", required=False)
@click.option("--cwd", metavar="DIR", help="The workspace the command would run in; by default that of the settings.")
@click.option("--sql", metavar="TEXT", help="Try a SQL statement instead.")
@click.option("--dialect", metavar="NAME", help="What the database speaks, for --sql: postgres, sqlite, mysql, tsql.")
@click.option("--tool", metavar="NAME", help="Try a call of a tool instead; with --sql, the tool that would run it.")
@click.option("--args", "arguments", metavar="JSON", default="{}", help="The arguments of the tool, a JSON object.")
@click.option("--task", metavar="TEXT", help="Try the text of a task instead.")
@click.pass_obj
def test_policy(door: Door, /, command: str | None, **given: Any) -> int:
    """Say what would become of a command, a statement, a tool call or a task: allow, approval or block. Runs nothing.

    \b
      interlock policy test 'git push --force origin main'
      interlock policy test --sql 'SELECT * FROM users' --dialect postgres
      interlock policy test --tool deploy --args '{"env": "production"}'

    Exit code 0 for allow, 3 for approval, 5 for block. A program may add guardrails of its own; they are not asked.
    """
    chosen = [name for name in ("sql", "task", "tool") if given[name] is not None]
    if given["sql"] is not None and given["tool"] is not None:
        chosen.remove("tool")
    if (command is not None) + len(chosen) != 1:
        raise UsageError(
            "Give one thing to try: a command, --sql, --tool or --task.",
            "`interlock policy test --help` has examples.",
            code="usage.option",
        )
    gate = _gate(door, given)
    if command is not None:
        verdict, parts = _of_command(door, gate, command, given["cwd"])
    else:
        verdict, parts = asyncio.run(gate.admit(_act(given))), []
    _tell(door, verdict, parts)
    return _CODES[verdict.effect.word]


def _gate(door: Door, given: dict[str, Any]) -> PolicyGate:
    """The gate as a platform without a program would have it."""
    from interlock.governance.gate import PolicyGate
    from interlock.governance.policy_rules import Database
    from interlock.governance.sqltext import DATABASE_TOOL, SqlPolicy
    from interlock.platform.policing import first_policy, load_policy

    settings = door.settings()
    policy = load_policy(settings)
    tool, databases = given["tool"], {}
    if given["sql"] is not None:
        tool = tool or DATABASE_TOOL
        SqlPolicy(dialect=given["dialect"])  # an unknown dialect is a wrong command line
        if given["dialect"]:
            databases[tool] = Database(dialect=given["dialect"], max_rows=1_000)
        elif not any(tool in rule.tools for rule in policy.sql):
            raise UsageError("Which database speaks it?", "Add --dialect, for example postgres.", code="usage.option")
    return PolicyGate(
        commands=first_policy(settings, policy),
        policy=policy,
        tools={tool} if tool else frozenset(),
        databases=databases,
        max_prompt=settings.limits.max_prompt_length,
    )


def _act(given: dict[str, Any]) -> Act:
    from interlock.governance.sqltext import DATABASE_TOOL
    from interlock.records.task import Task
    from interlock.records.verdict import Act

    if given["sql"] is not None:
        return Act(kind="tool", name=given["tool"] or DATABASE_TOOL, arguments={"sql": given["sql"]})
    if given["task"] is not None:
        return Act(kind="task", name="task", arguments=Task(given["task"]).to_json(), content=given["task"])
    try:
        arguments = json.loads(given["arguments"])
    except (ValueError, RecursionError):
        raise UsageError("--args is not JSON.", 'Write it like \'{"env": "staging"}\'.', code="usage.option") from None
    if not isinstance(arguments, dict):
        raise UsageError("--args must be a JSON object.", code="usage.option")
    return Act(kind="tool", name=given["tool"], arguments=arguments)


def _of_command(door: Door, gate: PolicyGate, text: str, cwd: str | None) -> tuple[Verdict, list[tuple[str, Verdict]]]:
    """What the command policy and the guardrails say about a command, and about each of its parts."""
    from interlock.governance.guardrails import judge_at
    from interlock.records.verdict import Act, strictest

    where = os.path.abspath(cwd) if cwd else str(door.settings().workspace)
    assert gate.commands is not None
    verdict = gate.commands.judge_text(text, where)
    parts = gate.commands.judge_each(text, where)
    act = Act(kind="command", name=text.split(maxsplit=1)[0] if text.strip() else "", arguments={"argv": [text]})
    guarded = judge_at("tool_call", gate.guardrails, act)
    return (strictest([verdict, guarded]) if guarded else verdict), parts if len(parts) > 1 else []


def _in_words(verdict: Verdict) -> Verdict:
    """An answer that says by which rule, an allow too: of several that allow, the one that stands in a file."""
    if not verdict.allowed:
        return verdict
    said = next((part for part in _leaves(verdict) if part.place), verdict)
    says = f"The rule `{said.rule}` allows it." if said.rule else "No rule and no guardrail of the file forbids it."
    return replace(verdict, rule=said.rule, place=said.place, reason=verdict.reason or says)


def _leaves(verdict: Verdict) -> Iterator[Verdict]:
    for part in verdict.parts:
        yield from _leaves(part)
    if not verdict.parts:
        yield verdict


def _tell(door: Door, verdict: Verdict, parts: list[tuple[str, Verdict]]) -> None:
    verdict = _in_words(verdict)
    if door.out.json:
        told = _as_json(verdict)
        told["parts"] = [{"command": text, **_as_json(part)} for text, part in parts]
        door.out.record(told)
        return
    mark, style = _MARKS[verdict.effect.word]
    asked = [verdict.approver or "anyone else", f"{verdict.quorum} people" if verdict.quorum > 1 else ""]
    door.out.pairs(
        [
            ("verdict", Cell(f"{mark} {verdict.effect.word}", verdict.effect.word, style)),
            ("rule", verdict.rule),
            ("place", verdict.place),
            ("reason", verdict.reason),
            ("asked", ", ".join(filter(None, asked)) if verdict.effect.word == "approval" else ""),
        ]
    )
    for text, part in parts:
        mark, style = _MARKS[part.effect.word]
        why = " ".join(filter(None, [part.rule and f"`{part.rule}`", part.place, part.reason]))
        door.out.table((), [[Cell(mark, part.effect.word, style), text, why]])


def _as_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "effect": verdict.effect.word,
        "rule": verdict.rule,
        "place": verdict.place,
        "reason": verdict.reason,
        "approver": verdict.approver,
        "quorum": verdict.quorum,
        "expires_in": verdict.expires_in,
        "grants": list(verdict.grants),
    }


@click.command("show", cls=Verb)
@click.pass_obj
def show_policy(door: Door) -> None:
    """Show the rules that hold here, each with its place: those of policy.toml and of the settings.

    \b
      interlock policy show
    """
    from interlock.platform.policing import first_policy, load_policy

    settings = door.settings()
    policy = load_policy(settings)
    commands = first_policy(settings, policy)
    lists = (("allow", commands.allowed), ("approval", commands.require_approval), ("block", commands.forbidden))
    rows = [
        {"kind": "command", "effect": effect, "rule": text, "place": _place(door, policy, commands.terms.get(text))}
        for effect, texts in lists
        for text in texts
    ]
    rows += [
        {"kind": "sql", "effect": one.effect.word, "rule": _sql_words(one), "place": one.terms.place}
        for one in policy.sql
    ]
    rows += [
        {"kind": "tool", "effect": one.effect.word, "rule": ", ".join(one.tools), "place": one.terms.place}
        for one in policy.tools
    ]
    rows += [
        {"kind": "guardrail", "effect": one.type.value, "rule": one.name, "place": one.terms.place}
        for one in policy.guardrails
    ]
    if door.out.json:
        file = str(policy.path) if policy.path else None
        door.out.record({"file": file, "digest": policy.digest or None, "items": rows, "counts": {"all": len(rows)}})
        return
    door.out.table(("kind", "decision", "rule", "place"), [list(row.values()) for row in rows])
    where = f"{policy.path}, SHA-256 {policy.digest}" if policy.path else "There is no policy.toml."
    door.out.say(Ink(f"{where} What no rule allows is blocked.", "dim"))


def _place(door: Door, policy: Policy, terms: Any) -> str:
    if terms is not None:
        return str(terms.place)
    settings = door.settings()
    lists = (settings.commands.allowed, settings.commands.forbidden, settings.commands.require_approval)
    written = any(one is not None for one in lists)
    return "settings" if written else "default" if policy.commands is None else ""


def _sql_words(rule: Any) -> str:
    tables = "any table" if rule.policy.tables is None else ", ".join(rule.policy.tables)
    return f"{', '.join(rule.policy.statements)} on {tables} ({', '.join(rule.tools)})"


@click.command("check", cls=Verb)
@click.argument("file", metavar="FILE", required=False)
@click.pass_obj
def check_policy(door: Door, file: str | None) -> None:
    """Read a policy file, by default the one in use, and try every example in it. Everything wrong is listed.

    \b
      interlock policy check policy.toml

    Exit code 0 when it is good, 2 when it is not. A running process keeps the policy it read; start it anew.
    """
    from interlock.governance.policy_file import read_policy
    from interlock.platform.policing import policy_path

    path = Path(file) if file else policy_path(door.settings())
    policy = read_policy(path, file or path.name)
    if door.out.json:
        detail = {"rules": policy.rules, "digest": policy.digest, "warnings": list(policy.warnings)}
        door.out.record({"target": str(path), "applied": False, "dry_run": True, "detail": detail})
        return
    for warning in policy.warnings:
        door.out.say(Ink("warning ", "warn"), warning)
    door.out.answer(f"{path} is good: {policy.rules} rules, SHA-256 {policy.digest}")
