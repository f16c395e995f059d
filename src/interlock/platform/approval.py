"""One approval as people and programs see it: what is asked, why, until when, and what came of it."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from interlock.flows.doubts import answer_words, doubt_about, doubts_of
from interlock.records.question import Question, is_late, question_of
from interlock.records.run import Run
from interlock.stores.journal import QuestionRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Something a person is asked: to allow an act, or what became of a step that was cut off.

    Args:
        id: Its id.
        run_id: The run it belongs to.
        path: The step; empty for the task as a whole.
        says: Why it is asked, in one sentence.
        asks: Exactly what would be done, as it is hashed.
        rule: The rule that asks.
        place: Where that rule stands.
        approver: The user or role that must answer; None for anyone but who asked.
        quorum: How many different people must agree.
        allowed_by: Who has agreed so far.
        asked_at: Seconds since 1970.
        expires_at: When silence becomes a denial.
        digest: The SHA-256 of `asks`.
        status: pending, allowed, denied, expired, used (it was done) or void (something else is asked instead, or
            the run is over). Of a step in doubt pending, repeat, skip or void.
        grants: What else may be answered: `run`, `rule`.
        by: Who gave the answer that decided.
        reason: That person's reason.
        edited: What that person put in place of the arguments.
        about: `approval`, or `in_doubt`: nobody knows whether this step happened. That is neither approved nor
            rejected but answered by `platform.resume(run_id, in_doubt={step: "repeat"})` or `"skip"`.
        step: The name by which a step in doubt is answered.
        tools_from: Where the tools of its plan were found when it was begun, as `--tools` takes it.
    """

    id: str
    run_id: str
    path: str
    says: str
    asks: dict[str, Any]
    rule: str
    place: str
    approver: str | None
    quorum: int
    allowed_by: tuple[str, ...]
    asked_at: float
    expires_at: float | None
    digest: str
    status: str
    grants: tuple[str, ...] = ()
    by: str = ""
    reason: str = ""
    edited: dict[str, Any] | None = field(default=None)
    about: str = "approval"
    step: str = ""
    tools_from: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """It as a dictionary ready for JSON."""
        lists = {name: list(getattr(self, name)) for name in ("allowed_by", "grants", "tools_from")}
        return {**asdict(self), **lists}

    @property
    def does(self) -> str:
        """What would be done, or may have been, on one line: a command as one would type it."""
        arguments = self.asks.get("arguments")
        if self.about == "in_doubt" and arguments is None:
            return str(self.asks.get("name") or self.path)
        given = arguments if isinstance(arguments, dict) else {}
        argv = given.get("argv")
        if isinstance(argv, list):
            return shlex.join(str(word) for word in argv)
        if self.asks.get("kind") == "task":
            return str(given.get("description", ""))
        return f"{self.asks.get('name', '')}({json.dumps(given, ensure_ascii=False, default=str)})"

    def answer_words(self, answer: str) -> list[str]:
        """The words of the command line that answer for a step in doubt.

        Args:
            answer: `repeat` or `skip`.
        """
        return answer_words(self.run_id, self.step, self.tools_from, answer)

    @property
    def rule_text(self) -> str:
        """The lines for policy.toml that would allow just this; empty where the rule that asks does not offer it."""
        if "rule" not in self.grants:
            return ""
        kind = self.asks.get("kind")
        if kind == "command":
            command = _toml(self.does)
            return f'[[command]]\nrule = {command}\ndecision = "allow"\nmatch = [{command}]\n'
        if kind == "tool":
            name = _toml(str(self.asks.get("name", "")))
            return f'[[tool]]\nname = {name}\ndecision = "allow"\nmatch = [{name}]\n'
        return ""


def _toml(text: str) -> str:
    """A text as TOML writes it: its basic strings are JSON's, but for one control character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def approval_in(run: Run, question: Question, now: float) -> Approval:
    """A question of a run as people see it, also one about a step in doubt."""
    found = approval_of(run.run_id, question, now)
    if question.about != "in_doubt":
        return found
    doubts = [doubt for doubt in doubts_of(run) if doubt.question is question] or [doubt_about(run, question)]
    status = "skip" if question.state == "denied" else "repeat" if question.state == "allowed" else question.state
    return replace(found, status=status, step=doubts[0].step, tools_from=doubts[0].tools_from)


def approval_of(run_id: str, question: Question, now: float) -> Approval:
    """A question of a run as an approval."""
    late = question.state == "pending" and is_late(question.expires_at, now)
    return Approval(
        id=question.question_id,
        run_id=run_id,
        path=question.path,
        says=question.says,
        asks=question.asks,
        rule=str(question.asks.get("rule", "")),
        place=str(question.asks.get("place", "")),
        approver=question.approver,
        quorum=question.quorum,
        allowed_by=tuple(question.allowed_by),
        asked_at=question.asked_at,
        expires_at=question.expires_at,
        digest=question.digest,
        status="expired" if late else question.state,
        grants=question.grants,
        by=question.by,
        reason=question.reason,
        edited=question.edited,
        about=question.about,
    )


def approval_of_row(row: QuestionRow, now: float) -> Approval:
    """A row of the table of questions as an approval. Who answered is only known for those that are open."""
    question = question_of(row.asked, row.asked_at)
    question.state = row.state
    question.allowed_by = list(row.allowed_by)
    return approval_of(row.run_id, question, now)
