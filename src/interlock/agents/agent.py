"""The Agent protocol, and the Bench: what an engine lends an agent so that every act is a step of the run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from interlock.records.fact import StepKind
from interlock.records.money import NOTHING_USED, Usage
from interlock.records.verdict import Act, Permit


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """What an agent is asked to do.

    Args:
        text: The work, in plain words.
        context: JSON values that came with the task, unchanged.
        instructions: How to go about it: the stage's or the agent's standing orders.
        schema: JSON Schema the answer must fit, or None for free text.
    """

    text: str
    context: Mapping[str, Any] = field(default_factory=dict)
    instructions: str = ""
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: text, or a JSON value where a schema was asked for."""

    output: Any
    agent: str = ""
    usage: Usage = NOTHING_USED
    cost_micros: int | None = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The outcome of one act, as an act may report it: the JSON output, with what it consumed."""

    output: Any
    usage: Usage = NOTHING_USED
    cost_micros: int | None = 0


def _no_beat() -> None:
    """A sign of life nobody waits for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of one step, handed to the act.

    Args:
        number: 1 for the first try.
        key: The idempotency key; the same for every try of this step, in every process.
        path: The step's full path.
        timeout: Seconds this try may take, or None.
        permit: The gate's permit, where the step was given an act to judge.
        beat: A sign of life; to be called now and then where the step has a `heartbeat`.
    """

    number: int
    key: str
    path: str
    timeout: float | None = None
    permit: Permit | None = None
    beat: Callable[[], None] = _no_beat


class Bench(Protocol):
    """What an agent works at. Everything it does to the world goes through `step`, and so is written down
    before and after, judged, retried, and not done again on resume."""

    run_id: str
    user: str | None
    tenant: str | None

    @property
    def watched(self) -> bool:
        """Whether someone watches right now, so that streaming is worth its cost."""
        ...

    async def step(
        self,
        name: str,
        act: Callable[[Attempt], Awaitable[Any]],
        *,
        what: StepKind,
        label: str = "",
        input: Any = None,
        repeatable: bool = True,
        timeout: float | None = None,
        heartbeat: float | None = None,
        attempts: int | None = None,
        judge: Act | None = None,
        remake: Callable[[Mapping[str, Any]], Act] | None = None,
    ) -> Any:
        """Do one act once and only once, and return its JSON output.

        Args:
            name: The step's name below this bench's scope; it must not repeat within the run.
            act: Does it. Returns a JSON value, or a `Done` that also says what it consumed. Raises an
                `AgentFailed` when it does not work.
            what: What kind of step it is.
            label: For people: the model, the tool, the function.
            input: What goes in, as JSON, if it is worth keeping.
            repeatable: Whether it may be done again when a crash leaves its outcome unknown.
            timeout: Seconds for one try.
            heartbeat: Seconds without a sign of life (`Attempt.beat`) after which a try is given up.
            attempts: Tries in all; None for the engine's retry policy.
            judge: What the gate must allow first. The permit comes with the attempt.
            remake: Makes the act to judge from other arguments, for people who allow a call but change it first.

        Raises:
            Refused: the gate said no.
            AgentFailed: it failed for good.
        """
        ...

    def scope(self, name: str) -> Bench:
        """The same bench with `name` before the names of its steps."""
        ...

    def emit(self, kind: str, **data: Any) -> None:
        """Tell whoever watches right now (streamed text, progress). Not written down, may be lost."""
        ...

    async def note(self, level: str, code: str, says: str) -> None:
        """Write down something an operator should see."""
        ...


@runtime_checkable
class Agent(Protocol):
    """Anyone who does work: `process(x)` takes text or JSON and returns text or JSON, sync or async."""

    id: str

    def process(self, x: Any) -> Any:
        """Do the work. May return an awaitable; that is decided by the result, not by the signature."""
        ...


@runtime_checkable
class BenchAgent(Protocol):
    """An agent that works step by step at a bench, so that a crash costs it one step and not all of them."""

    id: str

    async def work(self, brief: Brief, bench: Bench) -> Answer:
        """Do the work; every model request and tool call is a `bench.step`."""
        ...
