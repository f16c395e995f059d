"""The parts of a vendor's decoded answer, checked as it is taken apart."""

from __future__ import annotations

from typing import Any

import msgspec

from interlock.records.money import Usage, is_count


def as_dict(value: object) -> dict[str, Any]:
    """The value, which must be an object. Raises msgspec.ValidationError."""
    if isinstance(value, dict):
        return value
    raise msgspec.ValidationError("Expected an object")


def as_list(value: object) -> list[Any]:
    """The value, which must be a list. Raises msgspec.ValidationError."""
    if isinstance(value, list):
        return value
    raise msgspec.ValidationError("Expected a list")


def as_text(value: object) -> str:
    """The value, which must be a text. Raises msgspec.ValidationError."""
    if isinstance(value, str):
        return value
    raise msgspec.ValidationError("Expected a text")


def text_of(content: object) -> str:
    """The text of a message's content: a text, a list of parts of which some have a `text`, or nothing."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part["text"] for part in map(as_dict, as_list(content)) if isinstance(part.get("text"), str))


def count(value: object) -> int | None:
    """A token count as a vendor reports it, or None where it is missing or makes no sense."""
    return value if isinstance(value, int) and is_count(value) else None


def usage_of(
    sent: object, received: object, cached: object = None, cache_write: object = None, reasoning: object = None
) -> Usage:
    """One request's usage, of counts as the vendor reports them.

    Where it does not say how much went in and out, or one of the counts makes no sense, all are 0: such a usage has
    no price.
    """
    counts = [count(one) for one in (sent, received)]
    counts += [0 if one is None else count(one) for one in (cached, cache_write, reasoning)]
    known = [one for one in counts if one is not None]
    if len(known) < len(counts):
        return Usage(requests=1)
    return Usage(
        input_tokens=known[0],
        output_tokens=known[1],
        cached_input_tokens=known[2],
        cache_write_tokens=known[3],
        reasoning_tokens=known[4],
        requests=1,
    )
