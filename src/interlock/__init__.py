"""Interlock: agent operations you can stop, resume and explain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from interlock.governance.budgets import Budget
    from interlock.governance.commands import CommandPolicy
    from interlock.governance.guardrails import Guardrail, GuardrailType
    from interlock.governance.presets import GuardrailPresets
    from interlock.platform.doors import configure, decompose, execute, run
    from interlock.platform.executor import Executor
    from interlock.platform.platform import Platform
    from interlock.platform.result import TaskResult
    from interlock.platform.run_state import Storage
    from interlock.records.plan import Plan, Step, StepResult
    from interlock.records.task import Task, TaskStatus, TaskType
    from interlock.tools.function import tool

#: Every public name and the room it lives in. Nothing is imported before it is used.
_HOMES = {
    "Budget": "interlock.governance.budgets",
    "CommandPolicy": "interlock.governance.commands",
    "Executor": "interlock.platform.executor",
    "Guardrail": "interlock.governance.guardrails",
    "GuardrailPresets": "interlock.governance.presets",
    "GuardrailType": "interlock.governance.guardrails",
    "Plan": "interlock.records.plan",
    "Platform": "interlock.platform.platform",
    "Step": "interlock.records.plan",
    "StepResult": "interlock.records.plan",
    "Storage": "interlock.platform.run_state",
    "Task": "interlock.records.task",
    "TaskResult": "interlock.platform.result",
    "TaskStatus": "interlock.records.task",
    "TaskType": "interlock.records.task",
    "configure": "interlock.platform.doors",
    "decompose": "interlock.platform.doors",
    "execute": "interlock.platform.doors",
    "run": "interlock.platform.doors",
    "tool": "interlock.tools.function",
}

__all__ = [
    "Budget",
    "CommandPolicy",
    "Executor",
    "Guardrail",
    "GuardrailPresets",
    "GuardrailType",
    "Plan",
    "Platform",
    "Step",
    "StepResult",
    "Storage",
    "Task",
    "TaskResult",
    "TaskStatus",
    "TaskType",
    "configure",
    "decompose",
    "execute",
    "run",
    "tool",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'interlock' has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(home), name)
    return found


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
