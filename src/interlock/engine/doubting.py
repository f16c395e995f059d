"""Steps that must not be done twice and may have been done: a person is asked before they are done again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from interlock.engine.parking import Parked
from interlock.engine.written import failure_of
from interlock.errors import StepLost
from interlock.records.doubt import done_by_agent, doubts_below, happened
from interlock.records.fact import QuestionAsked, StepFailed
from interlock.records.run import StepRun

if TYPE_CHECKING:
    from interlock.engine.drive import Drive

#: So many calls are named in a question.
_NAMED = 5


async def settle(drive: Drive, path: str) -> None:
    """Have a person say what becomes of what a step that failed has done, or may have, before it is tried again.

    Args:
        drive: The drive that would try it.
        path: The step.

    Raises:
        StepLost: code `step.skipped`: it is not to be done again.
        Parked: nobody has said so yet.
    """
    for known in doubts_below(drive.run, path):
        await ask_whether_to_repeat(drive, known)
    done = done_by_agent(drive.run, path)
    if done:
        await ask_whether_to_repeat(drive, drive.run.steps[path], done)


async def ask_whether_to_repeat(drive: Drive, known: StepRun, done: Sequence[StepRun] = ()) -> None:
    """Come back if a person has said that this step is to be done again.

    Args:
        drive: The drive that would do it.
        known: The step.
        done: What its agent has done before it failed, if that is what makes it doubtful.

    Raises:
        StepLost: code `step.skipped`: a person said not to.
        Parked: nobody has said anything yet; the question is asked.
    """
    # A doubt is about one try: the answer to another one says nothing about it.
    question_id = _short_digest(f"{drive.run_id}|{known.path}|doubt|{known.started_at}|{known.attempts}")
    asked = drive.run.questions.get(question_id)
    if asked is not None and asked.answer == "repeat":
        return
    what, rest = _told(known, done)
    if asked is not None and asked.answer is not None:
        do = "It is not done again by any resume; a fork does it: `interlock run fork ID --from STEP`."
        error = StepLost(f"{what}, and {asked.by} said to skip it.", do, code="step.skipped")
        await drive.pen.write(
            [StepFailed(path=known.path, attempt=known.attempts, failure=failure_of(error), seconds=0)]
        )
        raise error
    says = f"{what}; {rest}"
    if asked is None:
        asks: dict[str, Any] = {"kind": known.what, "name": known.name}
        if isinstance(known.input, dict) and isinstance(known.input.get("arguments"), dict):
            asks["arguments"] = known.input["arguments"]
        question = QuestionAsked(path=known.path, question_id=question_id, about="in_doubt", says=says, asks=asks)
        await drive.pen.write([question])
    do = f"`interlock run resume {drive.run_id} --repeat {known.path}` or `--skip {known.path}`"
    raise Parked("person", ref=question_id, says=f"{says} Look whether it did, then {do}.")


def _told(known: StepRun, done: Sequence[StepRun]) -> tuple[str, str]:
    """What is known about a step, and what is not."""
    if done:
        names = list(dict.fromkeys(step.name for step in done))
        told = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
        step = known.path.rpartition("/")[2]
        return f"{step} failed after its agent had used {told}", "doing it anew may do that once more."
    if happened(known):
        return f"{known.name} was done, but what it brought could not be taken", "doing it again does it twice."
    return f"{known.name} was cut off in the middle", "it may have happened or not."


def _short_digest(text: str) -> str:
    return "q_" + hashlib.sha256(text.encode()).hexdigest()[:16]
