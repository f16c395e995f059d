"""Shutting down when the machine asks: the first signal closes the platform, the second ends the process."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

from interlock.errors import UsageError

SIGNALS = (signal.SIGTERM, signal.SIGINT)
FORCED = 130


def close_on_signals(close: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Have SIGTERM and SIGINT close something in the running loop, and a second one end the process at once.

    Args:
        close: Closes it; called once.

    Returns:
        A function that gives the signals back to whoever had them.

    Raises:
        UsageError: code `usage.signals`, when no loop runs here, or this is not the main thread, which
            alone hears signals.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError as error:
        raise _unheard() from error
    closing: list[asyncio.Task[None]] = []
    before = {number: signal.getsignal(number) for number in SIGNALS}

    async def shut() -> None:
        await close()

    def hear() -> None:
        if closing:
            os._exit(FORCED)
        closing.append(loop.create_task(shut()))

    def give_back() -> None:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)

    try:
        for number in SIGNALS:
            loop.add_signal_handler(number, hear)
    except (RuntimeError, ValueError) as error:
        raise _unheard() from error
    return give_back


def _unheard() -> UsageError:
    return UsageError(
        "Signals can only be heard in the main thread, by the event loop that runs in it.",
        "Call close_on_signals inside an async function there; without a loop, call close_sync() yourself.",
        code="usage.signals",
    )
