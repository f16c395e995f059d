"""A clock that only moves when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import Callable


class _Alarm:
    """A call that will be made when the time comes, unless it is cancelled."""

    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Do not call."""
        self.call = None


class FakeClock:
    """A clock for tests: `now()` stands still until `advance`, or until something sleeps if `auto` is set.

    Args:
        start: The first `now()`, in seconds since 1970.
        auto: A sleep moves the clock at once and returns, so that retries take no real time.
    """

    def __init__(self, start: float = 1_800_000_000.0, *, auto: bool = False) -> None:
        self._now = start
        self._auto = auto
        self._alarms: list[tuple[float, int, _Alarm]] = []
        self._order = itertools.count()
        self.slept: list[float] = []

    def now(self) -> float:
        """The time it was told it is."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Come back when the clock has been moved so far; at once, moving it, if `auto` is set."""
        self.slept.append(seconds)
        if self._auto:
            await asyncio.sleep(0)
            self._move(self._now + max(0.0, seconds))
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.call_later(seconds, lambda: None if future.done() else future.set_result(None))
        await future

    def call_later(self, seconds: float, call: Callable[[], None]) -> _Alarm:
        """Call when the clock has been moved so far; in the next turn of the loop where it has been already."""
        alarm = _Alarm(call)
        if seconds <= 0:
            with contextlib.suppress(RuntimeError):  # without a loop it rings when the clock is next moved
                asyncio.get_running_loop().call_soon(_ring, alarm)
                return alarm
        heapq.heappush(self._alarms, (self._now + seconds, next(self._order), alarm))
        return alarm

    async def advance(self, seconds: float) -> None:
        """Move the clock, ring what is due, and let the loop do what follows."""
        self._move(self._now + seconds)
        for _ in range(20):
            await asyncio.sleep(0)

    def _move(self, to: float) -> None:
        while self._alarms and self._alarms[0][0] <= to:
            at, _, alarm = heapq.heappop(self._alarms)
            self._now = max(self._now, at)
            _ring(alarm)
        self._now = max(self._now, to)


def _ring(alarm: _Alarm) -> None:
    """Call, unless it was cancelled or has been called."""
    call, alarm.call = alarm.call, None
    if call is not None:
        call()
