"""One drive of one run: from a claim to the next wait or the end, with everything written as it happens."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from interlock.engine.approving import pass_gate, task_act
from interlock.engine.attempt import crashed, spokesman
from interlock.engine.audience import Audience
from interlock.engine.bench import RunBench, answered, failure_of
from interlock.engine.clock import Alarm, Clock
from interlock.engine.observer import Observer
from interlock.engine.outcome import End as End
from interlock.engine.outcome import Outcome as Outcome
from interlock.engine.parking import Parked, Stopped
from interlock.engine.pen import Pen
from interlock.engine.reserving import settle_cut_off, take_place
from interlock.engine.retry import RetryPolicy
from interlock.engine.veiled import cleaned, without_credentials
from interlock.errors import AgentTimeoutError, InterlockError, Refused, StoreFailed, UsageError
from interlock.records.fact import Fact, RunFinished, RunStarted, RunWaiting
from interlock.records.money import Usage, add_micros, usd_to_micros
from interlock.records.run import Run, fold_one, worked_before
from interlock.records.veil import Veil
from interlock.records.verdict import Act, Gate, refusal
from interlock.stores.journal import Claim, Journal

StopReason = Literal["cancelled", "deadline", "shutdown"]
#: A pause up to so many seconds is slept through in memory; a longer one parks the run.
PARK_AFTER = 2.0


Flow = Callable[[RunBench, Run], Awaitable[Outcome]]
Emit = Callable[[str, str, dict[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What every drive of an engine shares."""

    journal: Journal
    gate: Gate
    clock: Clock
    observer: Observer
    veil: Veil
    retry: RetryPolicy
    random: Callable[[], float]
    audience: Audience
    expires_after: float = 86_400.0


