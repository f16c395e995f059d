"""What goes into a request: its JSON, with tools written once and not for every request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from interlock.errors import InvalidRequest
from interlock.tools.tool import ToolSpec


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError(type(value).__name__)


_encoder = msgspec.json.Encoder(enc_hook=_plain)


def encoded(body: dict[str, Any]) -> bytes:
    """The body as JSON.

    Raises:
        InvalidRequest: it holds something that JSON or UTF-8 cannot.
    """
    try:
        return _encoder.encode(body)
    except (NotImplementedError, TypeError, UnicodeEncodeError, RecursionError) as error:
        says = "The request holds something that cannot be sent as JSON."
        raise InvalidRequest(says, detail=f"{type(error).__name__}: {error}"[:500]) from error


class ToolMemory:
    """Remembers tools as they are written on the wire: they are the same in every request of an agent.

    Args:
        write: Writes one tool, for the vendor's own address or someone else's.
    """

    _MOST = 1_000

    def __init__(self, write: Callable[[ToolSpec, bool], dict[str, Any]]) -> None:
        self._write = write
        #: By identity, as schemas cannot be hashed; the spec is kept along, so that its id stays its own.
        self._known: dict[tuple[int, bool], tuple[ToolSpec, msgspec.Raw]] = {}

    def written(self, specs: Sequence[ToolSpec], official: bool) -> list[msgspec.Raw]:
        """The tools, ready to be put into a request."""
        return [self._one(spec, official) for spec in specs]

    def _one(self, spec: ToolSpec, official: bool) -> msgspec.Raw:
        known = self._known.get((id(spec), official))
        if known is None:
            if len(self._known) >= self._MOST:
                self._known.clear()
            known = self._known[id(spec), official] = spec, msgspec.Raw(encoded(self._write(spec, official)))
        return known[1]
