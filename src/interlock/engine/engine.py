"""The engine: takes runs in, has them driven once and only once, and answers for how they end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from interlock.engine.answers import in_doubt_answers
from interlock.engine.audience import Audience
from interlock.engine.beginning import begin, load_run, nothing_left, take_up
from interlock.engine.clock import Clock, SystemClock
from interlock.engine.dispatch import EmbeddedDispatch
from interlock.engine.drive import Drive, Flow, Tools
from interlock.engine.ear import Ear
from interlock.engine.looks import any_run, driver_elsewhere, due, left_behind, parked_by
from interlock.engine.observer import Observer, Silence
from interlock.engine.outcome import End
from interlock.engine.settings import EngineSettings as EngineSettings
from interlock.engine.waiting import WaitingRoom
from interlock.engine.waiting import end_of as end_of
from interlock.errors import Conflict, DrivenElsewhere, InterlockError, StoreFailed
from interlock.records.charge import Charge
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
from interlock.records.run import Run
from interlock.records.task import TaskStatus
from interlock.records.veil import NO_VEIL, Veil
from interlock.records.verdict import Gate
from interlock.stores.journal import Claim, Journal

#: So many admitted runs are kept ready in memory while they queue; the others are read again when it is their turn.
KEPT_READY = 2000


class Engine:
    """Drives runs over a journal. Belongs to the event loop it is first used on.

    Args:
        journal: Where facts rest.
        gate: What every act must pass.
        flows: The programs of runs, by name.
        settings: Limits and policies.
        clock: The time.
        observer: Who is told what happens.
        veil: Takes secrets out of results, errors and what is told.
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
        veil: Veil = NO_VEIL,
    ) -> None:
        self._settings = settings or EngineSettings()
        self._journal = journal
        #: Who parked the runs that are brought back here: this engine's own journal, or anyone.
        self._mine = "" if self._settings.adopt else journal.owner
        self._flows = flows
        self._clock = clock or SystemClock()
        self._tools = Tools(
            journal=journal,
            gate=gate,
            clock=self._clock,
            observer=observer or Silence(),
            veil=veil,
            retry=self._settings.retry,
            random=self._settings.random,
            audience=Audience(observer or Silence(), self._clock.now),
            expires_after=self._settings.expires_after,
        )
        self._entering: dict[str, asyncio.Future[int]] = {}
        self._live: dict[str, Drive] = {}
        self._ready: dict[str, Drive] = {}
        #: Runs that are queued here, those that are being advanced, and those to advance once more after that.
        self._queued: set[str] = set()
        self._busy: set[str] = set()
        self._again: set[str] = set()
        self._waiting = WaitingRoom(journal, self._holds, lambda run_id: self._send(run_id, 3))
        self._dispatch = EmbeddedDispatch(
            self._advance, self._submit_due, most=self._settings.max_runs, clock=self._clock
        )
        self._ear = Ear(journal, self._heard, lambda error: self._tools.observer.trouble("", "", error), self._clock)
        self._closing = False

    # Taking work in.

    async def submit(
        self, run_id: str, facts: Sequence[Fact], *, durable: bool = True, charge: Charge | None = None
    ) -> None:
        """Write a new run down and have it driven. When this returns, the run is durable.

        Args:
            run_id: Its id.
            facts: `RunAdmitted` first, then what was decided at the door; ends the run at once if the last
                one is a `RunFinished` or `RunWaiting`.
            durable: False leaves the writing to the run's first step, which saves a commit: nothing is done
                before it is durable all the same, but a taken id is only found by whoever waits for the run.
            charge: What must fit on budgets and under limits, or nothing is written; with one it is always durable.

        Raises:
            Conflict: the id is taken.
            OverBudget, RateLimited: the charge does not fit.
            StoreFailed: it cannot be written.
        """
        self._check_open()
        self._ear.listen()
        admitted = facts[0]
        assert isinstance(admitted, RunAdmitted)
        while (entering := self._entering.get(run_id)) is not None:
            await asyncio.wait({entering})
        if self.here(run_id) is not None:
            raise Conflict(f"There is already a run {run_id}.", "Choose another id.", code="run.id_taken")
        # Not the same number for every new run: of two that are submitted under one id, only one may write.
        fence = 1 + int(self._settings.random() * 2**31)
        claim = Claim(run_id=run_id, owner=self._journal.owner, fence=fence, seq=len(facts))
        if isinstance(facts[-1], (RunFinished, RunWaiting)):
            await self._journal.append(run_id, facts, claim=claim, charge=charge)
            self._tools.audience.tell(run_id, facts, 1)
            if isinstance(facts[-1], RunWaiting) and facts[-1].until is not None:
                self._dispatch.submit(run_id, priority=3, not_before=facts[-1].until)
            return
        at_once = self._dispatch.room()
        keep = at_once or len(self._ready) < KEPT_READY
        if at_once:
            facts = [*facts, RunStarted(driver=self._journal.owner, fence=fence)]
        if at_once and not durable and charge is None:
            self._queue_new(admitted, run_id, begin(self._tools, claim, facts, written=False))
            return
        taken = begin(self._tools, claim, facts, written=True) if keep else None
        claimed = claim if keep else None
        written = asyncio.ensure_future(self._journal.append(run_id, facts, claim=claimed, charge=charge))
        self._entering[run_id] = written
        written.add_done_callback(lambda _: self._entering.pop(run_id, None))
        try:
            await asyncio.shield(written)
        except asyncio.CancelledError:
            # Whoever submitted it has gone, but the run may be durable all the same: then it is driven.
            written.add_done_callback(lambda done: self._taken_in(done, run_id, facts, taken))
            raise
        self._taken_in(written, run_id, facts, taken)

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
        self._ear.listen()
        run = await self.load(run_id)
        if run.status is TaskStatus.COMPLETED:
            return
        if run.status in (TaskStatus.BLOCKED, TaskStatus.CANCELLED):
            raise Conflict(f"{run_id} is over: {run.status.value}.", "Start a new run.", code="run.over")
        held = self._holds(run_id)
        # A claim that an event loop gave back as it ended may still be on its way to the store: queue behind it.
        await self._journal.release(Claim(run_id=run_id, owner="", fence=0, seq=0))
        driver = await driver_elsewhere(self._journal, run_id)
        if driver is not None and not held and not self._holds(run_id):
            raise DrivenElsewhere(f"{run_id} is being driven by {driver}.")
        facts: list[Fact] = in_doubt_answers(run, answer, by)
        if run.status is TaskStatus.FAILED or run.paused:
            facts.append(ResumeAsked(by=by, retry=run.status is TaskStatus.FAILED))
        if facts:
            await self._journal.append(run_id, facts)
        if run_id in self._busy:
            if facts:
                self._once_more(run_id)
            return
        self._send(run_id, int(run.admitted.task.get("priority", 3)) if run.admitted else 3)

    async def answer(self, run: Run, answer: Mapping[str, str], *, by: str) -> None:
        """Answer open questions about steps of a run that were cut off.

        Args:
            run: The run.
            answer: `repeat` or `skip`, by the question's id.
            by: Who says so.
        """
        facts = in_doubt_answers(run, answer, by)
        if facts:
            await self._journal.append(run.run_id, facts)

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
        drive = self._live.get(run_id) or self._ready.get(run_id)
        if drive is not None:
            drive.run.cancel = asked
            drive.stop("cancelled")
        self._ear.listen()
        if run_id not in self._live and await driver_elsewhere(self._journal, run_id) is None:
            self._send(run_id, 1)
        return True

    async def pause(self, run_id: str, *, by: str) -> None:
        """Let a run finish the steps it is in and begin nothing new until it is resumed.

        Raises:
            NotFound: there is no such run.
            Conflict: it has ended.
        """
        run = await self.load(run_id)
        if run.status.is_final:
            raise Conflict(f"{run_id} is over: {run.status.value}.", "There is nothing to pause.", code="run.over")
        await self._journal.append(run_id, [PauseAsked(by=by)])
        drive = self._live.get(run_id) or self._ready.get(run_id)
        if drive is not None:
            drive.pause()

    # Answering for it.

    def here(self, run_id: str) -> Run | None:
        """A run that is driven here, or is about to be, as it was when its drive began; None for any other."""
        drive = self._live.get(run_id) or self._ready.get(run_id)
        return drive.run if drive is not None else None

    def _holds(self, run_id: str) -> bool:
        return run_id in self._busy or run_id in self._queued

    def claims(self) -> list[Claim]:
        """The claims of all runs that are driven here, or are about to be."""
        return [drive.claim for drive in (*self._live.values(), *self._ready.values())]

    async def load(self, run_id: str) -> Run:
        """The run as its facts tell it.

        Raises:
            NotFound: there is no such run.
        """
        return await load_run(self._journal, run_id)

    async def wait(self, run_id: str) -> End:
        """Come back when the run has ended, or waits for something no timer brings.

        Raises:
            NotFound: there is no such run.
        """
        return await self._waiting.wait(run_id)

    def listen(self, run_id: str, listener: Callable[[str, Any], None]) -> Callable[[], None]:
        """Have a callable told of a run's durable facts (`"fact", Recorded`) and live events while it is driven here.

        Returns:
            A function that ends it.
        """
        return self._tools.audience.join(run_id, listener)

    @property
    def driving(self) -> int:
        """How many runs are being driven here."""
        return len(self._live)

    async def recover(self, can_go_on: Callable[[str], Awaitable[bool]] = any_run) -> list[str]:
        """Take up the runs whose driver died, was shut down, or is not there to hear their timer; and say which.

        Args:
            can_go_on: Whether this process has what a run needs; one that cannot go on here is left as it is.
        """
        self._ear.listen()
        rows = [row for row in await left_behind(self._journal, self._clock.now()) if await can_go_on(row.run_id)]
        for row in rows:
            self._send(row.run_id, row.priority)
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
        for drive in self._ready.values():
            with contextlib.suppress(StoreFailed):
                await self._journal.release(drive.claim)
        self._ready.clear()
        if not await self._dispatch.idle(grace):
            await self._cut_off()
        await self._ear.close()
        self._waiting.close()

    # Inside.

    async def _cut_off(self) -> None:
        for drive in list(self._live.values()):
            drive.stop("shutdown")
        if not await self._dispatch.idle(5.0):
            self._dispatch.abandon()

    def _taken_in(self, written: asyncio.Future[int], run_id: str, facts: Sequence[Fact], drive: Drive | None) -> None:
        """Once a new run is durable: tell, and queue it."""
        if not written.cancelled() and written.exception() is None:
            self._tools.audience.tell(run_id, facts, 1)
            self._queue_new(facts[0], run_id, drive)

    def _queue_new(self, admitted: Fact, run_id: str, drive: Drive | None) -> None:
        assert isinstance(admitted, RunAdmitted)
        if drive is not None and not self._closing:  # when closing, the journal frees the claim
            self._ready[run_id] = drive
        self._send(run_id, int(admitted.task.get("priority", 3)))

    def _send(self, run_id: str, priority: int) -> None:
        """Queue a run, unless it is being advanced already."""
        if run_id not in self._busy and not self._closing:
            self._queued.add(run_id)
            self._dispatch.submit(run_id, priority=priority)

    def _once_more(self, run_id: str) -> None:
        """Something new was written for a run that is being advanced: should it park, it is advanced once more."""
        self._again.add(run_id)
        drive = self._live.get(run_id)
        if drive is not None:
            drive.unpause()

    def _advance(self, run_id: str) -> Awaitable[None]:
        """Drive a run until it waits or ends. Never raises."""
        # Not left to the coroutine, which begins a moment later: in between it must not count as queued.
        self._queued.discard(run_id)
        self._busy.add(run_id)
        self._again.discard(run_id)
        drive = self._ready.pop(run_id, None)
        if drive is not None:
            self._live[run_id] = drive
        return self._drive_and_tell(run_id, drive)

    async def _drive_and_tell(self, run_id: str, drive: Drive | None) -> None:
        end: End | None = None
        try:
            end = await self._drive(run_id, drive)
        except InterlockError as error:
            end = End(error=error)
        except asyncio.CancelledError:
            # The loop is being torn down without a close: the run is left for whoever resumes it.
            left = self._live.get(run_id)
            if left is not None:
                with contextlib.suppress(StoreFailed):
                    self._journal.release(left.claim)
            raise
        except Exception as error:  # noqa: BLE001 - whoever waits for the run must be told, whatever breaks
            end = End(error=StoreFailed("The run could not be driven any further.", detail=repr(error)))
        finally:
            self._busy.discard(run_id)
            self._live.pop(run_id, None)
            if end is not None:
                self._let_go(run_id, end)

    def _let_go(self, run_id: str, end: End) -> None:
        waiting = end.waiting
        if waiting is not None and run_id in self._again and not self._closing:
            self._send(run_id, 1)
            return
        if waiting is not None and waiting.until is not None:
            self._dispatch.submit(run_id, priority=3, not_before=waiting.until)
        self._waiting.settle(run_id, end)

    async def _drive(self, run_id: str, drive: Drive | None) -> End:
        if drive is None:
            drive = await take_up(self._tools, run_id)
        if drive.run.finished is not None:
            await self._journal.release(drive.claim)
            return End(finished=drive.run.finished)
        flow = self._flow_of(drive.run)
        if flow is None:
            await self._journal.release(drive.claim)
            name = drive.run.admitted.flow if drive.run.admitted is not None else "?"
            missing = f"This process does not know the flow {name!r}."
            return End(error=Conflict(missing, "Register it and resume the run.", code="run.unknown_flow"))
        if self._closing:
            drive.drain()
        self._live[run_id] = drive
        end = await drive.go(flow)
        if end.error is not None:
            with contextlib.suppress(StoreFailed):
                await self._journal.release(drive.claim)
        return end

    def _flow_of(self, run: Run) -> Flow | None:
        flow = self._flows.get(run.admitted.flow) if run.admitted is not None else None
        # A run that was cancelled is only brought to its end, which any process can do.
        return flow if flow is not None or run.cancel is None else nothing_left

    async def _submit_due(self) -> float | None:
        rows, following = await due(self._journal, self._clock.now(), self._mine)
        for row in rows:
            self._send(row.run_id, row.priority)
        return following

    async def _heard(self, record: Recorded) -> None:
        run_id = record.run_id
        drive = self._live.get(run_id) or self._ready.get(run_id)
        if drive is not None and record.seq <= drive.run.seq:
            return  # it was known when the drive began
        match record.fact:
            case CancelAsked() if drive is not None and drive.reason is None:
                drive.run.cancel = record.fact
                drive.stop("cancelled")
            case PauseAsked() if drive is not None:
                drive.pause()
            case ResumeAsked() | QuestionAnswered() if run_id in self._busy:
                self._once_more(run_id)
            case QuestionAnswered() if drive is None and await parked_by(self._journal, run_id, self._mine):
                self._send(run_id, 1)
            case _:
                return

    def _check_open(self) -> None:
        if self._closing:
            raise Conflict(
                "The platform is shutting down and takes no more work.", "Open it again.", code="run.closing"
            )
