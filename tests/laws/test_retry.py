"""The laws of trying again: never too often, never too soon, never too late."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.engine.retry import LONGEST_WAIT, Again, GiveUp, RetryPolicy, after_failure
from interlock.errors import AuthenticationError, InvalidRequest, RateLimitError, UsageError

policies = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 1_000),
    base=st.floats(0, 1e6),
    multiplier=st.floats(1, 1e9),
    cap=st.floats(0, 1e6),
    jitter=st.booleans(),
)
chances = st.floats(0, 1)
tries = st.integers(1, 2_000)
nows = st.floats(0, 4e9)


@given(policies, tries, chances)
def test_a_pause_is_never_negative_and_never_longer_than_the_cap(
    policy: RetryPolicy, attempt: int, chance: float
) -> None:
    pause = policy.pause(attempt, chance)
    assert 0 <= pause <= policy.cap
    assert pause <= policy.base or attempt > 1


@given(policies, st.integers(1, 100))
def test_the_bound_of_a_pause_never_shrinks(policy: RetryPolicy, attempt: int) -> None:
    assert policy.pause(attempt, 1.0) <= policy.pause(attempt + 1, 1.0)


@given(policies, tries, nows, chances, st.none() | st.floats(0, 1e5), st.floats(0, 1e6) | st.just(math.inf))
def test_a_try_is_made_in_time_after_what_was_asked_for_and_not_too_often(
    policy: RetryPolicy, attempt: int, now: float, chance: float, asked: float | None, left: float
) -> None:
    error = RateLimitError("Slow down.", retry_after=asked)
    decided = after_failure(policy, error, attempt, now=now, random=chance, deadline=now + left)
    if isinstance(decided, GiveUp):
        too_long = asked is not None and asked > LONGEST_WAIT
        assert too_long or attempt >= policy.attempts or now + max(policy.cap, asked or 0) >= now + left
        return
    assert attempt < policy.attempts
    assert decided.at >= now + (asked or 0)
    assert decided.at < now + left
    assert decided.at <= now + max(policy.cap, asked or 0)


@given(policies, nows, chances)
def test_the_number_of_tries_is_what_was_allowed(policy: RetryPolicy, now: float, chance: float) -> None:
    made = 1
    while isinstance(after_failure(policy, RateLimitError("no"), made, now=now, random=chance), Again):
        made += 1
    assert made == policy.attempts


@given(policies, tries, nows, chances)
def test_what_cannot_get_better_is_not_tried_again(
    policy: RetryPolicy, attempt: int, now: float, chance: float
) -> None:
    for error in (AuthenticationError("no key"), InvalidRequest("no such model"), UsageError("wrong")):
        assert isinstance(after_failure(policy, error, attempt, now=now, random=chance), GiveUp)


@pytest.mark.parametrize(
    "wrong", [{"attempts": 0}, {"base": -1}, {"multiplier": 0.5}, {"cap": -1}, {"base": math.nan}, {"cap": math.nan}]
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        RetryPolicy(**wrong)  # type: ignore[arg-type]
