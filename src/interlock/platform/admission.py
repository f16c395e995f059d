"""The door: a task is given its ids, judged and written down, or recognised as work that is already known."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from interlock.engine.bench import answered, failure_of
from interlock.errors import AuthenticationError, Conflict, DrivenElsewhere, InterlockError
from interlock.platform.casting import cast
from interlock.platform.ids import check_id, new_run_id
from interlock.platform.routing import HYBRID, Route
from interlock.records.fact import Fact, GateAnswered, QuestionAsked, RunAdmitted, RunFinished, RunRouted, RunWaiting
from interlock.records.run import Run
from interlock.records.task import Task
from interlock.records.verdict import Act, Effect, Verdict, refusal

if TYPE_CHECKING:
    from interlock.platform.assembly import House
    from interlock.platform.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """A task at the door.

    Args:
        task: The task.
        task_id: Its id: its own, or a UUID.
        given: The task as JSON, under that id.
        run_id: The run it is to become.
        digest: Tells same work from different work.
        flow: The shape of the work.
        routed: Who gets it, and why.
        missing: What those who lack a key need: names of environment variables.
        withheld: Why a key that is there is not used, and what to do about it; empty where there is none.
    """

    task: Task
    task_id: str
    given: dict[str, Any]
    run_id: str
    digest: str
    flow: Literal["task", "hybrid"]
    routed: RunRouted
    missing: tuple[str, ...]
    withheld: tuple[str, str] | None = None

    @classmethod
    def of(
        cls,
        task: Task,
        run_id: str | None,
        decided: Route,
        available: Callable[[str], bool],
        others: Iterable[str],
        settings: Settings,
    ) -> Admission:
        """Give a routed task its ids and its crew.

        Raises:
            UsageError: an id that cannot be used.
        """
        wanted = run_id or task.id
        run = check_id(wanted) if wanted else new_run_id()
        given = task.to_json()
        task_id = given.pop("id") or str(uuid.uuid4())
        digest = digest_of(given)
        given["id"] = task_id
        reasons = list(decided.reasons)
        if decided.platform == HYBRID:
            crew, more = cast(others, available)
            reasons += more
        else:
            crew = [decided.platform]
        routed = RunRouted(platform=decided.platform, candidates=crew, reasons=reasons)
        lacking = [name for name in dict.fromkeys(crew) if not available(name)]
        missing = tuple(dict.fromkeys(settings.variable_of(name) for name in lacking))
        flow: Literal["task", "hybrid"] = "hybrid" if decided.platform == HYBRID else "task"
        return cls(
            task=task,
            task_id=task_id,
            given=given,
            run_id=run,
            digest=digest,
            flow=flow,
            routed=routed,
            missing=missing,
            withheld=next((settings.lacks(name) for name in lacking if settings.is_withheld(name)), None),
        )


def digest_of(work: dict[str, Any]) -> str:
    """A digest of the work itself, a task's fields but its id: two tasks that differ only in that are the same work."""
    return hashlib.sha256(json.dumps(work, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


async def admit(house: House, admission: Admission, *, now: float, durable: bool = True) -> Run:
    """Judge a task and write it down, durable when this returns.

    Args:
        house: The parts of this loop.
        admission: The task at the door.
        now: Seconds since 1970.
        durable: False leaves the writing to the run's first step; see `Engine.submit`. Then a taken id shows when
            the run is waited for, and `same_work` answers it.

    Returns:
        The run, which may have ended at the door; or the run that already has this id and does the same work,
        which is resumed if nobody drives it.

    Raises:
        Conflict: the id is taken by different work.
        StoreFailed: it cannot be written.
    """
    task = admission.task
    act = Act(
        kind="task",
        name=task.type.value if task.type else "task",
        arguments=admission.given,
        run_id=admission.run_id,
        user=task.user,
        tenant=task.tenant,
        content=task.description,
    )
    verdict = await house.gate.admit(act)
    facts: list[Fact] = [
        RunAdmitted(task=admission.given, task_id=admission.task_id, flow=admission.flow, digest=admission.digest),
        admission.routed,
        answered(act, verdict),
        *_at_the_door(admission, verdict),
    ]
    try:
        await house.engine.submit(admission.run_id, facts, durable=durable)
    except Conflict as conflict:
        return await same_work(house, admission, conflict)
    return Run(
        run_id=admission.run_id,
        admitted=facts[0] if isinstance(facts[0], RunAdmitted) else None,
        routed=admission.routed,
        finished=facts[-1] if isinstance(facts[-1], RunFinished) else None,
        waiting=facts[-1] if isinstance(facts[-1], RunWaiting) else None,
        gates=[fact for fact in facts if isinstance(fact, GateAnswered)],
        created_at=now,
    )


def _at_the_door(admission: Admission, verdict: Verdict) -> list[Fact]:
    """What ends or holds the run before anyone has done anything."""
    if verdict.effect is Effect.BLOCK:
        error: InterlockError = refusal(verdict)
        return [RunFinished(status="blocked", failure=failure_of(error), guardrail=verdict.rule)]
    if verdict.effect is Effect.APPROVAL:
        question = "q_" + hashlib.sha256(f"{admission.run_id}|task|{admission.digest}".encode()).hexdigest()[:16]
        asked = QuestionAsked(
            path="", question_id=question, about="approval", says=verdict.reason, approver=verdict.approver
        )
        return [asked, RunWaiting(reason="person", ref=question, says=verdict.reason)]
    if admission.missing:
        if admission.withheld is not None:
            error = AuthenticationError(*admission.withheld)
            return [RunFinished(status="failed", failure=failure_of(error))]
        # Whoever has no key at all may begin with either vendor's.
        usual = {"OPENAI_API_KEY", "ANTHROPIC_API_KEY"}
        wanted = sorted(usual if usual & set(admission.missing) else set(admission.missing))
        error = AuthenticationError(
            f"{admission.routed.platform} is not ready: there is no API key.",
            f"Set {' or '.join(wanted)}, or see it work without one: `interlock demo`.",
        )
        return [RunFinished(status="failed", failure=failure_of(error))]
    return []


async def same_work(house: House, admission: Admission, conflict: Conflict) -> Run:
    """The run that already has this id, if it does the same work; it is resumed if nobody drives it.

    Raises:
        Conflict: it is different work.
    """
    if conflict.code != "run.id_taken":
        raise conflict
    run = house.engine.here(admission.run_id) or await house.engine.load(admission.run_id)
    if run.admitted is None or run.admitted.digest != admission.digest:
        raise Conflict(
            f"The id {admission.run_id} is taken by different work.",
            "Choose another id; the same id is only accepted again for the same work.",
            code="run.id_taken",
        ) from conflict
    if run.finished is None and run.waiting is None and house.engine.here(admission.run_id) is None:
        try:
            await house.engine.resume(admission.run_id, by="submitted again")
        except DrivenElsewhere:
            return run  # whoever drives it brings the result; `wait` reads along
    return run
