"""The wish to stop: Ctrl-C, SIGTERM and a closed terminal, heard for as long as a command stays."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

INTERRUPTED = 130


@dataclass(slots=True)
class Stop:
    """The wish to stop: the first signal asks, the second does not.

    Attributes:
        asked: Set when someone asked.
        by_machine: Whether it was SIGTERM: not a person, but whoever runs this program wants it to end in good order.
    """

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    by_machine: bool = False

    def hear(self, number: int) -> None:
        """A signal came."""
        if self.asked.is_set():
            os.write(
                2, b"\nStopped at once. Nothing that was acknowledged is lost; `interlock run list` shows the run.\n"
            )
            os._exit(INTERRUPTED)
        self.by_machine = number == signal.SIGTERM
        self.asked.set()


@asynccontextmanager
async def signals() -> AsyncIterator[Stop]:
    """Hear Ctrl-C, SIGTERM and a closed terminal as a wish to stop, for as long as this lasts."""
    stop, loop = Stop(), asyncio.get_running_loop()
    # What the shell told us to ignore (nohup, jobs of a script) stays ignored.
    heard = [one for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) != signal.SIG_IGN]
    for number in heard:
        loop.add_signal_handler(number, stop.hear, number)
    try:
        yield stop
    finally:
        for number in heard:
            loop.remove_signal_handler(number)
