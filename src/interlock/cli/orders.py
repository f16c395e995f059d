"""What `run start` is asked to start: its options and standard input, read as a task."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

from interlock.cli.door import Door
from interlock.cli.grammar import as_pairs
from interlock.errors import UsageError
from interlock.records.task import Task, TaskType

#: Most bytes of a task that are read from standard input.
MOST_READ = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What `run start` is to start.

    Args:
        task: The task.
        run_id: The run's own id, if one was chosen.
        allow: Commands that may run besides those of the settings, in this process.
        simulated: Whether models are simulated.
    """

    task: Task
    run_id: str | None = None
    allow: tuple[str, ...] = ()
    simulated: bool = False


def read_order(door: Door, text: str, given: dict[str, Any]) -> Order:
    """Read the options of `run start`.

    Raises:
        UsageError: one of them cannot be.
    """
    context = _context(given["context"])
    multi_step = given["multi_step"]
    if given["agent"] == "hybrid":
        multi_step = True
    elif given["agent"] is not None:
        context["agent"] = _known_agent(door, given["agent"])
    task = Task(
        text_of(text),
        type=TaskType(given["kind"]) if given["kind"] else None,
        id=given["task_id"],
        requires_system_access=given["system"],
        requires_multi_step=multi_step,
        context=context,
        priority=given["priority"],
        timeout=given["timeout"],
        max_cost=given["max_cost"],
        user=given["user"],
        labels=as_pairs("--label", given["label"]),
    )
    return Order(task=task, run_id=given["run_id"], allow=given["allow"], simulated=given["simulated"])


def _known_agent(door: Door, name: str) -> str:
    agents = door.settings().agents
    if name not in agents:
        raise UsageError(
            f"There is no agent {name[:60]!r}.", f"There are: {', '.join(agents)}, hybrid.", code="usage.agent"
        )
    return name


def _context(given: tuple[str, ...]) -> dict[str, Any]:
    """`key=text` pairs, and JSON objects, laid over each other."""
    found: dict[str, Any] = {}
    for one in given:
        if not one.lstrip().startswith("{"):
            found |= as_pairs("--context", (one,))
            continue
        try:
            read = json.loads(one)
        except (ValueError, RecursionError):
            raise UsageError(f"--context {one[:60]!r} is not JSON.", code="usage.option") from None
        found |= read
    return found


def text_of(given: str) -> str:
    """A task as it was given: `-` stands for what is on standard input.

    Raises:
        UsageError: what is there cannot be read.
    """
    return _from_stdin() if given == "-" else given


def _from_stdin() -> str:
    raw = sys.stdin.buffer.read(MOST_READ + 1)
    if len(raw) > MOST_READ:
        raise UsageError("The task on standard input has no end.", code="usage.description_too_long")
    try:
        return raw.decode().rstrip("\n")
    except UnicodeDecodeError:
        raise UsageError("The task on standard input is not UTF-8 text.", code="usage.task") from None
