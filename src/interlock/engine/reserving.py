"""Reserving: a step's intent is written together with what it may cost, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from interlock.engine.approving import task_act
from interlock.engine.parking import Parked
from interlock.engine.retry import LONGEST_WAIT
from interlock.engine.written import answered, failure_of
from interlock.errors import InterlockError, OverBudget, RateLimited, RateLimitError, StepLost
from interlock.records.charge import Charge
from interlock.records.fact import ApprovalUsed, Fact, StepFailed, StepStarted
from interlock.records.money import NOTHING_USED
from interlock.records.run import QUEUED
from interlock.records.verdict import Act, refusal

if TYPE_CHECKING:
    from interlock.engine.drive import Drive


async def write_intent(drive: Drive, facts: Sequence[Fact], started: StepStarted, charge: Charge | None) -> StepStarted:
    """Write a step's intent down, and reserve in the same stroke what it may cost.

    A limit without room is waited for, a long time by parking the run. A budget without room fails the step.

    Args:
        drive: The drive it is done in.
        facts: What goes down with the intent, before it.
        started: The intent.
        charge: What must fit; None where no budget or limit applies.

    Returns:
        The intent as it was written.

    Raises:
        OverBudget: a budget has no room; that is written down.
        RateLimitError: a limit has no room before the run's deadline, or for longer than a day; so is this.
    """
    if charge is None:
        await drive.pen.write([*facts, started])
        return started
    started = replace(started, hold_micros=charge.micros)
    while True:
        try:
            await drive.pen.write([*facts, started], charge)
        except RateLimited as limited:
            wait = LONGEST_WAIT if limited.retry_after is None else limited.retry_after
            at = drive.clock.now() + wait * (1 + drive.random() / 8)  # or all who wait would come back at once
            if wait >= LONGEST_WAIT or at >= drive.deadline:
                late = RateLimitError(limited.says, limited.do, retry_after=limited.retry_after)
                raise await _refused(drive, facts, started, late) from limited
            await drive.wait_until(at, f"room under {limited.rule}")
            drive.check()
        except OverBudget as over:
            raise await _refused(drive, facts, started, over) from None
        else:
            return started


async def _refused(drive: Drive, facts: Sequence[Fact], started: StepStarted, error: InterlockError) -> InterlockError:
    """Write down that the step was not begun: number 0 is no try. An approval for it stays unused."""
    kept = [fact for fact in facts if not isinstance(fact, ApprovalUsed)]
    failed = StepFailed(path=started.path, attempt=0, failure=failure_of(error), seconds=0)
    await drive.pen.write([*kept, failed])
    return error


async def take_place(drive: Drive) -> None:
    """Let a task in that was queued at the door by a limit, if there is room now.

    Raises:
        Parked: there is still none.
        InterlockError: the gate does not let it in any more, or a budget is used up.
    """
    run = drive.run
    if not run.queued or run.admitted is None:
        return
    crew = run.routed.candidates if run.routed is not None else ()
    act = task_act(run.admitted.task, run.run_id, crew, run.admitted.flow)
    verdict = await drive.gate.admit(act)
    if not verdict.allowed:
        raise refusal(verdict)
    try:
        await drive.pen.write([answered(act, verdict)], verdict.charge)
    except RateLimited as limited:
        until = drive.clock.now() + (limited.retry_after or 1.0)
        raise Parked("timer", until=until, ref=QUEUED, says=limited.says) from limited


def settle_cut_off(drive: Drive) -> None:
    """Charge in full what was held for tries that were cut off: nobody knows their outcome."""
    now = drive.clock.now()
    for step in drive.run.steps.values():
        if step.status != "running" or not step.hold_micros or not step.repeatable:
            continue
        lost = StepLost(f"{step.name} was cut off in the middle; it is charged in full.")
        failed = StepFailed(
            path=step.path,
            attempt=step.attempts,
            failure=failure_of(lost),
            seconds=0,
            again_at=now,
            cost_micros=step.hold_micros,
        )
        drive.pen.write_later([failed])
        drive.spent(NOTHING_USED, step.hold_micros)
        step.status, step.again_at = "retrying", now


def paid_for(act: Act | None, started: StepStarted) -> tuple[str, str]:
    """The agent and the model that a step's cost is for, as reports name them."""
    if act is None:
        return (started.name if started.what in ("agent", "function") else ""), ""
    if act.kind != "model":
        return act.agent, ""
    return act.agent, f"{act.arguments.get('provider', '')}/{act.name}".lstrip("/")
