"""Facts as text: how a fact is written to a store and read back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from interlock.errors import StoreFailed, UsageError
from interlock.records.fact import KINDS, Fact, Recorded, RunAdmitted
from interlock.records.veil import LONG_ENOUGH_TO_REFUSE, Veil

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


#: Fields by which facts find each other. They are names: nothing in them can be hidden without losing what they name.
_NAMES = frozenset(
    {"path", "key", "task_id", "question_id", "parent", "digest", "driver", "flow", "ref", "platform", "candidates"}
    | {"agent", "kind", "status"}
)


def for_the_store(run_id: str, facts: Sequence[Fact], veil: Veil) -> tuple[Sequence[Fact], list[str]]:
    """Facts as they are written, without registered secrets: themselves, and encoded.

    Args:
        run_id: The run they belong to.
        facts: The facts.
        veil: Knows the secrets.

    Raises:
        StoreFailed: code `store.not_json`, when a field holds something JSON cannot carry.
        UsageError: code `usage.secret_name`, when a name would carry a secret into the store.
    """
    bodies = [encode(fact) for fact in facts]
    if veil.holds(run_id, LONG_ENOUGH_TO_REFUSE):
        raise _secret_name()
    if not any(map(veil.holds, bodies)):
        return facts, bodies
    hidden = [_hidden(fact, body, veil) for fact, body in zip(facts, bodies, strict=True)]
    return hidden, [encode(fact) for fact in hidden]


def _hidden(fact: Fact, body: str, veil: Veil) -> Fact:
    fields: dict[str, Any] = msgspec.json.decode(body)
    if isinstance(fact, RunAdmitted):  # accounts and limits are kept under the names of these two
        for whose in (fact.task.get("user"), fact.task.get("tenant")):
            if isinstance(whose, str) and veil.holds(whose, LONG_ENOUGH_TO_REFUSE):
                raise _secret_name()
    for name, value in fields.items():
        if name in _NAMES:
            if veil.holds(str(value), LONG_ENOUGH_TO_REFUSE):
                raise _secret_name()
            continue
        try:
            fact = decode(fact.kind, _encoder.encode({**fields, name: veil.known(value)}).decode())
        except StoreFailed:  # one of our own words, such as `allow`, that happens to be someone's secret
            continue
        fields = {**fields, name: veil.known(value)}
    return fact


def _secret_name() -> UsageError:
    return UsageError(
        "A name, such as that of a run, a task, a step or a user, holds a secret.",
        "Choose a name without it; names are written down as they are.",
        code="usage.secret_name",
    )


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
