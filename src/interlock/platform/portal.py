"""Doors for code without an event loop: a loop of our own on a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from interlock.errors import UsageError
from interlock.platform.forks import Opener

T = TypeVar("T")


async def _awaited(work: Callable[[], Awaitable[T]]) -> T:
    return await work()


class Portal:
    """An event loop on a thread of its own, for as long as it is open."""

    def __init__(self) -> None:
        self._opener = Opener()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="interlock-portal", daemon=True)
        self._thread.start()

    def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do asynchronous work there and return its result; an interrupt cancels it.

        Raises:
            UsageError: code `usage.deadlock`, when the portal's own loop asks: it would wait for itself for ever.
        """
        if threading.current_thread() is self._thread:
            says = "This would wait for itself: it was called from inside the event loop that is to do the work."
            raise UsageError(says, "Use `await platform.run(...)` here.", code="usage.deadlock")
        future = asyncio.run_coroutine_threadsafe(_awaited(work), self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise

    def close(self, last: Callable[[], Awaitable[Any]]) -> None:
        """Do something last, then end the loop and its thread. Does nothing after a fork: the thread is not here."""
        if self._opener.is_another(self):
            return
        self.call(last)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def in_private_loop(work: Callable[[], Awaitable[T]]) -> T:
    """Do short asynchronous work in a loop of its own, also when this thread already runs one."""
    coroutine: Coroutine[Any, Any, T] = _awaited(work)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(asyncio.run(coroutine))
        except BaseException as error:  # noqa: BLE001 - handed over to the thread that asked
            failed.append(error)

    thread = threading.Thread(target=run, name="interlock-private-loop")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]
