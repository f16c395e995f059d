"""Questions to people: what is shown and hashed, which answers count, and what they come to."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from interlock.records.fact import QuestionAnswered, QuestionAsked

#: Marks without a look of their own, which are no control characters: joiners, fillers, variation selectors.
_UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef]")

#: Pending until enough people answered; used once an act ran on it; void once something else is asked instead.
QuestionState = Literal["pending", "allowed", "denied", "expired", "used", "void"]
#: Who answers when nobody did.
NOBODY = "interlock"
TOO_LATE = "nobody answered in time"


@dataclass(slots=True, kw_only=True)
class Question:
    """Something a person was asked, and what the answers came to.

    Args:
        question_id: Its id.
        path: The step it is about; empty for the task as a whole.
        about: `approval`, or `in_doubt` for a step that was cut off.
        says: One sentence for people.
        asked_at: When it was asked, in seconds since 1970.
        approver: The user or role that must answer; None for anyone but who asks.
        asks: Exactly what is to be allowed, as it is shown.
        digest: The SHA-256 of `asks`.
        quorum: How many different people must agree.
        expires_at: After this time no answer counts any more.
        grants: What else the rule lets people answer: `run`, `rule`.
        state: What the answers came to so far.
        answer: The answer as a whole, once there is one.
        by: Who gave the answer that decided.
        reason: That person's reason.
        allowed_by: Who has agreed so far.
        scope: Whether it allows this act `once`, or for the rest of the `run`.
        edited: Other arguments a person put in place of those asked for.
        counted: The numbers (`seq`) of the facts whose answers counted.
    """

    question_id: str
    path: str
    about: str
    says: str
    asked_at: float
    approver: str | None = None
    asks: dict[str, Any] = field(default_factory=dict)
    digest: str = ""
    quorum: int = 1
    expires_at: float | None = None
    grants: tuple[str, ...] = ()
    state: QuestionState = "pending"
    answer: str | None = None
    by: str = ""
    reason: str = ""
    allowed_by: list[str] = field(default_factory=list)
    scope: str = "once"
    edited: dict[str, Any] | None = None
    counted: list[int] = field(default_factory=list)

    @property
    def said_no(self) -> bool:
        """Whether a person refused, or nobody answered in time."""
        return self.state in ("denied", "expired")


def question_of(asked: QuestionAsked, at: float) -> Question:
    """A question as it was just asked."""
    return Question(
        question_id=asked.question_id,
        path=asked.path,
        about=asked.about,
        says=asked.says,
        asked_at=at,
        approver=asked.approver,
        asks=asked.asks,
        digest=asked.digest,
        quorum=asked.quorum,
        expires_at=asked.expires_at,
        grants=tuple(asked.grants),
    )


def canonical(value: Any) -> str:
    """A JSON value as the one text it is hashed as: keys sorted, nothing between."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)


def digest_of(asks: Any) -> str:
    """The SHA-256 of what is asked, in hexadecimal."""
    return hashlib.sha256(canonical(asks).encode("utf-8", "surrogatepass")).hexdigest()


def same_person(one: str, other: object) -> bool:
    """Whether two names are one person's, however they are written; nobody has no name."""
    return isinstance(other, str) and bool(_spelled(other)) and _spelled(one) == _spelled(other)


def _spelled(name: str) -> str:
    """A name without what tells only its spellings apart: case, composed and wide letters, blanks, invisible marks."""
    if name.isascii():
        return " ".join(name.casefold().split())
    name = "".join(char for char in _UNSEEN.sub("", name) if unicodedata.category(char) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).split())


def is_late(expires_at: float | None, at: float) -> bool:
    """Whether an answer at this time comes too late."""
    return expires_at is not None and at >= expires_at


def withdraw(
    questions: Mapping[str, Question],
    path: str | None,
    *,
    also: str = "allowed",
    but: str | None = None,
    about: str = "approval",
) -> None:
    """Take back what was asked and nobody has answered.

    Args:
        questions: All questions of a run.
        path: Only those about this step; None for all.
        also: Another state in which they are taken back too.
        but: Questions with this digest stay: they show just the same.
        about: Only questions of this kind.
    """
    for question in questions.values():
        here = path in (None, question.path) and question.about == about
        if here and question.state in ("pending", also) and question.digest != but:
            question.state = "void"


def take_answer(
    question: Question, fact: QuestionAnswered, *, at: float, seq: int, requesters: Collection[object]
) -> None:
    """Let an answer count, or not. Pure: the same facts always come to the same.

    The first answer of a person counts; one denial denies; it is allowed once as many different people as the rule
    wants have agreed to what this question shows. Whoever asked has no voice, and nothing counts after its time.

    Args:
        question: The question; it is changed.
        fact: The answer.
        at: When it was written.
        seq: Its number in the run.
        requesters: Who asked: the user and the agent.
    """
    if question.state != "pending":
        return
    if question.about == "approval":
        if is_late(question.expires_at, at):
            question.state, question.answer = "expired", "deny"
            question.by, question.reason = NOBODY, TOO_LATE
            return
        if not _counts(question, fact, requesters):
            return
    question.counted.append(seq)
    yes = "allow" if question.about == "approval" else "repeat"
    if fact.answer == yes:
        question.allowed_by.append(fact.by)
        if len(question.allowed_by) < question.quorum:
            return
        # Whoever must not decide alone does not widen or change it alone either.
        if question.quorum == 1:
            question.edited = fact.edited
            # What was changed was allowed this once; for what was asked nobody said yes.
            question.scope = fact.scope if fact.edited is None and fact.scope in question.grants else "once"
    question.answer, question.by, question.reason = fact.answer, fact.by, fact.reason
    question.state = "allowed" if fact.answer == yes else "denied"


def _counts(question: Question, fact: QuestionAnswered, requesters: Collection[object]) -> bool:
    if any(same_person(fact.by, requester) for requester in requesters):
        return False
    if fact.answer != "allow":
        return True
    if (
        same_person(fact.by, NOBODY)
        or fact.digest != question.digest
        or (fact.edited is not None and question.quorum > 1)
    ):
        return False
    return not any(same_person(fact.by, one) for one in question.allowed_by)
