"""Steps in doubt on the screen: what is not known about each, and the two command lines that answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from interlock.cli.card import Row, acts
from interlock.cli.door import Door
from interlock.cli.output import visible
from interlock.cli.wording import Cell, Ink, ago, iso
from interlock.flows.doubts import ANSWERS, answer_words, doubts_of
from interlock.platform.approval import Approval, approval_in
from interlock.records.run import Run

#: What each answer is for.
FOR = {"repeat": "it did not happen, or once more is harmless", "skip": "it happened, or is not to be done again"}


def doubts_in(run: Run) -> list[Approval]:
    """What a person has yet to say about a run's steps in doubt."""
    now = time.time()
    return [approval_in(run, doubt.question, now) for doubt in doubts_of(run)]


def answers(door: Door, asked: Approval, options: Sequence[str] | None = None) -> dict[str, str]:
    """The command lines that answer, by `repeat` and `skip`.

    Args:
        door: Where they will be typed.
        asked: The step in doubt.
        options: What leads to the same tools, rules and models; by default what is known of the run's beginning.
    """
    if options is None:
        return {answer: door.command(*asked.answer_words(answer)) for answer in ANSWERS}
    own = {answer: answer_words(asked.run_id, asked.step, (), answer) for answer in ANSWERS}
    return {answer: door.command(*words, *options) for answer, words in own.items()}


def tell_doubts(door: Door, asked: Sequence[Approval], options: Sequence[str] | None = None) -> None:
    """Say which steps are in doubt, and how to answer for each; arguments as for `answers`."""
    for one in asked:
        what = "" if one.does == one.step else f"  {visible(one.does)}"
        door.out.say(Ink("in doubt", "warn"), f": {visible(one.step)}{what}")
        for answer, command in answers(door, one, options).items():
            door.out.say(Ink(f"  {FOR[answer]}: ", "dim"), command)


def doubt_card(door: Door, asked: Approval, run: Run) -> list[Row]:
    """Everything a person needs in order to say what became of a step.

    Args:
        door: Where it is asked for.
        asked: The step in doubt.
        run: Its run.
    """
    step = run.steps.get(asked.path)
    commands = answers(door, asked)
    said = asked.status + (f", by {visible(asked.by)}" if asked.by else "")
    began = step.started_at if step is not None else asked.asked_at
    now = time.time()
    return [
        ("in doubt", visible(asked.step)),
        ("question", asked.id),
        ("state", said),
        ("asks", "whether this step happened: it was cut off in the middle"),
        ("run", asked.run_id),
        ("step", visible(asked.path)),
        ("was to", visible(str(asked.asks.get("name") or asked.asks.get("kind") or ""))),
        *acts(asked.asks),
        ("begun", Cell(ago(now - began), iso(began) or "")),
        ("key", visible(step.key) if step is not None else ""),
        ("asked", Cell(ago(now - asked.asked_at), iso(asked.asked_at) or "")),
        *((one, _with_reason(one, commands[one])) for one in ANSWERS if asked.status == "pending"),
        ("on silence", "the run waits" if asked.status == "pending" else ""),
    ]


def _with_reason(answer: str, command: str) -> Cell:
    return Cell(f"{command}\n  {FOR[answer]}", command)


def as_json(door: Door, asked: Approval) -> dict[str, Any]:
    """What JSON has of a step in doubt, beside what every question has."""
    if asked.about != "in_doubt":
        return {}
    return {"step": asked.step, "answers": answers(door, asked) if asked.status == "pending" else {}}
