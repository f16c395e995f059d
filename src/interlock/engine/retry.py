"""Pure decisions after a failure: again, and when, or give up."""

from __future__ import annotations

import math
from dataclasses import dataclass

from interlock.errors import InterlockError, UsageError

#: Seconds that a `Retry-After` may ask for at most; whoever asks for more is not waited for.
LONGEST_WAIT = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how patiently a failed act is tried again.

    The pause before try n+1 is random between 0 and `base * multiplier ** (n - 1)`, at most `cap` ("full
    jitter": Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015), and never shorter than
    what the other side asked for.

    Args:
        attempts: Tries in all, the first included; 1 means never again.
        base: The first pause at most, in seconds.
        multiplier: How much longer each next pause may be.
        cap: The longest pause, in seconds. A longer `Retry-After` is still honoured.
        jitter: Whether the pause is random; without it the pause is the upper bound.

    Raises:
        UsageError: a value out of range.
    """

    attempts: int = 4
    base: float = 0.5
    multiplier: float = 2.0
    cap: float = 30.0
    jitter: bool = True

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise UsageError(f"A retry policy has at least 1 attempt, not {self.attempts}.", code="usage.retry")
        if not (self.base >= 0 and self.multiplier >= 1 and self.cap >= 0):
            raise UsageError("base and cap must be 0 or more, multiplier 1 or more.", code="usage.retry")

    def pause(self, attempt: int, random: float) -> float:
        """Seconds to wait after failed try number `attempt`; `random` is between 0 and 1."""
        try:
            bound = min(self.cap, self.base * self.multiplier ** (attempt - 1))
        except OverflowError:  # a float overflows long before a patient caller gives up
            bound = self.cap if self.base else 0.0
        return bound * random if self.jitter else bound


@dataclass(frozen=True, slots=True)
class Again:
    """Try again at this time (seconds since 1970)."""

    at: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not try again, and why."""

    reason: str


def after_failure(
    policy: RetryPolicy, error: InterlockError, attempt: int, *, now: float, random: float, deadline: float = math.inf
) -> Again | GiveUp:
    """Decide what follows a failed try.

    Args:
        policy: How patient to be.
        error: What went wrong; its class says whether trying again can help.
        attempt: The number of the try that failed, from 1.
        now: Seconds since 1970.
        random: A number between 0 and 1.
        deadline: When the work must be over, seconds since 1970.
    """
    if not error.retryable:
        return GiveUp("trying again cannot help")
    if attempt >= policy.attempts:
        return GiveUp(f"{attempt} tries were made")
    if error.retry_after is not None and not 0 <= error.retry_after <= LONGEST_WAIT:
        return GiveUp("the other side asks for a longer wait than a day")
    at = now + max(policy.pause(attempt, random), error.retry_after or 0.0)
    if at >= deadline:
        return GiveUp("the next try would be after the deadline")
    return Again(at)
