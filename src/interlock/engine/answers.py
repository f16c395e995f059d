"""What people answer about steps that were cut off, as facts."""

from __future__ import annotations

from collections.abc import Mapping

from interlock.records.fact import Fact, QuestionAnswered
from interlock.records.run import Run


def in_doubt_answers(run: Run, answer: str | Mapping[str, str] | None, by: str) -> list[Fact]:
    """A person's answers to open questions about steps that were cut off.

    Args:
        run: The run.
        answer: `repeat` or `skip` for all of them, or for each by the question's id; anything else answers nothing.
        by: Who says so.
    """
    found: list[Fact] = []
    for question in run.open_questions():
        word = answer.get(question.question_id) if isinstance(answer, Mapping) else answer
        if question.about == "in_doubt" and word in ("repeat", "skip"):
            found.append(QuestionAnswered(question_id=question.question_id, answer=word, by=by))  # type: ignore[arg-type]
    return found
