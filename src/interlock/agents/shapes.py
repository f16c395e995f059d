"""The shape of decoded JSON, checked where a vendor's answer is taken apart."""

from __future__ import annotations

from typing import Any

import msgspec


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
