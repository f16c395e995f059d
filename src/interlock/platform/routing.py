"""Routing: who gets a task, and the reasons, decided by a pure function."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from interlock.records.task import Task, TaskType

OPENAI, CLAUDE, HYBRID = "openai", "claude", "hybrid"

#: Who gets which type of work, where the task says nothing more. Other types go to the configured default.
BY_TYPE: Mapping[TaskType, str] = {
    TaskType.CONVERSATION: OPENAI,
    TaskType.ANALYSIS: OPENAI,
    TaskType.CREATIVE_WRITING: OPENAI,
    TaskType.SYSTEM_OPERATION: CLAUDE,
    TaskType.RESEARCH: CLAUDE,
    TaskType.CODE_GENERATION: CLAUDE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Who gets a task.

    Args:
        platform: The agent's name, or `hybrid`.
        candidates: Who was considered, the first choice first.
        reasons: Why, in sentences for people, in the order of the decision.
    """

    platform: str
    candidates: tuple[str, ...]
    reasons: tuple[str, ...]


def route(
    task: Task,
    *,
    default: str,
    registered: Mapping[str, Collection[str]],
    available: Callable[[str], bool] | None = None,
    substitute: bool = True,
) -> Route:
    """Decide who gets a task.

    Args:
        task: The task. `context["agent"]` or `context["platform"]` asks for a registered agent by name.
        default: Who gets what has no other place.
        registered: Agents and what each is for: task types, `system_access`, `multi_step`. One without any is
            for everything, but only as a substitute.
        available: Whether an agent has the key it needs. None decides by the table alone.
        substitute: Whether another agent may take over where the chosen one has no key.

    Returns:
        The route. It may lead to an agent without a key where there is nobody else; the reasons say so.
    """
    chosen, why, reason = _choose(task, default, registered)
    if available is None:
        return Route(platform=chosen, candidates=(chosen,), reasons=(reason,))
    others = tuple(_others(task, chosen, default, registered))
    candidates = (chosen, *others)
    if chosen == HYBRID:
        lacking = () if any(available(name) for name in others) else ("No agent has a key, so hybrid cannot work.",)
        return Route(platform=chosen, candidates=candidates, reasons=(reason, *lacking))
    if available(chosen):
        return Route(platform=chosen, candidates=candidates, reasons=(reason,))
    lacks = f"{chosen} has no key" if chosen in (*registered, OPENAI, CLAUDE) else f"{chosen} is not registered"
    if why == "expert" and substitute:
        rest = {name: does for name, does in registered.items() if name != chosen}
        other = route(task, default=default, registered=rest, available=available)
        reasons = (reason, f"{lacks}.", *other.reasons)
        return Route(platform=other.platform, candidates=(chosen, *other.candidates), reasons=reasons)
    taker = next((name for name in others if available(name)), None)
    if taker is not None and substitute and why != "asked":
        return Route(platform=taker, candidates=candidates, reasons=(reason, f"{lacks}; {taker} takes it."))
    return Route(platform=chosen, candidates=candidates, reasons=(reason, f"{lacks}, {_why_nobody(why, substitute)}."))


def _why_nobody(why: str, substitute: bool) -> str:
    if why == "asked":
        return "and nobody else was asked for"
    return "and nobody else has one" if substitute else "and substitution is switched off"


def _choose(
    task: Task, default: str, registered: Mapping[str, Collection[str]]
) -> tuple[str, Literal["asked", "expert", "table"], str]:
    for key in ("agent", "platform"):
        wanted = task.context.get(key)
        if isinstance(wanted, str) and wanted in registered:
            return wanted, "asked", f"The task asks for {wanted}."
    if (expert := _expert(task, registered)) is not None:
        return expert, "expert", f"{expert} is registered for {_words(task.type)}."
    return _by_table(task, default)


def _by_table(task: Task, default: str) -> tuple[str, Literal["table"], str]:
    if task.requires_system_access and task.requires_multi_step:
        return HYBRID, "table", "It needs system access and several steps: hybrid plans, executes and verifies."
    if task.requires_system_access:
        return CLAUDE, "table", "It needs system access: claude works on systems."
    if task.requires_multi_step:
        return HYBRID, "table", "It needs several steps: hybrid plans, executes and verifies."
    if task.type is not None and task.type in BY_TYPE:
        return BY_TYPE[task.type], "table", f"{BY_TYPE[task.type]} does {_words(task.type)}."
    subject = "The task has no type" if task.type is None else f"The table has no place for {_words(task.type)}"
    return default, "table", f"{subject}: the configured default, {default}, takes it."


def _expert(task: Task, registered: Mapping[str, Collection[str]]) -> str | None:
    """The first agent registered for exactly this type and for everything else the task needs."""
    if task.type is None:
        return None
    return next((name for name, does in registered.items() if _needs(task) <= {str(one) for one in does}), None)


def _needs(task: Task) -> set[str]:
    needs = {task.type.value} if task.type is not None else set()
    if task.requires_system_access:
        needs.add("system_access")
    if task.requires_multi_step:
        needs.add("multi_step")
    return needs


def _others(task: Task, chosen: str, default: str, registered: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Who else could do it: the default, the two model agents, then who is registered for it or for everything."""
    fit = (name for name, does in registered.items() if not does or _needs(task) <= {str(one) for one in does})
    seen = {chosen, HYBRID}
    for name in (default, OPENAI, CLAUDE, *fit):
        if name not in seen:
            seen.add(name)
            yield name


def _words(task_type: TaskType | None) -> str:
    return task_type.value.replace("_", " ") if task_type is not None else ""
