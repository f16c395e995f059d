"""Usage and money: token counts, and US dollars in exact micro-units."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, InvalidOperation

from interlock.errors import UsageError

MICRO = 1_000_000
#: A larger count is no count: no request has a trillion tokens, and no store could add up many of them.
MAX_COUNT = 10**12


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a piece of work consumed, in tokens and requests, as the provider reported it.

    Args:
        input_tokens: All tokens sent, cached ones included.
        output_tokens: All tokens received, reasoning included.
        cached_input_tokens: The part of `input_tokens` read from the provider's cache.
        cache_write_tokens: The part of `input_tokens` written to the provider's cache.
        reasoning_tokens: The part of `output_tokens` spent on reasoning.
        requests: How many requests were made.
        searches: How often the provider searched the web on its side, which it bills besides tokens.
        sessions: How many places to run code it opened on its side, which it bills too.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    requests: int = 0
    searches: int = 0
    sessions: int = 0

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def to_json(self) -> dict[str, int]:
        """The figures as a JSON object."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_input_tokens=self.cached_input_tokens + other.cached_input_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            requests=self.requests + other.requests,
            searches=self.searches + other.searches,
            sessions=self.sessions + other.sessions,
        )


NOTHING_USED = Usage()


def is_count(value: object) -> bool:
    """Whether a figure somebody reports can be a count, of tokens or of micro-dollars."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT


def sound(usage: Usage) -> Usage:
    """The usage, or where one of its figures makes no sense only that a request was made: its price is unknown then."""
    return usage if all(is_count(figure) for figure in usage.to_json().values()) else Usage(requests=1)


_WRITTEN = re.compile(
    r"^\s*\$?\s*(?P<number>[0-9][0-9_,]*(?:\.[0-9]+)?|\.[0-9]+)\s*(?:usd|dollars?|\$)?\s*$", re.IGNORECASE
)


def usd_to_micros(amount: str | int | float | Decimal) -> int:
    """Read an amount of US dollars as exact micro-dollars, rounding up.

    Args:
        amount: `"5 USD"`, `"$0.25"`, `5`, `0.25` or a `Decimal`; never negative.

    Raises:
        UsageError: the text is no amount, or the amount is negative, infinite or not a number.
    """
    if isinstance(amount, bool):
        raise UsageError("An amount of money is a number or a text like '5 USD'.", code="usage.money")
    if isinstance(amount, str):
        match = _WRITTEN.match(amount)
        if match is None:
            raise UsageError(
                f"{amount!r} is not an amount of US dollars.", "Write it like '5 USD'.", code="usage.money"
            )
        amount = match["number"].replace(",", "").replace("_", "")
    try:
        exact = Decimal(str(amount))
    except InvalidOperation:
        raise UsageError("That is not an amount of US dollars.", "Write it like '5 USD'.", code="usage.money") from None
    if not exact.is_finite() or exact < 0:
        raise UsageError("An amount of money must be a finite number, 0 or more.", code="usage.money")
    return int((exact * MICRO).to_integral_value(rounding=ROUND_CEILING))


def micros_to_text(micros: int | None) -> str:
    """Write micro-dollars as dollars with six places, or `unknown` where the price is not known."""
    if micros is None:
        return "unknown"
    return f"{micros // MICRO}.{micros % MICRO:06d}"


def micros_to_usd(micros: int | None) -> float | None:
    """Micro-dollars as a float of US dollars, for people and plots; `None` stays `None`."""
    return None if micros is None else micros / MICRO


def add_micros(one: int | None, other: int | None) -> int | None:
    """Add two costs; anything plus an unknown cost is unknown."""
    return None if one is None or other is None else one + other
