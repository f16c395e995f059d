"""One drive of one run: from a claim to the next wait or the end, with everything written as it happens."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from interlock.engine.attempt import crashed
from interlock.engine.bench import RunBench, answered, failure_of
from interlock.engine.clock import Alarm, Clock
from interlock.engine.observer import Observer
from interlock.engine.parking import Parked, Stopped
from interlock.engine.retry import RetryPolicy
from interlock.errors import AgentTimeoutError, Conflict, InterlockError, Refused, StoreFailed, UsageError
from interlock.records.fact import Fact, Recorded, RunFinished, RunStarted, RunWaiting
from interlock.records.money import Usage, add_micros
from interlock.records.run import Run
from interlock.records.verdict import Act, Gate, refusal
from interlock.stores.journal import Claim, Journal

StopReason = Literal["cancelled", "deadline", "shutdown"]
#: A pause up to so many seconds is slept through in memory; a longer one parks the run.
PARK_AFTER = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a flow brings home.

    Args:
        output: The result, as JSON.
        agent: Who did it.
        stages: Results of named stages, for people.
        failure: Why the run counts as failed although there is an output.
    """

    output: Any
    agent: str = ""
    stages: dict[str, Any] = field(default_factory=dict)
    failure: InterlockError | None = None


Flow = Callable[[RunBench, Run], Awaitable[Outcome]]
Emit = Callable[[str, str, dict[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What every drive of an engine shares."""

    journal: Journal
    gate: Gate
    clock: Clock
    observer: Observer
    retry: RetryPolicy
    random: Callable[[], float]
    listeners: dict[str, list[Callable[[str, Any], None]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a drive ended: with the run's last fact, waiting, or by an error that is not the run's own."""

    finished: RunFinished | None = None
    waiting: RunWaiting | None = None
    error: Exception | None = None


class Drive:
    """Drives one claimed run until it waits or ends. Made anew for every drive.

    Args:
        tools: What the engine shares.
        run: The run, folded from its facts.
        claim: The right to drive it.
        prelude: Facts of the run that are not written yet; they go with the first write, in one stroke.
    """

    __slots__ = (
        "_broken",
        "_deadline_alarm",
        "_draining",
        "_held",
        "_paths",
        "_paused",
        "_stop_alarm",
        "_task",
        "_tools",
        "claim",
        "clock",
        "cost_micros",
        "deadline",
        "gate",
        "observer",
        "random",
        "reason",
        "retry",
        "run",
        "run_id",
        "started",
        "tenant",
        "usage",
        "user",
    )

    def __init__(self, tools: Tools, run: Run, claim: Claim, prelude: Sequence[Fact] = ()) -> None:
        self._tools = tools
        self._held: list[Fact] = list(prelude)
        self.run = run
        self.run_id = run.run_id
        self.claim = claim
        self.gate, self.clock, self.observer = tools.gate, tools.clock, tools.observer
        self.retry, self.random = tools.retry, tools.random
        task = run.admitted.task if run.admitted else {}
        self.user: str | None = task.get("user")
        self.tenant: str | None = task.get("tenant")
        self.usage: Usage = run.usage
        self.cost_micros: int | None = run.cost_micros
        self.deadline = math.inf
        self.reason: StopReason | None = None
        self.started = self.clock.now()
        self._broken: Exception | None = None
        self._draining = False
        self._paused = run.paused
        self._paths: set[str] = set()
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

    def step_key(self, path: str) -> str:
        """The idempotency key of a step: the same in every attempt and every process."""
        return f"{self.run_id}/{path}"

    def check(self) -> None:
        """Before anything new is begun: may this drive go on?"""
        if self._broken is not None:
            raise Stopped(self._broken)
        if self._draining:
            raise Parked("shutdown", says="The process that drove it was shut down.")
        if self._paused:
            raise Parked("paused", says="Paused; `interlock run resume` goes on.")

    async def write(self, facts: Sequence[Fact]) -> None:
        """Write facts and come back when they, and all written before them, are durable."""
        self._check_still_ours()
        try:
            await self._append(facts)
        except (StoreFailed, Conflict) as error:
            raise self._stopped(error) from error
        self._check_still_ours()

    def write_later(self, facts: Sequence[Fact]) -> None:
        """Write facts without waiting: with the next `write`, or when the loop turns, whichever is first.

        The next `write` comes back only when these are durable too.
        """
        self._check_still_ours()
        if not self._held:
            asyncio.get_running_loop().call_soon(self._flush)
        self._held += facts

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
        return self.run_id in self._tools.listeners

    def emit(self, kind: str, data: dict[str, Any]) -> None:
        """Tell whoever watches this run right now."""
        for listen in self._tools.listeners.get(self.run_id, ()):
            listen(kind, data)

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

    async def go(self, flow: Flow, *, announced: bool) -> End:
        """Drive to the next wait or the end. Never raises, except when the loop itself is torn down.

        Args:
            flow: The program of this run.
            announced: Whether `RunStarted` has been written together with the admission.
        """
        self._task = asyncio.current_task()
        self.started = self.clock.now()
        self._arm_deadline()
        try:
            if not announced:
                self.write_later([RunStarted(driver=self.claim.owner, fence=self.claim.fence)])
            last = await self._play(flow)
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
            with self.observer.span("run", "run", run=self.run_id):
                self.check()
                outcome = await flow(RunBench(self), self.run)
            if self.reason is not None:  # the flow swallowed its cancellation
                raise asyncio.CancelledError
            return await self._completed(outcome)
        except asyncio.CancelledError:
            return self._interrupted()
        except Parked as parked:
            return RunWaiting(reason=parked.reason, until=parked.until, ref=parked.ref, says=parked.says)
        except Stopped:
            raise
        except InterlockError as error:
            self.log_detail("", error)
            return self._failed(error)
        except Exception as error:  # noqa: BLE001 - a bug in a flow or an agent ends this run, not the process
            wrapped = crashed(error)
            self.log_detail("", wrapped)
            return self._failed(wrapped)

    def _interrupted(self) -> RunFinished | RunWaiting:
        task = asyncio.current_task()
        if self.reason is None:
            raise asyncio.CancelledError
        if task is not None:
            while task.cancelling():
                task.uncancel()
        if self.reason == "cancelled":
            return self._cancelled()
        if self.reason == "deadline":
            return self._failed(self._too_late())
        return RunWaiting(reason="shutdown", says="The process that drove it was shut down in the middle of a step.")

    async def _completed(self, outcome: Outcome) -> RunFinished:
        content = outcome.output if isinstance(outcome.output, str) else str(outcome.output)
        act = Act(
            kind="output", name=outcome.agent, run_id=self.run_id, user=self.user, tenant=self.tenant, content=content
        )
        verdict = await self.gate.admit(act)
        if not verdict.allowed:
            self.write_later([answered(act, verdict)])
            return self._failed(refusal(verdict), guardrail=verdict.rule)
        status: Literal["completed", "failed"] = "completed" if outcome.failure is None else "failed"
        return self._finished(
            status, output=outcome.output, error=outcome.failure, agent=outcome.agent, stages=outcome.stages
        )

    def _failed(self, error: InterlockError, guardrail: str | None = None) -> RunFinished:
        status: Literal["blocked", "failed"] = "blocked" if isinstance(error, Refused) else "failed"
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
            failure=failure_of(error) if error is not None else None,
            guardrail=guardrail,
            agent=agent or (self.run.routed.platform if self.run.routed else ""),
            stages=stages or {},
            usage=self.usage,
            cost_micros=self.cost_micros,
            seconds=self._active_seconds(),
        )

    async def _conclude(self, last: RunFinished | RunWaiting) -> End:
        try:
            await self.write([last])
        except StoreFailed as error:
            if error.code != "store.not_json":
                raise
            last = self._failed(
                UsageError("The result holds something JSON cannot carry.", code="agent.output_not_json")
            )
            await self.write([last])
        if isinstance(last, RunFinished):
            return End(finished=last)
        return End(waiting=last)

    def _arm_deadline(self) -> None:
        timeout = (self.run.admitted.task.get("timeout") if self.run.admitted else None) or math.inf
        if timeout == math.inf:
            return
        left = timeout - self._active_seconds()
        self.deadline = self.clock.now() + left
        if left > 0:
            self._deadline_alarm = self.clock.call_later(left, lambda: self.stop("deadline"))

    def _too_late(self) -> AgentTimeoutError:
        timeout = self.run.admitted.task.get("timeout") if self.run.admitted else None
        return AgentTimeoutError(f"The task took longer than its timeout of {timeout:g} s.")

    def _active_seconds(self) -> float:
        """Seconds of work so far, in this drive and those before; waiting for people is not counted."""
        run, now = self.run, self.clock.now()
        before = run.active_seconds
        if run.active_since is not None and run.waiting is not None:  # a retry's pause is still going on
            return before + max(0.0, now - run.active_since)
        if run.active_since is not None and run.updated_at > run.active_since:
            before += run.updated_at - run.active_since
        return before + max(0.0, now - self.started)

    def _append(self, facts: Sequence[Fact]) -> Awaitable[int]:
        held, self._held = self._held, []
        facts = [*held, *facts]
        try:
            written = self._tools.journal.append(self.run_id, facts, claim=self.claim)
        except StoreFailed:
            self._held = held  # what was already done must not go down with what could not be written
            raise
        return self._tell(facts, written)

    def _tell(self, facts: Sequence[Fact], written: Awaitable[int]) -> Awaitable[int]:
        """Once the facts are durable, tell whoever listens; nobody is told of what may still be lost."""
        listeners = self._tools.listeners.get(self.run_id)
        if not listeners and not self.observer.wants_facts():
            return written
        future = asyncio.ensure_future(written)
        future.add_done_callback(lambda done: self._told(facts, done))
        return future

    def _told(self, facts: Sequence[Fact], done: asyncio.Future[int]) -> None:
        if done.cancelled() or done.exception() is not None:
            return
        first = done.result() - len(facts) + 1
        now = self.clock.now()
        for number, fact in enumerate(facts):
            record = Recorded(position=0, run_id=self.run_id, seq=first + number, at=now, fact=fact)
            self.observer.fact(record)
            for listen in self._tools.listeners.get(self.run_id, ()):
                listen("fact", record)

    def _flush(self) -> None:
        if not self._held:
            return
        try:
            future = asyncio.ensure_future(self._append(()))
        except InterlockError as error:
            self._broken = self._broken or error
            return
        future.add_done_callback(self._written_later)

    def _written_later(self, done: asyncio.Future[int]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            self._broken = self._broken or (error if isinstance(error, Exception) else RuntimeError(str(error)))

    def _check_still_ours(self) -> None:
        if self._broken is not None:
            raise Stopped(self._broken)

    def _stopped(self, error: StoreFailed | Conflict) -> BaseException:
        if error.code == "store.not_json":
            return error
        self._broken = error
        return Stopped(error)
