"""A rate limiter for programs of their own: so many requests a minute for each user, by tier, in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from interlock.governance.limits import TIERS, tier_rate
from interlock.stores.ledger import Room, room_under

_NANO = 1_000_000_000
#: So many users are remembered; those whose limit is whole again are forgotten beyond that.
_MOST = 100_000


class RateLimiter:
    """Allows each user so many requests a minute as their tier has: all at once, and then evenly as they come back.

    It counts in this process only. What a `Platform` takes in is limited by `Platform.set_rate_limits`, for all
    processes that share a store.

    Args:
        limits: Requests a minute by tier; by default 10 for `free`, 100 for `pro`, 1000 for `enterprise`.
        now: The clock: seconds since 1970.
    """

    def __init__(self, limits: Mapping[str, int] | None = None, *, now: Callable[[], float] = time.time) -> None:
        self.limits = dict(TIERS if limits is None else limits)
        self._now = now
        self._lock = threading.Lock()
        self._tats: dict[str, int] = {}

    def is_allowed(self, user_id: str, user_tier: str = "free") -> bool:
        """Whether a user may make a request now; if so, it counts.

        Raises:
            UsageError: code `usage.tier`: there is no such tier; nothing is counted.
        """
        with self._lock:
            room = self._room(user_id, user_tier, 1)
            if room.wait == 0:
                self._forget()
                self._tats[user_id] = room.tat
        return room.wait == 0

    def retry_after(self, user_id: str, user_tier: str = "free") -> float:
        """Seconds until a user may make a request; 0 for at once. Counts nothing.

        Raises:
            UsageError: code `usage.tier`: there is no such tier.
        """
        with self._lock:
            return self._room(user_id, user_tier, 1).wait

    def _room(self, user: str, tier: str, quantity: int) -> Room:
        rate = tier_rate(self.limits, tier, user)
        return room_under(rate, self._tats.get(user, 0), round(self._now() * _NANO))

    def _forget(self) -> None:
        if len(self._tats) >= _MOST:
            now = round(self._now() * _NANO)
            self._tats = {user: tat for user, tat in self._tats.items() if tat > now}
