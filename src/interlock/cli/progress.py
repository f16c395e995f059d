"""What a run is doing, line by line as it does it, with lines at the bottom that are rewritten: what is going on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Protocol

from interlock.cli.output import Output, Piece
from interlock.cli.show import Calls, describe, was_refused
from interlock.cli.wording import Ink, marked, took, usd
from interlock.platform.events import Event

#: How often the line at the bottom is drawn again, in seconds.
BEAT = 0.25
#: Characters of what a step is to do that are told.
LONGEST = 80
#: So many steps of a plan that are going on are shown at the bottom.
MOST_AT_ONCE = 10


class Teller(Protocol):
    """Tells what happens in a run while a command stays with it."""

    async def follow(self, events: AsyncIterator[Event], *, told: int = 0) -> None:
        """Tell events as they come, from the first fact above `told` on, and end with them."""

    async def beat(self) -> None:
        """Keep what is rewritten fresh, until cancelled."""


class JsonLines:
    """Tells a run's facts on stdout, one JSON object a line.

    Args:
        out: Where they are told.
    """

    def __init__(self, out: Output) -> None:
        self._out = out

    async def follow(self, events: AsyncIterator[Event], *, told: int = 0) -> None:
        """See `Teller.follow`. The result is left to whoever waits for it."""
        async for event in events:
            if event.seq > told:
                self._out.record(event.to_json())

    async def beat(self) -> None:
        """Nothing is rewritten."""


class Progress:
    """Tells a run's events on stderr: one line for each finished step, added and never taken back.

    Args:
        out: Where it is told.
    """

    def __init__(self, out: Output) -> None:
        self._out = out
        self._begun: dict[str, tuple[str, float]] = {}
        self._calls = Calls()
        self._wide = 12
        self._cost: int | None = 0
        self._done = 0
        self._heard = 0
        self._steps = 0
        self._aims: dict[str, str] = {}
        self._asks_agents = True
        self._ended = 0
        self._broken = 0
        self._kept: dict[str, int] = {}
        self.parked = ""

    async def follow(self, events: AsyncIterator[Event], *, told: int = 0) -> None:
        """Tell events as they come, and end with them.

        Args:
            events: The run's events, from its first fact on.
            told: Facts up to this number are taken note of, and not told again.
        """
        async for event in events:
            self.hear(event, aloud=event.seq == 0 or event.seq > told)

    async def beat(self) -> None:
        """Keep the line at the bottom fresh, until cancelled."""
        while True:
            self._out.status(*self._bottom(time.time()))
            await asyncio.sleep(BEAT)

    def hear(self, event: Event, *, aloud: bool = True) -> None:
        """Take note of one event and tell it, if it is worth a line; a fact that was heard before changes nothing."""
        if 0 < event.seq <= self._heard:
            return
        self._heard = max(self._heard, event.seq)
        line = self._line(event.kind, event.data, event.at)
        if line and aloud:
            self._out.say(*line)

    def _line(self, kind: str, data: dict[str, Any], at: float) -> list[Piece]:
        match kind:
            case "run.admitted" | "step.inherited":
                self._begins_with(data)
            case "run.routed" if self._asks_agents:
                return [Ink(f"  {data['platform']}: {' '.join(data['reasons'])}", "dim")]
            case "step.started":
                self._starts(data, at)
            case "step.finished":
                return self._finished(data)
            case "step.failed":
                return self._failed(data)
            case "question.asked":
                return [Ink("  ? ", "warn"), f"{data['says']} ({data['question_id']})"]
            case "run.waiting" | "run.started":
                self._begun.clear()
                self.parked = data.get("reason", "")
                return self._waits(data) if self.parked else self._keeps()
            case "noted" if data["level"] == "warning":
                return [Ink("  ! ", "warn"), data["says"]]
            case "run.finished":
                return self._over(data)
        return []

    def _waits(self, data: dict[str, Any]) -> list[Piece]:
        return [Ink("  … ", "warn"), data["says"] or f"waits: {data['reason']}"]

    def _begins_with(self, data: dict[str, Any]) -> None:
        """How many steps a plan has, and how many of them are taken over from another run."""
        if "task" in data:
            plan = data["task"].get("context", {}).get("plan") if data["flow"] == "plan" else None
            self._steps = len(plan["steps"]) if plan else 0
            for step in plan["steps"] if plan else ():
                self._aims[f"plan/{step['id']}"] = step["description"][:LONGEST]
            # Who does agents' work is of no interest to a plan in which there is none.
            self._asks_agents = not plan or any(step.get("tool_input") is None for step in plan["steps"])
            return
        self._kept[data["parent"]] = self._kept.get(data["parent"], 0) + 1
        self._ended += 1

    def _keeps(self) -> list[Piece]:
        """What was taken over from other runs, told once."""
        kept, self._kept = self._kept, {}
        told = ", ".join(f"{number} from {parent}" for parent, number in kept.items())
        return [Ink("  = ", "dim"), f"kept: {told}"] if told else []

    def _starts(self, data: dict[str, Any], at: float) -> None:
        path = data["path"]
        what = self._aims.get(path.partition("~")[0]) or describe(data["what"], data["name"], data.get("input"))
        self._begun[path] = (what, at)
        if (step := self._called_by(path)) in self._begun:
            self._begun[step] = (what, self._begun[step][1])

    def _called_by(self, path: str) -> str:
        """The step of a plan whose only act this is, a call of its tool: one line is enough for both."""
        parts = path.split("/")
        return "/".join(parts[:2]) if self._steps and parts[0] == "plan" and parts[3:] == ["tool"] else ""

    def _finished(self, data: dict[str, Any]) -> list[Piece]:
        path = data["path"]
        what, _ = self._begun.pop(path, ("", 0.0))
        self._calls.note(path, data.get("output"))
        cost = data.get("cost_micros", 0)
        self._cost = None if cost is None or self._cost is None else self._cost + cost
        self._done += 1
        self._ended += path.count("/") == 1 and path.startswith("plan/")
        if self._called_by(path):
            return []
        figures = [took(data["seconds"]), *([usd(cost)] if cost != 0 else [])]
        return [Ink("  ✓ ", "good"), self._column(path), f"{what}  ", Ink("  ".join(figures), "dim")]

    def _failed(self, data: dict[str, Any]) -> list[Piece]:
        path, failure = data["path"], data["failure"]
        what, _ = self._begun.pop(path, (self._calls.name(path), 0.0))
        again = data.get("again_at")
        if self._called_by(path):
            return []
        self._broken += again is None and path.count("/") == 1
        if was_refused(failure["code"]):
            return [Ink("  ⊘ ", "bad"), self._column(path), what, Ink("  refused: ", "bad"), failure["says"]]
        if again is not None:
            wait = max(0.0, again - time.time())
            return [
                Ink("  ↻ ", "warn"),
                self._column(path),
                f"{what}  {_brief(failure['says'])} Again in {took(wait)}.",
            ]
        return [Ink("  ✕ ", "bad"), self._column(path), f"{what}  {_brief(failure['says'])}"]

    def _over(self, data: dict[str, Any]) -> list[Piece]:
        mark = marked(data["status"])
        self._broken = 0  # if the run goes on after this, what failed is tried again
        figures = f"  {took(data['seconds'])}  {usd(data.get('cost_micros', 0))}"
        return [Ink(f"  {mark.text}", mark.style), Ink(figures, "dim")]

    def _column(self, path: str) -> str:
        self._wide = max(self._wide, len(path))
        return f"{path.ljust(self._wide)}  "

    def _bottom(self, now: float) -> list[str]:
        if not self._begun:
            return [f"  … waits: {self.parked}"] if self.parked else []
        if self._steps:
            return self._tree(now)
        path, (what, at) = next(reversed(self._begun.items()))
        return [f"  ▶ {path}  {what}  {took(max(0.0, now - at))}  ({self._done} done, {usd(self._cost)})"]

    def _tree(self, now: float) -> list[str]:
        """The steps of a plan that are going on, each with what is being done for it just now."""
        active = [path for path in self._begun if path.count("/") == 1]
        failed = f"{self._broken} failed, " if self._broken else ""
        lines = [f"  ▶ {self._ended} of {self._steps} done, {failed}{len(active)} at work, {usd(self._cost)}"]
        wide = max(map(len, active[:MOST_AT_ONCE]), default=0)
        for path in active[:MOST_AT_ONCE]:
            what, at = self._begun[path]
            inside = [one for one in self._begun if one.startswith(f"{path}/") and not self._called_by(one)]
            now_at = f"{what}  › {self._begun[inside[-1]][0]}" if inside else what
            lines.append(f"    {path.ljust(wide)}  {now_at}  {took(max(0.0, now - at))}")
        if len(active) > MOST_AT_ONCE:
            lines.append(f"    and {len(active) - MOST_AT_ONCE} more")
        return lines


def _brief(says: str) -> str:
    """The first sentence: a failure may quote all that a command wrote."""
    return says if len(says) <= 160 else f"{says[:160].rpartition('. ')[0] or says[:160]} …"
