"""Interlock in bench/policy: the verdict on commands, and what the whole gate adds to a call."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from bench.measure import ROOT
from bench.peers.stopwatch import measured
from interlock.governance.commands import CommandPolicy
from interlock.governance.gate import PolicyGate
from interlock.governance.guardrails import Guardrail, GuardrailType
from interlock.governance.policy_file import read_policy
from interlock.governance.policy_rules import Database
from interlock.governance.presets import GuardrailPresets
from interlock.records.task import Task
from interlock.records.verdict import Act

NAME = "Interlock"
PARSER = "tree-sitter-bash alone"
COMMANDS = (
    "ls -la src",
    "git status",
    "git log --oneline -n 20",
    "git push --force origin main",
    "cat README.md | grep -n policy | head -n 5",
    "rm -r -f build",
    "sudo systemctl restart nginx",
    "docker ps --format '{{.Names}}'",
    "for f in a.txt b.txt; do wc -l $f; done",
    "kubectl -n shop get pods -o wide && kubectl -n shop describe pod web-1",
)


def main() -> None:
    """Measure the verdicts of a policy of fifty rules, then whole passes of the gate."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=200)
    times = parser.parse_args().times
    policy = read_policy(Path(ROOT) / "examples" / "policy.toml")
    assert policy.commands is not None
    for text in COMMANDS:
        _verdict(policy.commands, text, times)
    gate = PolicyGate(
        commands=policy.commands,
        guardrails=[
            GuardrailPresets.cost_limit(10),
            GuardrailPresets.production_safety("ops"),
            GuardrailPresets.no_destructive_ops(),
            Guardrail("mine", GuardrailType.BLOCK, lambda act: "x" * 50 in act.content, "no", on=("tool_result",)),
        ],
        tools={"echo", "database_query"},
        policy=policy,
        databases={"database_query": Database(dialect="postgres", max_rows=500)},
    )
    asyncio.run(_passes(gate, times))


def _verdict(policy: CommandPolicy, text: str, times: int) -> None:
    policy.judge_text(text)
    with measured(NAME, f"verdict: {text}", times, "interlock"):
        for _ in range(times):
            policy.judge_text(text)
    from interlock.governance.shell.agreement import agrees

    with measured(PARSER, f"verdict: {text}", times, "tree-sitter"):
        for _ in range(times):
            agrees(text, ())


async def _passes(gate: PolicyGate, times: int) -> None:
    task = Task("Find out why the build of last night failed, and write it down.", context={"env": "staging"})
    call = {"tool": "echo", "text": "hello " * 20}
    acts = {
        "a task": [Act(kind="task", name="task", arguments=task.to_json(), content=task.description)],
        "a model call": [Act(kind="model", name="gpt", arguments={"max_output_tokens": 100, "input_bytes": 2_000})],
        "a tool call with its result": [
            Act(kind="tool", name="echo", arguments=call),
            Act(kind="tool_result", name="echo", content="hello " * 50),
        ],
        "a command with its result": [
            Act(kind="command", name="git", arguments={"argv": ["git", "log", "--oneline"], "program": "/usr/bin/git"}),
            Act(kind="tool_result", name="git", content="abc1234 a commit\n" * 20),
        ],
        "a SQL statement": [
            Act(
                kind="tool",
                name="database_query",
                arguments={"sql": "SELECT name FROM users WHERE id = 1", "max_rows": 5},
            )
        ],
    }
    for name, series in acts.items():
        for act in series:
            if not (verdict := await gate.admit(act)).allowed:
                raise SystemExit(f"{name}: {verdict.reason}")
        with measured(NAME, f"gate: {name}", times, "interlock"):
            for _ in range(times):
                for act in series:
                    await gate.admit(act)


if __name__ == "__main__":
    main()
