"""Plans: steps that build on one another, checked, bounded and without cycles, and what came of each step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Literal

from interlock.errors import UsageError
from interlock.records.task import MAX_DESCRIPTION, MAX_ID, check_json, json_copy

#: Steps a plan may have at most, whatever is asked for: execution is always bounded.
MOST_STEPS = 5_000

#: So many faults are told at once.
MOST_FAULTS = 10

StepState = Literal["pending", "running", "waiting", "awaiting_approval", "completed", "failed", "skipped", "cancelled"]
#: States after which nothing more happens to a step in this run.
SETTLED = frozenset({"completed", "failed", "skipped", "cancelled"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that keeps a plan from being carried out.

    Args:
        says: One sentence for people.
        at: Where it stands in the plan's JSON: `("steps", 3, "dependencies", 0)`.
        do: The next step for people, where it is not just to correct it.
        code: The code of the error it becomes.
    """

    says: str
    at: tuple[str | int, ...] = ()
    do: str = ""
    code: str = "usage.plan"


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
        if self.tool_input is not None:
            object.__setattr__(self, "tool_input", _own_copy("tool_input", self.tool_input))
        object.__setattr__(self, "metadata", _own_copy("metadata", self.metadata))
        if self.metadata:
            _check_wishes(self.metadata)
        needs = self.dependencies
        if isinstance(needs, str) or not isinstance(needs, Iterable) or any(not isinstance(one, str) for one in needs):
            raise _wrong("dependencies", "a list of step ids", needs)
        object.__setattr__(self, "dependencies", list(dict.fromkeys(needs)) if needs else [])

    def __hash__(self) -> int:
        return hash(self.id)

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values; `Step(**...)` reads it back."""
        return {name: json_copy(getattr(self, name)) for name in _STEP_FIELDS}


_STEP_FIELDS = tuple(spec.name for spec in fields(Step))
PLAN_FIELDS = ("task_description", "steps", "metadata", "created_at")


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
        steps = [one if isinstance(one, Step) else step_from_json(one) for one in self.steps]
        faults = faults_of(steps)
        if faults:
            told = " ".join(fault.says for fault in faults)
            raise UsageError(f"The plan cannot be carried out: {told}", code="usage.plan")
        if not isinstance(self.metadata, Mapping):
            raise UsageError("Plan.metadata must be a mapping.", code="usage.plan")
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
        """The plan as JSON values; `Plan.from_json` reads it back."""
        return {
            "task_description": self.task_description,
            "steps": [one.to_json() for one in self.steps],
            "metadata": json_copy(self.metadata),
            "created_at": self.created_at.astimezone(UTC).isoformat(),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any], tools: Sequence[Any] = ()) -> Plan:
        """Read what `to_json` writes, or what a plan file says; `tools` stand beside those that the file lists.

        Raises:
            UsageError: code `usage.plan`: it is no plan, or one that cannot be carried out.
        """
        own = found.get("tools") if isinstance(found, Mapping) else None
        if not isinstance(own, list):
            return plan_from_json(found, tools)
        return plan_from_json({name: found[name] for name in found if name != "tools"}, [*own, *tools])


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
    if not isinstance(found, Mapping) or "steps" not in found:
        raise UsageError("That is not a plan.", _has("plan", PLAN_FIELDS), code="usage.plan")
    check_keys("plan", found, PLAN_FIELDS)
    values = dict(found)
    try:
        at = values.pop("created_at", None)
        at = at if at is None or isinstance(at, datetime) else datetime.fromisoformat(at)
    except (ValueError, TypeError):
        says = "Plan.created_at is no time."
        raise UsageError(says, "Write it like 2026-01-31T12:00:00Z, or leave it out.", code="usage.plan") from None
    if at is not None:
        values["created_at"] = at if at.tzinfo else at.replace(tzinfo=UTC)
    return Plan(values.pop("task_description", ""), values.pop("steps"), tools=tools, **values)


def step_from_json(found: Any) -> Step:
    """Read a step from the JSON object that `Step.to_json` writes; only `id` is needed.

    Raises:
        UsageError: code `usage.plan` or `usage.step`: it is no step.
    """
    if not isinstance(found, Mapping) or "id" not in found:
        raise UsageError(f"That is not a step: {found!r:.80}", _has("step with an id", _STEP_FIELDS), code="usage.plan")
    check_keys("step", found, _STEP_FIELDS)
    return Step(**found)


def check_keys(what: str, found: Mapping[Any, Any], known: Sequence[str]) -> None:
    """Make sure that an object has no keys that nobody reads.

    Args:
        what: What it is, for the message: `step`.
        found: The object.
        known: The keys that are read.

    Raises:
        UsageError: code `usage.plan`; the message names the known key that was probably meant.
    """
    for name in found:
        if name not in known:
            says = f"A {what} has no {name!r:.60}{meant(name, known)}."
            raise UsageError(says, _has(what, known), code="usage.plan")


def faults_of(steps: Sequence[Step], most: int = MOST_STEPS) -> list[Fault]:
    """What keeps these steps from being carried out; empty when nothing does.

    Args:
        steps: The steps.
        most: How many there may be.

    Returns:
        At most `MOST_FAULTS`.
    """
    if not steps:
        return [Fault("It has no steps.", ("steps",), "Write at least one step.")]
    if len(steps) > most:
        says = f"It has {len(steps):,} steps; at most {most:,} are allowed."
        return [Fault(says, ("steps", most), "Make one step of what is alike, or several plans.")]
    ids: set[str] = set()
    twice = []
    for number, one in enumerate(steps):
        if one.id in ids:
            says = f"Two steps are called {one.id!r}."
            twice.append(Fault(says, ("steps", number, "id"), "Give one of them another id."))
        ids.add(one.id)
    unknown = (
        (one, need, ("steps", number, "dependencies", place))
        for number, one in enumerate(steps)
        for place, need in enumerate(one.dependencies)
        if need not in ids
    )
    faults = [*twice, *_as_tries(steps, ids), *(_depends_on_nothing(*one, ids) for one in islice(unknown, MOST_FAULTS))]
    return faults[:MOST_FAULTS] or _cycle_in(steps)


def _as_tries(steps: Sequence[Step], ids: set[str]) -> list[Fault]:
    """Steps called as another step's second or third try is written down: their outcomes could not be told apart."""
    found = []
    for number, one in enumerate(steps):
        base, mark, tried = one.id.rpartition("~")
        if mark and tried.isdecimal() and base in ids:
            says = f"{one.id!r} is what another try of {base!r} is called."
            found.append(Fault(says, ("steps", number, "id"), "Give one of them another id."))
    return found


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


