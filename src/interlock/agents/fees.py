"""What providers bill, besides tokens, for the tools of their own that a model uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any

from interlock.records.money import MICRO, Usage

#: US dollars for one search where neither the settings nor the price table know better: what OpenAI and Anthropic ask,
#: 10 for a thousand (https://developers.openai.com/api/docs/pricing, https://platform.claude.com/docs/en/pricing).
SEARCH = Decimal("0.01")
#: US dollars for one place to run code in. OpenAI bills 0.03 for a session of a container of 1 GB, Anthropic 0.05 for
#: an hour of one, of which the first 1,550 a month are free (the same pages); an hour is more than a request takes.
SESSIONS: Mapping[str, Decimal] = {"openai": Decimal("0.03")}
SESSION = Decimal("0.05")
#: Where the price table keeps the price of a thousand searches.
_KNOWN = "web_searches_kcount"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees:
    """Fees as they are set, in US dollars; None for what is known about the provider.

    Args:
        search: For one search of the web.
        session: For one place to run code in, however often code is run in it.
    """

    search: Decimal | None = None
    session: Decimal | None = None

    def micros(self, provider: str, price: Any, usage: Usage) -> int:
        """What a usage is billed besides its tokens, in micro-dollars, rounded up.

        Args:
            provider: The provider's name, in small letters.
            price: The price table's rates of the model, or None.
            usage: What the request consumed.
        """
        dollars = usage.searches * self._search(price) + usage.sessions * self._session(provider)
        return int((dollars * MICRO).to_integral_value(rounding=ROUND_CEILING))

    def at_most(self, provider: str, price: Any, uses: Mapping[str, int]) -> int:
        """The most that tools can be billed in one request: every use at the dearest of their fees, since OpenAI bounds
        the uses of all tools together.

        Args:
            provider: The provider's name, in small letters.
            price: The price table's rates of the model, or None.
            uses: How often each tool may be used, by its name.
        """
        fees = {"web_search": Usage(searches=1), "code_interpreter": Usage(sessions=1)}
        dearest = max((self.micros(provider, price, fees[name]) for name in uses if name in fees), default=0)
        return dearest * sum(uses.values())

    def _search(self, price: Any) -> Decimal:
        if self.search is not None:
            return self.search
        known = getattr(price, _KNOWN, None)
        return known / 1000 if isinstance(known, Decimal) else SEARCH

    def _session(self, provider: str) -> Decimal:
        return SESSIONS.get(provider, SESSION) if self.session is None else self.session
