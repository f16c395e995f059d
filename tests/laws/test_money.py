"""The laws of money: exact, never below what was said, and unknown stays unknown."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.errors import UsageError
from interlock.records.money import MICRO, Usage, add_micros, micros_to_text, micros_to_usd, usd_to_micros
from tests.laws.facts import usages

micros = st.integers(0, 10**15)
amounts = st.decimals(0, 10**9, allow_nan=False, allow_infinity=False, places=9)


@given(micros)
def test_what_is_written_is_read_back(amount: int) -> None:
    text = micros_to_text(amount)
    assert usd_to_micros(text) == amount
    assert usd_to_micros(f"${text}") == usd_to_micros(f"{text} USD") == usd_to_micros(f" {text} dollars ") == amount


@given(amounts)
def test_an_amount_is_rounded_up_by_less_than_a_micro_dollar(amount: Decimal) -> None:
    found = usd_to_micros(amount)
    assert 0 <= Fraction(found, MICRO) - Fraction(amount) < Fraction(1, MICRO)


@given(st.lists(micros, max_size=30))
def test_sums_do_not_drift(parts: list[int]) -> None:
    total: int | None = 0
    for part in parts:
        total = add_micros(total, usd_to_micros(micros_to_text(part)))
    assert total == sum(parts)


@given(st.integers(0, 10**7))
def test_a_float_of_whole_micro_dollars_is_that_many(amount: int) -> None:
    assert usd_to_micros(amount / MICRO) == amount
    assert micros_to_usd(amount) == amount / MICRO


def test_a_tenth_and_two_tenths_are_three_tenths() -> None:
    assert add_micros(usd_to_micros(0.1), usd_to_micros(0.2)) == usd_to_micros(0.3) == 300_000


@given(st.none() | micros)
def test_nothing_added_to_the_unknown_makes_it_known(amount: int | None) -> None:
    assert add_micros(None, amount) is None
    assert add_micros(amount, None) is None
    assert micros_to_text(None) == "unknown"
    assert micros_to_usd(None) is None


@pytest.mark.parametrize(
    "wrong", ["", "five", "-1", "1e3", "5 EUR", "1.2.3", "nan", "inf", -0.01, float("nan"), float("inf"), True]
)
def test_what_is_no_amount_is_refused(wrong: object) -> None:
    with pytest.raises(UsageError):
        usd_to_micros(wrong)  # type: ignore[arg-type]


@given(usages, usages, usages)
def test_usages_add_up_in_any_order(one: Usage, two: Usage, three: Usage) -> None:
    assert (one + two) + three == three + (two + one)
    assert (one + two).total_tokens == one.total_tokens + two.total_tokens
