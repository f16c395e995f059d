"""The Tool protocol: what an agent may call, and how a call becomes an act that a gate can judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from interlock.errors import UsageError
from interlock.records.verdict import Act, ActKind, Permit

#: What a tool may be judged as. All else is judged by other rules, or by none.
TOOL_ACTS: frozenset[ActKind] = frozenset({"tool", "command"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """How a tool is described to a model.

    Args:
        name: 1 to 64 of letters, digits, `_` and `-`, as the vendors demand.
        description: What it does, for the model.
        parameters: JSON Schema of the arguments, an object.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls, from where, and until when: what a tool may know about the run it works for.

    Args:
        run_id: The run.
        path: The step of this call.
        key: The idempotency key, the same for every attempt of this call.
        agent: The calling agent.
        user: For whom.
        tenant: On whose behalf.
        timeout: Seconds left for this call, or None.
    """

    run_id: str = ""
    path: str = ""
    key: str = ""
    agent: str = ""
    user: str | None = None
    tenant: str | None = None
    timeout: float | None = None


@runtime_checkable
class Tool(Protocol):
    """Something an agent may call, in two strokes: `act` says exactly what would be done, `run` does it.

    `run` takes a `Permit`, which only exists for an act a gate has allowed, and does what the permit's act
    says: what was judged is what is executed.
    """

    @property
    def spec(self) -> ToolSpec:
        """How it is described to models."""
        ...

    @property
    def repeatable(self) -> bool:
        """Whether doing a call twice is harmless; a call that is not and was cut off becomes a question."""
        ...

    def act(self, arguments: Mapping[str, Any], caller: Caller) -> Act:
        """Check the arguments and say exactly what would be done. Does nothing yet.

        Raises:
            ToolFailed: code `tool.arguments`, when they do not fit the schema; goes back to the model.
        """
        ...

    async def run(self, permit: Permit, caller: Caller) -> Any:
        """Do what the permit allows and return a JSON value for the model.

        Raises:
            ToolFailed: it did not work; the sentence goes back to the model.
        """
        ...


@runtime_checkable
class RepeatableActs(Protocol):
    """An optional capability: a tool whose acts are not all alike says for each whether repeating it is harmless."""

    def repeatable_act(self, act: Act) -> bool:
        """Whether doing exactly this act twice is harmless. Pure; never raises."""
        ...


def repeatable_for(tool: Tool, act: Act) -> bool:
    """Whether this act of this tool may be done again when a crash leaves its outcome unknown."""
    judge = getattr(tool, "repeatable_act", None)  # `isinstance` with a protocol costs as much as the rest of a call
    return tool.repeatable if judge is None else bool(judge(act))


def act_for(caller: Caller, kind: ActKind, name: str, arguments: Mapping[str, Any], *, cwd: str = "") -> Act:
    """The act a caller's call amounts to, with everything the caller is known by."""
    return Act(
        kind=kind,
        name=name,
        arguments=arguments,
        run_id=caller.run_id,
        path=caller.path,
        agent=caller.agent,
        user=caller.user,
        tenant=caller.tenant,
        cwd=cwd,
    )


def permitted(permit: Permit, kind: ActKind, name: str = "") -> Mapping[str, Any]:
    """The arguments a permit allows.

    Args:
        permit: What the gate allowed.
        kind: The kind of act the tool does.
        name: The act's name, where the tool has just one.

    Raises:
        UsageError: the permit is for another kind of act or another tool.
    """
    act = permit.act
    if act.kind != kind or (name and act.name != name):
        raise UsageError(
            f"This permit is for the {act.kind} {act.name!r}, not for the {kind} {name!r}.", code="usage.permit"
        )
    return act.arguments
