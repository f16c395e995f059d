"""Approvals: who waits for whose word, and how people give it, from any process, on any day."""

from __future__ import annotations

import copy
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from interlock.errors import Conflict, InterlockError, NotFound, Refused, UsageError
from interlock.flows.doubts import ANSWERS, command_line
from interlock.governance.access import AccessRules
from interlock.platform.approval import Approval, approval_in, approval_of, approval_of_row
from interlock.platform.approval_links import Link, LinkSigner
from interlock.platform.portal import in_private_loop
from interlock.records.fact import QuestionAnswered
from interlock.records.question import NOBODY, Question, is_late, same_person
from interlock.records.run import Run, fold
from interlock.stores.journal import Journal, QuestionRow

#: What a person may be asked for.
PERMISSION = "approval:answer"
#: Seconds a link holds, unless something else is said.
LINK_HOLDS = 86_400.0
#: So short a beginning of an id is enough.
SHORTEST = 6
LONGEST_REASON = 2_000

Rules = Callable[[], AccessRules | None]
GoOn = Callable[[str, str], Awaitable[None]]


def nobody_configured() -> AccessRules | None:
    """The users of someone who runs everything alone: there are none."""
    return None


async def left_to_others(run_id: str, by: str) -> None:
    """Leave an answered run to whoever parked it."""


