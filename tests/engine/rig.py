"""What the engine's tests work with: a gate that says what it is told, an engine over a journal, small acts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from interlock.agents.agent import Attempt
from interlock.engine.bench import RunBench
from interlock.engine.clock import Clock, SystemClock
from interlock.engine.drive import End, Flow, Outcome
from interlock.engine.engine import Engine, EngineSettings
from interlock.engine.observer import Silence
from interlock.engine.retry import RetryPolicy
from interlock.errors import InterlockError
from interlock.records.fact import Fact, QuestionAnswered, RunAdmitted, StepStarted
from interlock.records.run import Run
from interlock.records.verdict import ALLOWED, Act, Verdict
from interlock.stores.journal import Journal
from interlock.stores.sqlite import SqliteJournal
from interlock.testing.clock import FakeClock

#: The longest any of these tests waits for something that ought to happen at once, in seconds.
PATIENCE = 10.0
QUICK = RetryPolicy(attempts=4, base=0.001, cap=0.002)


class ToldGate:
    """A gate that allows everything but what it was told about, and remembers what it was asked."""

    def __init__(self) -> None:
        self.verdicts: dict[str, Verdict] = {}
        self.asked: list[Act] = []

    async def admit(self, act: Act) -> Verdict:
        self.asked.append(act)
        return self.verdicts.get(act.kind, ALLOWED)


class Trouble(Silence):
    """An observer that keeps the errors it is told of."""

    def __init__(self) -> None:
        self.errors: list[InterlockError] = []

    def trouble(self, run_id: str, path: str, error: InterlockError) -> None:
        self.errors.append(error)


class Works:
    """An act that counts how often it is done, and fails in given ways first."""

    def __init__(self, *results: Any, output: Any = "done") -> None:
        self.attempts: list[Attempt] = []
        self._results = list(results)
        self._output = output

    async def __call__(self, attempt: Attempt) -> Any:
        self.attempts.append(attempt)
        result = self._results.pop(0) if self._results else self._output
        if isinstance(result, BaseException):
            raise result
        return result

    @property
    def times(self) -> int:
        return len(self.attempts)


class Stays:
    """An act that says when it was begun, and does not end before it is let go."""

    def __init__(self, output: Any = "stayed") -> None:
        self.begun = asyncio.Event()
        self.leave = asyncio.Event()
        self.times = 0
        self.cut_off = 0
        self._output = output

    async def __call__(self, attempt: Attempt) -> Any:
        self.times += 1
        self.begun.set()
        try:
            await self.leave.wait()
        except asyncio.CancelledError:
            self.cut_off += 1
            raise
        return self._output


def steps(*acts: Callable[[Attempt], Awaitable[Any]], **options: Any) -> Flow:
    """A flow that does these acts one after the other, as steps `1`, `2` ..., and brings home all outputs."""

    async def flow(bench: RunBench, run: Run) -> Outcome:
        outputs = [await bench.step(str(number), act, what="function", **options) for number, act in enumerate(acts, 1)]
        return Outcome(output=outputs, agent="tester")

    return flow


def admitted(flow: str = "task", *, priority: int = 3, timeout: float | None = None) -> RunAdmitted:
    task = {"description": "test", "priority": priority, "timeout": timeout, "user": "ann", "tenant": "acme"}
    return RunAdmitted(task=task, task_id="task", flow=flow, digest="digest")


class Rig:
    """An engine with its parts."""

    def __init__(self, engine: Engine, journal: Journal, gate: ToldGate, observer: Trouble) -> None:
        self.engine = engine
        self.journal = journal
        self.gate = gate
        self.observer = observer

    async def submit(self, run_id: str = "run", **about: Any) -> None:
        await self.engine.submit(run_id, [admitted(**about)])

    async def wait(self, run_id: str = "run") -> End:
        async with asyncio.timeout(PATIENCE):
            return await self.engine.wait(run_id)

    async def go(self, run_id: str = "run", **about: Any) -> End:
        await self.submit(run_id, **about)
        return await self.wait(run_id)

    async def resume(self, run_id: str = "run", *, answer: str | None = None) -> End:
        await self.engine.resume(run_id, by="ann", answer=answer)
        return await self.wait(run_id)

    async def load(self, run_id: str = "run") -> Run:
        return await self.engine.load(run_id)

    async def facts(self, run_id: str = "run", *kinds: str) -> list[Fact]:
        return [r.fact for r in await self.journal.read(run_id) if not kinds or r.fact.kind in kinds]

    async def kinds(self, run_id: str = "run") -> list[str]:
        return [fact.kind for fact in await self.facts(run_id)]

    async def starts(self, run_id: str = "run") -> list[tuple[str, int, str]]:
        """Path, attempt and key of every intent."""
        found = await self.facts(run_id, "step.started")
        return [(fact.path, fact.attempt, fact.key) for fact in found if isinstance(fact, StepStarted)]

    async def answer(
        self, question_id: str, answer: Any, run_id: str = "run", reason: str = "", by: str = "ben", **more: Any
    ) -> None:
        """A person's answer, by default of someone who has seen what is asked."""
        shown = {"digest": (await self.load(run_id)).questions[question_id].digest, **more}
        fact = QuestionAnswered(question_id=question_id, answer=answer, by=by, reason=reason, **shown)
        await self.journal.append(run_id, [fact])


@asynccontextmanager
async def rig(
    flows: Mapping[str, Flow] | Flow,
    *,
    path: Path | None = None,
    journal: Journal | None = None,
    clock: FakeClock | None = None,
    gate: ToldGate | None = None,
    grace: float = 5.0,
    **settings: Any,
) -> AsyncIterator[Rig]:
    """An engine over a journal of its own, closed at the end; the flow `task` is the one given."""
    gate, observer = gate or ToldGate(), Trouble()
    time: Clock = clock or SystemClock()
    own = journal or SqliteJournal(path, now=time.now)
    settings = {"retry": QUICK, "random": lambda: 0.5, **settings}
    engine = Engine(
        own,
        gate,
        flows if isinstance(flows, Mapping) else {"task": flows},
        settings=EngineSettings(**settings),
        clock=time,
        observer=observer,
    )
    try:
        yield Rig(engine, own, gate, observer)
    finally:
        await engine.close(grace)
        await own.close()


async def until(true: Callable[[], Any]) -> None:
    """Let the loop turn until something is so."""
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.001)


async def until_status(rig: Rig, status: str, run_id: str = "run") -> Run:
    """Read a run until it has this status."""
    async with asyncio.timeout(PATIENCE):
        while (run := await rig.load(run_id)).status.value != status:
            await asyncio.sleep(0.005)
    return run
