"""Looks at a guardrail's code for a slip that lets everything pass: a lower-case word looked for in upper-case text."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from types import CodeType

from interlock.governance.guardrails import Guardrail

_FOLDS = frozenset({"upper", "lower", "casefold"})


def why_it_never_matches(guardrail: Guardrail) -> str:
    """Which word a condition can never find, in one sentence; empty where nothing looks wrong.

    `any(word in task.description.upper() for word in ["DROP", "rm -rf"])` never finds `rm -rf`.
    """
    code = getattr(guardrail.condition, "__code__", None)
    if not isinstance(code, CodeType):
        return ""
    codes = list(_all(code))
    folds = {name for one in codes for name in one.co_names if name in _FOLDS}
    if len(folds) != 1 or not any(_contains(one) for one in codes):
        return ""
    fold = folds.pop()
    lost = next((word for one in codes for word in _sought(one) if getattr(str, fold)(word) != word), None)
    if lost is None:
        return ""
    return f"The guardrail {guardrail.name} looks for {lost!r:.60} in text made {fold}-case, and never finds it."


def _all(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _all(constant)


def _contains(code: CodeType) -> bool:
    return any(step.opname == "CONTAINS_OP" for step in dis.get_instructions(code))


def _sought(code: CodeType) -> Iterator[str]:
    """Words in lists, and words that stand directly before a value, as on the left of `in`."""
    steps = list(dis.get_instructions(code))
    for step, after in zip(steps, [*steps[1:], None], strict=True):
        if not step.opname.startswith("LOAD_CONST"):
            continue
        if isinstance(step.argval, tuple | frozenset):
            yield from (word for word in step.argval if isinstance(word, str))
        elif isinstance(step.argval, str) and after is not None and after.opname in ("LOAD_FAST", "LOAD_DEREF"):
            yield step.argval
