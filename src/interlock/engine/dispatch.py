"""Who drives what, when: a narrow protocol, and the embedded dispatch of one process."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable
from typing import Protocol

from interlock.engine.clock import Alarm, Clock
from interlock.errors import StoreFailed

Advance = Callable[[str], Awaitable[None]]
#: Seconds until the store is asked again for what is due, when it could not be read.
ASK_AGAIN = 1.0


class Dispatch(Protocol):
    """Brings runs to whoever can drive them. An engine across machines takes this place."""

    def submit(self, run_id: str, *, priority: int, not_before: float | None = None) -> None:
        """Have a run advanced, the more urgent (smaller) priority first, not before a time. Submitting a run
        that is queued already only makes it more urgent."""
        ...

    def room(self) -> bool:
        """Whether a run submitted now would be advanced at once."""
        ...

    async def stop(self) -> None:
        """Advance nothing more. Runs that are being advanced are left to end."""
        ...


class EmbeddedDispatch:
    """Advances runs as tasks of this process, at most so many at once.

    Runs that wait for a time are not held here: the journal knows them. This only remembers when to look again.

    Args:
        advance: Drives a run until it waits or ends. It must not raise.
        due: Submits the runs whose time has come, and says when the next one comes, or None.
        most: How many runs are advanced at once at most.
        clock: The time.
    """

    def __init__(
        self, advance: Advance, due: Callable[[], Awaitable[float | None]], *, most: int, clock: Clock
    ) -> None:
        self._advance = advance
        self._due = due
        self._most = most
        self._clock = clock
        self._queue: list[tuple[int, int, str]] = []
        self._queued: dict[str, int] = {}
        self._order = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._alarm: Alarm | None = None
        self._alarm_at = float("inf")
        self._stopped = False

    def submit(self, run_id: str, *, priority: int, not_before: float | None = None) -> None:
        """See `Dispatch.submit`."""
        if self._stopped:
            return
        if not_before is not None:
            self._look_again(not_before)
            return
        if self._queued.get(run_id, priority + 1) <= priority:
            return
        self._queued[run_id] = priority
        heapq.heappush(self._queue, (priority, next(self._order), run_id))
        self._fill()

    def room(self) -> bool:
        """See `Dispatch.room`."""
        return not self._stopped and len(self._tasks) < self._most and not self._queue

    async def stop(self) -> None:
        """See `Dispatch.stop`."""
        self._stopped = True
        self._queue.clear()
        self._queued.clear()
        if self._alarm is not None:
            self._alarm.cancel()

    async def idle(self, seconds: float) -> bool:
        """Come back when nothing is being advanced, or after so many seconds; says whether it is idle."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        # `asyncio.timeout` does not fire in a task that was cancelled before (CPython before 3.11.3), and a
        # platform is often closed by just such a task: the one that Ctrl-C cancelled.
        while self._tasks and (left := until - loop.time()) > 0:
            await asyncio.wait(self._tasks, timeout=left)
        return not self._tasks

    def abandon(self) -> None:
        """Cancel whatever is still being advanced."""
        for task in self._tasks:
            task.cancel()

    def _fill(self) -> None:
        while self._queue and len(self._tasks) < self._most:
            priority, _, run_id = heapq.heappop(self._queue)
            if self._queued.get(run_id) == priority:  # else it was submitted again as more urgent, and has gone
                del self._queued[run_id]
                self._start(self._advance(run_id))

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)  # the owner: a task nobody holds may be collected in the middle
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self._stopped:
            self._fill()

    def _look_again(self, at: float) -> None:
        if at >= self._alarm_at or self._stopped:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = self._clock.call_later(max(0.0, at - self._clock.now()), self._ring)

    def _ring(self) -> None:
        self._alarm, self._alarm_at = None, float("inf")
        self._start(self._collect())

    async def _collect(self) -> None:
        try:
            following = await self._due()
        except StoreFailed:  # timers must outlive a store that is locked or full for a while
            following = self._clock.now() + ASK_AGAIN
        if following is not None:
            self._look_again(following)
