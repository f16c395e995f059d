"""What someone asked for: a task, its type, and the checks every task must pass."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from interlock.errors import UsageError

#: Longest description accepted, in characters. A longer text belongs in a file that the task names.
MAX_DESCRIPTION = 400_000
MAX_ID = 200
#: JSON values may be nested so deep.
_DEEPEST = 64
_ATOMS = frozenset((str, int, bool, float, type(None)))


class TaskType(StrEnum):
    """What kind of work a task is; the router reads it."""

    CONVERSATION = "conversation"
    ANALYSIS = "analysis"
    RESEARCH = "research"
    SYSTEM_OPERATION = "system_operation"
    CODE_GENERATION = "code_generation"
    CREATIVE_WRITING = "creative_writing"
    DATA_ANALYSIS = "data_analysis"
    IMAGE_GENERATION = "image_generation"
    WORKFLOW = "workflow"


class TaskStatus(StrEnum):
    """Where a task, and so its run, stands."""

    PENDING = "pending"
    RUNNING = "running"
    AWAITING_APPROVAL = "awaiting_approval"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    BLOCKED = "blocked"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen."""
        return self in FINAL


FINAL = frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.BLOCKED, TaskStatus.CANCELLED})


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work for an agent.

    Args:
        description: What to do, in plain words. May be empty while a task is only routed, not when it runs.
        type: What kind of work it is, if known.
        id: Your own name for it; kept everywhere. Without one it gets a UUID when it is run.
        requires_system_access: It must run commands or touch files.
        requires_multi_step: It wants planning, execution and verification.
        context: JSON values handed to the agent unchanged.
        priority: 1 (first) to 5 (last).
        estimated_cost: What you expect it to cost, in USD. An estimate, not a limit.
        max_cost: The most it may cost, in USD.
        timeout: The most time it may take, in seconds.
        user: Who asks.
        tenant: On whose behalf.
        labels: Free words to group runs and costs by.

    Raises:
        UsageError: a value has the wrong type or is out of range.
    """

    description: str = ""
    type: TaskType | None = field(default=None, kw_only=True)
    id: str | None = field(default=None, kw_only=True)
    requires_system_access: bool = field(default=False, kw_only=True)
    requires_multi_step: bool = field(default=False, kw_only=True)
    context: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    priority: int = field(default=3, kw_only=True)
    estimated_cost: float = field(default=0.0, kw_only=True)
    max_cost: float | None = field(default=None, kw_only=True)
    timeout: float | None = field(default=None, kw_only=True)
    user: str | None = field(default=None, kw_only=True)
    tenant: str | None = field(default=None, kw_only=True)
    labels: Mapping[str, str] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        _check_text(self)
        _check_numbers(self)
        given: object = self.type
        if given is not None:
            object.__setattr__(self, "type", _as_type(given))
        for name in ("context", "labels"):
            value = getattr(self, name)
            if not isinstance(value, Mapping):
                raise _wrong(name, "a mapping", value)
            check_json(value, f"Task.{name}")
            object.__setattr__(self, name, MappingProxyType(json_copy(value)))

    def __hash__(self) -> int:
        return hash((self.id, self.description, self.type))

    def __reduce__(self) -> tuple[Any, ...]:
        return (from_json, (self.to_json(),))

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values, none of them shared with the task; `from_json` reads it back."""
        found: dict[str, Any] = {}
        for spec in fields(self):
            value = getattr(self, spec.name)
            if isinstance(value, MappingProxyType):
                value = json_copy(value)
            elif isinstance(value, TaskType):
                value = value.value
            found[spec.name] = value
        return found


def from_json(found: Mapping[str, Any]) -> Task:
    """Read a task from the JSON object that `Task.to_json` writes.

    Raises:
        UsageError: unknown fields, or values a task may not have.
    """
    known = {spec.name for spec in fields(Task)}
    unknown = sorted(set(found) - known)
    if unknown:
        raise UsageError(
            f"A task has no field {unknown[0]!r}.", f"It has: {', '.join(sorted(known))}.", code="usage.task"
        )
    values = dict(found)
    return Task(values.pop("description", ""), **values)


