"""How much is tried: a little with every test run, the same each time; as much as INTERLOCK_FUZZ says at night."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

#: How many examples each property gets at night; "" by day.
NIGHT = os.environ.get("INTERLOCK_FUZZ", "")


def tried(by_day: int, share: float = 1.0) -> settings:
    """Hypothesis settings for one property.

    Args:
        by_day: Examples of an ordinary test run.
        share: Which part of the nightly number, for properties that take longer than others.
    """
    return settings(
        max_examples=max(by_day, int(int(NIGHT) * share)) if NIGHT else by_day,
        derandomize=not NIGHT,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
