"""Is a task's text what it seems? Its length, characters nobody sees, and words that read like orders to an agent.

Nothing is ever taken out or rewritten: a text passes as it is, waits for a person, or is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from interlock.agents.injection import injection_signal
from interlock.errors import UsageError
from interlock.records.verdict import Act, Effect, Verdict, strictest

#: Longest text of a task, its context included, in characters, unless `limits.max_prompt_length` says otherwise.
MAX_PROMPT_LENGTH = 100_000

#: Control characters but tab, line feed, carriage return and form feed.
_CONTROL = "\x00-\x08\x0b\x0e-\x1f\x7f-\x9f"
#: What turns the direction of reading, invisible tags, and what has no width anywhere.
_HIDDEN = "\u061c\u180e\u200b\u202a-\u202e\u2028\u2029\u2060-\u2064\u2066-\u206f\ufff9-\ufffb\U000e0000-\U000e007f"
#: Soft hyphens and joiners have their place in many scripts, but not between two Latin letters; a byte order mark
#: only at the beginning.
_ODD = re.compile(f"[{_CONTROL}{_HIDDEN}]|(?<=[A-Za-z])[\u00ad\u200c\u200d\u200e\u200f](?=[A-Za-z])|(?<=.)\ufeff", re.S)


class PromptInvalid(UsageError, ValueError):
    """A prompt that cannot be taken as it is."""

    code = "usage.prompt"
    default_do = "Shorten or correct the text; it is never changed for you."


def odd_characters(text: str) -> str:
    """Which control, invisible or direction-turning characters a text holds, as `U+202E, U+0007`; empty for none."""
    if text.isascii() and text.isprintable():
        return ""
    found = dict.fromkeys(f"U+{ord(match[0]):04X}" for match in _ODD.finditer(text))
    return ", ".join(list(found)[:5]) + (" ..." if len(found) > 5 else "")


def validate_prompt(prompt: str, max_length: int = MAX_PROMPT_LENGTH) -> str:
    """Check a text that is meant for an agent, as the gate checks the text of every task.

    Args:
        prompt: The text.
        max_length: Most characters.

    Returns:
        The text, unchanged.

    Raises:
        PromptInvalid: it is too long, holds characters that nobody sees, or reads like an attempt to steer the agent.
            It is a `ValueError` too.
    """
    if len(prompt) > max_length:
        raise PromptInvalid(f"The prompt has {len(prompt):,} characters; at most {max_length:,} are accepted.")
    if odd := odd_characters(prompt):
        raise PromptInvalid(f"The prompt holds characters that nobody sees ({odd}).")
    if signal := injection_signal(prompt):
        raise PromptInvalid(f"The prompt reads as if it wanted to steer the agent: {signal}.")
    return prompt


def judge_input(act: Act, max_length: int = MAX_PROMPT_LENGTH) -> Verdict | None:
    """What the text of a task, or of a message to a run, is by itself: too long, or something a person must look at.

    Args:
        act: The task, with its JSON form as arguments.
        max_length: Most characters of all texts in it together. The steps of a plan are given to agents one by one:
            each of them, and what is said of the whole, may have so many.
    """
    found: list[Verdict] = []
    seen: set[str] = set()
    for part in _parts(act):
        length = 0
        for text in texts_in(part):
            length += len(text)
            if length > max_length:
                reason = f"The task has more than {max_length:,} characters of text."
                return Verdict(effect=Effect.BLOCK, rule="input.length", reason=reason, code="guardrail.validation")
            if text not in seen:
                seen.add(text)
                found += _looks(text)
    return strictest(found) if found else None


def _looks(text: str) -> Iterator[Verdict]:
    if odd := odd_characters(text):
        yield _look(f"The task holds characters that nobody sees ({odd}).", "input.characters")
    if signal := injection_signal(text):
        yield _look(f"The task reads as if it wanted to steer the agent: {signal}.", "input.injection")


def texts_in(value: Any) -> Iterator[str]:
    """Every text in a JSON value, the names in it included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, below in value.items():
            yield str(key)
            yield from texts_in(below)
    elif isinstance(value, list | tuple):
        for below in value:
            yield from texts_in(below)


def texts_of(act: Act) -> str:
    """All that an act says, one text a line: its arguments' texts, or its content."""
    if act.content or not act.arguments:
        return act.content
    return "\n".join(texts_in(act.arguments))


def _parts(act: Act) -> Iterator[Any]:
    """What an agent would be shown at once: the task with its context; of a plan, each step by itself."""
    said, context = str(act.arguments.get("description", act.content)), act.arguments.get("context") or {}
    if act.flow != "plan":
        yield [said, context]
        return
    plan = context.get("plan") or {}
    yield [said, {key: value for key, value in context.items() if key != "plan"}]
    yield {key: value for key, value in plan.items() if key != "steps"}
    yield from plan.get("steps") or ()


def _look(reason: str, rule: str) -> Verdict:
    return Verdict(effect=Effect.APPROVAL, rule=rule, reason=reason)
