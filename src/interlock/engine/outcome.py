"""What flows bring home, and how a drive of a run can end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from interlock.errors import InterlockError
from interlock.records.fact import RunFinished, RunWaiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a flow brings home.

    Args:
        output: The result, as JSON.
        agent: Who did it.
        stages: Results of named stages, for people.
        failure: Why the run counts as failed although there is an output.
    """

    output: Any
    agent: str = ""
    stages: dict[str, Any] = field(default_factory=dict)
    failure: InterlockError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a drive ended: with the run's last fact, waiting, or by an error that is not the run's own."""

    finished: RunFinished | None = None
    waiting: RunWaiting | None = None
    error: Exception | None = None
