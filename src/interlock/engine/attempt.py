"""One try of one act: its time limit, its heartbeat, and how everything that can go wrong is named."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from interlock.agents.agent import Attempt, Done
from interlock.engine.parking import Parked, Stopped
from interlock.errors import AgentFailed, AgentTimeoutError, InterlockError
from interlock.records.money import is_count, sound
from interlock.records.unexpected import explain

LONGEST_SENTENCE = 300


async def try_once(act: Callable[[Attempt], Awaitable[Any]], attempt: Attempt, heartbeat: float | None = None) -> Done:
    """Make one try.

    Args:
        act: Does it; see `Bench.step`.
        attempt: The try; its `timeout` is kept here.
        heartbeat: Seconds without `attempt.beat()` after which it is given up, or None.

    Raises:
        AgentTimeoutError: it took longer than `attempt.timeout`, or gave no sign of life.
        InterlockError: what the act raised; any other exception becomes `AgentFailed` with code
            `agent.crashed`, its traceback in `detail` only.
    """
    limit = None
    try:
        if attempt.timeout is None and heartbeat is None:
            result = await act(attempt)
        else:
            async with asyncio.timeout(attempt.timeout) as limit:
                result = await _with_heartbeat(act, attempt, heartbeat)
    except (InterlockError, Parked, Stopped):
        raise
    except BaseExceptionGroup as group:
        error = spokesman(group)
        if isinstance(error, Exception) and not isinstance(error, InterlockError):
            raise crashed(error) from group
        raise error from group
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise crashed(error) from error  # the act's own doing: nobody cancelled it
    except TimeoutError as error:
        if limit is not None and limit.expired():
            raise AgentTimeoutError(f"It took longer than the {attempt.timeout:g} s allowed (timeout).") from error
        raise crashed(error) from error
    except Exception as error:
        raise crashed(error) from error
    return _believable(result) if isinstance(result, Done) else Done(output=result)


def _believable(done: Done) -> Done:
    """What an act reports to have consumed; figures that cannot be are unknown, and charged as what was held."""
    usage = sound(done.usage)
    paid = done.cost_micros is None or is_count(done.cost_micros)
    return done if paid and usage is done.usage else replace(done, usage=usage, cost_micros=None)


async def _with_heartbeat(act: Callable[[Attempt], Awaitable[Any]], attempt: Attempt, heartbeat: float | None) -> Any:
    if heartbeat is None:
        return await act(attempt)
    loop = asyncio.get_running_loop()
    quiet = asyncio.timeout(heartbeat)

    def beat() -> None:
        quiet.reschedule(loop.time() + heartbeat)

    try:
        async with quiet:
            return await act(replace(attempt, beat=beat))
    except TimeoutError as error:
        if quiet.expired():
            raise AgentTimeoutError(f"It gave no sign of life for {heartbeat:g} s (heartbeat timeout).") from error
        raise


def spokesman(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Which of the errors of a task group says how the whole ended: being stopped, a failure, a reason to wait."""
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves.append(spokesman(error) if isinstance(error, BaseExceptionGroup) else error)
    return min(leaves, key=_rank)


def _rank(error: BaseException) -> int:
    order = (Stopped, InterlockError, Exception, Parked)
    return next((place for place, kind in enumerate(order) if isinstance(error, kind)), len(order))


def crashed(error: BaseException) -> AgentFailed:
    """Name an error nobody expected; the traceback goes to `detail`, which is never shown but in the log."""
    known = explain(error, LONGEST_SENTENCE)
    return AgentFailed(f"It raised {known.says}", known.do, code="agent.crashed", detail=known.detail)
