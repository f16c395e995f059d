"""What someone who watches a run is told: typed events, the last one with the result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from interlock.governance.redaction import Redactor
from interlock.platform.redacting import LiveTexts
from interlock.platform.result import TaskResult
from interlock.records.fact import Recorded, StepFailed, StepFinished
from interlock.records.veil import NO_VEIL, Veil


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


def event_of(record: Recorded, veil: Veil = NO_VEIL) -> Event:
    """A durable fact as an event, with what the store hides hidden."""
    data = veil.known(msgspec.to_builtins(record.fact))
    return Event(kind=record.fact.kind, run_id=record.run_id, at=record.at, seq=record.seq, data=data)


async def events_until(
    run_id: str,
    listen: Callable[[Callable[[str, Any], None]], Callable[[], None]],
    result: Callable[[], Any],
    redactor: Redactor,
) -> AsyncIterator[Event]:
    """Pass on a run's events as they come, and last the result.

    Args:
        run_id: The run.
        listen: Registers a listener and returns what ends it.
        result: Starts the wait for the run's result; awaited beside the events.
        redactor: Takes secrets out of them, also out of a text that arrives in pieces.
    """
    queue: asyncio.Queue[Event | None] = asyncio.Queue()
    texts = LiveTexts(redactor)

    def say_rest(path: str | None) -> None:
        for of, attempt, rest in texts.close(path):
            queue.put_nowait(Event(kind="text", run_id=run_id, data={"path": of, "text": rest, "attempt": attempt}))

    def hear(kind: str, what: Any) -> None:
        if kind == "fact":
            if isinstance(what.fact, StepFinished | StepFailed):
                say_rest(what.fact.path)
            queue.put_nowait(event_of(what, redactor))
        elif kind == "text":
            safe = texts.feed(what["path"], what.get("attempt", 1), what["text"])
            if safe:
                queue.put_nowait(Event(kind=kind, run_id=run_id, data={**what, "text": safe}))
        else:
            queue.put_nowait(Event(kind=kind, run_id=run_id, data=redactor.credentials(what)))

    end = listen(hear)
    waiting = asyncio.ensure_future(result())

    def end_of_events(_: object) -> None:
        say_rest(None)
        queue.put_nowait(None)

    waiting.add_done_callback(end_of_events)
    try:
        while (event := await queue.get()) is not None:
            yield event
        found: TaskResult = await waiting
        yield Event(kind="result", run_id=run_id, data={"status": found.status.value}, result=found)
    finally:
        end()
        waiting.cancel()