def _depends_on_nothing(step: Step, need: str, at: tuple[str | int, ...], ids: Iterable[str]) -> Fault:
    says = f"{step.id!r} depends on {need!r}, which is no step{meant(need, ids)}."
    return Fault(says, at, "Name the id of another step, or take it away.")


def meant(name: object, known: Iterable[str]) -> str:
    """Which of the known names was probably meant, as the end of a sentence; empty where none is like it."""
    import difflib

    near = difflib.get_close_matches(str(name)[:MAX_ID], sorted(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _has(what: str, known: Sequence[str]) -> str:
    return f"A {what} has: {', '.join(sorted(known))}."


def _cycle_in(steps: Sequence[Step]) -> list[Fault]:
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
    number = next(number for number, one in enumerate(steps) if one.id == at)
    says = f"Steps wait for each other in a circle: {' -> '.join(reversed(circle))}."
    return [Fault(says, ("steps", number, "dependencies"), "Take one of these dependencies away.")]


def _own_copy(name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(name, "a mapping", value)
    if not value:
        return {}
    check_json(value, f"Step.{name}")
    copied: dict[str, Any] = json_copy(value)
    return copied


def _check_wishes(metadata: Mapping[str, Any]) -> None:
    """What a step says about how it is done must be possible: a time, and a number of further tries."""
    timeout, retries = metadata.get("timeout"), metadata.get("retries")
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0):
        raise _wrong("metadata['timeout']", "more than 0 seconds", timeout)
    if retries is not None and (isinstance(retries, bool) or not isinstance(retries, int) or not 0 <= retries <= 100):
        raise _wrong("metadata['retries']", "a whole number from 0 to 100", retries)


def _is_name(text: str) -> bool:
    return 0 < len(text) <= MAX_ID and text.isprintable() and " " not in text and "/" not in text


def _wrong(name: str, want: str, got: object) -> UsageError:
    return UsageError(f"Step.{name} must be {want}, not {got!r:.80}.", code="usage.step")
