"""An agent that says what it was told to say, for the tests of those who build on Interlock."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from typing import Any

from interlock.agents.agent import Answer, Bench, Brief
from interlock.agents.function import FunctionAgent
from interlock.errors import UsageError


class ScriptedAgent:
    """Answers from a script. It opens no socket and needs no key.

    Args:
        id: Who it is.
        replies: One answer for every call; or a list of them, handed out in the order of the calls; or a function
            of the input, sync or async. An answer that is an exception, or an exception class, is raised.
        delay: Seconds before each answer.
        strict: When the list is used up, fail; otherwise its last answer is given again.

    Raises:
        UsageError: the list is empty; and, on a call, that a strict list is used up.
    """

    def __init__(
        self, id: str = "scripted", replies: Any = "mocked", *, delay: float = 0.0, strict: bool = False
    ) -> None:
        if isinstance(replies, Sequence) and not isinstance(replies, str) and not replies:
            raise UsageError("A script needs at least one reply.", code="usage.script")
        self.id = id
        self.calls = 0
        self.inputs: list[Any] = []
        self._replies: Any = replies
        self._delay = delay
        self._strict = strict

    async def process(self, x: Any) -> Any:
        """Give the next answer; `calls` counts them, `inputs` keeps what was asked."""
        self.calls += 1
        self.inputs.append(x)
        reply = self._next(x)
        if self._delay > 0:
            await asyncio.sleep(self._delay)
        if inspect.isawaitable(reply):
            reply = await reply
        if isinstance(reply, BaseException) or (isinstance(reply, type) and issubclass(reply, BaseException)):
            raise reply
        return reply

    def _next(self, x: Any) -> Any:
        replies = self._replies
        if callable(replies) and not isinstance(replies, type):
            return replies(x)
        if isinstance(replies, str) or not isinstance(replies, Sequence):
            return replies
        if self._strict and self.calls > len(replies):
            raise UsageError(f"The script of {self.id} has {len(replies)} replies and no more.", code="usage.script")
        return replies[min(self.calls, len(replies)) - 1]

    async def work(self, brief: Brief, bench: Bench) -> Answer:
        """The same as one step, `call`; what it answers is recorded and not asked for again.

        Raises:
            AgentFailed: the reply was an exception that is none of Interlock's own.
            OutputInvalid: the reply is not JSON, or does not fit the brief's schema.
        """
        # Saying a line again harms nobody, so a crash in the middle asks no person.
        return await FunctionAgent(self.id, self.process, repeatable=True).work(brief, bench)
