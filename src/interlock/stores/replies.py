"""Replies on their way from the writer's thread into the event loops of those who wait."""

from __future__ import annotations

import asyncio
import contextlib
import os
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

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


class Replies:
    """What is to be answered in one event loop, in the order it was written.

    The loop is woken by an eventfd where the system has them: asyncio's own way from another thread makes objects, and
    sends and receives on a pair of sockets, at several times the cost, and it is paid for every commit.
    """

    def __init__(self) -> None:
        self._waiting: deque[Outcome] = deque()
        #: Whether the loop has been told and has not looked yet.
        self._rung = False
        self._bell: int | None = None
        self._take_down: Callable[[], object] = lambda: None

    def give(self, loop: asyncio.AbstractEventLoop, outcomes: Iterable[Outcome]) -> None:
        """Have these answered in their loop. Called on the writer's thread."""
        self._waiting.extend(outcomes)
        if self._rung:
            return
        self._rung = True
        if self._bell is not None:
            os.eventfd_write(self._bell, 1)
        else:
            _call(loop, self._first, loop)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer what is left, and leave nothing in the loop. Called when nothing more will be given."""
        _call(loop, self._last, loop)

    def _first(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._bell is None and hasattr(os, "eventfd"):
            with contextlib.suppress(OSError):  # no more files may be opened: then it goes without
                self._hang_up(loop)
        self._answer_some()

    def _hang_up(self, loop: asyncio.AbstractEventLoop) -> None:
        bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        # Also when the loop is just forgotten; never while someone rings, since who rings holds the loop.
        closing = weakref.finalize(loop, os.close, bell)
        closing.atexit = False
        try:
            loop.add_reader(bell, self._woken, bell)
        except BaseException:
            closing()
            raise
        self._bell, self._take_down = bell, closing

    def _last(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._bell is not None:
            loop.remove_reader(self._bell)
            self._take_down()
            self._bell = None
        self._answer_some()

    def _woken(self, bell: int) -> None:
        os.eventfd_read(bell)
        self._answer_some()

    def _answer_some(self) -> None:
        self._rung = False  # before looking: what is given from now on rings again
        for _ in range(min(AT_ONCE, len(self._waiting))):
            outcome = self._waiting.popleft()
            future = outcome.work.future
            if future.done():
                continue
            if outcome.error is None:
                future.set_result(outcome.value)
            else:
                future.set_exception(outcome.error)
        if self._waiting and not self._rung:
            self._rung = True
            asyncio.get_running_loop().call_soon(self._answer_some)


def _call(loop: asyncio.AbstractEventLoop, what: Callable[..., object], *arguments: object) -> None:
    with contextlib.suppress(RuntimeError):  # that loop was closed meanwhile; what was written stays written
        loop.call_soon_threadsafe(what, *arguments)
