"""The gate: every act gets an answer, silence is a no, and an error is a no."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.errors import ToolFailed
from interlock.governance.commands import CommandPolicy
from interlock.governance.gate import PolicyGate
from interlock.governance.guardrails import Guardrail, GuardrailType
from interlock.governance.presets import GuardrailPresets
from interlock.records.task import Task
from interlock.records.verdict import ALLOWED, Act, Effect, Gate, Permit, Verdict
from interlock.tools.function import tool
from interlock.tools.shell import META, ShellTool
from interlock.tools.tool import Caller

CALLER = Caller(run_id="run-1", path="shell/1")


def task_act(task: Task) -> Act:
    return Act(kind="task", name="task", arguments=task.to_json())


def command(*argv: str, **more: Any) -> Act:
    return Act(kind="command", name=argv[0], arguments={"argv": list(argv), **more})


async def test_it_is_a_gate() -> None:
    gate: Gate = PolicyGate()
    assert not (await gate.admit(command("ls"))).allowed


async def test_guardrails_see_the_task_as_it_was_given() -> None:
    seen: list[Task] = []
    watching = Guardrail("w", GuardrailType.BLOCK, lambda task: bool(seen.append(task)), "never")
    gate = PolicyGate(guardrails=[watching, GuardrailPresets.production_safety("ops")])
    task = Task("deploy", context={"env": "production", "deep": [{"a": None}]}, estimated_cost=2.5, id="t-1")
    verdict = await gate.admit(task_act(task))
    assert (verdict.effect, verdict.rule, verdict.approver) == (Effect.APPROVAL, "production_safety", "ops")
    assert seen == [task]
    assert (await gate.admit(task_act(Task("deploy")))).allowed


async def test_guardrails_added_later_count() -> None:
    guardrails: list[Guardrail] = []
    for gate in (PolicyGate(guardrails=guardrails), PolicyGate(guardrails=lambda: guardrails)):
        guardrails.clear()
        assert (await gate.admit(task_act(Task("x", estimated_cost=2)))).allowed
        guardrails.append(GuardrailPresets.cost_limit(1))
        assert (await gate.admit(task_act(Task("x", estimated_cost=2)))).effect is Effect.BLOCK


async def test_commands_follow_the_policy_and_without_one_none_runs() -> None:
    gate = PolicyGate()
    assert (await gate.admit(command("ls"))).effect is Effect.BLOCK
    gate.commands = CommandPolicy(allowed=["ls"], require_approval=["git push"])
    assert (await gate.admit(command("ls", "-l"))).allowed
    assert (await gate.admit(command("git", "push"))).effect is Effect.APPROVAL
    assert (await gate.admit(command("rm"))).effect is Effect.BLOCK


async def test_a_program_that_is_not_the_one_judged_is_blocked() -> None:
    gate = PolicyGate(commands=CommandPolicy(allowed=["ls"]))
    assert (await gate.admit(command("ls", program="/bin/ls"))).allowed
    assert (await gate.admit(command("ls", program="/bin/rm"))).rule == "gate.program"


async def test_only_registered_tools_may_be_called() -> None:
    tools = {"add"}
    gate = PolicyGate(tools=tools)
    act = Act(kind="tool", name="drop")
    assert (await gate.admit(Act(kind="tool", name="add"))).allowed
    assert (await gate.admit(act)).effect is Effect.BLOCK
    tools.add("drop")
    assert (await gate.admit(act)).allowed


@pytest.mark.parametrize("kind", ["model", "tool_result", "output"])
async def test_what_has_no_rules_yet_may_happen(kind: Any) -> None:
    assert (await PolicyGate().admit(Act(kind=kind, name="x"))).allowed


@pytest.mark.parametrize("kind", ["tool", "command", "message", "something new"])
async def test_silence_is_a_no_for_all_else(kind: Any) -> None:
    assert (await PolicyGate().admit(Act(kind=kind, name="x"))).effect is Effect.BLOCK


async def test_further_judges_can_make_it_stricter_and_never_laxer() -> None:
    block = Verdict(effect=Effect.BLOCK, rule="mine")
    gate = PolicyGate(
        tools={"add"},
        judges={
            "tool": [lambda act: block],
            "command": [lambda act: ALLOWED],
            "model": [lambda act: None, lambda act: block],
        },
    )
    assert (await gate.admit(Act(kind="tool", name="add"))).rule == "mine"
    assert (await gate.admit(command("ls"))).effect is Effect.BLOCK
    assert (await gate.admit(Act(kind="model", name="m"))).rule == "mine"


@pytest.mark.parametrize(
    "act",
    [
        Act(kind="task", name="x", arguments={"no such field": 1}),
        Act(kind="task", name="x", arguments={"priority": 99}),
        Act(kind="command", name="x"),
        Act(kind="command", name="x", arguments={"argv": 7}),
        Act(kind="command", name="x", arguments={"argv": []}),
        Act(kind="command", name="x", arguments={"argv": [7]}),
        Act(kind="tool", name=[]),  # type: ignore[arg-type]
    ],
)
async def test_an_act_that_cannot_be_judged_is_blocked(act: Act, caplog: pytest.LogCaptureFixture) -> None:
    gate = PolicyGate(
        commands=CommandPolicy(allowed=["ls"]), guardrails=[GuardrailPresets.cost_limit(1)], tools={"add"}
    )
    with caplog.at_level(logging.ERROR):
        verdict = await gate.admit(act)
    assert (verdict.effect, verdict.rule) == (Effect.BLOCK, "gate.error")
    assert "could not judge" in caplog.text


@pytest.mark.parametrize("answer", [True, "allow", 0, Effect.ALLOW])
async def test_a_judge_that_answers_anything_but_a_verdict_is_an_error(answer: Any) -> None:
    gate = PolicyGate(judges={"model": [lambda act: answer]})
    assert (await gate.admit(Act(kind="model", name="m"))).rule == "gate.error"


async def test_a_denied_command_is_never_run(tmp_path: Path) -> None:
    shell, gate = ShellTool(tmp_path), PolicyGate(commands=CommandPolicy(allowed=["ls"], require_approval=["touch"]))
    for argv in (["touch", "made"], ["tee", "made"], ["cp", "/dev/null", "made"]):
        act = shell.act({"argv": argv}, CALLER)
        verdict = await gate.admit(act)
        with pytest.raises(Exception, match="policy"):
            await shell.run(Permit(act, verdict), CALLER)
    assert list(tmp_path.iterdir()) == []
    act = shell.act({"command": "ls -a"}, CALLER)
    assert (await shell.run(Permit(act, await gate.admit(act)), CALLER))["stdout"] == ".\n..\n"


async def test_a_registered_function_is_called_past_the_gate() -> None:
    @tool
    def double(number: int) -> int:
        return 2 * number

    act = double.act({"number": 21}, CALLER)
    assert await double.run(Permit(act, await PolicyGate(tools={"double"}).admit(act)), CALLER) == 42


COMMANDS = st.lists(
    st.sampled_from([*META, "'", '"', " ", " ", "ls", "id", "touch", "made", "-l", "sh", "-c", "sudo", "=", "~"]),
    max_size=12,
).map("".join)


@given(COMMANDS)
def test_whatever_passes_is_one_allowed_program_with_its_words(text: str) -> None:
    shell, policy = ShellTool("/"), CommandPolicy(allowed=["ls"])
    try:
        act = shell.act({"command": text}, CALLER)
    except ToolFailed:
        return
    allowed = policy.judge(act.arguments["argv"]).allowed
    assert allowed is (act.arguments["argv"][0] == "ls")
    assert not allowed or act.arguments["program"] in ("/usr/bin/ls", "/bin/ls")
