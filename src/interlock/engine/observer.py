"""Who is told what happens: the Observer protocol, and one that listens to nothing."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

from interlock.errors import InterlockError
from interlock.records.fact import Recorded


class SpanHandle(Protocol):
    """A live span: attributes may be added, and it may be marked as failed."""

    def set(self, **attributes: Any) -> None:
        """Add attributes."""
        ...

    def fail(self, code: str) -> None:
        """Mark it as failed with an error's code."""
        ...


class Observer(Protocol):
    """Told of every durable fact of the runs driven here, and asked for a span around live work."""

    def wants_facts(self) -> bool:
        """Whether `fact` would do anything now."""
        ...

    def fact(self, record: Recorded) -> None:
        """A fact is durable. Must not raise or block; `position` is 0."""
        ...

    def trouble(self, run_id: str, path: str, error: InterlockError) -> None:
        """Something went wrong; `error.detail` is for logs and must not be shown to users."""
        ...

    def span(self, name: str, kind: str, **attributes: Any) -> AbstractContextManager[SpanHandle]:
        """A span around live work. `kind` is run, routing, agent, model, tool, function or timer."""
        ...


class Silence:
    """An observer that listens to nothing, at next to no cost."""

    def wants_facts(self) -> bool:
        """Nothing is wanted."""
        return False

    def fact(self, record: Recorded) -> None:
        """Nothing is done."""

    def trouble(self, run_id: str, path: str, error: InterlockError) -> None:
        """Nothing is done."""

    def span(self, name: str, kind: str, **attributes: Any) -> AbstractContextManager[SpanHandle]:
        """The same empty span every time."""
        return _NO_SPAN


class _NoSpan:
    def __enter__(self) -> _NoSpan:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def set(self, **attributes: Any) -> None:
        """Nothing is kept."""

    def fail(self, code: str) -> None:
        """Nothing is kept."""


_NO_SPAN = _NoSpan()