class Drive:
    """Drives one claimed run until it waits or ends. Made anew for every drive.

    Args:
        tools: What the engine shares.
        run: The run, folded from its facts.
        claim: The right to drive it.
        prelude: Facts of the run that are not written yet; they go with the first write, in one stroke.
    """

    __slots__ = (
        "_announced",
        "_deadline_alarm",
        "_draining",
        "_paths",
        "_paused",
        "_stop_alarm",
        "_task",
        "_tools",
        "_worked",
        "claim",
        "clock",
        "cost_micros",
        "deadline",
        "expires_after",
        "gate",
        "in_doubt",
        "max_cost_micros",
        "observer",
        "pen",
        "random",
        "reason",
        "retry",
        "run",
        "run_id",
        "started",
        "tenant",
        "usage",
        "user",
        "veil",
    )

    def __init__(
        self, tools: Tools, run: Run, claim: Claim, *, announced: bool = False, prelude: Sequence[Fact] = ()
    ) -> None:
        self._tools = tools
        self._announced = announced
        self.run = run
        self.run_id = run.run_id
        self.claim = claim
        self.pen = Pen(tools.journal, tools.audience, claim, prelude)
        self.gate, self.clock, self.observer, self.veil = tools.gate, tools.clock, tools.observer, tools.veil
        self.retry, self.random, self.expires_after = tools.retry, tools.random, tools.expires_after
        task = run.admitted.task if run.admitted else {}
        self.user: str | None = task.get("user")
        self.tenant: str | None = task.get("tenant")
        limit = task.get("max_cost")
        self.max_cost_micros: int | None = None if limit is None else usd_to_micros(limit)
        self.usage: Usage = run.usage
        self.cost_micros: int | None = run.cost_micros
        self.deadline = math.inf
        self.reason: StopReason | None = None
        self.started = self.clock.now()
        self._worked = 0.0
        self._draining = False
        self._paused = run.paused
        self._paths: set[str] = set()
        #: What must not be done twice and is under way here, was cut off, or was done by an agent that is at work.
        self.in_doubt: set[str] = set()
        self._task: asyncio.Task[Any] | None = None
        self._deadline_alarm: Alarm | None = None
        self._stop_alarm: Alarm | None = None

    # What a bench uses.

    def take(self, path: str) -> str:
        """Register a step's path; each may be used once in a drive.

        Raises:
            UsageError: it was used before; two steps of one name could not be told apart on resume.
        """
        if path in self._paths:
            raise UsageError(
                f"Two steps of the run are called {path!r}.", "Give each step its own name.", code="usage.step_name"
            )
        self._paths.add(path)
        return path

    def in_doubt_at(self, path: str) -> bool:
        """Whether a step, or one below it, may have happened and must not happen twice."""
        return path in self.in_doubt or any(one.startswith(f"{path}/") for one in self.in_doubt)

    async def catch_up(self, path: str) -> None:
        """Read what this drive has written, and let a step and those below it be taken once more."""
        await self.pen.write([])
        for record in await self._tools.journal.read(self.run_id, after=self.run.seq):
            fold_one(self.run, record)
        self._paths -= {one for one in self._paths if one == path or one.startswith(f"{path}/")}

    def step_key(self, path: str) -> str:
        """The idempotency key of a step: the same in every attempt and every process."""
        return f"{self.run_id}/{path}"

    def check(self) -> None:
        """Before anything new is begun: may this drive go on?"""
        self.pen.check()
        if self.reason is not None:  # some code swallowed its cancellation and would go on
            raise asyncio.CancelledError
        if self._draining:
            raise Parked("shutdown", says="The process that drove it was shut down.")
        if self._paused:
            raise Parked("paused", says="Paused; `interlock run resume` goes on.")

    def spent(self, usage: Usage, cost_micros: int | None) -> None:
        """Add up what the run consumed."""
        if usage.requests or cost_micros != 0:
            self.usage += usage
            self.cost_micros = add_micros(self.cost_micros, cost_micros)

    async def wait_until(self, at: float, says: str) -> None:
        """Wait: a little while in memory, longer by parking the run."""
        delay = at - self.clock.now()
        if delay <= 0:
            return
        if delay > PARK_AFTER:
            raise Parked("timer", until=min(at, self.deadline), says=f"Waiting for {says}.")
        await self.clock.sleep(delay)

    @property
    def watched(self) -> bool:
        """Whether someone listens to this run."""
        return self._tools.audience.watches(self.run_id)

    def emit(self, kind: str, data: dict[str, Any]) -> None:
        """Tell whoever watches this run right now."""
        self._tools.audience.emit(self.run_id, kind, data)

    def log_detail(self, path: str, error: InterlockError) -> None:
        """Hand the internal part of an error to the log, and only there."""
        self.observer.trouble(self.run_id, path, error)

    def cut_off_error(self) -> InterlockError | None:
        """What to write for a step that is being cut off; nothing on shutdown, for then it is in doubt."""
        if self.reason == "cancelled":
            return InterlockError("The run was cancelled in the middle of this step.", code="run.cancelled")
        if self.reason == "deadline":
            return self._too_late()
        return None

    # What the engine uses.

    def stop(self, reason: StopReason) -> None:
        """End the drive now: whatever it is doing is cancelled."""
        if self.reason is None:
            self.reason = reason
        if self._task is not None and not self._task.done():
            self._task.cancel()
            # Code that swallows one cancellation meets the next one.
            self._stop_alarm = self.clock.call_later(1.0, lambda: self.stop(reason))

    def drain(self) -> None:
        """Finish what is being done, begin nothing new."""
        self._draining = True

    def pause(self) -> None:
        """Finish what is being done, then wait for a resume."""
        self._paused = True

    def unpause(self) -> None:
        """Go on as if it had not been paused."""
        self._paused = False

    async def go(self, flow: Flow) -> End:
        """Drive to the next wait or the end. Never raises, except when the loop itself is torn down."""
        self._task = asyncio.current_task()
        self.started = self.clock.now()
        self._worked = worked_before(self.run, self.started)
        self._arm_deadline()
        try:
            if not self._announced:
                self.pen.write_later([RunStarted(driver=self.claim.owner, fence=self.claim.fence)])
            settle_cut_off(self)
            last = await self._play(flow)
            self._task = None  # how it ends is decided: nothing may cut the last fact off
            return await self._conclude(last)
        except Stopped as stopped:
            return End(error=stopped.error)
        except StoreFailed as error:
            return End(error=error)
        finally:
            for alarm in (self._deadline_alarm, self._stop_alarm):
                if alarm is not None:
                    alarm.cancel()

    async def _play(self, flow: Flow) -> RunFinished | RunWaiting:
        """Run the flow and name its end."""
        try:
            if self.run.cancel is not None:
                return self._cancelled()
            if self.deadline <= self.clock.now():
                return self._failed(self._too_late())
            await take_place(self)
            if (held := await self._held_at_the_door()) is not None:
                return held
            with self.observer.span("run", "run", run=self.run_id):
                self.check()
                outcome = await flow(RunBench(self), self.run)
            if self.reason is not None:  # the flow swallowed its cancellation
                raise asyncio.CancelledError
            return await self._completed(outcome)
        except BaseExceptionGroup as group:
            return self._ended_by(spokesman(group))
        # A bug in a flow or an agent ends this run, not the process.
        except (Exception, asyncio.CancelledError, Parked) as error:  # noqa: BLE001
            return self._ended_by(error)

    def _ended_by(self, error: BaseException) -> RunFinished | RunWaiting:
        """Name the end of a flow that raised."""
        if isinstance(error, Stopped):
            raise error
        if self.reason is not None:
            return self._interrupted()
        if isinstance(error, Parked):
            return RunWaiting(reason=error.reason, until=error.until, ref=error.ref, says=error.says)
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise error  # the loop is being torn down
        known = error if isinstance(error, InterlockError) else crashed(error)
        self.log_detail("", known)
        return self._failed(known)

    async def _held_at_the_door(self) -> RunFinished | RunWaiting | None:
        """A task that a person must allow first is not begun by anyone's resume, only by that person's yes.

        The gate is asked once more: what was allowed may have changed since.
        """
        run = self.run
        if run.let_in or run.question_at("", "approval") is None or run.admitted is None:
            return None
        crew = run.routed.candidates if run.routed else ()
        judge = task_act(run.admitted.task, self.run_id, crew, run.admitted.flow)
        passage = await pass_gate(self, judge, attempt=run.approvals_used.get("", 0) + 1)
        self.pen.write_later(passage.facts)
        if passage.parked is not None:
            waits = passage.parked
            return RunWaiting(reason="person", until=waits.until, ref=waits.ref, says=waits.says)
        if passage.permit is None:
            return self._failed(passage.error or Refused("No gate has allowed this task."))
        return None

    def _interrupted(self) -> RunFinished | RunWaiting:
        task = asyncio.current_task()
        while task is not None and task.cancelling():
            task.uncancel()
        if self.reason == "cancelled":
            return self._cancelled()
        if self.reason == "deadline":
            return self._failed(self._too_late())
        return RunWaiting(reason="shutdown", says="The process that drove it was shut down in the middle of a step.")

    async def _completed(self, outcome: Outcome) -> RunFinished:
        output, stages = await without_credentials(self.veil, [outcome.output, outcome.stages])
        outcome = replace(outcome, output=output, stages=stages)
        content = outcome.output if isinstance(outcome.output, str) else str(outcome.output)
        act = Act(
            kind="output", name=outcome.agent, run_id=self.run_id, user=self.user, tenant=self.tenant, content=content
        )
        verdict = await self.gate.admit(act)
        if not verdict.allowed:
            self.pen.write_later([answered(act, verdict)])
            return self._failed(refusal(verdict), guardrail=verdict.rule)
        status: Literal["completed", "failed"] = "completed" if outcome.failure is None else "failed"
        return self._finished(
            status, output=outcome.output, error=outcome.failure, agent=outcome.agent, stages=outcome.stages
        )

    def _failed(self, error: InterlockError, guardrail: str | None = None) -> RunFinished:
        status: Literal["blocked", "failed"] = "blocked" if guardrail or isinstance(error, Refused) else "failed"
        return self._finished(status, error=error, guardrail=guardrail)

    def _cancelled(self) -> RunFinished:
        cancel = self.run.cancel
        says = (
            f"Cancelled by {cancel.by}" + (f": {cancel.reason}" if cancel.reason else ".") if cancel else "Cancelled."
        )
        return self._finished(
            "cancelled", error=InterlockError(says, "Start it again if it is still wanted.", code="run.cancelled")
        )

    def _finished(
        self,
        status: Literal["completed", "failed", "blocked", "cancelled"],
        *,
        output: Any = None,
        error: InterlockError | None = None,
        guardrail: str | None = None,
        agent: str = "",
        stages: dict[str, Any] | None = None,
    ) -> RunFinished:
        return RunFinished(
            status=status,
            output=output,
            failure=failure_of(cleaned(error, self.veil)) if error is not None else None,
            guardrail=guardrail,
            agent=agent or (self.run.routed.platform if self.run.routed else ""),
            stages=stages or {},
            usage=self.usage,
            cost_micros=self.cost_micros,
            seconds=self._active_seconds(),
        )

    async def _conclude(self, last: RunFinished | RunWaiting) -> End:
        try:
            await self.pen.write([last])
        except StoreFailed as error:
            if error.code != "store.not_json":
                raise
            last = self._failed(
                UsageError("The result holds something JSON cannot carry.", code="agent.output_not_json")
            )
            await self.pen.write([last])
        if isinstance(last, RunFinished):
            return End(finished=last)
        return End(waiting=last)

    def _arm_deadline(self) -> None:
        timeout = (self.run.admitted.task.get("timeout") if self.run.admitted else None) or math.inf
        if timeout == math.inf:
            return
        left = timeout - (self._active_seconds() - self.run.forgiven_seconds)
        self.deadline = self.clock.now() + left
        if left > 0:
            self._deadline_alarm = self.clock.call_later(left, lambda: self.stop("deadline"))

    def _too_late(self) -> AgentTimeoutError:
        timeout = self.run.admitted.task.get("timeout") if self.run.admitted else None
        return AgentTimeoutError(f"The task took longer than its timeout of {timeout:g} s.")

    def _active_seconds(self) -> float:
        """Seconds of work so far, in this drive and those before; waiting for people is not counted."""
        return self._worked + max(0.0, self.clock.now() - self.started)
