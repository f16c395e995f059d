"""What the engine hides before anyone is told: credentials in results, and in the sentences of errors."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from interlock.errors import InterlockError
from interlock.records.veil import Veil

T = TypeVar("T")
E = TypeVar("E", bound=InterlockError)

#: Texts from this size on, in characters, are looked through in a thread: others must not wait for it.
_LONG = 100_000


async def without_credentials(veil: Veil, value: T) -> T:
    """A result as it may be written down, told, and shown to a model."""
    if _size(value) < _LONG:
        return veil.credentials(value)
    return await asyncio.to_thread(veil.credentials, value)


def cleaned(error: E, veil: Veil) -> E:
    """The same error, its sentences without credentials."""
    error.says, error.do = veil.credentials(error.says), veil.credentials(error.do)
    error.args = (error.says,)
    return error


def _size(value: object, depth: int = 0) -> int:
    """About how many characters a JSON value has; what is nested deeply counts as nothing."""
    if isinstance(value, str):
        return len(value)
    if depth == 4 or not isinstance(value, dict | list | tuple):
        return 8
    return sum(_size(inner, depth + 1) for inner in (value.values() if isinstance(value, dict) else value))
