"""A task that a person must allow is held, and nobody's resume lets it through."""

from __future__ import annotations

from pathlib import Path

from interlock import Guardrail, GuardrailPresets, GuardrailType, Platform, Task
from interlock.testing import ScriptedAgent


def _held(tmp_path: Path, agent: ScriptedAgent) -> Platform:
    platform = Platform(home=tmp_path)
    platform.register_agent("openai", agent)
    platform.add_guardrail(GuardrailPresets.production_safety("ops-team@company.com"))
    return platform


async def test_a_task_in_production_waits_and_a_resume_does_not_start_it(tmp_path: Path) -> None:
    agent = ScriptedAgent()
    async with _held(tmp_path, agent) as platform:
        result = await platform.run(Task("deploy", id="deploy-1", context={"env": "production"}))
        assert result.status == "awaiting_approval"
        assert result.approval_id
        assert result.guardrail == "production_safety"
        again = await platform.resume("deploy-1")
        assert again.status == "awaiting_approval"
        assert agent.calls == 0


async def test_the_approvers_yes_starts_it_once_and_a_no_blocks_it(tmp_path: Path) -> None:
    agent = ScriptedAgent()
    async with _held(tmp_path, agent) as platform:
        tasks = [Task(f"deploy {number}", id=f"deploy-{number}", context={"env": "production"}) for number in (0, 1)]
        held = [await platform.run(task) for task in tasks]
        await platform.approvals.approve(held[0].approval_id or "", by="rana")
        await platform.approvals.reject(held[1].approval_id or "", by="rana", reason="because")
        # They have gone on by themselves: the same id for the same work is the same run.
        allowed, denied = [await platform.run(task) for task in tasks]
    assert (allowed.status, denied.status) == ("completed", "blocked")
    assert "rana said no: because" in (denied.error or "")
    assert agent.calls == 1


async def test_a_guardrail_that_raises_blocks(tmp_path: Path) -> None:
    agent = ScriptedAgent()
    async with Platform(home=tmp_path) as platform:
        platform.register_agent("openai", agent)
        platform.add_guardrail(
            Guardrail(name="broken", type=GuardrailType.VALIDATION, condition=lambda task: 1 / 0 > 0, message="No.")
        )
        result = await platform.run("anything")
    assert result.status == "blocked"
    assert result.guardrail == "broken"
    assert agent.calls == 0
