"""The bench a run works at: each step is done once and only once, with its intent before and its outcome after."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from interlock.agents.agent import Attempt, Done
from interlock.agents.context import whole_characters
from interlock.engine.attempt import try_once
from interlock.engine.observer import SpanHandle
from interlock.engine.parking import Parked
from interlock.engine.retry import Again, after_failure
from interlock.errors import AgentFailed, AgentTimeoutError, InterlockError, StepLost, StoreFailed, from_code
from interlock.records.fact import (
    Failure,
    GateAnswered,
    Noted,
    QuestionAsked,
    StepFailed,
    StepFinished,
    StepKind,
    StepStarted,
)
from interlock.records.run import StepRun
from interlock.records.verdict import ALLOWED, Act, Effect, Permit, Verdict, refusal
from interlock.stores.encoding import as_read_back

if TYPE_CHECKING:
    from interlock.engine.drive import Drive


def failure_of(error: InterlockError) -> Failure:
    """An error as it is written down."""
    return Failure(
        code=error.code,
        says=whole_characters(error.says),
        do=whole_characters(error.do),
        retryable=error.retryable,
        retry_after=error.retry_after,
    )


def error_of(failure: Failure) -> InterlockError:
    """A written error as it was raised."""
    return from_code(failure.code, failure.says, failure.do, failure.retry_after)


class RunBench:
    """A `Bench` (see `agents.agent`) over one drive of one run.

    Args:
        drive: The drive it writes through.
        prefix: What goes before the names of its steps: empty, or ending in `/`.
    """

    __slots__ = ("_drive", "_prefix", "run_id", "tenant", "user")

    def __init__(self, drive: Drive, prefix: str = "") -> None:
        self._drive = drive
        self._prefix = prefix
        self.run_id = drive.run_id
        self.user: str | None = drive.user
        self.tenant: str | None = drive.tenant

    @property
    def watched(self) -> bool:
        """Whether someone watches this run right now."""
        return self._drive.watched

    def scope(self, name: str) -> RunBench:
        """The same bench with `name` before the names of its steps."""
        return RunBench(self._drive, f"{self._prefix}{name}/")

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
    ) -> Any:
        """See `Bench.step`."""
        drive = self._drive
        path = drive.take(self._prefix + name)
        known = drive.run.steps.get(path)
        if known is not None and known.status == "finished":
            return known.output
        tried = await self._pick_up(known) if known is not None else 0
        drive.check()
        facts: list[Any] = []
        permit = None
        if judge is not None:
            judge = replace(judge, run_id=self.run_id, path=path, user=self.user, tenant=self.tenant)
            permit = await self._pass_gate(judge, facts)
        started = StepStarted(
            path=path,
            what=what,
            name=label or name,
            attempt=tried + 1,
            key=known.key if known is not None and known.key else drive.step_key(path),
            repeatable=repeatable,
            input=input,
        )
        job = _Job(self._drive, act, started, facts, permit, timeout, heartbeat, attempts)
        return (await job.run()).output

    async def _pick_up(self, known: StepRun) -> int:
        """A step that was begun before: fail again, wait on, ask a person, or say how many tries were made."""
        if known.status == "failed" and known.failure is not None:
            raise error_of(known.failure)
        if known.status == "retrying" and known.again_at is not None:
            await self._drive.wait_until(known.again_at, f"the next try of {known.path}")
            return known.attempts
        if not known.repeatable:
            await self._ask_whether_to_repeat(known)
            return known.attempts  # it counts, so that a second doubt is a second question
        # The try that was cut off does not count: it is made again, under the same key.
        return known.attempts - 1

    async def _ask_whether_to_repeat(self, known: StepRun) -> None:
        drive = self._drive
        # A doubt is about one try: the answer to another one says nothing about it.
        question_id = _short_digest(f"{drive.run_id}|{known.path}|doubt|{known.started_at}|{known.attempts}")
        asked = drive.run.questions.get(question_id)
        if asked is not None and asked.answer == "repeat":
            return
        says = (
            f"{known.name} was cut off in the middle; it may have happened or not. Look whether it did, then "
            f"`interlock run resume {drive.run_id} --repeat` or `--skip`."
        )
        if asked is not None and asked.answer is not None:
            error = StepLost(f"{known.name} was cut off in the middle and was skipped.", code="step.skipped")
            await drive.pen.write(
                [StepFailed(path=known.path, attempt=known.attempts, failure=failure_of(error), seconds=0)]
            )
            raise error
        if asked is None:
            question = QuestionAsked(path=known.path, question_id=question_id, about="in_doubt", says=says)
            await drive.pen.write([question])
        raise Parked("person", ref=question_id, says=says)

    async def _pass_gate(self, judge: Act, facts: list[Any]) -> Permit:
        """Ask the gate; its answer is written together with the step's intent."""
        verdict = await self._drive.gate.admit(judge)
        if verdict.effect is not Effect.ALLOW or judge.kind != "model":
            facts.append(answered(judge, verdict))
        if verdict.effect is Effect.APPROVAL:
            verdict = await self._approval(judge, verdict, facts)
        if verdict.effect is Effect.BLOCK:
            error = refusal(verdict)
            facts.append(StepFailed(path=judge.path, attempt=0, failure=failure_of(error), seconds=0))
            await self._drive.pen.write(facts)
            raise error
        return Permit(judge, verdict)

    async def _approval(self, judge: Act, verdict: Verdict, facts: list[Any]) -> Verdict:
        """Ask a person about exactly this act; an act with other arguments is another question."""
        exact = json.dumps(
            [judge.run_id, judge.path, judge.kind, judge.name, judge.arguments, judge.cwd], sort_keys=True, default=str
        )
        question_id = _short_digest(exact)
        asked = self._drive.run.questions.get(question_id)
        if asked is None:
            says = verdict.reason or f"{judge.name} needs someone's approval."
            facts.append(
                QuestionAsked(
                    path=judge.path, question_id=question_id, about="approval", says=says, approver=verdict.approver
                )
            )
            await self._drive.pen.write(facts)
        if asked is None or asked.answer is None:
            raise Parked("person", ref=question_id, says=verdict.reason)
        if asked.answer == "allow":
            return replace(ALLOWED, rule=verdict.rule, reason=f"allowed by {asked.by}")
        return replace(verdict, effect=Effect.BLOCK, reason=f"{asked.by} said no: {asked.reason or 'no reason given'}")


