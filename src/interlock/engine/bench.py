"""The bench a run works at: each step is done once and only once, with its intent before and its outcome after."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from interlock.agents.agent import Attempt, Done
from interlock.agents.context import whole_characters
from interlock.engine.approving import Passage, Remake, pass_gate
from interlock.engine.attempt import try_once
from interlock.engine.clock import Clock
from interlock.engine.doubting import ask_whether_to_repeat, settle
from interlock.engine.observer import SpanHandle
from interlock.engine.reserving import paid_for, write_intent
from interlock.engine.retry import Again, after_failure
from interlock.engine.veiled import cleaned, without_credentials
from interlock.engine.written import answered as answered
from interlock.engine.written import error_of
from interlock.engine.written import failure_of as failure_of
from interlock.errors import AgentFailed, InterlockError, StoreFailed
from interlock.records.doubt import UNKNOWN_OUTCOME
from interlock.records.fact import (
    Noted,
    StepFailed,
    StepFinished,
    StepKind,
    StepStarted,
)
from interlock.records.money import NOTHING_USED
from interlock.records.run import StepRun
from interlock.records.veil import Veil
from interlock.records.verdict import Act, Permit, refusal
from interlock.stores.encoding import as_read_back

if TYPE_CHECKING:
    from interlock.engine.drive import Drive


class RunBench:
    """A `Bench` (see `agents.agent`) over one drive of one run.

    Args:
        drive: The drive it writes through.
        prefix: What goes before the names of its steps: empty, or ending in `/`.
        agent: Who works at it, by the name tasks are routed to; empty where that is for the acts to say.
    """

    __slots__ = ("_agent", "_drive", "_prefix", "run_id", "tenant", "user")

    def __init__(self, drive: Drive, prefix: str = "", agent: str = "") -> None:
        self._drive = drive
        self._prefix = prefix
        self._agent = agent
        self.run_id = drive.run_id
        self.user: str | None = drive.user
        self.tenant: str | None = drive.tenant

    @property
    def watched(self) -> bool:
        """Whether someone watches this run right now."""
        return self._drive.watched

    @property
    def clock(self) -> Clock:
        """The time the run goes by."""
        return self._drive.clock

    @property
    def veil(self) -> Veil:
        """Hides secrets and credentials in what work brings."""
        return self._drive.veil

    async def retake(self, name: str) -> None:
        """Take a step up again that was left to wait: what it has done so far is known, and is not done again."""
        await self._drive.catch_up(self._prefix + name)

    async def settle(self, name: str) -> None:
        """Before a step that failed is tried again: see `doubting.settle`."""
        await settle(self._drive, self._prefix + name)

    def scope(self, name: str) -> RunBench:
        """The same bench with `name` before the names of its steps."""
        return RunBench(self._drive, f"{self._prefix}{name}/", self._agent)

    def lent_to(self, agent: str) -> RunBench:
        """The same bench with someone at work whose acts are judged under this name, whatever they call themselves."""
        return RunBench(self._drive, self._prefix, agent)

    def emit(self, kind: str, **data: Any) -> None:
        """Tell whoever watches right now; not written down."""
        self._drive.emit(kind, {"path": self._prefix.rstrip("/"), **data})

    def span(self, name: str, kind: str) -> AbstractContextManager[SpanHandle]:
        """A span around live work, for whoever traces."""
        return self._drive.observer.span(name, kind, run=self.run_id, step=self._prefix.rstrip("/"))

    async def note(self, level: str, code: str, says: str) -> None:
        """Write down something an operator should see, once: a replay does not say it again."""
        path = self._prefix.rstrip("/")
        if not any(note.code == code and note.path == path for note in self._drive.run.notes):
            self._drive.pen.write_later(
                [
                    Noted(
                        level="warning" if level == "warning" else "info",
                        code=code,
                        says=whole_characters(says),
                        path=path,
                    )
                ]
            )

    async def sleep(self, name: str, seconds: float) -> None:
        """Wait durably. A long wait parks the run: it holds nothing, and comes back in any process."""
        drive = self._drive
        path = drive.take(f"{self._prefix}{name}")
        known = drive.run.steps.get(path)
        if known is not None and known.status == "finished":
            return
        until = known.input["until"] if known is not None else drive.clock.now() + seconds
        if known is None:
            started = StepStarted(
                path=path, what="timer", name=name, attempt=1, key=path, repeatable=True, input={"until": until}
            )
            await drive.pen.write([started])
        await drive.wait_until(until, f"a timer ({name})")
        drive.pen.write_later([StepFinished(path=path, attempt=1, output=None, seconds=max(0.0, seconds))])

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
        remake: Remake | None = None,
    ) -> Any:
        """See `Bench.step`."""
        drive = self._drive
        path = drive.take(self._prefix + name)
        known = drive.run.steps.get(path)
        agents = what == "tool" and bool(self._agent)
        if known is not None and known.status == "finished":
            if agents and not known.repeatable:
                drive.in_doubt.add(path)
            return known.output
        tried = await self._pick_up(known) if known is not None else 0
        drive.check()
        passage = Passage()
        if judge is None and what == "agent":  # whoever works in one piece may cost something all the same
            judge = Act(kind="agent", name=label or name, agent=label or name)
        if judge is not None:
            most = drive.max_cost_micros
            judge = replace(
                judge, run_id=self.run_id, path=path, user=self.user, tenant=self.tenant, max_cost_micros=most
            )
            judge = self._signed(judge)
            again = None if remake is None else lambda changed: self._signed(remake(changed))
            passage = await self._pass_gate(judge, tried + 1, again)
        started = StepStarted(
            path=path,
            what=what,
            name=label or name,
            attempt=tried + 1,
            key=known.key if known is not None and known.key else drive.step_key(path),
            repeatable=repeatable and not passage.note,
            input=passage.given(input),
        )
        if passage.on_approval:
            attempts = 1  # it was allowed once: trying again is asking again
        work = passage.about_edit(act)
        job = _Job(self._drive, work, started, passage.facts, passage.permit, timeout, heartbeat, attempts, agents)
        return (await job.run()).output

    def _signed(self, act: Act) -> Act:
        """An act under the name of who works here; an agent has no say in who it is."""
        if not self._agent:
            return act
        return replace(act, agent=self._agent, name=self._agent if act.kind == "agent" else act.name)

    async def _pick_up(self, known: StepRun) -> int:
        """A step that was begun before: fail again, wait on, ask a person, or say how many tries were made."""
        if known.status == "failed" and known.failure is not None:
            raise error_of(known.failure)
        if known.status == "retrying" and known.again_at is not None:
            await self._drive.wait_until(known.again_at, f"the next try of {known.path}")
            return known.attempts
        if not known.repeatable:
            await ask_whether_to_repeat(self._drive, known)
            return known.attempts  # it counts, so that a second doubt is a second question
        # The try that was cut off does not count: it is made again, under the same key.
        return known.attempts - 1

    async def _pass_gate(self, judge: Act, attempt: int, remake: Remake | None) -> Passage:
        """Ask the gate, and people where it wants that; what they said is written together with the step's intent."""
        passage = await pass_gate(self._drive, judge, attempt=attempt, remake=remake)
        if passage.permit is None:
            if passage.error is not None:
                failure = failure_of(passage.error)
                passage.facts.append(StepFailed(path=judge.path, attempt=0, failure=failure, seconds=0))
            await self._drive.pen.write(passage.facts)
            raise passage.stop()
        return passage


