"""Steps in doubt: cut off in the middle, so that a person must say what became of them, and the words that say it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from interlock.errors import UsageError
from interlock.flows.plan import EXECUTION, PLAN
from interlock.records.question import Question
from interlock.records.run import Run

#: It did not happen, or doing it again is harmless; or it is taken for failed, whatever became of it.
ANSWERS: tuple[Literal["repeat"], Literal["skip"]] = ("repeat", "skip")


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A step of which nobody knows whether it happened.

    Args:
        run_id: The run.
        question: What is asked about it.
        step_id: The step of a plan it belongs to; empty where there is no plan.
        step: The name it is answered by: the plan's step where that is clear, else its path.
        tools_from: Where the plan's tools were found when it was begun, as `--tools` takes it.
    """

    run_id: str
    question: Question
    step_id: str
    step: str
    tools_from: tuple[str, ...] = ()

    def goes_by(self, name: str) -> bool:
        """Whether a person who gives this name means it: its step, its path, what lies around it, or the question."""
        path = self.question.path
        return name in (self.step_id, path, self.question.question_id) or path.startswith(f"{name}/")

    def says(self) -> str:
        """What is not known, and what to do about it, for whoever reads the result of the step."""
        again = command_line(*answer_words(self.run_id, self.step, self.tools_from, "repeat"))
        return (
            f"{self.question.says} Look whether it did: `{again}` does it again, `--skip {shlex.quote(self.step)}` "
            f"takes it for failed. In Python: execute(plan, run_id={self.run_id!r}, resume=True, "
            f"in_doubt={{{self.step!r}: 'repeat'}}), or 'skip'."
        )


def doubts_of(run: Run) -> list[Doubt]:
    """All steps of a run that a person has yet to speak about, in the order they were asked about."""
    if not run.questions:
        return []
    found = [doubt_about(run, question) for question in run.open_questions() if question.about == "in_doubt"]
    steps = [doubt.step_id for doubt in found]
    return [
        doubt if steps.count(doubt.step_id) == 1 else doubt_about(run, doubt.question, by_path=True) for doubt in found
    ]


def doubt_about(run: Run, question: Question, *, by_path: bool = False) -> Doubt:
    """The doubt that a question is about, also when it was answered.

    Args:
        run: The run.
        question: The question.
        by_path: Whether it is to be named by its path, because several are in doubt in its step.
    """
    step_id = _step_at(run, question.path)
    step = question.path if by_path or not step_id else step_id
    return Doubt(run_id=run.run_id, question=question, step_id=step_id, step=step, tools_from=tools_of(run))


def answers_to(run: Run, given: str | Mapping[str, str]) -> dict[str, str]:
    """What a person says about steps in doubt, by the ids of the questions.

    Args:
        run: The run.
        given: `repeat` or `skip` for all of them, or for each by its step, path or question.

    Raises:
        UsageError: code `usage.in_doubt`: it is no answer, or nothing is in doubt there.
    """
    doubts = doubts_of(run)
    if not isinstance(given, Mapping):
        answer = _checked(given)
        return {doubt.question.question_id: answer for doubt in doubts}
    found: dict[str, str] = {}
    for name, answer in given.items():
        meant = [doubt.question.question_id for doubt in doubts if doubt.goes_by(name)]
        if not meant:
            raise _not_in_doubt(run, name, doubts)
        for question_id in meant:
            if found.setdefault(question_id, _checked(answer)) != answer:
                raise UsageError(f"{name} cannot be repeated and skipped.", "Say one of them.", code="usage.in_doubt")
    return found


def tools_of(run: Run) -> tuple[str, ...]:
    """Where the tools of a plan's run were found when it was begun, as `--tools` takes it; empty where nobody said."""
    context = _context(run)
    execution = context.get(EXECUTION)
    given = execution.get("tools_from") if isinstance(execution, Mapping) else None
    return tuple(map(str, given)) if isinstance(given, list | tuple) else ()


def answer_words(run_id: str, step: str, tools_from: Sequence[str], answer: str) -> list[str]:
    """The words of the command line that answer for a step in doubt.

    Args:
        run_id: The run.
        step: The step, by the name it is answered by.
        tools_from: Where the plan's tools are.
        answer: `repeat` or `skip`.
    """
    return ["run", "resume", run_id, f"--{answer}", step, *options_for(tools_from)]


def options_for(tools_from: Sequence[str]) -> list[str]:
    """The options of the command line that find these tools again."""
    return [word for one in tools_from for word in ("--tools", one)]


def command_line(*words: str) -> str:
    """These words as they are typed."""
    return shlex.join(["interlock", *words])


def go_on_with(run: Run) -> str:
    """The command line that has a run go on, with the tools it was begun with."""
    return command_line("run", "resume", run.run_id, *options_for(tools_of(run)))


def _checked(answer: object) -> str:
    if answer not in ANSWERS:
        says = f"in_doubt is 'repeat' or 'skip', for all or for each step, not {answer!r:.60}."
        raise UsageError(says, "For example in_doubt={'step_3': 'repeat'}.", code="usage.in_doubt")
    return str(answer)


def _not_in_doubt(run: Run, name: str, doubts: list[Doubt]) -> UsageError:
    go_on = go_on_with(run)
    for question in run.questions.values():
        if question.about == "in_doubt" and question.answer and doubt_about(run, question).goes_by(name):
            says = f"{name} of {run.run_id} is not in doubt any more: {question.by} said {question.answer}."
            return UsageError(says, f"Go on with `{go_on}`.", code="usage.in_doubt")
    says = f"Nothing called {name!r:.60} is in doubt in {run.run_id}."
    if doubts:
        return UsageError(says, f"In doubt: {', '.join(doubt.step for doubt in doubts)}.", code="usage.in_doubt")
    return UsageError(says, f"`{go_on}` goes on, and asks about what was cut off.", code="usage.in_doubt")


def _step_at(run: Run, path: str) -> str:
    """The step of a plan that a path lies in, or nothing; a step that is tried again has its number in the path."""
    written = _context(run).get(PLAN)
    if run.admitted is None or run.admitted.flow != "plan" or not isinstance(written, Mapping):
        return ""
    ids = {str(step["id"]) for step in written["steps"]}
    name = path.removeprefix("plan/").partition("/")[0]
    return next((one for one in (name, name.rpartition("~")[0]) if one in ids), "")


def _context(run: Run) -> Mapping[str, Any]:
    found = run.admitted.task.get("context") if run.admitted is not None else None
    return found if isinstance(found, Mapping) else {}
