"""Parking: how a run that has to wait lets go of everything it holds."""

from __future__ import annotations

from interlock.records.fact import WaitReason


class Parked(BaseException):
    """Unwinds a flow because the run has to wait; the facts say for what, and bring it back here later.

    Not an `Exception`, so that an agent's `except Exception` cannot swallow it.

    Args:
        reason: What it waits for.
        until: When to look again at the latest, seconds since 1970, or None for an event.
        ref: What it waits for, for example a question's id.
        says: One sentence for people.
    """

    def __init__(
        self, reason: WaitReason, *, until: float | None = None, ref: str | None = None, says: str = ""
    ) -> None:
        self.reason: WaitReason = reason
        self.until = until
        self.ref = ref
        self.says = says
        super().__init__(says or reason)


class Stopped(BaseException):
    """Unwinds a flow whose driver may not go on: it was taken over, or the journal cannot be written.

    Args:
        error: Why.
    """

    def __init__(self, error: Exception) -> None:
        self.error = error
        super().__init__(str(error))
