"""Errors nobody expected: a sentence for people with an id to look for, and all the rest for the log."""

from __future__ import annotations

import os.path
import secrets
import traceback
from typing import NamedTuple

from interlock.records.masking import for_people, without_keys

#: How the detail of an unexpected error begins, so that logs show it whatever is asked of them.
MARK = "error id "


class Unexpected(NamedTuple):
    """What is known of an exception.

    Args:
        says: What it is and what it says, as people may read it.
        do: The next step, with the id to look for.
        detail: The id, the place in the code, and below them the traceback; for logs alone.
    """

    says: str
    do: str
    detail: str


def explain(error: BaseException, longest: int, *, id: str = "") -> Unexpected:
    """Name an exception of somebody else's code.

    Args:
        error: The exception.
        longest: The most characters of what it says that are shown.
        id: The id to look for in the log; a new one by default.
    """
    id = id or secrets.token_hex(4)
    kind = type(error).__name__
    try:
        said = for_people(str(error)).strip()[:longest].rstrip()
        trace = without_keys("".join(traceback.format_exception(error)))
    except Exception:  # noqa: BLE001 - an exception that cannot even say what it is
        said, trace = "", kind
    where = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f" in {one.name} ({os.path.basename(one.filename)}:{one.lineno})" for one in where)
    return Unexpected(
        says=f"{kind}: {said}" if said else f"{kind}.",
        do=(
            f"The log has the place under the error id {id}, and at level debug the traceback; "
            "then `interlock run resume ID`, or start again."
        ),
        detail=f"{MARK}{id}{place}\n{trace}",
    )
