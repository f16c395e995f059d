"""What model calls cost, from a maintained price table; what has no known price is unknown and never free."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from functools import cache
from importlib.metadata import version
from typing import Any

from interlock.agents.fees import Fees
from interlock.errors import SettingsError
from interlock.records.money import Usage

#: Rates are held as whole parts of a micro-dollar per token, so that a price is a few integer products.
_PARTS = 10**9
_MAX_KNOWN = 4_096
#: Names that Interlock uses for providers of the table.
_ALSO_KNOWN = {"claude": "anthropic", "gemini": "google"}
#: Rates of the table that say what our counts cost.
_INPUT, _OUTPUT, _CACHED, _WRITTEN = "input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok"
#: Rates that cost nothing by the token: sounds, images, searches (which are fees), and a cache we never ask for.
_NOT_OURS = ("audio", "image", "video", "search", "document", "_1h_", "citation", "code_executions", "tool", "gpixels")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What one model charges, in US dollars per million tokens.

    Args:
        input: For tokens sent.
        output: For tokens received, reasoning included.
        cached_input: For tokens read from the cache; None for the same as `input`.
        cache_write: For tokens written to the cache; None for the same as `input`.
    """

    input: Decimal | float | str
    output: Decimal | float | str
    cached_input: Decimal | float | str | None = None
    cache_write: Decimal | float | str | None = None


