"""Whose parts are open: after a fork, those of the parent are in the child's memory, but their threads are not."""

from __future__ import annotations

import os

from interlock.errors import StoreFailed


class Opener:
    """Remembers which process opened something."""

    def __init__(self) -> None:
        self._process = os.getpid()

    def is_another(self, *parts: object) -> bool:
        """Whether some of these parts are open, and another process opened them."""
        return self._process != os.getpid() and any(part is not None for part in parts)

    def check(self, *parts: object) -> None:
        """Go on in this process, unless that would be with another one's parts.

        Raises:
            StoreFailed: code `store.forked`; using them would hang, or damage the store.
        """
        if self.is_another(*parts):
            says = "This platform was opened in another process, before a fork; it cannot be used in this one."
            raise StoreFailed(says, "Make a new Platform after the fork.", code="store.forked")
        self._process = os.getpid()
