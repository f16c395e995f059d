"""The parts of a vendor's decoded answer, checked as it is taken apart."""

from __future__ import annotations

from typing import Any

import msgspec

from interlock.records.money import Usage


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
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def usage_of(
    sent: int | None, received: int | None, cached: object = None, cache_write: object = None, reasoning: object = None
) -> Usage:
    """One request's usage. Where the vendor does not say how much went in and out, all counts are 0: such a usage
    has no price."""
    if sent is None or received is None:
        return Usage(requests=1)
    return Usage(
        input_tokens=sent,
        output_tokens=received,
        cached_input_tokens=count(cached) or 0,
        cache_write_tokens=count(cache_write) or 0,
        reasoning_tokens=count(reasoning) or 0,
        requests=1,
    )
