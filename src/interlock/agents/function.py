"""Agents made of plain functions and objects."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from interlock.agents.agent import Answer, Attempt, Bench, BenchAgent, Brief
from interlock.agents.context import whole_characters
from interlock.agents.form import fitting
from interlock.errors import AgentFailed, InterlockError, OutputInvalid, UsageError
from interlock.records.task import check_json
from interlock.records.unexpected import explain
from interlock.tools.function import in_thread

LONGEST_SENTENCE = 500


class _NotAskedAgain(OutputInvalid):
    """The answer has the wrong form, and calling again is not known to be harmless."""

    retryable = False


class FunctionAgent:
    """A function, or an object with `process`, as an agent whose whole work is one step, `call`.

    It is given the brief's text, after the brief's instructions if there are any; and the brief's context too where
    it has a second parameter that must be given or is called `context`. A function that is not `async` runs in a
    thread, which cannot be stopped: after a timeout nobody waits for it any more, but it goes on to its end.

    Args:
        id: Who it is.
        fn: The function, or an object with a `process` method; sync or async, which its result decides.
        repeatable: Whether calling it again is harmless when a crash leaves its outcome unknown.

    Raises:
        UsageError: it is neither.
    """

    def __init__(self, id: str, fn: Any, *, repeatable: bool = False) -> None:
        self.id = id
        self.repeatable = repeatable
        self._fn = _callable_of(id, fn)
        self._takes_context = _takes_context(self._fn)
        self._is_async = inspect.iscoroutinefunction(self._fn)

    async def work(self, brief: Brief, bench: Bench) -> Answer:
        """Call the function, once and only once.

        Raises:
            AgentFailed: it raised something; errors of Interlock's own tree pass unchanged.
            OutputInvalid: what it returned is not JSON, or does not fit the brief's schema.
        """
        text = f"{brief.instructions}\n\n{brief.text}" if brief.instructions else brief.text
        given = (text, dict(brief.context)) if self._takes_context else (text,)

        async def act(attempt: Attempt) -> Any:
            return self._checked(await self._call(*given), brief)

        output = await bench.step("call", act, what="agent", label=self.id, repeatable=self.repeatable)
        return Answer(output=output, agent=self.id)

    def _checked(self, output: Any, brief: Brief) -> Any:
        try:
            check_json(output, f"What {self.id} returned")
            return fitting(output, brief.schema)
        except (UsageError, OutputInvalid) as error:
            wrong = OutputInvalid if self.repeatable else _NotAskedAgain
            raise wrong(error.says, error.do) from error

    async def _call(self, *given: Any) -> Any:
        try:
            result = self._fn(*given) if self._is_async else await in_thread(lambda: self._fn(*given))
            return await result if inspect.isawaitable(result) else result
        except InterlockError:
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise _failed(self.id, error) from error  # the function's own doing, nobody cancelled us
        except (Exception, SystemExit) as error:
            raise _failed(self.id, error) from error


def _failed(who: str, error: BaseException) -> AgentFailed:
    known = explain(error, LONGEST_SENTENCE - len(who) - 80)
    return AgentFailed(whole_characters(f"{who} raised {known.says}"), known.do, detail=known.detail)


def _callable_of(id: str, fn: Any) -> Callable[..., Any]:
    found = getattr(fn, "process", fn)
    if isinstance(fn, type) or not callable(found):
        raise UsageError(
            f"{id!r} is no agent: {fn!r} is neither a function nor an object with a `process` method."[:300],
            "Register an instance, not its class." if isinstance(fn, type) else "Give it a `process(x)` method.",
            code="usage.agent",
        )
    return found  # type: ignore[no-any-return]


def _takes_context(fn: Callable[..., Any]) -> bool:
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):  # some built-in functions do not say
        return False
    places = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    if len(places) < 2:
        return False
    # `def ask(text, temperature=0.2)` does not ask for a context.
    return places[1].default is inspect.Parameter.empty or places[1].name == "context"


def as_agent(id: str, x: Any) -> BenchAgent:
    """Make an agent of whatever someone registers: one that works at a bench stays as it is, and a function, a
    callable object or an object with `process` becomes a `FunctionAgent`.

    Raises:
        UsageError: it is none of these, or its id is no text.
    """
    if isinstance(x, BenchAgent) and not isinstance(x, type):
        if not isinstance(x.id, str) or not x.id:
            raise UsageError(f"The id of an agent is a text, not {type(x.id).__name__}.", code="usage.agent")
        return x
    return FunctionAgent(id, x)
