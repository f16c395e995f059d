"""Ids: sortable by the time they were made, without look-alike letters."""

from __future__ import annotations

import re
import secrets
import time

from interlock.errors import UsageError

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_MADE = re.compile(f"run_[{_ALPHABET}]{{26}}")
_GIVEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]{0,199}")


def new_run_id(now: float | None = None, random: int | None = None) -> str:
    """A run id like `run_01k9x3...`: 10 characters of milliseconds since 1970, 16 of chance (ULID's layout).

    Args:
        now: Seconds since 1970; the present by default.
        random: 80 random bits; drawn by default.
    """
    millis = int((time.time() if now is None else now) * 1000)
    chance = secrets.randbits(80) if random is None else random
    return "run_" + _digits(millis, 10) + _digits(chance, 16)


def is_made(run_id: str) -> bool:
    """Whether an id is one of ours, and not one that somebody chose."""
    return _MADE.fullmatch(run_id) is not None


def check_id(given: str) -> str:
    """Accept an id that a user chose for a run.

    Raises:
        UsageError: code `usage.id`, when it could not be typed, printed or stored safely.
    """
    if not isinstance(given, str) or not _GIVEN.fullmatch(given):
        raise UsageError(
            f"{str(given)[:60]!r} cannot be an id.",
            "Use 1 to 200 letters, digits and . _ : @ + - and begin with a letter or digit.",
            code="usage.id",
        )
    return given


def _digits(number: int, length: int) -> str:
    found = []
    for _ in range(length):
        found.append(_ALPHABET[number & 31])
        number >>= 5
    return "".join(reversed(found))
