"""Facts as text: how a fact is written to a store and read back."""

from __future__ import annotations

from typing import Any

import msgspec

from interlock.errors import StoreFailed
from interlock.records.fact import KINDS, Fact, Recorded

_encoder = msgspec.json.Encoder()
_decoders: dict[str, msgspec.json.Decoder[Any]] = {}


def encode(fact: Fact) -> str:
    """The fact's fields as a JSON object; its kind is stored beside it.

    Raises:
        StoreFailed: code `store.not_json`, when a field holds something JSON cannot carry.
    """
    try:
        return _encoder.encode(fact).decode()
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise StoreFailed(
            "A result cannot be written as JSON.",
            "Return texts, numbers, lists and dicts.",
            code="store.not_json",
            detail=str(error),
        ) from error


def decode(kind: str, body: str) -> Fact:
    """Read a fact back.

    Raises:
        StoreFailed: `store.unknown_fact` for a kind this version does not know, `store.corrupt` for a
            body that is not what was written.
    """
    decoder = _decoders.get(kind)
    if decoder is None:
        cls = KINDS.get(kind)
        if cls is None:
            raise StoreFailed(
                f"The store holds a fact of a kind this version does not know: {kind[:60]!r}.",
                "Open it with the newer Interlock that wrote it.",
                code="store.unknown_fact",
            )
        decoder = _decoders[kind] = msgspec.json.Decoder(cls)
    try:
        fact: Fact = decoder.decode(body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise StoreFailed(
            "A fact in the store is damaged.",
            "Restore the store from a backup; `interlock doctor` checks it.",
            code="store.corrupt",
            detail=f"{kind}: {error}",
        ) from error
    return fact


def record(row: tuple[int, str, int, float, str, str]) -> Recorded:
    """A row of the facts table as a recorded fact."""
    position, run_id, seq, at, kind, body = row
    return Recorded(position=position, run_id=run_id, seq=seq, at=at, fact=decode(kind, body))