class _Job:
    """All tries of one step, from its first intent to its last outcome."""

    __slots__ = ("_act", "_attempts", "_drive", "_facts", "_heartbeat", "_permit", "_started", "_timeout")

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
    ) -> None:
        self._drive = drive
        self._act = act
        self._started = started
        self._facts = facts
        self._permit = permit
        self._timeout = timeout
        self._heartbeat = heartbeat
        self._attempts = attempts

    async def run(self) -> Done:
        drive = self._drive
        while True:
            await drive.pen.write([*self._facts, self._started])
            self._facts = []
            begun = drive.clock.now()
            try:
                done = await self._try()
            except InterlockError as error:
                await self._failed(error, begun)
            except BaseException:
                self._cut_off(begun)
                raise
            else:
                await self._screen(done, begun)
                return await self._finished(done, begun)

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
                await self._settle(None, 0, failed=True)
                raise
            if done.usage.requests:
                span.set(input_tokens=done.usage.input_tokens, output_tokens=done.usage.output_tokens)
        await self._settle(done.cost_micros, done.usage.total_tokens, failed=False)
        return done

    async def _settle(self, cost_micros: int | None, tokens: int, *, failed: bool) -> None:
        if self._permit is not None:
            await self._drive.gate.settle(self._permit.act, cost_micros=cost_micros, tokens=tokens, failed=failed)

    async def _screen(self, done: Done, begun: float) -> None:
        """Let the gate see what a tool brought back; what it does not let pass is not even written down."""
        if self._permit is None or self._permit.act.kind not in ("tool", "command"):
            return
        content = done.output if isinstance(done.output, str) else json.dumps(done.output, default=str)
        seen = replace(self._permit.act, kind="tool_result", arguments={}, content=content)
        verdict = await self._drive.gate.admit(seen)
        if not verdict.allowed:
            error = refusal(verdict)
            await self._drive.pen.write([answered(seen, verdict), self._failure(error, begun)])
            raise error

    async def _finished(self, done: Done, begun: float) -> Done:
        started, drive = self._started, self._drive
        drive.spent(done.usage, done.cost_micros)
        try:
            # What cannot be written must fail this step, not a later one; and the flow goes on with what a
            # replay would find.
            done = replace(done, output=as_read_back(done.output))
        except StoreFailed as error:
            wrong = AgentFailed(f"{started.name} returned something JSON cannot carry.", code="agent.output_not_json")
            await drive.pen.write([self._failure(wrong, begun)])
            raise wrong from error
        fact = StepFinished(
            path=started.path,
            attempt=started.attempt,
            output=done.output,
            seconds=drive.clock.now() - begun,
            usage=done.usage,
            cost_micros=done.cost_micros,
        )
        # Not waited for here: the next intent, or the end of the run, is durable only after it.
        drive.pen.write_later([fact])
        return done

    def _failure(self, error: InterlockError, begun: float, again_at: float | None = None) -> StepFailed:
        return StepFailed(
            path=self._started.path,
            attempt=self._started.attempt,
            failure=failure_of(error),
            seconds=self._drive.clock.now() - begun,
            again_at=again_at,
        )

    async def _failed(self, error: InterlockError, begun: float) -> None:
        drive, started = self._drive, self._started
        policy = drive.retry if self._attempts is None else replace(drive.retry, attempts=self._attempts)
        if isinstance(error, AgentTimeoutError) and not started.repeatable:
            policy = replace(policy, attempts=1)  # it was cut off in the middle and may have happened
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


def answered(act: Act, verdict: Verdict) -> GateAnswered:
    """A gate's answer as it is written down."""
    effect = ("allow", "approval", "block")[verdict.effect]
    return GateAnswered(
        path=act.path,
        act=act.kind,
        name=act.name,
        effect=effect,  # type: ignore[arg-type]
        rule=verdict.rule,
        reason=verdict.reason,
        place=verdict.place,
        approver=verdict.approver,
    )


def _short_digest(text: str) -> str:
    return "q_" + hashlib.sha256(text.encode()).hexdigest()[:16]
