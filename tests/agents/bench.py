"""A bench that keeps its steps in a dict, so that tests can look at them, kill the agent, and play them again."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from interlock.agents.agent import Attempt, Done
from interlock.errors import InterlockError, from_code
from interlock.records.fact import StepKind
from interlock.records.money import NOTHING_USED, Usage
from interlock.records.verdict import ALLOWED, Act, Effect, Permit, Verdict, refusal

Gate = Callable[[Act], Verdict]


class Killed(BaseException):
    """The process is gone; like every suspension, no `Exception`."""


def allow(act: Act) -> Verdict:
    return ALLOWED


def block(reason: str, kind: str = "tool") -> Gate:
    return lambda act: Verdict(effect=Effect.BLOCK, reason=reason) if act.kind == kind else ALLOWED


class NotebookBench:
    """Keeps every outcome as JSON text under its path, and never does a step twice.

    Args:
        written: What another bench has written down.
        gate: Judges acts.
        kill_after: Die right after so many steps were done here.
        prefix: What goes before the names of steps.
    """

    def __init__(
        self,
        written: dict[str, str] | None = None,
        *,
        gate: Gate = allow,
        kill_after: int | None = None,
        prefix: str = "",
    ) -> None:
        self.run_id = "run-1"
        self.user: str | None = "ana"
        self.tenant: str | None = "acme"
        self.watched = False
        self.written = dict(written or {})
        self.done: list[str] = []
        self.steps: dict[str, dict[str, Any]] = {}
        self.acts: list[Act] = []
        self.attempts: dict[str, Attempt] = {}
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.notes: list[tuple[str, str, str]] = []
        self.usage: Usage = NOTHING_USED
        self._gate = gate
        self._kill_after = kill_after
        self._prefix = prefix

    async def step(
        self,
        name: str,
        act: Callable[[Attempt], Awaitable[Any]],
        *,
        what: StepKind,
        label: str = "",
        input: Any = None,
        repeatable: bool = True,
        timeout: float | None = None,
        heartbeat: float | None = None,
        attempts: int | None = None,
        judge: Act | None = None,
        remake: Callable[[Mapping[str, Any]], Act] | None = None,
    ) -> Any:
        path = self._prefix + name
        assert path not in self.steps, f"{path} was used twice"
        # What cannot be written as JSON must not be given to a journal.
        given = json.loads(json.dumps(input, allow_nan=False))
        self.steps[path] = {"what": what, "label": label, "input": given, "repeatable": repeatable, "timeout": timeout}
        if path not in self.written:
            self.written[path] = await self._do(path, act, timeout, judge)
            self.done.append(path)
            if self._kill_after == len(self.done):
                raise Killed
        outcome = json.loads(self.written[path])
        if "code" in outcome:
            raise from_code(outcome["code"], outcome["says"])
        return outcome["output"]

    async def _do(
        self, path: str, act: Callable[[Attempt], Awaitable[Any]], timeout: float | None, judge: Act | None
    ) -> str:
        permit = None
        try:
            if judge is not None:
                judge = replace(judge, path=path)
                self.acts.append(judge)
                verdict = self._gate(judge)
                if not verdict.allowed:
                    raise refusal(verdict)
                permit = Permit(judge, verdict)
            attempt = Attempt(number=1, key=f"{self.run_id}:{path}", path=path, timeout=timeout, permit=permit)
            self.attempts[path] = attempt
            result = await act(attempt)
        except InterlockError as error:
            return json.dumps({"code": error.code, "says": error.says})
        done = result if isinstance(result, Done) else Done(output=result)
        self.usage += done.usage
        return json.dumps({"output": done.output}, allow_nan=False)

    def scope(self, name: str) -> NotebookBench:
        raise NotImplementedError("agents are given the scope they work in")

    def emit(self, kind: str, **data: Any) -> None:
        self.events.append((kind, data))

    async def note(self, level: str, code: str, says: str) -> None:
        self.notes.append((level, code, says))
