"""The ear: hears what other processes write for the runs of this one, for as long as the journal is open."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from interlock.engine.clock import Clock
from interlock.errors import InterlockError, StoreFailed
from interlock.records.fact import Recorded
from interlock.stores.journal import Journal

#: Seconds until it listens again, when the store could not be read.
LISTEN_AGAIN = 1.0


class Ear:
    """Reads the facts that come from outside, one after the other.

    Args:
        journal: Where they are written.
        heard: Called with each of them.
        trouble: Told when the store cannot be read for a while.
        clock: The time.
    """

    def __init__(
        self,
        journal: Journal,
        heard: Callable[[Recorded], Awaitable[None]],
        trouble: Callable[[InterlockError], None],
        clock: Clock,
    ) -> None:
        self._journal = journal
        self._heard = heard
        self._trouble = trouble
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def listen(self) -> None:
        """Begin, unless it has begun."""
        if self._task is None:
            self._task = asyncio.ensure_future(self._hear())

    async def close(self) -> None:
        """Hear nothing more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _hear(self) -> None:
        place: int | None = None
        while True:
            try:
                async for record in self._journal.watch(after=place, outside=True):
                    place = record.position
                    await self._heard(record)
            except StoreFailed as error:
                if error.code == "store.closed":
                    return
                self._trouble(error)
                await self._clock.sleep(LISTEN_AGAIN)
