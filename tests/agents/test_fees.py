"""What providers bill besides tokens: counted where it is used, reserved where it may be, settable, never forgotten."""

from __future__ import annotations

from decimal import Decimal

import pytest

from interlock.agents.fees import Fees
from interlock.agents.prices import PriceTable, Rates
from interlock.records.money import Usage

TOKENS = Usage(input_tokens=1_000, output_tokens=100, requests=1)
OWN = {"sim/one": Rates(input=1, output=1)}


def used(searches: int = 0, sessions: int = 0) -> Usage:
    return TOKENS + Usage(searches=searches, sessions=sessions)


@pytest.mark.parametrize(("provider", "model"), [("openai", "gpt-6.1-sol"), ("anthropic", "claude-sonnet-5-5")])
def test_the_table_knows_what_a_search_costs(provider: str, model: str) -> None:
    table = PriceTable()
    plain, searched = (table.micros(provider, model, usage) for usage in (TOKENS, used(searches=3)))
    assert plain is not None
    assert searched == plain + 30_000


@pytest.mark.parametrize(("provider", "session"), [("openai", 30_000), ("anthropic", 50_000), ("sim", 50_000)])
def test_a_place_to_run_code_has_the_vendors_fee(provider: str, session: int) -> None:
    table = PriceTable({f"{provider}/one": Rates(input=1, output=1)})
    assert table.micros(provider, "one", used(sessions=2)) == 1_100 + 2 * session


def test_a_model_with_prices_of_its_own_is_billed_for_searches_all_the_same() -> None:
    assert PriceTable(OWN).micros("sim", "one", used(searches=1)) == 1_100 + 10_000


def test_what_is_set_wins_and_is_rounded_up() -> None:
    table = PriceTable(OWN, Fees(search=Decimal("0.0200001"), session=Decimal(0)))
    assert table.micros("sim", "one", used(searches=1, sessions=5)) == 1_100 + 20_001
    assert table.version != PriceTable(OWN).version


def test_a_model_without_a_price_stays_without_one() -> None:
    assert PriceTable().micros("nobody", "none", used(searches=1)) is None
    assert PriceTable().at_most("nobody", "none", 1, 1, {"web_search": 1}) is None


@pytest.mark.parametrize(
    ("uses", "fee"),
    [
        ({}, 0),
        ({"web_search": 3}, 30_000),
        ({"code_interpreter": 3}, 150_000),
        ({"web_search": 3, "code_interpreter": 2}, 250_000),  # OpenAI bounds all uses together: each may be the dearest
        ({"something": 9}, 0),
    ],
)
def test_every_use_that_is_offered_is_in_the_bound(uses: dict[str, int], fee: int) -> None:
    table = PriceTable(OWN)
    plain = table.at_most("sim", "one", 1_000, 100)
    assert plain is not None
    assert table.at_most("sim", "one", 1_000, 100, uses) == plain + fee
