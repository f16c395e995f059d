"""Plans: steps that build on one another, checked, bounded and without cycles, and what came of each step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal

from interlock.errors import UsageError
from interlock.records.task import MAX_DESCRIPTION, MAX_ID, check_json, json_copy

#: Steps a plan may have at most, whatever is asked for: execution is always bounded.
MOST_STEPS = 5_000

StepState = Literal["pending", "running", "waiting", "awaiting_approval", "completed", "failed", "skipped", "cancelled"]
#: States after which nothing more happens to a step in this run.
SETTLED = frozenset({"completed", "failed", "skipped", "cancelled"})


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan.

    Args:
        id: Its name in the plan: 1 to 200 printable characters without spaces or slashes.
        description: What to do, in plain words.
        tool: The tool it is for. With `tool_input` it is called as it stands; without, an agent does the step with it.
        tool_input: The tool's arguments, as JSON values.
        dependencies: Ids of the steps whose outputs it builds on.
        metadata: JSON values; `timeout` (seconds), `retries` and `agent` are read when it is executed.

    Raises:
        UsageError: code `usage.step`: a field has the wrong type or cannot be used.
    """

    id: str
    description: str = ""
    tool: str | None = None
    tool_input: Mapping[str, Any] | None = None
    dependencies: Sequence[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not _is_name(self.id):
            raise _wrong("id", "1 to 200 printable characters without spaces or slashes", self.id)
        if not isinstance(self.description, str) or len(self.description) > MAX_DESCRIPTION:
            raise _wrong("description", f"a text of at most {MAX_DESCRIPTION:,} characters", self.description)
        if self.tool is not None and (not isinstance(self.tool, str) or not self.tool):
            raise _wrong("tool", "a tool's name", self.tool)
        for name in ("tool_input", "metadata"):
            value = getattr(self, name)
            if value is None and name == "tool_input":
                continue
            if not isinstance(value, Mapping):
                raise _wrong(name, "a mapping", value)
            if value:
                check_json(value, f"Step.{name}")
            object.__setattr__(self, name, json_copy(value) if value else {})
        _check_wishes(self.metadata)
        needs = self.dependencies
        if isinstance(needs, str) or not isinstance(needs, Iterable) or any(not isinstance(one, str) for one in needs):
            raise _wrong("dependencies", "a list of step ids", needs)
        object.__setattr__(self, "dependencies", list(dict.fromkeys(needs)))

    def __hash__(self) -> int:
        return hash(self.id)

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values; `Step(**...)` reads it back."""
        return {name: json_copy(getattr(self, name)) for name in _STEP_FIELDS}


_STEP_FIELDS = tuple(spec.name for spec in fields(Step))
_KNOWN_TO_STEPS = frozenset(_STEP_FIELDS)


@dataclass(frozen=True, slots=True)
class Plan:
    """A task taken apart into steps.

    Args:
        task_description: What the whole is for.
        steps: The steps; each names those it depends on.
        metadata: JSON values, for example `success_criteria` and `warnings`.
        created_at: When it was made.
        tools: What the steps' tool names refer to: names, descriptions or tools. Not part of what is written down.

    Raises:
        UsageError: code `usage.plan`: all that is wrong with the steps, in one message.
    """

    task_description: str
    steps: Sequence[Step]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    tools: Sequence[Any] = field(default=(), kw_only=True, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.task_description, str):
            raise UsageError("Plan.task_description must be a text.", code="usage.plan")
        if isinstance(self.steps, (str, Mapping)) or not isinstance(self.steps, Iterable):
            raise UsageError("Plan.steps must be a list of steps.", code="usage.plan")
        steps = [one if isinstance(one, Step) else _step_of(one) for one in self.steps]
        faults = faults_of(steps)
        if faults:
            raise UsageError(f"The plan cannot be carried out: {' '.join(faults[:10])}", code="usage.plan")
        check_json(self.metadata, "Plan.metadata")
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "metadata", json_copy(self.metadata))
        object.__setattr__(self, "tools", tuple(self.tools))

    def __hash__(self) -> int:
        return hash((self.task_description, len(self.steps)))

    def step(self, step_id: str) -> Step:
        """A step by its id.

        Raises:
            UsageError: there is none.
        """
        for one in self.steps:
            if one.id == step_id:
                return one
        raise UsageError(f"The plan has no step {step_id!r}.", code="usage.plan")

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values; `plan_from_json` reads it back."""
        return {
            "task_description": self.task_description,
            "steps": [one.to_json() for one in self.steps],
            "metadata": json_copy(self.metadata),
            "created_at": self.created_at.astimezone(UTC).isoformat(),
        }


@dataclass(frozen=True, slots=True)
class StepResult:
    """What came of one step.

    Args:
        step_id: The step.
        status: `completed`, `failed`, `skipped`; while the run goes on also `pending`, `running`, `waiting`,
            `awaiting_approval`, or `cancelled`.
        output: What it brought, a JSON value.
        error: Why it failed or was skipped: a stable code and a sentence.
        started_at: When it was begun.
        completed_at: When it ended.
        attempts: How often it was tried.
        kind: The class of the failure: `rate_limit`, `server_error`, `tool_error`, `validation`, `timeout`, `refused`,
            `over_budget` ...; empty where nothing failed.
        cost_micros: What it cost, in micro-dollars; None where a price is unknown.
    """

    step_id: str
    status: StepState
    output: Any = None
    error: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    attempts: int = 0
    kind: str = field(default="", kw_only=True)
    cost_micros: int | None = field(default=0, kw_only=True)

    @property
    def seconds(self) -> float:
        """How long it took, from its beginning to its end; 0 where it did not run to an end."""
        if self.started_at is None or self.completed_at is None:
            return 0.0
        return max(0.0, (self.completed_at - self.started_at).total_seconds())

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        found = {spec.name: getattr(self, spec.name) for spec in fields(self)}
        for name in ("started_at", "completed_at"):
            found[name] = found[name].isoformat() if found[name] is not None else None
        return found


def plan_from_json(found: Any, tools: Sequence[Any] = ()) -> Plan:
    """Read a plan from the JSON object that `Plan.to_json` writes; only `steps` is needed.

    Args:
        found: The JSON object.
        tools: What its tool names refer to.

    Raises:
        UsageError: code `usage.plan`: it is no plan, or one that cannot be carried out.
    """
    known = {"task_description", "steps", "metadata", "created_at"}
    if not isinstance(found, Mapping) or "steps" not in found or (set(found) - known):
        raise UsageError(
            "That is not a plan.", f"A plan is an object with: {', '.join(sorted(known))}.", code="usage.plan"
        )
    values = dict(found)
    try:
        at = values.pop("created_at", None)
        if isinstance(at, str):
            at = datetime.fromisoformat(at)
    except ValueError:
        raise UsageError("Plan.created_at is no time.", code="usage.plan") from None
    if at is not None:
        values["created_at"] = at if at.tzinfo else at.replace(tzinfo=UTC)
    return Plan(values.pop("task_description", ""), values.pop("steps"), tools=tools, **values)


def faults_of(steps: Sequence[Step], most: int = MOST_STEPS) -> list[str]:
    """Everything that keeps these steps from being carried out, a sentence each; empty when nothing does.

    Args:
        steps: The steps.
        most: How many there may be.
    """
    if not steps:
        return ["It has no steps."]
    if len(steps) > most:
        return [f"It has {len(steps):,} steps; at most {most:,} are allowed."]
    faults = []
    ids: set[str] = set()
    for one in steps:
        if one.id in ids:
            faults.append(f"Two steps are called {one.id!r}.")
        ids.add(one.id)
    for one in steps:
        unknown = [need for need in one.dependencies if need not in ids]
        if unknown:
            faults.append(f"{one.id!r} depends on {unknown[0]!r}, which is no step.")
    return faults or _cycle_in(steps)


def in_order(steps: Sequence[Step]) -> list[Step]:
    """The steps in an order in which each comes after those it depends on; otherwise as they are listed.

    Kahn, "Topological sorting of large networks", 1962. Steps on a cycle, and those behind it, are left out.
    """
    waits_for = {one.id: len(one.dependencies) for one in steps}
    followers = followers_of(steps)
    ready = [one for one in steps if not one.dependencies]
    ordered: list[Step] = []
    while ready:
        following: list[Step] = []
        for one in ready:
            ordered.append(one)
            for follower in followers[one.id]:
                waits_for[follower.id] -= 1
                if waits_for[follower.id] == 0:
                    following.append(follower)
        ready = following
    return ordered


def followers_of(steps: Sequence[Step]) -> dict[str, list[Step]]:
    """For each step's id, the steps that depend on it directly."""
    followers: dict[str, list[Step]] = {one.id: [] for one in steps}
    for one in steps:
        for need in one.dependencies:
            if need in followers:
                followers[need].append(one)
    return followers


def _cycle_in(steps: Sequence[Step]) -> list[str]:
    left = {one.id: one for one in steps}
    for one in in_order(steps):
        del left[one.id]
    if not left:
        return []
    # Every step that is left waits for another that is left: following these leads into the circle.
    at, seen = next(iter(left)), list[str]()
    while at not in seen:
        seen.append(at)
        at = next(need for need in left[at].dependencies if need in left)
    circle = [*seen[seen.index(at) :], at]
    return [f"Steps wait for each other in a circle: {' -> '.join(reversed(circle))}."]


def _step_of(found: Any) -> Step:
    if not isinstance(found, Mapping) or "id" not in found or not _KNOWN_TO_STEPS.issuperset(found):
        raise UsageError(
            f"That is not a step: {found!r:.80}", f"A step has: {', '.join(sorted(_STEP_FIELDS))}.", code="usage.plan"
        )
    return Step(**found)


def _check_wishes(metadata: Mapping[str, Any]) -> None:
    """What a step says about how it is done must be possible: a time, and a number of further tries."""
    timeout, retries = metadata.get("timeout"), metadata.get("retries")
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0):
        raise _wrong("metadata['timeout']", "more than 0 seconds", timeout)
    if retries is not None and (isinstance(retries, bool) or not isinstance(retries, int) or not 0 <= retries <= 100):
        raise _wrong("metadata['retries']", "a whole number from 0 to 100", retries)


def _is_name(text: str) -> bool:
    return 0 < len(text) <= MAX_ID and text.isprintable() and not any(c in " /" for c in text)


def _wrong(name: str, want: str, got: object) -> UsageError:
    return UsageError(f"Step.{name} must be {want}, not {got!r:.80}.", code="usage.step")