class _Job:
    """All tries of one step, from its first intent to its last outcome."""

    __slots__ = ("_act", "_agents", "_attempts", "_drive", "_facts", "_heartbeat", "_permit", "_started", "_timeout")

    def __init__(
        self,
        drive: Drive,
        act: Callable[[Attempt], Awaitable[Any]],
        started: StepStarted,
        facts: list[Any],
        permit: Permit | None,
        timeout: float | None,
        heartbeat: float | None,
        attempts: int | None,
        agents: bool,
    ) -> None:
        self._drive = drive
        self._act = act
        self._started = started
        self._facts = facts
        self._permit = permit
        self._timeout = timeout
        self._heartbeat = heartbeat
        self._attempts = attempts
        #: Whether it is an agent's tool call: should its work fail afterwards, it was done all the same.
        self._agents = agents

    async def run(self) -> Done:
        drive = self._drive
        while True:
            charge = self._permit.verdict.charge if self._permit is not None else None
            self._started = await write_intent(drive, self._facts, self._started, charge)
            self._facts = []
            begun = drive.clock.now()
            if not self._started.repeatable:
                drive.in_doubt.add(self._started.path)
            try:
                done = await self._try()
            except InterlockError as error:
                await self._failed(error, begun)
            except BaseException:
                self._cut_off(begun)
                raise
            else:
                return await self._finished(await self._screen(done, begun), begun)

    async def _try(self) -> Done:
        started = self._started
        attempt = Attempt(
            number=started.attempt,
            key=started.key,
            path=started.path,
            timeout=self._timeout,
            permit=self._permit,
        )
        with self._drive.observer.span(started.name, started.what, run=self._drive.run_id, step=started.path) as span:
            try:
                done = await try_once(self._act, attempt, self._heartbeat)
            except InterlockError as error:
                span.fail(error.code)
                raise
            if done.usage.requests:
                span.set(input_tokens=done.usage.input_tokens, output_tokens=done.usage.output_tokens)
        return done

    async def _screen(self, done: Done, begun: float) -> Done:
        """Hide the secrets in what a tool brought back, and let the gate see it; what it does not let pass is not even
        written down."""
        if self._permit is None or self._permit.act.kind not in ("tool", "command"):
            return done
        done = replace(done, output=await without_credentials(self._drive.veil, done.output))
        content = done.output if isinstance(done.output, str) else json.dumps(done.output, default=str)
        seen = replace(self._permit.act, kind="tool_result", arguments={}, content=content)
        verdict = await self._drive.gate.admit(seen)
        if not verdict.allowed:
            error = refusal(verdict)
            await self._drive.pen.write([answered(seen, verdict), self._failure(error, begun, done=done)])
            raise error
        return done

    async def _finished(self, done: Done, begun: float) -> Done:
        started, drive = self._started, self._drive
        drive.spent(done.usage, done.cost_micros)
        try:
            # What cannot be written must fail this step, not a later one; and the flow goes on with what a
            # replay would find.
            done = replace(done, output=drive.veil.known(as_read_back(done.output)))
        except StoreFailed as error:
            wrong = AgentFailed(f"{started.name} returned something JSON cannot carry.", code="agent.output_not_json")
            await drive.pen.write([self._failure(wrong, begun, done=done)])
            raise wrong from error
        if not started.repeatable and not self._agents:
            drive.in_doubt.discard(started.path)
        fact = StepFinished(
            path=started.path,
            attempt=started.attempt,
            output=done.output,
            seconds=drive.clock.now() - begun,
            usage=done.usage,
            cost_micros=done.cost_micros,
            agent=self._paid_for[0],
            model=self._paid_for[1],
        )
        # Not waited for here: the next intent, or the end of the run, is durable only after it.
        drive.pen.write_later([fact])
        return done

    @property
    def _paid_for(self) -> tuple[str, str]:
        return paid_for(self._permit.act if self._permit is not None else None, self._started)

    def _failure(
        self, error: InterlockError, begun: float, again_at: float | None = None, *, done: Done | None = None
    ) -> StepFailed:
        """A failed try with its cost: what it reported, else all that was held unless it is known to have been free."""
        cost = self._started.hold_micros if error.may_have_cost else 0
        if done is None:
            self._drive.spent(NOTHING_USED, cost)
        agent, model = self._paid_for
        return StepFailed(
            path=self._started.path,
            attempt=self._started.attempt,
            failure=failure_of(error),
            seconds=self._drive.clock.now() - begun,
            again_at=again_at,
            usage=NOTHING_USED if done is None else done.usage,
            cost_micros=cost if done is None else done.cost_micros,
            agent=agent,
            model=model,
        )

    async def _failed(self, error: InterlockError, begun: float) -> None:
        drive, started = self._drive, self._started
        cleaned(error, drive.veil)
        policy = drive.retry if self._attempts is None else replace(drive.retry, attempts=self._attempts)
        if error.code not in UNKNOWN_OUTCOME:
            drive.in_doubt.discard(started.path)
        if drive.in_doubt_at(started.path):
            policy = replace(policy, attempts=1)  # it, or what it did, was cut off in the middle and may have happened
        now = drive.clock.now()
        decision = after_failure(
            policy, error, started.attempt, now=now, random=drive.random(), deadline=drive.deadline
        )
        again_at = decision.at if isinstance(decision, Again) else None
        drive.log_detail(started.path, error)
        drive.pen.write_later([self._failure(error, begun, again_at)])
        if again_at is None:
            raise error
        await drive.wait_until(again_at, f"the next try of {started.name}")
        drive.check()
        self._started = replace(started, attempt=started.attempt + 1)

    def _cut_off(self, begun: float) -> None:
        """Cancelled, timed out as a run, or shut down in the middle of a try."""
        error = self._drive.cut_off_error()
        if error is not None:
            self._drive.pen.write_later([self._failure(error, begun)])