def check_json(value: Any, where: str, depth: int = 0) -> None:
    """Make sure a value can be written as JSON and read back equal.

    Raises:
        UsageError: it holds something JSON cannot carry; the message names the place.
    """
    if _is_plain(value, depth):
        return
    if depth > _DEEPEST:
        raise UsageError(f"{where} is nested deeper than {_DEEPEST} levels.", code="usage.json")
    match value:
        case None | bool() | int():
            return
        case str():
            _check_unicode(value, where)
        case float():
            if not math.isfinite(value):
                raise UsageError(f"{where} holds a number that JSON cannot carry ({value}).", code="usage.json")
        case Mapping() | list() | tuple():
            for key, below in _inside(value, where):
                check_json(below, f"{where}[{key!r}]", depth + 1)
        case _:
            raise UsageError(
                f"{where} holds a {type(value).__name__}, which JSON cannot carry.",
                "Use texts, numbers, booleans, None, lists and dicts.",
                code="usage.json",
            )


def json_copy(value: Any) -> Any:
    """A copy of a JSON value that shares nothing that could be changed: who judged it and who uses it see the same."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is dict or isinstance(value, Mapping):
        return {key: below if type(below) in _ATOMS else json_copy(below) for key, below in value.items()}
    if isinstance(value, list):
        return [below if type(below) in _ATOMS else json_copy(below) for below in value]
    if isinstance(value, tuple):
        return tuple(map(json_copy, value))
    return value


def _is_plain(value: Any, depth: int) -> bool:
    """Whether a value is JSON at first sight, as nearly all are: exact types, ASCII, and not deep."""
    kind = type(value)
    if kind is str:
        return bool(value.isascii())
    if kind is dict:
        if depth > _DEEPEST or not all(type(key) is str for key in value):
            return False
        inner = value.values()
    elif kind is list and depth <= _DEEPEST:
        inner = value
    else:
        return kind in _ATOMS and (kind is not float or math.isfinite(value))
    return all(below is None or _is_plain(below, depth + 1) for below in inner)


def _inside(value: Any, where: str) -> Iterator[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
    for key, below in pairs:
        if isinstance(value, Mapping) and not isinstance(key, str):
            raise UsageError(f"{where} has a key that is not a text: {key!r}.", code="usage.json")
        yield key, below


def _check_unicode(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{where} holds half a character (a lone surrogate).", code="usage.json") from None


def _wrong(name: str, want: str, got: object) -> UsageError:
    return UsageError(f"Task.{name} must be {want}, not {type(got).__name__}.", code="usage.task")


def _check_text(task: Task) -> None:
    for name in ("description",):
        if not isinstance(getattr(task, name), str):
            raise _wrong(name, "a text", getattr(task, name))
    if len(task.description) > MAX_DESCRIPTION:
        raise UsageError(
            f"The description has {len(task.description):,} characters; at most {MAX_DESCRIPTION:,} are accepted.",
            "Put the material in a file and name it in the task.",
            code="usage.description_too_long",
        )
    _check_unicode(task.description, "Task.description")
    for name in ("id", "user", "tenant"):
        value = getattr(task, name)
        if value is not None and not isinstance(value, str):
            raise _wrong(name, "a text", value)
        if value is not None:
            _check_name(name, value)
    for name in ("requires_system_access", "requires_multi_step"):
        if not isinstance(getattr(task, name), bool):
            raise _wrong(name, "True or False", getattr(task, name))


def _check_name(name: str, value: str) -> None:
    if not value.strip() or len(value) > MAX_ID or not value.isprintable():
        raise UsageError(
            f"Task.{name} must be 1 to {MAX_ID} printable characters, not {value[:40]!r}.", code="usage.task"
        )


def _check_numbers(task: Task) -> None:
    if isinstance(task.priority, bool) or not isinstance(task.priority, int):
        raise _wrong("priority", "a whole number from 1 to 5", task.priority)
    if not 1 <= task.priority <= 5:
        raise UsageError(f"Task.priority must be 1 (first) to 5 (last), not {task.priority}.", code="usage.priority")
    for name in ("estimated_cost", "max_cost", "timeout"):
        value = getattr(task, name)
        if value is None and name != "estimated_cost":
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _wrong(name, "a number", value)
        if not math.isfinite(value) or value < 0 or (name == "timeout" and value == 0):
            least = "more than 0 seconds" if name == "timeout" else "0 USD or more"
            raise UsageError(f"Task.{name} must be {least}, not {value}.", code=f"usage.{name}")


def _as_type(value: object) -> TaskType:
    try:
        return TaskType(str(value).lower())
    except ValueError:
        known = ", ".join(t.value for t in TaskType)
        raise UsageError(f"{value!r} is no task type.", f"Use one of: {known}.", code="usage.task_type") from None
