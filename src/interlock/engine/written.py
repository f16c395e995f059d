"""Errors and verdicts as they are written down, and errors as they were raised."""

from __future__ import annotations

from typing import Any

from interlock.agents.context import whole_characters
from interlock.errors import InterlockError, StoreFailed, from_code
from interlock.records.fact import Failure, GateAnswered
from interlock.records.verdict import Act, Verdict
from interlock.stores.encoding import as_read_back


def failure_of(error: InterlockError) -> Failure:
    """An error as it is written down."""
    return Failure(
        code=error.code,
        says=whole_characters(error.says),
        do=whole_characters(error.do),
        retryable=error.retryable,
        retry_after=error.retry_after,
    )


def error_of(failure: Failure) -> InterlockError:
    """A written error as it was raised."""
    return from_code(failure.code, failure.says, failure.do, failure.retry_after)


def answered(act: Act, verdict: Verdict) -> GateAnswered:
    """A gate's answer as it is written down."""
    effect = ("allow", "approval", "block")[verdict.effect]
    return GateAnswered(
        path=act.path,
        act=act.kind,
        name=act.name,
        effect=effect,  # type: ignore[arg-type]
        rule=verdict.rule,
        reason=verdict.reason,
        place=verdict.place,
        approver=verdict.approver,
        parts=[] if verdict.allowed else [_part(part) for part in verdict.parts],
        tried=None if verdict.allowed else _tried(act),
    )


def _part(verdict: Verdict) -> dict[str, str]:
    return {"effect": verdict.effect.word, "rule": verdict.rule, "place": verdict.place}


def _tried(act: Act) -> dict[str, Any] | None:
    """What was to be done, as far as it can be written down; a task stands in its run already."""
    if act.kind not in ("tool", "command"):
        return None
    try:
        tried: dict[str, Any] = as_read_back(dict(act.arguments))
    except StoreFailed:
        return None
    return tried
