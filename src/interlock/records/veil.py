"""Veils: what takes secrets out of everything that leaves the process; every room knows it by this protocol only."""

from __future__ import annotations

from typing import Protocol, TypeVar

T = TypeVar("T")

#: A name (of a run, a task, a step) must not hold a registered secret of so many characters; shorter ones occur in
#: names by chance.
LONG_ENOUGH_TO_REFUSE = 8


class Veil(Protocol):
    """Hides secrets. Never raises; costs next to nothing while no secret is registered."""

    def holds(self, text: str, least: int = 0) -> bool:
        """Whether a registered secret of at least `least` characters is in this text, in plain or encoded."""
        ...

    def known(self, value: T) -> T:
        """A JSON value without registered secrets; the same value where it holds none."""
        ...

    def credentials(self, value: T) -> T:
        """A JSON value without registered secrets and without whatever looks like a credential."""
        ...


class NoVeil:
    """Hides nothing: for parts that are used without a platform."""

    def holds(self, text: str, least: int = 0) -> bool:
        """No secret is registered."""
        return False

    def known(self, value: T) -> T:
        """The value itself."""
        return value

    def credentials(self, value: T) -> T:
        """The value itself."""
        return value


NO_VEIL = NoVeil()
