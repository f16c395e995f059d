"""The door: a task is given its ids, judged and written down, or recognised as work that is already known."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from interlock.engine.approving import questions_for, task_act
from interlock.engine.bench import answered, failure_of
from interlock.errors import AuthenticationError, Conflict, DrivenElsewhere, InterlockError, OverBudget, RateLimited
from interlock.flows.plan import EXECUTION, PLAN
from interlock.platform.casting import cast
from interlock.platform.ids import check_id, new_run_id
from interlock.platform.routing import HYBRID, Route
from interlock.records.fact import Fact, GateAnswered, RunAdmitted, RunFinished, RunRouted, RunWaiting
from interlock.records.run import QUEUED, Run
from interlock.records.task import Task
from interlock.records.verdict import Act, Effect, Verdict, refusal

if TYPE_CHECKING:
    from interlock.platform.assembly import House
    from interlock.platform.settings import Settings


FlowName = Literal["task", "hybrid", "plan", "decompose"]


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
        parent: The run it is forked from, if it is.
        kept: What is written down with it once it is let in: what it takes over from its parent.
    """

    task: Task
    task_id: str
    given: dict[str, Any]
    run_id: str
    digest: str
    flow: FlowName
    routed: RunRouted
    missing: tuple[str, ...]
    withheld: tuple[str, str] | None = None
    parent: str | None = None
    kept: tuple[Fact, ...] = ()

    @classmethod
    def of(
        cls,
        task: Task,
        run_id: str | None,
        decided: Route,
        available: Callable[[str], bool],
        others: Iterable[str],
        settings: Settings,
        flow: FlowName | None = None,
    ) -> Admission:
        """Give a routed task its ids and its crew.

        Args:
            task: The task.
            run_id: The caller's own id for the run, or None.
            decided: Who gets it.
            available: Whether an agent can work here.
            others: All agents there are.
            settings: What is set.
            flow: The shape of the work, where the route does not say it.

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
        missing, withheld = _lacking(crew, flow, available, settings)
        return cls(
            task=task,
            task_id=task_id,
            given=given,
            run_id=run,
            digest=digest,
            flow=flow or ("hybrid" if decided.platform == HYBRID else "task"),
            routed=routed,
            missing=missing,
            withheld=withheld,
        )

    def with_crew(self, routed: RunRouted, available: Callable[[str], bool], settings: Settings) -> Admission:
        """The same task at the door with another crew.

        Args:
            routed: Who gets it, and why.
            available: Whether an agent can work here.
            settings: What is set.
        """
        missing, withheld = _lacking(routed.candidates, self.flow, available, settings)
        return replace(self, routed=routed, missing=missing, withheld=withheld)


def _lacking(
    crew: Iterable[str], flow: FlowName | None, available: Callable[[str], bool], settings: Settings
) -> tuple[tuple[str, ...], tuple[str, str] | None]:
    """The variables that those who cannot work here need, and why a key that is there is not used."""
    if flow == "plan":  # its steps say themselves who they lack, and the others are done
        return (), None
    lacking = [name for name in dict.fromkeys(crew) if not available(name)]
    missing = tuple(dict.fromkeys(settings.variable_of(name) for name in lacking))
    return missing, next((settings.lacks(name) for name in lacking if settings.is_withheld(name)), None)


def digest_of(work: dict[str, Any]) -> str:
    """A digest of the work itself, a task's fields but its id: two tasks that differ only in that are the same work."""
    # How many steps of a plan run at once, and how often they are tried, makes it no other plan.
    context = work.get("context", {})
    if PLAN in context:
        work = {**work, "context": {name: value for name, value in context.items() if name != EXECUTION}}
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
    act = task_act(admission.given, admission.run_id, admission.routed.candidates, admission.flow)
    verdict = await house.gate.admit(act)
    accepted = RunAdmitted(
        task=admission.given,
        task_id=admission.task_id,
        flow=admission.flow,
        digest=admission.digest,
        parent=admission.parent,
    )
    first: list[Fact] = [accepted, admission.routed]
    ending = _at_the_door(house, admission, act, verdict, now)
    facts = [*first, answered(act, verdict), *_kept(admission, ending), *ending]
    charge = None if any(isinstance(fact, RunFinished) for fact in ending) else verdict.charge
    try:
        try:
            await house.engine.submit(admission.run_id, facts, durable=durable, charge=charge)
        except (OverBudget, RateLimited) as full:
            ending = _no_room(act, verdict, full, now)
            facts = [*first, *_kept(admission, ending), *ending]
            await house.engine.submit(admission.run_id, facts)
    except Conflict as conflict:
        return await same_work(house, admission, conflict)
    return Run(
        run_id=admission.run_id,
        admitted=accepted,
        routed=admission.routed,
        finished=facts[-1] if isinstance(facts[-1], RunFinished) else None,
        waiting=facts[-1] if isinstance(facts[-1], RunWaiting) else None,
        gates=[fact for fact in facts if isinstance(fact, GateAnswered)],
        created_at=now,
    )


def _kept(admission: Admission, ending: list[Fact]) -> tuple[Fact, ...]:
    """What a run takes over; nothing where it is not let in at all."""
    return () if any(isinstance(fact, RunFinished) for fact in ending) else admission.kept


def _at_the_door(house: House, admission: Admission, act: Act, verdict: Verdict, now: float) -> list[Fact]:
    """What ends or holds the run before anyone has done anything."""
    if verdict.effect is Effect.BLOCK:
        error: InterlockError = refusal(verdict)
        return [RunFinished(status="blocked", failure=failure_of(error), guardrail=verdict.rule)]
    if verdict.effect is Effect.APPROVAL:
        asked = questions_for(act, verdict, used=0, now=now, expires_after=house.expires_after, veil=house.veil)
        until = min((one.expires_at for one in asked if one.expires_at is not None), default=None)
        return [*asked, RunWaiting(reason="person", until=until, ref=asked[0].question_id, says=asked[0].says)]
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


def _no_room(act: Act, verdict: Verdict, full: OverBudget | RateLimited, now: float) -> list[Fact]:
    """A task that does not fit under a budget or limit is refused; or it waits for its turn, where a limit says so."""
    refused = replace(verdict, effect=Effect.BLOCK, rule=full.rule, reason=full.says)
    queue = verdict.allowed and verdict.charge is not None and verdict.charge.queue
    if queue and isinstance(full, RateLimited) and full.retry_after is not None:
        waiting = RunWaiting(reason="timer", until=now + full.retry_after, ref=QUEUED, says=full.says)
        return [answered(act, refused), waiting]
    return [answered(act, refused), RunFinished(status="blocked", failure=failure_of(full), guardrail=full.rule)]


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
