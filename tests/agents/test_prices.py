"""What calls cost: against the maintained table's own arithmetic, rounded up, and never 0 for what is unknown."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_CEILING

import genai_prices
import pytest

from interlock.agents.prices import PriceTable, Rates, _by_library, _tiers, price_micros, price_version
from interlock.errors import SettingsError
from interlock.records.money import Usage

USED = Usage(input_tokens=10_007, output_tokens=2_003, cached_input_tokens=1_001, cache_write_tokens=503, requests=1)
LONG = Usage(input_tokens=900_001, output_tokens=3, requests=1)


def by_library(provider: str, model: str, usage: Usage, at: datetime | None = None) -> int:
    counted = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )
    price = genai_prices.calc_price(counted, model, provider_id=provider, genai_request_timestamp=at).total_price
    return int((price * 1_000_000).to_integral_value(ROUND_CEILING))


@pytest.mark.parametrize("usage", [USED, LONG], ids=["short", "long"])
@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-5"),
        ("openai", "gpt-4o-2024-08-06"),
        ("anthropic", "claude-sonnet-4-5"),  # dearer beyond 200,000 tokens
        ("anthropic", "claude-opus-4-6"),  # another price since a date
        ("google", "gemini-2.5-pro"),
        ("deepseek", "deepseek-chat"),  # another price by the hour
    ],
)
def test_a_price_is_that_of_the_table_rounded_up(provider: str, model: str, usage: Usage) -> None:
    table = PriceTable()
    for hour in (1, 20):
        at = datetime(2026, 11, 20, hour, tzinfo=UTC)
        assert table.micros(provider, model, usage, at) == by_library(provider, model, usage, at)


def test_a_millionth_of_a_dollar_is_the_least_that_is_charged() -> None:
    assert price_micros("openai", "gpt-5", Usage(input_tokens=1, requests=1)) == 2


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "no-such-model"),
        ("nobody", "gpt-5"),
        ("ollama", "llama3"),
        ("openai-on-my-desk", "gpt-5"),
        ("", ""),
        ("voyageai", "voyage-02"),  # has no price for output
    ],
)
def test_what_has_no_known_price_is_unknown_and_not_free(provider: str, model: str) -> None:
    assert price_micros(provider, model, USED) is None
    assert price_micros(provider, model, USED) is None  # the second time from memory


def test_unknown_usage_has_no_price_not_even_a_configured_one() -> None:
    table = PriceTable({"ollama/*": Rates(input=0, output=0)})
    assert table.micros("openai", "gpt-5", Usage(requests=1)) is None
    assert table.micros("ollama", "llama3", Usage(requests=1)) is None
    assert table.micros("ollama", "llama3", USED) == 0


def test_a_configured_price_comes_before_the_table() -> None:
    table = PriceTable(
        {"OpenAI/GPT-5": Rates(input="2", output=8.5, cached_input="0.5"), "acme/*": Rates(input=1, output=1)}
    )
    assert table.micros("openai", "gpt-5", USED) == -(-((10_007 - 1_001) * 4 + 2_003 * 17 + 1_001) // 2)
    assert table.micros("acme", "whatever", USED) == 10_007 + 2_003
    assert table.micros("anthropic", "claude-sonnet-4-5", USED) == price_micros("anthropic", "claude-sonnet-4-5", USED)


def test_the_names_interlock_uses_find_their_provider() -> None:
    assert price_micros("claude", "claude-sonnet-4-5", USED) == price_micros("anthropic", "claude-sonnet-4-5", USED)


@pytest.mark.parametrize("rate", [-1, "much", float("nan"), float("inf"), True])
def test_a_rate_that_makes_no_sense_is_refused(rate: float | str) -> None:
    with pytest.raises(SettingsError) as caught:
        PriceTable({"a/b": Rates(input=rate, output=1)})
    assert caught.value.code == "settings.prices"


@pytest.mark.parametrize("name", ["gpt-5", "/gpt-5", "openai/"])
def test_a_price_without_provider_or_model_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="provider/model"):
        PriceTable({name: Rates(input=1, output=1)})


def test_the_version_says_which_prices_were_used() -> None:
    own = PriceTable({"a/b": Rates(input=1, output=1)}).version
    assert PriceTable().version == price_version() == f"genai-prices {genai_prices.__version__}"
    assert own.startswith(f"{price_version()}+")
    assert own != PriceTable({"a/b": Rates(input=2, output=1)}).version


def test_tiers_cost_what_the_library_makes_of_them() -> None:
    from genai_prices.data_snapshot import get_snapshot

    checked = 0
    for provider in get_snapshot().providers:
        for model in provider.models:
            price = model.prices if not isinstance(model.prices, list) else model.get_prices(datetime.now(UTC))
            for start, _ in _tiers(price)[:-1]:
                for tokens in (start, start + 1, 3 * start):
                    usage = Usage(input_tokens=tokens, cached_input_tokens=tokens // 3, output_tokens=777, requests=1)
                    assert PriceTable()._priced(price, usage) == _by_library(price, usage), (provider.id, model.id)
                    checked += 1
    assert checked > 50
