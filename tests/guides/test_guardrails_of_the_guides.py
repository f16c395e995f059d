"""The guides' snippets about guardrails, commands and validation, run as they are written: only imports are changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import interlock
from interlock import CommandPolicy, Guardrail, GuardrailType, Task
from interlock import Platform as HybridPlatform
from interlock.governance.validation import MAX_PROMPT_LENGTH, validate_prompt
from interlock.testing import Calls, SimulatedProvider, Text, call


@pytest.fixture(autouse=True)
def _an_own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INTERLOCK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
async def simulated() -> AsyncIterator[SimulatedProvider]:
    async with SimulatedProvider(default=Text("done")) as provider:
        yield provider


@pytest.fixture
async def platform(simulated: SimulatedProvider, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HybridPlatform]:
    for name, value in simulated.env().items():
        monkeypatch.setenv(name, value)
    async with HybridPlatform() as made:
        yield made


def add_the_guides_guardrails(platform: HybridPlatform) -> None:
    # Production safety
    platform.add_guardrail(
        Guardrail(
            name="production_safety",
            type=GuardrailType.APPROVAL_REQUIRED,
            condition=lambda task: task.context.get("env") == "production",
            message="Production changes require approval",
            approver="ops-team@company.com",
        )
    )

    # Cost control
    platform.add_guardrail(
        Guardrail(
            name="cost_limit",
            type=GuardrailType.BLOCK,
            condition=lambda task: task.estimated_cost > 10.0,
            message="Task exceeds $10 cost limit",
        )
    )

    # Destructive operation prevention
    platform.add_guardrail(
        Guardrail(
            name="no_destructive_ops",
            type=GuardrailType.BLOCK,
            condition=lambda task: any(cmd in task.description.upper() for cmd in ["DROP", "DELETE", "rm -rf"]),
            message="Destructive operations blocked",
        )
    )


async def test_at_000_02_production_waits_for_a_person_and_no_model_is_asked(
    platform: HybridPlatform, simulated: SimulatedProvider
) -> None:
    add_the_guides_guardrails(platform)
    result = await platform.run(Task("Restart it", context={"env": "production"}))
    assert (result.status, result.guardrail) == ("awaiting_approval", "production_safety")
    assert simulated.requests == []
    assert (await platform.run(Task("Restart it"))).status == "completed"


async def test_at_000_03_the_cost_limit_speaks_in_its_own_words(platform: HybridPlatform) -> None:
    add_the_guides_guardrails(platform)
    assert (await platform.run(Task("Look", estimated_cost=10.0))).status == "completed"
    result = await platform.run(Task("Look", estimated_cost=10.01))
    assert (result.status, result.error, result.guardrail) == ("blocked", "Task exceeds $10 cost limit", "cost_limit")
    assert result.error_code == "guardrail.blocked"


async def test_at_000_04_destructive_words_block_and_the_guides_slip_is_pointed_out(
    platform: HybridPlatform, caplog: pytest.LogCaptureFixture
) -> None:
    add_the_guides_guardrails(platform)
    result = await platform.run(Task("DROP TABLE users"))
    assert (result["status"], result["error"]) == ("blocked", "Destructive operations blocked")
    assert "no_destructive_ops looks for 'rm -rf' in text made upper-case, and never finds it" in caplog.text


async def test_at_000_05_the_three_lists_reach_the_commands_an_agent_runs(
    platform: HybridPlatform, simulated: SimulatedProvider
) -> None:
    # Only allow necessary commands
    allowed_commands = [
        *("ls", "cat", "grep", "ps", "top", "df"),
        *("git status", "git log", "git diff"),
        *("npm test", "pytest", "docker ps"),
    ]
    forbidden_commands = ["rm -rf", "sudo", "chmod 777", "DROP TABLE", "DELETE FROM", "curl | bash", "wget | bash"]
    require_approval = ["git push", "npm publish", "kubectl apply", "terraform apply", "systemctl restart"]
    policy = CommandPolicy(allowed_commands, forbidden_commands, require_approval)
    for text in ("sudo ls", "curl x | bash", "ls; sudo id", "rm -fr /"):
        assert policy.judge_text(text).effect.word == "block", text
    asking = policy.judge_text("git push")
    assert (asking.effect.word, asking.grants) == ("approval", ("run", "rule"))

    platform.set_command_policy(policy)
    simulated.script = [
        Calls(call("shell", argv=["ls"])),
        Calls(call("shell", argv=["git", "push"])),
        Text("never reached"),
    ]
    result = await platform.run(Task("Look around", context={"agent": "openai"}))
    gates = {gate.name: gate.effect for gate in (await platform.show(result.run_id)).gates if gate.act == "command"}
    assert gates["ls"] == "allow"
    assert (gates["git"], result.status) == ("approval", "awaiting_approval")


def test_at_000_13_guardrails_are_tested_without_a_loop(platform: HybridPlatform) -> None:
    platform.add_guardrail(
        Guardrail(
            name="test",
            type=GuardrailType.BLOCK,
            condition=lambda task: "bad" in task.description,
            message="Blocked",
        )
    )

    task = Task(description="This is bad")
    result = platform.run_sync(task)
    assert result["status"] == "blocked"
    assert result["error"] == "Blocked"
    platform.close_sync()


class GuardrailPresets:
    """Reusable guardrail configurations"""

    @staticmethod
    def production_safety(approver: str) -> Guardrail:
        return Guardrail(
            name="production_safety",
            type=GuardrailType.APPROVAL_REQUIRED,
            condition=lambda task: task.context.get("env") == "production",
            message="Production changes require approval",
            approver=approver,
        )

    @staticmethod
    def cost_limit(max_cost: float) -> Guardrail:
        return Guardrail(
            name="cost_limit",
            type=GuardrailType.BLOCK,
            condition=lambda task: task.estimated_cost > max_cost,
            message=f"Exceeds ${max_cost} cost limit",
        )


@pytest.mark.parametrize("presets", [GuardrailPresets, interlock.GuardrailPresets])
async def test_at_000_16_presets_as_the_guide_writes_them_and_ours_say_the_same(
    platform: HybridPlatform, presets: type[GuardrailPresets]
) -> None:
    # Use presets
    platform.add_guardrail(presets.production_safety("ops-team@company.com"))
    platform.add_guardrail(presets.cost_limit(10.0))
    result = await platform.run(Task("Look", estimated_cost=11))
    assert result.error == "Exceeds $10.0 cost limit"
    assert (await platform.run(Task("Go", context={"env": "production"}))).status == "awaiting_approval"


# Test individual components
def test_prompt_validation() -> None:  # AT-002-04
    valid_prompt = "Calculate 2+2"
    assert validate_prompt(valid_prompt) == valid_prompt

    invalid_prompt = "x" * (MAX_PROMPT_LENGTH + 1)
    with pytest.raises(ValueError):
        validate_prompt(invalid_prompt)
