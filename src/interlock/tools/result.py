"""What a tool gives back, made fit for models and people: JSON, bounded, without control characters."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from interlock.errors import ToolFailed, UsageError
from interlock.records.task import check_json

#: Most text a result may hold as JSON, in bytes. More would only drown the model.
MAX_RESULT = 1_000_000

# Terminal sequences as a whole (colours, titles, links), so that no half of one stays behind as noise.
_ESCAPES = re.compile(r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]?")
# What may move a cursor or reverse a line for whoever reads it; newline and tab stay.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(text: str) -> str:
    """The text without terminal sequences, control and direction characters; line ends become newlines."""
    text = _ESCAPES.sub("", text.replace("\r\n", "\n"))
    return _CONTROLS.sub("", text.replace("\r", "\n"))


def cut(text: str, limit: int) -> str:
    """The text in at most about `limit` UTF-8 bytes: its head and its tail, with a mark between them."""
    encoded = text.encode()
    if len(encoded) <= limit:
        return text
    head, tail = encoded[: limit // 2], encoded[len(encoded) - limit // 2 :]
    left_out = len(encoded) - len(head) - len(tail)
    return f"{head.decode(errors='ignore')}\n… {left_out:,} bytes left out …\n{tail.decode(errors='ignore')}"


def was_cut(text: str) -> bool:
    """Whether a result that `as_json` gave is only the beginning and the end of what a tool returned."""
    middle = text.rfind(" bytes left out …\n") if len(text) > MAX_RESULT // 8 else -1  # a character: 4 bytes at most
    return middle > 0 and len(text.encode()) >= MAX_RESULT - 8


def as_json(name: str, value: Any) -> Any:
    """A tool's result as a bounded JSON value; dataclasses, enums, dates and the like become what JSON has.

    Args:
        name: The tool, for the error.
        value: What it returned.

    Raises:
        ToolFailed: code `tool.result`, when JSON cannot carry it.
    """
    try:
        plain = msgspec.to_builtins(value, str_keys=True)
        check_json(plain, "the result")
    except (TypeError, ValueError, OverflowError, RecursionError, UsageError) as error:
        reason = error.says if isinstance(error, UsageError) else str(error)
        raise ToolFailed(
            f"The tool {name} returned a {type(value).__name__} that JSON cannot carry.",
            "Let the function return texts, numbers, booleans, None, lists, dicts or dataclasses.",
            code="tool.result",
            detail=reason,
        ) from error
    if isinstance(plain, str):
        return cut(plain, MAX_RESULT)
    encoded = msgspec.json.encode(plain)
    return plain if len(encoded) <= MAX_RESULT else cut(encoded.decode(), MAX_RESULT)
