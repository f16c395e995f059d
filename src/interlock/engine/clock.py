"""Time as an argument: the clock that the engine is given, and the system's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Alarm(Protocol):
    """A callback that will be called, unless it is cancelled first."""

    def cancel(self) -> None:
        """Do not call."""
        ...


class Clock(Protocol):
    """What the engine knows of time."""

    def now(self) -> float:
        """Seconds since 1970, UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Come back after so many seconds."""
        ...

    def call_later(self, seconds: float, call: Callable[[], None]) -> Alarm:
        """Call after so many seconds, on the running loop."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> float:
        """Seconds since 1970, UTC."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Come back after so many seconds."""
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, call: Callable[[], None]) -> Alarm:
        """Call after so many seconds, on the running loop."""
        return asyncio.get_running_loop().call_later(seconds, call)
