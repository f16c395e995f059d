"""Passing the gate: what it allows, what a person must be asked first, and what the answers come to."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from interlock.agents.agent import Attempt, Done
from interlock.engine.parking import Parked
from interlock.engine.written import answered
from interlock.errors import Denied, InterlockError, Refused, ToolFailed
from interlock.records.fact import ApprovalUsed, Fact, QuestionAnswered, QuestionAsked
from interlock.records.money import usd_to_micros
from interlock.records.question import NOBODY, TOO_LATE, Question, canonical, digest_of, is_late
from interlock.records.run import Run
from interlock.records.veil import Veil
from interlock.records.verdict import ALLOWED, Act, Effect, Permit, Verdict, refusal
from interlock.stores.encoding import as_read_back

if TYPE_CHECKING:
    from interlock.engine.drive import Drive

#: Makes the act anew from other arguments, as the tool itself would.
Remake = Callable[[Mapping[str, Any]], Act]
Work = Callable[[Attempt], Any]


@dataclass(slots=True, kw_only=True)
class Passage:
    """How an act came through the gate.

    Attributes:
        facts: What is to be written together with the intent, or with the refusal.
        permit: The permit, where it may be done.
        error: Why not, where it may not.
        parked: What is waited for, where people must answer first.
        on_approval: Whether it is done on a person's word, and so just once.
        edited: What a person put in place of the arguments.
        note: What the agent is told about that; empty where nobody changed anything.
    """

    facts: list[Fact] = field(default_factory=list)
    permit: Permit | None = None
    error: InterlockError | None = None
    parked: Parked | None = None
    on_approval: bool = False
    edited: Mapping[str, Any] | None = None
    note: str = ""

    def stop(self) -> BaseException:
        """What to raise when there is no permit."""
        return self.parked or self.error or Refused("No gate has allowed this.")

    def given(self, input: Any) -> Any:
        """What goes into the step, as it is written down: what a person wrote, where one changed it."""
        if self.edited is None or not isinstance(input, dict) or "arguments" not in input:
            return input
        return {**input, "arguments": dict(self.edited)}

    def about_edit(self, act: Work) -> Work:
        """An act that says with its result what a person made of the call, where one changed it."""
        if not self.note:
            return act

        async def told(attempt: Attempt) -> Done:
            try:
                found = await act(attempt)
            except ToolFailed as error:
                raise ToolFailed(f"{self.note} {error.says}", error.do, code=error.code, detail=error.detail) from error
            done = found if isinstance(found, Done) else Done(output=found)
            return replace(done, output={"changed": self.note, "result": done.output})

        return told


async def pass_gate(drive: Drive, act: Act, *, attempt: int, remake: Remake | None = None) -> Passage:
    """Ask the gate about an act, and people where the gate wants it. Writes nothing.

    The gate is asked every time, also when a person has answered: a block wins, and an approval counts only for
    what it showed.

    Args:
        drive: The drive it is done in.
        act: What would be done.
        attempt: The number of the try that would do it.
        remake: Makes the act from other arguments; without it people can only say yes or no.
    """
    verdict = await drive.gate.admit(act)
    passage = Passage()
    here = [one for one in drive.run.questions.values() if one.path == act.path and one.about == "approval"]
    changed = next((one for one in here if one.state == "allowed" and one.edited is not None), None)
    if verdict.effect is Effect.APPROVAL or (verdict.effect is Effect.ALLOW and changed is not None):
        refused = next((one for one in here if one.said_no), None)
        if verdict.effect is Effect.APPROVAL:
            passage.facts.append(answered(act, verdict))
        if refused is not None:
            passage.error = denial([refused])
        elif verdict.effect is Effect.ALLOW and changed is not None:
            await _change(drive, passage, changed, act, attempt, remake)
        else:
            await _with_approval(drive, passage, act, verdict, attempt, remake)
        return passage
    if act.kind not in ("model", "agent") or here or verdict.effect is Effect.BLOCK:
        passage.facts.append(answered(act, verdict))
    if verdict.effect is Effect.BLOCK:
        passage.error = refusal(verdict)
    elif any(one.said_no for one in here):
        passage.error = denial([one for one in here if one.said_no])
    else:
        passage.permit = Permit(act, verdict)
    return passage


async def _with_approval(
    drive: Drive, passage: Passage, act: Act, verdict: Verdict, attempt: int, remake: Remake | None
) -> None:
    """Let people decide, once they have; ask them where they have not been asked about exactly this."""
    run, now = drive.run, drive.clock.now()
    asked = questions_for(
        act,
        verdict,
        used=run.approvals_used.get(act.path, 0),
        now=now,
        expires_after=drive.expires_after,
        veil=drive.veil,
    )
    granted = next((one for one in run.questions.values() if _for_the_run(one, asked[0].digest)), None)
    if granted is not None:
        passage.facts.append(ApprovalUsed(question_id=granted.question_id, path=act.path, attempt=attempt))
        _permit(passage, act, verdict, [granted])
        return
    known = [_asked_already(run, one) for one in asked]
    new = [one for one, before in zip(asked, known, strict=True) if before is None]
    passage.facts += new
    open_ones = [one for one in known if one is not None and one.state == "pending"]
    late = [one for one in open_ones if is_late(one.expires_at, now)]
    if late:
        passage.facts += [
            QuestionAnswered(question_id=one.question_id, answer="deny", by=NOBODY, reason=TOO_LATE) for one in late
        ]
        passage.error = Denied(f"No one said yes: {TOO_LATE}.", "Ask again if it is still needed.")
    elif new or open_ones:
        waited: list[QuestionAsked | Question] = [*open_ones, *new]
        first = waited[0]
        until = min((one.expires_at for one in waited if one.expires_at is not None), default=None)
        passage.parked = Parked("person", until=until, ref=first.question_id, says=first.says)
    else:
        await _allowed(drive, passage, act, verdict, [one for one in known if one is not None], attempt, remake)


async def _allowed(
    drive: Drive,
    passage: Passage,
    act: Act,
    verdict: Verdict,
    questions: list[Question],
    attempt: int,
    remake: Remake | None,
) -> None:
    changed = next((one for one in questions if one.edited is not None), None)
    if changed is None:
        passage.facts += _uses(questions, act.path, attempt)
        _permit(passage, act, verdict, questions)
    elif len(questions) > 1:
        passage.facts += _uses(questions, act.path, attempt)
        passage.error = Denied(f"{changed.by} changed the call, which the others who must agree have not seen.")
    else:
        await _change(drive, passage, changed, act, attempt, remake)


async def _change(
    drive: Drive, passage: Passage, question: Question, act: Act, attempt: int, remake: Remake | None
) -> None:
    """Put what a person wrote in place of what was asked for. It is judged again, like everything."""
    passage.facts += _uses([question], act.path, attempt)
    edited = question.edited or {}
    if remake is None:
        passage.error = Denied(f"{question.by} changed the call, but this kind of call cannot be changed.")
        return
    try:
        made = remake(edited)
    except ToolFailed as error:
        passage.error = Denied(f"{question.by} changed the call to one that cannot be made: {error.says}")
        return
    made = replace(
        made,
        run_id=act.run_id,
        path=act.path,
        agent=act.agent,
        user=act.user,
        tenant=act.tenant,
        max_cost_micros=act.max_cost_micros,
    )
    what = described(made)
    if made.kind != act.kind:
        passage.error = Denied(f"{question.by} changed the call to something else: {what}.")
        return
    verdict = await drive.gate.admit(made)
    passage.facts.append(answered(made, verdict))
    if verdict.effect is Effect.BLOCK:
        passage.error = Denied(f"{question.by} changed the call to {what}, which may not be done: {verdict.reason}")
    elif verdict.effect is Effect.APPROVAL and not _covers(question, verdict):
        passage.error = Denied(f"{question.by} changed the call to {what}, which someone else must allow.")
    else:
        _permit(passage, made, verdict, [question])
        passage.edited = edited
        passage.note = f"{question.by} changed this call before allowing it. What really ran: {what}."


def _permit(passage: Passage, act: Act, verdict: Verdict, questions: Iterable[Question]) -> None:
    people = tuple(dict.fromkeys(by for one in questions for by in one.allowed_by))
    reason = f"allowed by {' and '.join(people)}"
    passage.permit = Permit(
        act, replace(ALLOWED, rule=verdict.rule, reason=reason, charge=verdict.charge, approved_by=people)
    )
    passage.on_approval = True


def _uses(questions: Iterable[Question], path: str, attempt: int) -> list[Fact]:
    return [ApprovalUsed(question_id=one.question_id, path=path, attempt=attempt) for one in questions]


def _for_the_run(question: Question, digest: str) -> bool:
    return question.scope == "run" and question.state in ("allowed", "used") and question.digest == digest


def _asked_already(run: Run, asked: QuestionAsked) -> Question | None:
    """The same question, unless it was taken back or used: then it has to be asked anew."""
    found = run.questions.get(asked.question_id)
    return found if found is not None and found.state not in ("void", "used") else None


def _covers(question: Question, verdict: Verdict) -> bool:
    """Whether whoever answered this question may allow an act that is judged so."""
    return all(one.quorum <= 1 and one.approver in (None, question.approver) for one in asking_parts(verdict))


def denial(questions: Iterable[Question]) -> Denied:
    """The error that tells about a no."""
    first = next(iter(questions))
    if first.state == "expired" or first.by == NOBODY:
        return Denied(f"No one said yes: {TOO_LATE}.", "Ask again if it is still needed.")
    return Denied(f"{first.by} said no: {first.reason or 'no reason given'}")


def described(act: Act) -> str:
    """An act in a few words: a command as one would type it, a call with its arguments."""
    argv = act.arguments.get("argv")
    if act.kind == "command" and isinstance(argv, list):
        return f"`{shlex.join(str(word) for word in argv)}`"
    return f"`{act.name}` with {canonical(dict(act.arguments))}"


def asking_parts(verdict: Verdict) -> list[Verdict]:
    """The answers that want a person, of all that a verdict was combined from."""
    if not verdict.parts:
        return [verdict] if verdict.effect is Effect.APPROVAL else []
    return [leaf for part in verdict.parts for leaf in asking_parts(part)] or [replace(verdict, parts=())]


def questions_for(
    act: Act, verdict: Verdict, *, used: int, now: float, expires_after: float, veil: Veil
) -> list[QuestionAsked]:
    """What people are asked before an act: one question for everyone that some rule wants to hear.

    All of them show the same. The id of a question follows from what it shows and from how many approvals were used
    at this step before, so that the same is not asked twice, and nothing that was used counts again.

    Args:
        act: What would be done.
        verdict: Why it is asked, with what the act would use as it is now (`evidence`).
        used: Approvals that were used at this step before.
        now: Seconds since 1970.
        expires_after: Seconds until silence is a denial, where the rules say nothing else.
        veil: Hides what nobody may see.
    """
    parts = asking_parts(verdict)
    asks = veil.known(as_read_back(_shown(act, verdict, parts)))
    digest = digest_of(asks)
    found = []
    for approver, wanted in _by_approver(parts).items():
        quorum = max(max(1, one.quorum) for one in wanted)
        exact = canonical([act.run_id, act.path, used, digest, approver, quorum])
        says = wanted[0].reason or f"{act.name} needs someone's approval."
        found.append(
            QuestionAsked(
                path=act.path,
                question_id=f"q_{hashlib.sha256(exact.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}",
                about="approval",
                says=veil.credentials(says),
                approver=approver,
                asks=asks,
                digest=digest,
                quorum=quorum,
                expires_at=now + min(expires_after if one.expires_in is None else one.expires_in for one in wanted),
                grants=[grant for grant in wanted[0].grants if all(grant in one.grants for one in parts)],
            )
        )
    return found


def _by_approver(parts: list[Verdict]) -> dict[str | None, list[Verdict]]:
    """Who must be heard, and which rules want it. Whoever is named counts as anyone, too."""
    found: dict[str | None, list[Verdict]] = {}
    for part in parts:
        found.setdefault(part.approver or None, []).append(part)
    if len(found) > 1 and all(one.quorum <= 1 for one in found.get(None, ())):
        found.pop(None, None)
    return found


def _shown(act: Act, verdict: Verdict, parts: list[Verdict]) -> dict[str, Any]:
    rules = [{"rule": one.rule, "place": one.place, "approver": one.approver, "quorum": one.quorum} for one in parts]
    return {
        "kind": act.kind,
        "name": act.name,
        "arguments": dict(act.arguments),
        "cwd": act.cwd,
        "agent": act.agent,
        "user": act.user,
        "tenant": act.tenant,
        "rule": parts[0].rule,
        "place": parts[0].place,
        "rules": rules,
        "evidence": {name: value for one in (*parts, verdict) for name, value in one.evidence.items()},
    }


def task_act(task: Mapping[str, Any], run_id: str, crew: Iterable[str] = (), flow: str = "") -> Act:
    """A task as it is judged at the door, with the agents it would be given to and how it would be carried out."""
    max_cost = task.get("max_cost")
    return Act(
        kind="task",
        name=task.get("type") or "task",
        arguments=task,
        run_id=run_id,
        user=task.get("user"),
        tenant=task.get("tenant"),
        content=str(task.get("description", "")),
        crew=tuple(crew),
        flow=flow,
        max_cost_micros=None if max_cost is None else usd_to_micros(max_cost),
    )
