"""Interlock: agent operations you can stop, resume and explain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from interlock.governance.commands import CommandPolicy
    from interlock.governance.guardrails import Guardrail, GuardrailPresets, GuardrailType
    from interlock.platform.doors import configure, run
    from interlock.platform.platform import Platform
    from interlock.platform.result import TaskResult
    from interlock.records.task import Task, TaskStatus, TaskType
    from interlock.tools.function import tool

#: Every public name and the room it lives in. Nothing is imported before it is used.
_HOMES = {
    "CommandPolicy": "interlock.governance.commands",
    "Guardrail": "interlock.governance.guardrails",
    "GuardrailPresets": "interlock.governance.guardrails",
    "GuardrailType": "interlock.governance.guardrails",
    "Platform": "interlock.platform.platform",
    "Task": "interlock.records.task",
    "TaskResult": "interlock.platform.result",
    "TaskStatus": "interlock.records.task",
    "TaskType": "interlock.records.task",
    "configure": "interlock.platform.doors",
    "run": "interlock.platform.doors",
    "tool": "interlock.tools.function",
}

__all__ = [
    "CommandPolicy",
    "Guardrail",
    "GuardrailPresets",
    "GuardrailType",
    "Platform",
    "Task",
    "TaskResult",
    "TaskStatus",
    "TaskType",
    "configure",
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
