"""The engine: takes runs in, has them driven once and only once, and answers for how they end."""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from interlock.engine.clock import Clock, SystemClock
from interlock.engine.dispatch import EmbeddedDispatch
from interlock.engine.drive import Drive, End, Flow, Tools
from interlock.engine.observer import Observer, Silence
from interlock.engine.retry import RetryPolicy
from interlock.errors import Conflict, DrivenElsewhere, InterlockError, NotFound, StoreFailed
from interlock.records.fact import (
    CancelAsked,
    Fact,
    PauseAsked,
    QuestionAnswered,
    Recorded,
    ResumeAsked,
    RunAdmitted,
    RunFinished,
    RunStarted,
    RunWaiting,
)
from interlock.records.run import Run, fold
from interlock.records.task import TaskStatus
from interlock.records.verdict import Gate
from interlock.stores.journal import Claim, Journal, Query

#: So many admitted runs are kept ready in memory while they queue; the others are read again when it is their turn.
KEPT_READY = 2000
DUE_AT_ONCE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What an engine is given besides its parts.

    Args:
        max_runs: Runs driven at once at most.
        retry: How failed steps are tried again.
        adopt: Also drive runs whose driver died, and those other processes parked.
        random: Numbers between 0 and 1.
    """

    max_runs: int = 1000
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    adopt: bool = False
    random: Callable[[], float] = field(default_factory=lambda: secrets.SystemRandom().random)


class Engine:
    """Drives runs over a journal. Belongs to the event loop it is first used on.

    Args:
        journal: Where facts rest.
        gate: What every act must pass.
        flows: The programs of runs, by name.
        settings: Limits and policies.
        clock: The time.
        observer: Who is told what happens.
    """

    def __init__(
        self,
        journal: Journal,
        gate: Gate,
        flows: Mapping[str, Flow],
        *,
        settings: EngineSettings | None = None,
        clock: Clock | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._settings = settings or EngineSettings()
        self._journal = journal
        self._flows = flows
        self._clock = clock or SystemClock()
        self._tools = Tools(
            journal=journal,
            gate=gate,
            clock=self._clock,
            observer=observer or Silence(),
            retry=self._settings.retry,
            random=self._settings.random,
            listeners={},
        )
        self._live: dict[str, Drive] = {}
        self._ready: dict[str, Drive] = {}
        self._announced: set[str] = set()
        self._waiters: dict[str, list[asyncio.Future[End]]] = {}
        self._dispatch = EmbeddedDispatch(
            self._advance, self._submit_due, most=self._settings.max_runs, clock=self._clock
        )
        self._listener: asyncio.Task[None] | None = None
        self._closing = False

    # Taking work in.

    async def submit(self, run_id: str, facts: Sequence[Fact], *, durable: bool = True) -> None:
        """Write a new run down and have it driven. When this returns, the run is durable.

        Args:
            run_id: Its id.
            facts: `RunAdmitted` first, then what was decided at the door; ends the run at once if the last
                one is a `RunFinished` or `RunWaiting`.
            durable: False leaves the writing to the run's first step, which saves a commit: nothing is done
                before it is durable all the same, but a taken id is only found by whoever waits for the run.

        Raises:
            Conflict: the id is taken.
            StoreFailed: it cannot be written.
        """
        self._check_open()
        self._listen()
        admitted = facts[0]
        assert isinstance(admitted, RunAdmitted)
        claim = Claim(run_id=run_id, owner=self._journal.owner, fence=1, seq=len(facts))
        if isinstance(facts[-1], (RunFinished, RunWaiting)):
            await self._journal.append(run_id, facts, claim=claim)
            self._publish(run_id, facts)
            return
        at_once = self._dispatch.room()
        keep = at_once or len(self._ready) < KEPT_READY
        if at_once:
            facts = [*facts, RunStarted(driver=self._journal.owner, fence=1)]
        known = run_id in self._live or run_id in self._ready
        if at_once and not durable and not known:
            self._ready[run_id] = Drive(self._tools, self._fresh(run_id, facts), claim, facts)
        else:
            await self._journal.append(run_id, facts, claim=claim if keep else None)
            self._publish(run_id, facts)
            if keep:
                self._ready[run_id] = Drive(self._tools, self._fresh(run_id, facts), claim)
        if at_once:
            self._announced.add(run_id)
        self._dispatch.submit(run_id, priority=int(admitted.task.get("priority", 3)))

    async def resume(self, run_id: str, *, by: str, answer: str | None = None) -> None:
        """Have an interrupted, waiting, paused or failed run go on from its last fact.

        Args:
            run_id: The run.
            by: Who wants it.
            answer: `repeat` or `skip`, for steps whose outcome is in doubt.

        Raises:
            NotFound, DrivenElsewhere, Conflict (it is over for good).
        """
        self._check_open()
        self._listen()
        run = await self.load(run_id)
        if run_id in self._live or run.status is TaskStatus.COMPLETED:
            return
        if run.status in (TaskStatus.BLOCKED, TaskStatus.CANCELLED):
            raise Conflict(f"{run_id} is over: {run.status.value}.", "Start a new run.", code="run.over")
        await self._check_not_driven(run_id)
        facts: list[Fact] = []
        if answer in ("repeat", "skip"):
            facts += [
                QuestionAnswered(question_id=q.question_id, answer=answer, by=by)  # type: ignore[arg-type]
                for q in run.open_questions()
                if q.about == "in_doubt"
            ]
        if run.status is TaskStatus.FAILED or run.paused:
            facts.append(ResumeAsked(by=by, retry=run.status is TaskStatus.FAILED))
        if facts:
            await self._journal.append(run_id, facts)
        self._dispatch.submit(run_id, priority=int(run.admitted.task.get("priority", 3)) if run.admitted else 3)

    async def cancel(self, run_id: str, *, by: str, reason: str = "") -> bool:
        """Stop a run for good. A driver in another process is told through the journal.

        Returns:
            Whether the run was still going; False when it had ended before.

        Raises:
            NotFound: there is no such run.
        """
        run = await self.load(run_id)
        if run.status.is_final:
            return False
        asked = CancelAsked(by=by, reason=reason)
        await self._journal.append(run_id, [asked])
        drive = self._live.get(run_id)
        if drive is not None:
            drive.run.cancel = asked
            drive.stop("cancelled")
        else:
            ready = self._ready.get(run_id)
            if ready is not None:
                ready.run.cancel = asked
            self._listen()
            self._dispatch.submit(run_id, priority=1)
        return True

    async def pause(self, run_id: str, *, by: str) -> None:
        """Let a run finish the steps it is in and begin nothing new until it is resumed.

        Raises:
            NotFound: there is no such run.
            Conflict: it has ended.
        """
        run = await self.load(run_id)
        if run.status.is_final:
            raise Conflict(f"{run_id} is over: {run.status.value}.", "", code="run.over")
        await self._journal.append(run_id, [PauseAsked(by=by)])
        drive = self._live.get(run_id) or self._ready.get(run_id)
        if drive is not None:
            drive.pause()

    # Answering for it.

    async def load(self, run_id: str) -> Run:
        """The run as its facts tell it.

        Raises:
            NotFound: there is no such run.
        """
        facts = await self._journal.read(run_id)
        if not facts:
            raise NotFound(f"There is no run {run_id}.")
        return fold(run_id, facts)

    async def wait(self, run_id: str) -> End:
        """Come back when the run has ended, or waits for something no timer brings.

        Raises:
            NotFound: there is no such run.
        """
        future: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(run_id, []).append(future)
        try:
            if run_id not in self._live and run_id not in self._ready:
                run = await self.load(run_id)
                settled = end_of(run)
                if settled is not None and run_id not in self._live:
                    return settled
                if run.driver != self._journal.owner:
                    return await self._watch_to_the_end(run_id, future)
            return await future
        finally:
            waiting = self._waiters.get(run_id, [])
            if future in waiting:
                waiting.remove(future)
            if not waiting:
                self._waiters.pop(run_id, None)

    def listen(self, run_id: str, listener: Callable[[str, Any], None]) -> Callable[[], None]:
        """Have a callable told of a run's durable facts (`"fact", Recorded`) and live events while it is driven here.

        Returns:
            A function that ends it.
        """
        self._tools.listeners.setdefault(run_id, []).append(listener)

        def end() -> None:
            listeners = self._tools.listeners.get(run_id, [])
            with contextlib.suppress(ValueError):
                listeners.remove(listener)
            if not listeners:
                self._tools.listeners.pop(run_id, None)

        return end

    @property
    def driving(self) -> int:
        """How many runs are being driven here."""
        return len(self._live)

    async def recover(self) -> list[str]:
        """Take up the runs whose driver died, and say which."""
        self._listen()
        rows = await self._journal.runs(Query(orphaned=True, limit=10_000))
        for row in rows:
            self._dispatch.submit(row.run_id, priority=row.priority)
        following = await self._submit_due()
        if following is not None:
            self._dispatch.submit("", priority=3, not_before=following)
        return [row.run_id for row in rows]

    async def close(self, grace: float = 10.0) -> None:
        """Stop intake, let running steps finish, then cut them off; every run can be resumed later.

        Args:
            grace: Seconds that steps in the middle get to finish.
        """
        self._closing = True
        await self._dispatch.stop()
        for drive in self._live.values():
            drive.drain()
        for run_id, drive in list(self._ready.items()):
            if run_id not in self._live:
                await self._journal.release(drive.claim)
        self._ready.clear()
        try:
            async with asyncio.timeout(grace):
                await self._dispatch.idle()
        except TimeoutError:
            await self._cut_off()
        if self._listener is not None:
            self._listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listener
            self._listener = None

    # Inside.

    async def _cut_off(self) -> None:
        for drive in list(self._live.values()):
            drive.stop("shutdown")
        try:
            async with asyncio.timeout(5.0):
                await self._dispatch.idle()
        except TimeoutError:
            self._dispatch.abandon()

    async def _advance(self, run_id: str) -> None:
        """Drive a run until it waits or ends. Never raises."""
        announced = run_id in self._announced
        self._announced.discard(run_id)
        drive = self._ready.pop(run_id, None)
        end: End | None = None
        try:
            if drive is None:
                drive = await self._take_up(run_id)
            if drive is not None:
                self._live[run_id] = drive
                end = await self._drive(drive, announced)
        except InterlockError as error:
            end = End(error=error)
        finally:
            self._live.pop(run_id, None)
            if end is not None:
                self._settle(run_id, end)

    async def _take_up(self, run_id: str) -> Drive | None:
        claim = await self._journal.claim(run_id)
        try:
            run = await self.load(run_id)
        except BaseException:
            await self._journal.release(claim)
            raise
        if run.status.is_final:
            await self._journal.release(claim)
            self._settle(run_id, end_of(run) or End())
            return None
        return Drive(self._tools, run, claim)

    async def _drive(self, drive: Drive, announced: bool) -> End:
        admitted = drive.run.admitted
        flow = self._flows.get(admitted.flow) if admitted is not None else None
        if flow is None:
            await self._journal.release(drive.claim)
            name = admitted.flow if admitted is not None else "?"
            missing = f"This process does not know the flow {name!r}."
            return End(error=Conflict(missing, "Register it and resume the run.", code="run.unknown_flow"))
        end = await drive.go(flow, announced=announced)
        if end.error is not None:
            with contextlib.suppress(StoreFailed):
                await self._journal.release(drive.claim)
        waiting = end.waiting
        if waiting is not None and waiting.until is not None:
            self._dispatch.submit(drive.run_id, priority=3, not_before=waiting.until)
        return end

    def _settle(self, run_id: str, end: End) -> None:
        """Tell those who wait for this run; a timer's wait is no answer, the run comes back by itself."""
        if end.waiting is not None and end.waiting.reason == "timer" and not self._closing:
            return
        for future in self._waiters.pop(run_id, []):
            if not future.done():
                future.set_result(end)

    async def _submit_due(self) -> float | None:
        mine = "" if self._settings.adopt else self._journal.owner
        rows = await self._journal.runs(Query(due_at=self._clock.now(), parked_by=mine, limit=DUE_AT_ONCE))
        for row in rows:
            self._dispatch.submit(row.run_id, priority=row.priority)
        if len(rows) == DUE_AT_ONCE:
            return self._clock.now() + 0.05
        following = await self._journal.runs(Query(due_at=math.inf, parked_by=mine, limit=len(rows) + 1))
        later = [row.wake_at for row in following if row.run_id not in {r.run_id for r in rows}]
        return later[0] if later else None

    def _listen(self) -> None:
        if self._listener is None:
            self._listener = asyncio.ensure_future(self._hear())

    async def _hear(self) -> None:
        """Notice what other processes write for the runs driven or parked here."""
        async for record in self._journal.watch(outside=True):
            drive = self._live.get(record.run_id) or self._ready.get(record.run_id)
            match record.fact:
                case CancelAsked() if drive is not None and drive.reason is None:
                    drive.run.cancel = record.fact
                    drive.stop("cancelled")
                case PauseAsked() if drive is not None:
                    drive.pause()
                case QuestionAnswered() if drive is None and await self._parked_here(record.run_id):
                    self._dispatch.submit(record.run_id, priority=1)
                case _:
                    continue

    async def _parked_here(self, run_id: str) -> bool:
        rows = await self._journal.runs(Query(run_prefix=run_id, limit=1))
        return bool(rows) and (self._settings.adopt or rows[0].parked_by == self._journal.owner)

    async def _check_not_driven(self, run_id: str) -> None:
        rows = await self._journal.runs(Query(run_prefix=run_id, limit=5))
        if any(row.run_id == run_id and row.driven and row.driver != self._journal.owner for row in rows):
            driver = next(row.driver for row in rows if row.run_id == run_id)
            raise DrivenElsewhere(f"{run_id} is being driven by process {driver[1:].split('-')[0]}.")

    async def _watch_to_the_end(self, run_id: str, future: asyncio.Future[End]) -> End:
        """Another process drives it: read along until it has ended, or somebody here takes it over."""
        async for _ in self._journal.watch(after=0, run_id=run_id):
            run = await self.load(run_id)
            settled = end_of(run)
            if settled is not None:
                return settled
            if future.done():
                break
        return await future

    def _fresh(self, run_id: str, facts: Sequence[Fact]) -> Run:
        now = self._clock.now()
        recorded = [
            Recorded(position=0, run_id=run_id, seq=number, at=now, fact=fact) for number, fact in enumerate(facts, 1)
        ]
        return replace(fold(run_id, recorded), active_since=None, active_seconds=0.0)

    def _publish(self, run_id: str, facts: Sequence[Fact]) -> None:
        listeners = self._tools.listeners.get(run_id, ())
        if not listeners and not self._tools.observer.wants_facts():
            return
        now = self._clock.now()
        for number, fact in enumerate(facts, 1):
            record = Recorded(position=0, run_id=run_id, seq=number, at=now, fact=fact)
            self._tools.observer.fact(record)
            for listen in listeners:
                listen("fact", record)

    def _check_open(self) -> None:
        if self._closing:
            raise Conflict(
                "The platform is shutting down and takes no more work.", "Open it again.", code="run.closing"
            )


def end_of(run: Run) -> End | None:
    """How a run stands, if nothing but a person or a new call can change it."""
    if run.finished is not None:
        return End(finished=run.finished)
    if run.waiting is not None and run.waiting.reason != "timer":
        return End(waiting=run.waiting)
    return None