class Approvals:
    """Everything people can do about what waits for them. The facts are the truth: any process sees the same.

    Args:
        journal: Gives the journal, opened when it is first needed.
        home: The folder with the key for links.
        now: The clock: seconds since 1970.
        rules: Who may answer, where users are configured. Without users anyone may, but for who asked, and what is
            written down says so.
        go_on: Has an answered run go on, given its id and who answered.
    """

    def __init__(
        self,
        journal: Callable[[], Journal],
        home: Path,
        now: Callable[[], float],
        *,
        rules: Rules = nobody_configured,
        go_on: GoOn = left_to_others,
    ) -> None:
        self._journal = journal
        self._now = now
        self._rules = rules
        self._go_on = go_on
        self._links = LinkSigner(home)

    def without_driving(self) -> Approvals:
        """The same, but answered runs are left to others, for a process that will not stay."""
        alike = copy.copy(self)
        alike._go_on = left_to_others
        return alike

    def pending(self, limit: int = 1000) -> list[Approval]:
        """What waits for an answer, the oldest first: acts to allow, and steps in doubt; see `Approval.about`."""
        return in_private_loop(lambda: self.waiting(limit))

    async def waiting(self, limit: int = 1000) -> list[Approval]:
        """The same as `pending`, for code with an event loop."""
        now = self._now()
        rows = await self._journal().questions(limit=limit)
        return [await self._read(row, now) for row in rows if not is_late(row.expires_at, now)]

    async def show(self, id: str) -> Approval:
        """One approval, answered or not.

        Args:
            id: Its id, or a unique beginning of at least 6 characters.

        Raises:
            NotFound: `approval.not_found`.
            UsageError: several begin so; the message lists them.
        """
        run, question = await self._find(id)
        return approval_in(run, question, self._now())

    async def approve(
        self,
        id: str,
        *,
        by: str,
        reason: str = "",
        edit: Mapping[str, Any] | None = None,
        scope: Literal["once", "run"] = "once",
        digest: str | None = None,
    ) -> Approval:
        """Say yes to exactly what is shown. The run goes on by itself once enough people have.

        Args:
            id: The approval.
            by: Who says so.
            reason: Why; it is written down.
            edit: Arguments to put in place of those asked for. What comes of it is judged again before it is done.
            scope: `run` allows the same act for the rest of the run, where the rule offers that.
            digest: What the person has seen; by default what is asked now.

        Returns:
            The approval, still `pending` where more people must agree.

        Raises:
            NotFound: `approval.not_found`.
            Conflict: `approval.already_answered`, `approval.void`: it is no longer asked; `approval.changed`: what
                the person has seen is not what is asked now.
            Refused: `approval.self`: nobody allows their own request; `approval.not_yours`: someone else must answer;
                `approval.expired`.
            UsageError: `by` is empty, or the edit or scope is not possible here; `usage.in_doubt`: it is about a step
                in doubt, which a yes would not answer.
        """
        run, question = await self._find_asked(id)
        if edit is not None:
            _check_edit(run, question, edit)
        if scope not in ("once", "run") or (scope == "run" and ("run" not in question.grants or edit is not None)):
            raise UsageError("This cannot be allowed for the whole run.", "Allow it once.", code="usage.approval_scope")
        fact = QuestionAnswered(
            question_id=question.question_id,
            answer="allow",
            by=_name(by),
            reason=_short(reason),
            digest=question.digest if digest is None else digest,
            scope=scope,
            edited=dict(edit) if edit is not None else None,
        )
        return await self._answer(run, question, fact)

    async def reject(self, id: str, *, by: str, reason: str = "", digest: str | None = None) -> Approval:
        """Say no. The agent is told, with the reason; nothing is done. One no is enough.

        Raises:
            NotFound, Conflict, Refused, UsageError: as `approve`.
        """
        run, question = await self._find_asked(id)
        fact = QuestionAnswered(
            question_id=question.question_id,
            answer="deny",
            by=_name(by),
            reason=_short(reason),
            digest=question.digest if digest is None else digest,
        )
        return await self._answer(run, question, fact)

    async def link(self, id: str, approver: str, *, expires_in: float = LINK_HOLDS) -> str:
        """A token with which one person can answer this question once, without signing in.

        Args:
            id: The approval.
            approver: Who is to answer with it.
            expires_in: Seconds it holds, never longer than the question.

        Raises:
            NotFound, Conflict, Refused: as `approve`, where this person could not answer.
            SettingsError: the key for links cannot be used.
        """
        run, question = await self._find_asked(id)
        approver = _name(approver)
        self._check(run, question, approver, question.digest)
        until = self._now() + expires_in
        until = until if question.expires_at is None else min(until, question.expires_at)
        return self._links.sign(
            Link(question_id=question.question_id, digest=question.digest, approver=approver, expires_at=until)
        )

    async def answer_link(self, token: str, answer: Literal["allow", "deny"], *, reason: str = "") -> Approval:
        """Answer with a link's token, in the name of the person it was made for.

        Raises:
            Refused: `approval.link`: it is not valid, or has expired.
            NotFound, Conflict, Refused, UsageError: as `approve`.
        """
        link = self._links.read(token, self._now())
        if answer == "allow":
            return await self.approve(link.question_id, by=link.approver, reason=reason, digest=link.digest)
        if answer == "deny":
            return await self.reject(link.question_id, by=link.approver, reason=reason, digest=link.digest)
        raise UsageError(f"The answer is 'allow' or 'deny', not {answer!r:.40}.", code="usage.approval_answer")

    # Inside.

    async def _read(self, row: QuestionRow, now: float) -> Approval:
        if row.asked.about == "approval":
            return approval_of_row(row, now)
        run = fold(row.run_id, await self._journal().read(row.run_id))
        return approval_in(run, run.questions[row.question_id], now)

    async def _find_asked(self, given: str) -> tuple[Run, Question]:
        """Something that is to be allowed. "Yes" would not say of a step in doubt whether it is to be done again."""
        run, question = await self._find(given)
        if question.about == "in_doubt":
            raise not_for_approval(approval_in(run, question, self._now()))
        return run, question

    async def _find(self, given: str) -> tuple[Run, Question]:
        journal = self._journal()
        rows = await journal.questions(state="", prefix=given, limit=6) if len(given) >= SHORTEST else []
        exact = [row for row in rows if row.question_id == given] or rows
        if not exact:
            raise NotFound(
                f"There is no approval {given[:60]}.",
                "`interlock approval list` shows them.",
                code="approval.not_found",
            )
        if len(exact) > 1:
            listed = ", ".join(row.question_id for row in exact[:5])
            raise UsageError(f"{given} is the beginning of several approvals: {listed}.", code="usage.ambiguous_id")
        run = fold(exact[0].run_id, await journal.read(exact[0].run_id))
        return run, run.questions[exact[0].question_id]

    async def _answer(self, run: Run, question: Question, fact: QuestionAnswered) -> Approval:
        self._check(run, question, fact.by, fact.digest)
        journal = self._journal()
        seq = await journal.append(run.run_id, [fact])
        # Someone else may have been first: the facts, in their order, say whose answer counted.
        run = fold(run.run_id, await journal.read(run.run_id))
        question = run.questions[question.question_id]
        if seq not in question.counted:
            self._check(run, question, fact.by, fact.digest)
            raise _answered_by(question, fact.by)
        if question.state != "pending" and not run.paused:
            await self._go_on(run.run_id, fact.by)
        return approval_of(run.run_id, question, self._now())

    def _check(self, run: Run, question: Question, by: str, digest: str) -> None:
        """Refuse an answer that would not count, and say why."""
        if any(same_person(by, requester) for requester in run.requesters(question)):
            raise Refused(
                f"{by} asked for this, and nobody answers their own request.",
                "Someone else must answer.",
                code="approval.self",
            )
        self._check_approver(run, question, by)
        if question.state == "void":
            says = "It is no longer asked: what would be done has changed, or the run is over."
            raise Conflict(says, "See `interlock approval list`.", code="approval.void")
        if question.state == "expired" or (question.state == "pending" and is_late(question.expires_at, self._now())):
            raise Refused(
                "Nobody answered in time, which counts as a denial.",
                "The agent may ask again.",
                code="approval.expired",
            )
        if question.state != "pending" or any(same_person(by, one) for one in question.allowed_by):
            raise _answered_by(question, by)
        if digest != question.digest:
            says = "What is asked now is not what this answer is about."
            raise Conflict(says, f"See `interlock approval show {question.question_id}`.", code="approval.changed")

    def _check_approver(self, run: Run, question: Question, by: str) -> None:
        rules = self._rules()
        if rules is None or rules.open:
            return  # nobody can be told apart: the record says who was named, and who answered
        tenant = run.admitted.task.get("tenant") if run.admitted is not None else None
        verdict = rules.may(by, PERMISSION, tenant=tenant)
        user = rules.users.get(by)
        if not verdict.allowed or user is None:
            raise Refused(verdict.reason, "Ask someone who may answer.", code="approval.not_yours")
        if user.tenant != tenant:  # a run of no tenant is none of a tenant's
            raise Refused(
                f"{by} does not belong to that tenant.", "Ask someone who may answer.", code="approval.not_yours"
            )
        if question.approver and not same_person(by, question.approver) and question.approver not in user.roles:
            raise Refused(
                f"{question.approver} must answer this, and {by} is not.",
                "Ask someone who may answer.",
                code="approval.not_yours",
            )


