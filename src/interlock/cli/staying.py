"""Staying with a run until it has ended, waits or is stopped: what is shown meanwhile, and the answer at the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from interlock.cli.door import Door
from interlock.cli.stopping import INTERRUPTED, Stop
from interlock.cli.wording import Ink, count
from interlock.errors import InterlockError, from_code
from interlock.records.task import TaskStatus

if TYPE_CHECKING:
    from interlock.cli.progress import Teller
    from interlock.platform.platform import Platform
    from interlock.platform.result import TaskResult
    from interlock.platform.settings import Settings

SIMULATED = "The models are simulated, everything else is real. Costs are what the real models would have cost."


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """How a command stays with a run.

    Args:
        again: The command line that goes on with the run when it was stopped.
        told: Facts up to this number are not told again.
        teller: Who tells what happens; by default lines on stderr.
        tell: Prints what the run came to, and gives the exit code; by default the run's own result.
        orderly: Whether SIGTERM is an end in good order, with exit code 0.
        options: What of the command line led to these tools, rules and models; needed again to go on.
    """

    again: str
    options: tuple[str, ...] = ()
    told: int = 0
    teller: Teller | None = None
    tell: Callable[[Platform, TaskResult], Awaitable[int]] | None = None
    orderly: bool = False


async def stay(door: Door, platform: Platform, result: Awaitable[TaskResult], stop: Stop, how: Stay) -> int:
    """Show what happens until the run has ended, waits, or is stopped by a signal; ask, if it waits for the person
    who sits here; print the answer.

    Returns:
        The exit code.
    """
    from interlock.cli.asking import ask_in_place, waiting_for
    from interlock.cli.doubts import doubts_in, tell_doubts
    from interlock.cli.progress import Progress
    from interlock.platform.result import TaskResult

    assert door.run is not None
    progress = how.teller or Progress(door.out)
    ended = asyncio.ensure_future(result)
    helpers: list[asyncio.Future[Any]] = [
        asyncio.ensure_future(progress.follow(platform.watch(door.run, resumed_at=how.told), told=how.told)),
        asyncio.ensure_future(progress.beat()),
        asyncio.ensure_future(stop.asked.wait()),
    ]
    try:
        await asyncio.wait([ended, helpers[2]], return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            door.out.say(Ink("  stopping: what is being done gets finished. Once more stops at once.", "warn"))
            await platform.close()
        # The last facts are shown before the answer; a run that waits is followed no further.
        await asyncio.wait([ended, helpers[0]], timeout=0.5)
    finally:
        await end_with(door, helpers)
    stopped = stop.asked.is_set() and (not ended.done() or not _is_over(ended))
    if stopped:
        ended.cancel()
        await asyncio.gather(ended, return_exceptions=True)
        return _interrupted(door, how, by_machine=stop.by_machine)
    came_to = await ended
    approval = await waiting_for(platform, came_to) if came_to.approval_id is not None else None
    if approval is not None and approval.status == "pending" and door.out.can_ask:
        if await ask_in_place(door, platform, approval, stop.asked):
            told = (await platform.show(door.run)).seq
            return await stay(door, platform, platform.resume(door.run), stop, replace(how, told=told))
        approval = await waiting_for(platform, came_to)
    doubts = doubts_in(await platform.show(door.run)) if came_to.approval_id is not None else []
    if doubts and not door.out.json:  # said below, for each of them
        came_to = TaskResult({**came_to, "hint": f"{count(len(doubts), 'step')} in doubt"})
    code = tell_result(door, came_to) if how.tell is None else await how.tell(platform, came_to)
    tell_doubts(door, doubts, how.options)
    if approval is not None and approval.status == "pending":
        door.out.say(f"Look at it: {door.command('approval show', approval.id)}")
    return code


async def end_with(door: Door, helpers: list[asyncio.Future[Any]]) -> None:
    """Cancel what is still going on beside, and take the line at the bottom away."""
    for helper in helpers:
        helper.cancel()
    await asyncio.gather(*helpers, return_exceptions=True)
    door.out.status("")


def _is_over(ended: asyncio.Future[TaskResult]) -> bool:
    """Whether the run came to an end of its own, and not of the signal."""
    return ended.exception() is None and ended.result().status is not TaskStatus.WAITING


def _interrupted(door: Door, how: Stay, *, by_machine: bool) -> int:
    orderly = how.orderly and by_machine
    if not door.out.json:
        door.out.say(f"Stopped. Nothing is lost; go on with: {how.again}")
    elif orderly:
        door.out.record({"kind": "parked", "run_id": door.run, "do": how.again})
    else:
        says = "Stopped by a signal; the run can be resumed."
        door.refuse(InterlockError(says, how.again, code="run.interrupted"), run=door.run)
    return 0 if orderly else INTERRUPTED


def tell_result(door: Door, result: TaskResult) -> int:
    """Print what a run came to.

    Returns:
        The exit code.
    """
    code = exit_code(result)
    if door.out.json:
        door.out.record(result.to_dict())
        return code
    if result.output is not None:
        door.out.answer(result.output)
    if result.error_code:
        says = (result.error or "").removeprefix(f"{result.error_code}: ")
        door.refuse(from_code(result.error_code, says, result.hint or ""), run=result.run_id)
    elif not result.status.is_final:
        waits = f": {result.hint}" if result.hint else "."
        door.out.say(
            Ink(f"{result.status.value.replace('_', ' ')}{waits}", "warn"),
            f" ({result.approval_id})" if result.approval_id else "",
        )
    return code


def exit_code(result: TaskResult) -> int:
    """The exit code that tells what a run came to."""
    match result.status:
        case TaskStatus.COMPLETED:
            return 0
        case TaskStatus.FAILED | TaskStatus.BLOCKED | TaskStatus.CANCELLED:
            code = from_code(result.error_code or "failed", "").exit_code
            return 5 if result.status is TaskStatus.BLOCKED and code == 1 else code
        case _:
            return 3


# --- What it takes ------------------------------------------------------------------------------------------------


@asynccontextmanager
async def platform_for(door: Door, allow: tuple[str, ...], *, simulated: bool) -> AsyncIterator[Platform]:
    """A platform for this command, closed at its end."""
    from interlock.governance.commands import CommandPolicy
    from interlock.platform.platform import Platform

    async with contextlib.AsyncExitStack() as stack:
        more: dict[str, Any] = {}
        if simulated:
            more = await _simulation(stack, door.settings())
            door.out.say(Ink(SIMULATED, "warn"))
        platform = Platform(home=door.home, profile=door.profile, **more)
        stack.callback(_log_to_home(platform))
        stack.push_async_callback(platform.close)
        door.known = platform.settings
        if allow:
            platform.set_command_policy(platform.command_policy.joined(CommandPolicy(allowed=allow)))
        yield platform


async def _simulation(stack: contextlib.AsyncExitStack, settings: Settings) -> dict[str, Any]:
    """Start the simulated provider, and give the settings that lead every provider's requests to it."""
    from interlock.testing import SimulatedProvider
    from interlock.testing.demo_brain import think

    provider = await stack.enter_async_context(SimulatedProvider(script=think, record=False))
    for name in ("NO_PROXY", "no_proxy"):  # no proxy knows the way to this machine's own loopback
        os.environ[name] = ",".join(filter(None, ["127.0.0.1", os.environ.get(name)]))
    for described in settings.providers.values():
        if described.key_env:  # a real key has no business with a simulation
            os.environ[described.key_env] = "simulated"
    addresses = {"anthropic": provider.anthropic_url}
    return {
        "providers": {
            name: {"base_url": addresses.get(described.api, provider.openai_url)}
            for name, described in settings.providers.items()
        }
    }


def _log_to_home(platform: Platform) -> Callable[[], None]:
    """Without a wish for logs they go to the home folder, stack traces too: what is internal is not for the screen.

    Returns:
        A function that ends it.
    """
    if platform.settings.log.level is not None:
        return lambda: None
    import logging

    from interlock.cli.door import LOG
    from interlock.cli.private_log import PrivateLog
    from interlock.platform.telemetry import DETAILS, LOGGER

    log = PrivateLog(platform.settings.home / LOG)
    logging.getLogger(LOGGER).addHandler(log)
    logging.getLogger(DETAILS).setLevel(logging.DEBUG)

    def end() -> None:
        logging.getLogger(LOGGER).removeHandler(log)
        logging.getLogger(DETAILS).setLevel(logging.NOTSET)
        log.close()

    return end


def words_of(allow: tuple[str, ...], simulated: bool, modules: Sequence[str] = ()) -> tuple[str, ...]:
    """The options of a command line that lead to the same rules, models and tools."""
    words = [word for one in modules for word in ("--tools", one)]
    words += [word for rule in allow for word in ("--allow", rule)]
    return (*words, "--simulated") if simulated else tuple(words)
