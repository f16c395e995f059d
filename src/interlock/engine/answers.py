"""What people answer about steps that were cut off, as facts."""

from __future__ import annotations

from interlock.records.fact import Fact, QuestionAnswered
from interlock.records.run import Run


def in_doubt_answers(run: Run, answer: str | None, by: str) -> list[Fact]:
    """A person's answer to every open question about a step that was cut off; none without `repeat` or `skip`."""
    if answer not in ("repeat", "skip"):
        return []
    return [
        QuestionAnswered(question_id=question.question_id, answer=answer, by=by)  # type: ignore[arg-type]
        for question in run.open_questions()
        if question.about == "in_doubt"
    ]