@dataclass(frozen=True, slots=True)
class _Flat:
    """Rates as whole parts of a micro-dollar per token; a dollar per million tokens is a micro-dollar per token."""

    input: int
    output: int
    cached: int
    written: int

    def micros(self, usage: Usage) -> int:
        plain = max(0, usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens)
        parts = (
            plain * self.input
            + usage.output_tokens * self.output
            + usage.cached_input_tokens * self.cached
            + usage.cache_write_tokens * self.written
        )
        return -(-parts // _PARTS)


class PriceTable:
    """Prices of models: what was configured, and else the maintained table of genai-prices, without the network.

    Args:
        overrides: Rates by `provider/model`, or `provider/*` for all models of a provider.
        fees: What tools of the providers cost, where that differs from what is known.

    Raises:
        SettingsError: `settings.prices`, when a rate is no number of 0 or more or a name has no provider.
    """

    def __init__(self, overrides: Mapping[str, Rates] | None = None, fees: Fees = Fees()) -> None:
        self._fees = fees
        self._overrides = {name.lower(): _own(name, rates) for name, rates in (overrides or {}).items()}
        #: The table's entry by provider and model; None where it has none.
        self._known: dict[tuple[str, str], Any] = {}
        #: Flat rates and from where they hold, by the identity of the table's price; none where it has others.
        self._flat: dict[int, tuple[tuple[int, _Flat], ...]] = {}

    @property
    def version(self) -> str:
        """Which prices these are, for the record: the table's release, and a digest of the overrides."""
        if not self._overrides and self._fees == Fees():
            return price_version()
        own = (sorted(self._overrides.items()), *([] if self._fees == Fees() else [self._fees]))
        digest = hashlib.sha256(repr(own).encode()).hexdigest()[:12]
        return f"{price_version()}+{digest}"

    def micros(self, provider: str, model: str, usage: Usage, at: datetime | None = None) -> int | None:
        """What a request costs, in micro-dollars, rounded up.

        Args:
            provider: The provider's name.
            model: The model's name at the provider.
            usage: What the request consumed; without input tokens it counts as not reported.
            at: When it was made; None for now. Some prices depend on it.

        Returns:
            The cost, or None where the price or the usage is unknown.
        """
        if usage.input_tokens <= 0:
            return None
        provider, model = provider.lower(), model.lower()
        cost = self._micros(provider, model, usage, at)
        if cost is None or not (usage.searches or usage.sessions):
            return cost
        return cost + self._fees.micros(provider, self._price(provider, model, at), usage)

    def at_most(
        self,
        provider: str,
        model: str,
        input_tokens: int,
        output_tokens: int,
        uses: Mapping[str, int] | None = None,
        at: datetime | None = None,
    ) -> int | None:
        """The most that a request can cost, in micro-dollars: all that is sent at the dearest of its rates.

        Args:
            provider: The provider's name.
            model: The model's name at the provider.
            input_tokens: The most tokens that are sent.
            output_tokens: The most tokens that are received, reasoning included.
            uses: How often each of the provider's own tools may be used, by its name.
            at: When it is made; None for now.

        Returns:
            The bound, or None where the price is unknown.
        """
        sent = max(1, input_tokens)
        ways = (
            Usage(input_tokens=sent, output_tokens=output_tokens),
            Usage(input_tokens=sent, output_tokens=output_tokens, cached_input_tokens=sent),
            Usage(input_tokens=sent, output_tokens=output_tokens, cache_write_tokens=sent),
        )
        provider, model = provider.lower(), model.lower()
        costs = [self._micros(provider, model, usage, at) for usage in ways]
        if costs[0] is None:
            return None
        fees = self._fees.at_most(provider, self._price(provider, model, at), uses) if uses else 0
        return max(cost for cost in costs if cost is not None) + fees

    def _micros(self, provider: str, model: str, usage: Usage, at: datetime | None) -> int | None:
        own = self._overrides.get(f"{provider}/{model}") or self._overrides.get(f"{provider}/*")
        if own is not None:
            return own.micros(usage)
        price = self._price(provider, model, at)
        return None if price is None else self._priced(price, usage)

    def _price(self, provider: str, model: str, at: datetime | None) -> Any:
        """The table's rates of a model, or None."""
        entry = self._entry(_ALSO_KNOWN.get(provider, provider), model)
        if entry is None or not isinstance(entry.prices, list):
            return entry and entry.prices
        return entry.get_prices(at or datetime.now(UTC))

    def _entry(self, provider: str, model: str) -> Any:
        known = (provider, model)
        if known not in self._known:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[known] = _look_up(provider, model)
        return self._known[known]

    def _priced(self, price: Any, usage: Usage) -> int | None:
        for start, flat in self._rates(price):
            if usage.input_tokens > start:
                return flat.micros(usage)
        return _by_library(price, usage)

    def _rates(self, price: Any) -> tuple[tuple[int, _Flat], ...]:
        known = id(price)  # prices live as long as the table, which is never given back
        if known not in self._flat:
            self._flat[known] = _tiers(price)
        return self._flat[known]


@cache
def _table() -> PriceTable:
    return PriceTable()


def price_micros(provider: str, model: str, usage: Usage) -> int | None:
    """What a request costs by the maintained table; see `PriceTable.micros`."""
    return _table().micros(provider, model, usage)


def price_version() -> str:
    """Which release of the maintained table is in use, for the record."""
    return f"genai-prices {version('genai-prices')}"


def _own(name: str, rates: Rates) -> _Flat:
    provider, _, model = name.partition("/")
    if not provider or not model:
        raise SettingsError(f"{name!r} is not provider/model.", "Write it like openai/gpt-5.", code="settings.prices")
    plain = _parts(name, rates.input)
    return _Flat(
        input=plain,
        output=_parts(name, rates.output),
        cached=plain if rates.cached_input is None else _parts(name, rates.cached_input),
        written=plain if rates.cache_write is None else _parts(name, rates.cache_write),
    )


def _parts(name: str, dollars: Decimal | float | str) -> int:
    try:
        exact = Decimal(str(dollars))
    except InvalidOperation:
        exact = Decimal("NaN")
    if isinstance(dollars, bool) or not exact.is_finite() or exact < 0:
        says = f"A price of {name} is not a number of US dollars per million tokens."
        raise SettingsError(says, "Write it like 2.5.", code="settings.prices")
    return _round_up(exact * _PARTS)


def _round_up(exact: Decimal) -> int:
    return int(exact.to_integral_value(rounding=ROUND_CEILING))


def _look_up(provider: str, model: str) -> Any:
    """The table's entry, or None. The provider must be named exactly: the table guesses, and would take someone's
    local server with `openai` in its name for OpenAI."""
    from genai_prices.data_snapshot import get_snapshot

    snapshot = get_snapshot()
    found = next((one for one in snapshot.providers if one.id == provider), None)
    return found and found.find_model(model, all_providers=snapshot.providers)


def _tiers(price: Any) -> tuple[tuple[int, _Flat], ...]:
    """The flat rates of a price, each with the input tokens above which it holds, dearest tier first; or nothing.

    A tier's rates hold for all tokens of a request whose input is above its start, as in the library.
    """
    rates = {name: rate for name, rate in vars(price).items() if rate is not None and not _is_not_ours(name)}
    if not {_INPUT, _OUTPUT} <= rates.keys() <= {_INPUT, _OUTPUT, _CACHED, _WRITTEN}:
        return ()
    if not all(isinstance(rate, Decimal) or hasattr(rate, "tiers") for rate in rates.values()):
        return ()
    above = sorted({-1, *(tier.start for rate in rates.values() for tier in getattr(rate, "tiers", ()))}, reverse=True)
    return tuple((start, _flat({name: _rate_above(rate, start) for name, rate in rates.items()})) for start in above)


def _rate_above(rate: Any, start: int) -> Decimal:
    """The rate for a request whose input is just above so many tokens."""
    if isinstance(rate, Decimal):
        return rate
    fitting = [tier.price for tier in rate.tiers if tier.start <= start]
    found: Decimal = fitting[-1] if fitting else rate.base
    return found


def _flat(rates: Mapping[str, Decimal]) -> _Flat:
    plain = rates[_INPUT]
    ordered = (plain, rates[_OUTPUT], rates.get(_CACHED, plain), rates.get(_WRITTEN, plain))
    return _Flat(*(_round_up(rate * _PARTS) for rate in ordered))


def _is_not_ours(name: str) -> bool:
    return name.startswith("_") or any(word in name for word in _NOT_OURS)


def _by_library(price: Any, usage: Usage) -> int | None:
    """What the library makes of a price with tiers or per request; None where it says nothing about our counts."""
    import genai_prices

    rates = vars(price)
    if rates.get(_INPUT) is None or (usage.output_tokens and rates.get(_OUTPUT) is None):
        return None
    counted = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
    )
    try:
        return _round_up(price.calc_price(counted)["total_price"] * 1_000_000)
    except ValueError:  # counts that contradict one another
        return None
