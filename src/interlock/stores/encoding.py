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
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise _not_json(error) from error


def as_read_back(value: Any) -> Any:
    """A value as it would be read back after it was written: tuples are lists, and keys are texts.

    Raises:
        StoreFailed: code `store.not_json`, when JSON cannot carry it.
    """
    if value is None or type(value) in (int, bool) or (type(value) is str and value.isascii()):
        return value
    try:
        return msgspec.json.decode(_encoder.encode(value))
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise _not_json(error) from error


def _not_json(error: Exception) -> StoreFailed:
    return StoreFailed(
        "A result cannot be written as JSON.",
        "Return texts, numbers, lists and dicts.",
        code="store.not_json",
        detail=str(error),
    )


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
