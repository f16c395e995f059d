"""The one writer: a thread that takes everything that waits and commits it together, with one fsync."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from interlock.errors import InterlockError, StoreFailed

#: So many who waited are answered in one turn of their loop: what they go on with must not hold up everyone else.
AT_ONCE = 32


class Work(Protocol):
    """Something to write, together with whatever else waits."""

    future: asyncio.Future[Any]


@dataclass(slots=True)
class Outcome:
    """What became of one piece of work: a value or an error."""

    work: Work
    value: Any = None
    error: BaseException | None = None


class GroupWriter:
    """Runs `commit` in a thread of its own, over all the work that came in while it was last busy.

    Group commit: callers wait for a future each, and one fsync answers all who waited
    (Gawlick and Kinkade, "Varieties of concurrency control in IMS/VS Fast Path", 1985).

    Args:
        commit: Writes a group durably and returns one outcome for each piece of work. It must not raise.
        most: How much work is taken into one group at most, so that no one waits for a giant transaction.
    """

    def __init__(self, commit: Callable[[Sequence[Any]], list[Outcome]], *, most: int = 2048) -> None:
        self._commit = commit
        self._most = most
        self._queue: deque[Work] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        #: What is to be answered in each loop, in the order it was written; touched in that loop alone.
        self._answers: WeakKeyDictionary[asyncio.AbstractEventLoop, deque[Outcome]] = WeakKeyDictionary()

    def submit(self, work: Work) -> None:
        """Queue work; its future is answered when it is safe.

        Raises:
            StoreFailed: code `store.closed`, when the writer has been closed.
        """
        with self._lock:  # nothing may come in behind the thread's last look at the queue
            if self._closing:
                raise StoreFailed("The journal is closed.", "Open the platform again.", code="store.closed")
            self._queue.append(work)
        if not self._wake.is_set():
            self._wake.set()
        if self._thread is None:
            self._start()

    def close(self) -> None:
        """Write what is queued and end the thread."""
        with self._lock:
            self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="interlock-journal", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._queue:
                group = [self._queue.popleft() for _ in range(min(len(self._queue), self._most))]
                self._answer(self._commit(group))
            if self._closing and not self._queue:
                return

    def _answer(self, outcomes: list[Outcome]) -> None:
        """Answer all futures of one event loop in one call into that loop."""
        by_loop: dict[asyncio.AbstractEventLoop, list[Outcome]] = {}
        for outcome in outcomes:
            by_loop.setdefault(outcome.work.future.get_loop(), []).append(outcome)
        for loop, mine in by_loop.items():
            if loop not in self._answers:
                self._answers[loop] = deque()
            try:
                loop.call_soon_threadsafe(_settle, loop, self._answers[loop], mine)
            except RuntimeError:  # that loop was closed meanwhile; what was written stays written
                continue


def _settle(loop: asyncio.AbstractEventLoop, waiting: deque[Outcome], outcomes: list[Outcome]) -> None:
    answering = bool(waiting)
    waiting.extend(outcomes)
    if not answering:
        _answer_some(loop, waiting)


def _answer_some(loop: asyncio.AbstractEventLoop, waiting: deque[Outcome]) -> None:
    for _ in range(min(AT_ONCE, len(waiting))):
        outcome = waiting.popleft()
        future = outcome.work.future
        if future.done():
            continue
        if outcome.error is None:
            future.set_result(outcome.value)
        else:
            future.set_exception(outcome.error)
    if waiting:
        loop.call_soon(_answer_some, loop, waiting)


def all_failed(group: Sequence[Work], error: InterlockError) -> list[Outcome]:
    """The whole group could not be written; nothing of it was."""
    return [Outcome(work, error=error) for work in group]
