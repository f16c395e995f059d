"""A cost tracker for programs of their own: what was spent this month, whether more fits, and one warning."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from interlock.errors import UsageError
from interlock.governance.budgets import window_of
from interlock.records.money import micros_to_text, usd_to_micros

_log = logging.getLogger(__name__)


class CostTracker:
    """Adds up what agents cost against a monthly budget, in this process.

    It counts what it is told. What a `Platform` spends is limited by `Platform.add_budget`, which reserves before a
    call, holds for all processes that share a store, and survives crashes.

    Args:
        monthly_budget: US dollars for each month of the calendar, in UTC; None for no limit.
        alert_at: At which part of the budget `on_alert` is called, once a month.
        cost_per_1k: US dollars for a thousand tokens, where an agent has no `calculate_cost`.
        on_alert: Called with the tracker when the spending passes `alert_at`; by default a warning is logged.
        now: The clock: seconds since 1970.

    Attributes:
        total_tokens: Tokens that were tracked, ever.

    Raises:
        UsageError: an amount is wrong.
    """

    def __init__(
        self,
        monthly_budget: float | str | None = 1000,
        *,
        alert_at: float = 0.8,
        cost_per_1k: float = 0.02,
        on_alert: Callable[[CostTracker], Any] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        if not 0 < alert_at <= 1:
            raise UsageError(f"alert_at is a part of the budget, above 0 and at most 1, not {alert_at}.")
        self._limit = None if monthly_budget is None else usd_to_micros(monthly_budget)
        self._alert_at = alert_at
        self._per_1k = usd_to_micros(cost_per_1k)
        self._on_alert = on_alert or _warn
        self._now = now
        self._lock = threading.Lock()
        self._spent = 0
        self._alerted = False
        self._month = window_of("month", now()).name
        self.total_tokens = 0

    @property
    def monthly_budget(self) -> float | None:
        """The budget in US dollars, or None."""
        return None if self._limit is None else self._limit / 1_000_000

    @property
    def current_spend(self) -> float:
        """US dollars spent this month."""
        with self._lock:
            self._turn_the_page()
            return self._spent / 1_000_000

    def can_afford(self, agent: Any, estimated_tokens: float) -> bool:
        """Whether so many tokens of an agent still fit; exactly the whole budget does."""
        micros = self._micros(agent, estimated_tokens)
        with self._lock:
            self._turn_the_page()
            return self._limit is None or self._spent + micros <= self._limit

    def track_usage(self, agent: Any, actual_tokens: float) -> float:
        """Add what an agent used, and say what it cost in US dollars."""
        micros = self._micros(agent, actual_tokens)
        with self._lock:
            self._turn_the_page()
            self._spent += micros
            self.total_tokens += round(actual_tokens)
            alert = self._limit is not None and self._spent > self._limit * self._alert_at and not self._alerted
            self._alerted = self._alerted or alert
        if alert:
            self._on_alert(self)
        return micros / 1_000_000

    def track_execution(self, results: Iterable[Any]) -> float:
        """Add an estimate of what results cost, by the length of their outputs: about four characters a token."""
        tokens = sum(len(str(getattr(result, "output", result))) / 4 for result in results)
        return self.track_usage(None, tokens)

    def _micros(self, agent: Any, tokens: float) -> int:
        calculate = getattr(agent, "calculate_cost", None)
        if calculate is not None:
            return usd_to_micros(calculate(tokens))
        return -(-round(tokens) * self._per_1k // 1000)

    def _turn_the_page(self) -> None:
        month = window_of("month", self._now()).name
        if month != self._month:
            self._month, self._spent, self._alerted = month, 0, False


def _warn(tracker: CostTracker) -> None:
    spent = micros_to_text(round(tracker.current_spend * 1_000_000))
    _log.warning("%s USD of the month's budget of %s USD are spent", spent, tracker.monthly_budget)
