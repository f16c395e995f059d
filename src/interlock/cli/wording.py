"""How times, durations, amounts and states are worded for people and for pipes."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from interlock.records.money import micros_to_text

if TYPE_CHECKING:
    from interlock.stores.journal import RunRow

#: The mark and the colour of a state; the state's word always stands beside the mark.
MARKS = {
    "pending": ("○", "dim"),
    "running": ("▶", "accent"),
    "interrupted": ("!", "warn"),
    "waiting": ("…", "warn"),
    "awaiting_approval": ("?", "warn"),
    "completed": ("✓", "good"),
    "finished": ("✓", "good"),
    "retrying": ("↻", "warn"),
    "failed": ("✕", "bad"),
    "blocked": ("⊘", "bad"),
    "refused": ("⊘", "bad"),
    "cancelled": ("–", "dim"),
    "skipped": ("–", "dim"),
    "kept": ("=", "dim"),
}


class Ink(NamedTuple):
    """A piece of text with the colour it has where there is colour: good, bad, warn, dim, bold or accent."""

    text: str
    style: str


class Cell(NamedTuple):
    """A value in two wordings: for people at a terminal, and exact for pipes."""

    people: str
    pipe: str
    style: str = ""


def iso(at: float | None) -> str | None:
    """A time as ISO 8601 in UTC, for machines; None stays None, and so does a time that no calendar has."""
    if at is None:
        return None
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):  # a broken clock wrote it: no reason to hide the run
        return None


def finite(seconds: float) -> float | None:
    """A number as JSON can carry it."""
    return seconds if math.isfinite(seconds) else None


def ago(seconds: float) -> str:
    """How long ago something was."""
    if not math.isfinite(seconds):
        return "at an unknown time"
    return "just now" if seconds < 1 else f"{_largest(seconds)} ago"


def took(seconds: float) -> str:
    """How long something took."""
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def usd(micros: int | None) -> str:
    """An amount for people, to a hundredth of a cent; `–` for nothing, `unknown` where a price is."""
    if micros is None:
        return "unknown"
    if micros == 0:
        return "–"
    return f"{micros / 1_000_000:.4f} USD" if micros >= 50 else "<0.0001 USD"


def money(micros: int | None) -> str | None:
    """An exact amount of US dollars as JSON carries it: a text, or None where a price is unknown."""
    return None if micros is None else micros_to_text(micros)


def state(row: RunRow) -> str:
    """A run's state in one word: one that runs with nobody driving it was interrupted."""
    dead = row.status.value in ("running", "pending") and not row.driven
    return "interrupted" if dead and row.driver else row.status.value


def marked(status: str) -> Ink:
    """A state with its mark."""
    mark, style = MARKS.get(status, ("·", ""))
    return Ink(f"{mark} {status.replace('_', ' ')}", style)


def count(number: int, one: str, many: str = "") -> str:
    """`1 step`, `2 steps`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _largest(seconds: float) -> str:
    for size, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {word}"
    return f"{int(seconds)} s"
