"""The card: everything a person needs in order to decide, with nothing hidden in it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from interlock.cli.output import visible
from interlock.cli.wording import Cell, ago, iso, took
from interlock.platform.approval import Approval
from interlock.records.run import Run

#: Characters of the model's own words that are shown.
SAID = 600

Row = tuple[str, Cell | str]


def card(approval: Approval, run: Run | None, now: float) -> list[Row]:
    """Names with their values, in the order in which one decides.

    Args:
        approval: What is asked.
        run: The run it belongs to, where it is at hand.
        now: Seconds since 1970.
    """
    asks = approval.asks
    evidence = asks.get("evidence")
    evidence = evidence if isinstance(evidence, dict) else {}
    return [
        ("approval", approval.id),
        ("state", _state(approval)),
        ("asks", _what(asks)),
        *acts(asks),
        ("in", visible(str(asks.get("cwd") or ""))),
        ("program", visible(str(evidence.get("program") or ""))),
        ("files", _files(evidence.get("files"))),
        ("environment", visible(_json(evidence["env"])) if evidence.get("env") else ""),
        ("because", visible(approval.says)),
        ("rule", _rules(approval)),
        ("asked by", _who(asks)),
        ("for step", visible(f"{approval.run_id} {approval.path}".strip())),
        ("the model says", _said(run, approval.path) if run is not None else ""),
        ("asked", Cell(ago(now - approval.asked_at), iso(approval.asked_at) or "")),
        ("must answer", _must_answer(approval)),
        ("on silence", _silence(approval, now)),
        ("policy", str(evidence.get("policy") or "")[:16]),
        ("digest", approval.digest),
        ("may also be", _grants(approval)),
    ]


def card_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Rows of the card as lines for people, indented.

    Args:
        rows: Names with their values.
    """
    told = [(name, value if isinstance(value, str) else value.people) for name, value in rows]
    width = max((len(name) for name, value in told if value), default=0)
    for name, value in told:
        for number, line in enumerate(value.split("\n") if value else ()):
            yield f"  {(name if number == 0 else '').ljust(width)}  {line}"


def _state(approval: Approval) -> str:
    told = approval.status
    if approval.by:
        told += f", by {visible(approval.by)}"
    if approval.reason:
        told += f": {visible(approval.reason)}"
    if approval.edited is not None:
        told += f"\nchanged to {visible(_json(approval.edited))}"
    return told


def _what(asks: dict[str, Any]) -> str:
    words = {"command": "to run a command", "tool": "to call the tool", "task": "to begin a task"}
    kind = str(asks.get("kind", ""))
    name = f" {asks.get('name', '')}" if kind == "tool" else ""
    return visible(f"{words.get(kind, f'for {kind}')}{name}")


def acts(asks: dict[str, Any]) -> list[Row]:
    """What would be done: the words of a command one on a line, the arguments of a tool one on a line."""
    arguments = asks.get("arguments")
    given = arguments if isinstance(arguments, dict) else {}
    argv = given.get("argv")
    if asks.get("kind") == "command" and isinstance(argv, list):
        return [("command", "\n".join(visible(str(word)) or "''" for word in argv))]
    if asks.get("kind") == "task":
        rest = {name: value for name, value in given.items() if name not in ("description", "id") and value}
        return [("task", visible(str(given.get("description", "")))), ("with", _lines(rest))]
    return [("arguments", _lines(given))]


def _lines(given: dict[str, Any]) -> str:
    return "\n".join(f"{visible(str(name))} = {visible(_json(value))}" for name, value in given.items())


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _files(files: Any) -> str:
    if not isinstance(files, dict):
        return ""
    return "\n".join(f"{visible(str(name))}  {_state_of(visible(str(state)))}" for name, state in files.items())


def _state_of(told: str) -> str:
    return told[:23] if told.startswith("sha256:") else told


def _rules(approval: Approval) -> str:
    rules = approval.asks.get("rules")
    listed = rules if isinstance(rules, list) else []
    told = [f"{one.get('rule') or 'no name'}  {one.get('place') or ''}".strip() for one in listed]
    return "\n".join(visible(one) for one in told)


def _who(asks: dict[str, Any]) -> str:
    parts = [("agent ", asks.get("agent")), ("for ", asks.get("user")), ("of ", asks.get("tenant"))]
    return visible(" ".join(f"{word}{name}" for word, name in parts if name))


def _said(run: Run, path: str) -> str:
    """The model's own words before the call, named as such: they are a claim, no fact."""
    scope = path.rpartition("tool/")[0]
    said = ""
    for step in run.steps.values():
        if step.path == path:
            break
        if step.what == "model" and step.path.startswith(f"{scope}model/") and isinstance(step.output, dict):
            said = str(step.output.get("text") or "")
    said = visible(" ".join(said.split()))
    return said if len(said) <= SAID else f"{said[:SAID]} …"


def _must_answer(approval: Approval) -> str:
    who = visible(approval.approver or "anyone but who asked")
    if approval.quorum > 1:
        agreed = ", ".join(visible(one) for one in approval.allowed_by) or "nobody"
        who += f"; {approval.quorum} must agree, so far {agreed}"
    return who


def _silence(approval: Approval, now: float) -> Cell | str:
    if approval.expires_at is None or approval.status != "pending":
        return ""
    at = iso(approval.expires_at) or ""
    return Cell(f"denied in {took(approval.expires_at - now)} ({at})", f"denied at {at}")


def _grants(approval: Approval) -> str:
    told = ["allowed for the rest of this run (--in-run)"] if "run" in approval.grants else []
    if approval.rule_text:
        told += ["allowed by a rule of policy.toml, once nothing else there asks for it:"]
        told += [f"  {visible(line)}" for line in approval.rule_text.splitlines()]
    return "\n".join(told)