def not_for_approval(asked: Approval, command: Callable[..., str] = command_line) -> UsageError:
    """Why a step in doubt is neither allowed nor denied, with the two answers there are.

    Args:
        asked: What is asked.
        command: Makes a command line of its words.
    """
    says = f"{asked.id} asks what became of {asked.step} in {asked.run_id}; that can be neither allowed nor denied."
    again, skip = (command(*asked.answer_words(word)) for word in ANSWERS)
    do = f"Look whether it happened. Do it again: `{again}`. Take it for failed: `{skip}`."
    return UsageError(says, do, code="usage.in_doubt")


def _answered_by(question: Question, by: str) -> InterlockError:
    if question.state == "pending":
        says = f"{by} has agreed already; {len(question.allowed_by)} of {question.quorum} have."
        return Conflict(says, "Someone else must agree too.", code="approval.already_answered")
    said = "no" if question.said_no else "yes"
    says = f"{question.by or 'Someone'} answered first, and said {said}."
    return Conflict(says, "One answer is enough; nothing is left to do.", code="approval.already_answered")


def _check_edit(run: Run, question: Question, edit: Mapping[str, Any]) -> None:
    alike = [one for one in run.questions.values() if one.path == question.path and one.digest == question.digest]
    if not isinstance(edit, Mapping) or not all(isinstance(name, str) for name in edit):
        raise UsageError("An edit is an object with the new arguments.", code="usage.approval_edit")
    if question.quorum > 1 or len(alike) > 1:
        says = "What several people must agree to cannot be changed by one of them."
        raise UsageError(says, "Say no, with a reason that tells what would be right.", code="usage.approval_edit")
    if question.asks.get("kind") not in ("tool", "command"):
        says = "Only the arguments of a tool or a command can be changed."
        raise UsageError(says, "Say no, with a reason that tells what would be right.", code="usage.approval_edit")


def _name(by: str) -> str:
    """Who answers, as it is written down.

    Raises:
        UsageError: code `usage.approval_by`: it is no name.
    """
    name = by.strip() if isinstance(by, str) else ""
    odd = any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in name)
    if not name or odd or len(name) > 200 or same_person(name, NOBODY):
        raise UsageError("Who answers? `by` must be a name.", "Say who it is: by='rana'.", code="usage.approval_by")
    return name


def _short(reason: str) -> str:
    if not isinstance(reason, str) or len(reason) > LONGEST_REASON:
        raise UsageError(f"A reason is a text of at most {LONGEST_REASON:,} characters.", code="usage.approval_reason")
    return reason
