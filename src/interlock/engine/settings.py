"""What an engine is given besides its parts: limits and policies."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from interlock.engine.retry import RetryPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What an engine is given besides its parts.

    Args:
        max_runs: Runs driven at once at most.
        retry: How failed steps are tried again.
        adopt: Also drive runs whose driver died, and those other processes parked.
        random: Numbers between 0 and 1.
        expires_after: Seconds after which a question that nobody answered is denied, where its rule says nothing.
    """

    max_runs: int = 1000
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    adopt: bool = False
    random: Callable[[], float] = field(default_factory=lambda: secrets.SystemRandom().random)
    expires_after: float = 86_400.0
