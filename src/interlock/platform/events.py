"""What someone who watches a run is told: typed events, the last one with the result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from interlock.platform.result import TaskResult
from interlock.records.fact import Recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in a run.

    Args:
        kind: A fact's kind (`step.finished`), or a live event that is not written down (`text`, `tool`).
        run_id: The run.
        at: When a fact was written, seconds since 1970; 0 for live events.
        seq: A fact's number in the run; 0 for live events.
        data: The fact's fields, or the live event's.
        result: The run's result, on the last event only.
    """

    kind: str
    run_id: str
    at: float = 0.0
    seq: int = 0
    data: dict[str, Any]
    result: TaskResult | None = None

    def to_json(self) -> dict[str, Any]:
        """As a JSON object, for machines."""
        found: dict[str, Any] = {"kind": self.kind, "run_id": self.run_id, "seq": self.seq, "at": self.at, **self.data}
        return found if self.result is None else {**found, "result": self.result.to_dict()}


def event_of(record: Recorded) -> Event:
    """A durable fact as an event."""
    data = msgspec.to_builtins(record.fact)
    return Event(kind=record.fact.kind, run_id=record.run_id, at=record.at, seq=record.seq, data=data)


async def events_until(
    run_id: str,
    listen: Callable[[Callable[[str, Any], None]], Callable[[], None]],
    result: Callable[[], Any],
) -> AsyncIterator[Event]:
    """Pass on a run's events as they come, and last the result.

    Args:
        run_id: The run.
        listen: Registers a listener and returns what ends it.
        result: Starts the wait for the run's result; awaited beside the events.
    """
    queue: asyncio.Queue[Event | None] = asyncio.Queue()

    def hear(kind: str, what: Any) -> None:
        queue.put_nowait(event_of(what) if kind == "fact" else Event(kind=kind, run_id=run_id, data=what))

    end = listen(hear)
    waiting = asyncio.ensure_future(result())
    waiting.add_done_callback(lambda _: queue.put_nowait(None))
    try:
        while (event := await queue.get()) is not None:
            yield event
        found: TaskResult = await waiting
        yield Event(kind="result", run_id=run_id, data={"status": found.status.value}, result=found)
    finally:
        end()
        waiting.cancel()
