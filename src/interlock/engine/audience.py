"""The audience: whoever is told of a run's durable facts and of its live events while it is driven here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from interlock.engine.observer import Observer
from interlock.records.fact import Fact, Recorded

Listener = Callable[[str, Any], None]


class Audience:
    """Listeners to single runs, and the observer that is told of all.

    Args:
        observer: Told of every fact.
        now: The time, in seconds since 1970.
    """

    def __init__(self, observer: Observer, now: Callable[[], float]) -> None:
        self._observer = observer
        self._now = now
        self._listeners: dict[str, list[Listener]] = {}

    def join(self, run_id: str, listener: Listener) -> Callable[[], None]:
        """Tell a callable of a run's durable facts (`"fact", Recorded`) and live events.

        Returns:
            A function that ends it.
        """
        self._listeners.setdefault(run_id, []).append(listener)

        def leave() -> None:
            listeners = self._listeners.get(run_id, [])
            with contextlib.suppress(ValueError):
                listeners.remove(listener)
            if not listeners:
                self._listeners.pop(run_id, None)

        return leave

    def watches(self, run_id: str) -> bool:
        """Whether someone listens to this run."""
        return run_id in self._listeners

    def wants_facts(self, run_id: str) -> bool:
        """Whether anyone would be told of this run's facts."""
        return run_id in self._listeners or self._observer.wants_facts()

    def emit(self, run_id: str, kind: str, data: Any) -> None:
        """Tell those who listen to this run right now."""
        for listen in list(self._listeners.get(run_id, ())):
            listen(kind, data)

    def tell(self, run_id: str, facts: Sequence[Fact], first: int) -> None:
        """Tell everyone that facts are durable; `first` is the place of the first of them in the run."""
        if not self.wants_facts(run_id):
            return
        now = self._now()
        for seq, fact in enumerate(facts, first):
            record = Recorded(position=0, run_id=run_id, seq=seq, at=now, fact=fact)
            self._observer.fact(record)
            self.emit(run_id, "fact", record)
