"""The one writer: a thread that takes everything that waits and commits it together, with one fsync."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any
from weakref import WeakKeyDictionary

from interlock.errors import InterlockError, StoreFailed
from interlock.stores.replies import Outcome, Replies, Work


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
        #: What waits, and None behind the last of it. Of all queues it has the shortest way from thread to thread.
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._replies: WeakKeyDictionary[asyncio.AbstractEventLoop, Replies] = WeakKeyDictionary()

    def submit(self, work: Work) -> None:
        """Queue work; its future is answered when it is safe.

        Raises:
            StoreFailed: code `store.closed`, when the writer has been closed.
        """
        with self._lock:  # nothing may come in behind the end of the queue
            if self._closing:
                raise StoreFailed("The journal is closed.", "Open the platform again.", code="store.closed")
            self._queue.put(work)
        if self._thread is None:
            self._start()

    def close(self) -> None:
        """Write what is queued and end the thread."""
        with self._lock:
            self._closing = True
            self._queue.put(None)
        if self._thread is not None:
            self._thread.join()
        for loop, replies in list(self._replies.items()):
            replies.close(loop)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="interlock-journal", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        queue = self._queue
        work = queue.get()
        while work is not None:
            group = [work]
            # Nobody else takes anything out of the queue, so what it holds can be had without waiting.
            for _ in range(min(queue.qsize(), self._most - 1)):
                work = queue.get()
                if work is None:
                    break
                group.append(work)
            self._answer(self._commit(group))
            if work is not None:
                work = queue.get()

    def _answer(self, outcomes: list[Outcome]) -> None:
        """Answer all futures of one event loop in one call into that loop."""
        by_loop: dict[asyncio.AbstractEventLoop, list[Outcome]] = {}
        for outcome in outcomes:
            by_loop.setdefault(outcome.work.future.get_loop(), []).append(outcome)
        for loop, mine in by_loop.items():
            replies = self._replies.get(loop)
            if replies is None:
                replies = self._replies[loop] = Replies()
            replies.give(loop, mine)


def all_failed(group: Sequence[Work], error: InterlockError) -> list[Outcome]:
    """The whole group could not be written; nothing of it was."""
    return [Outcome(work, error=error) for work in group]
