"""Who plays which part in a hybrid run."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from interlock.platform.routing import CLAUDE, OPENAI

PARTS = {"planning": OPENAI, "execution": CLAUDE, "verification": OPENAI}


def cast(others: Iterable[str], available: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    """Choose planner, doer and verifier.

    Args:
        others: Who may step in, in order, when the usual one has no key.
        available: Whether an agent has what it needs.

    Returns:
        The three names, and a sentence for each part that someone else plays.
    """
    chosen, reasons = [], []
    bench = [OPENAI, CLAUDE, *others]
    for part, usual in PARTS.items():
        player = usual if available(usual) else next((name for name in bench if available(name)), usual)
        chosen.append(player)
        if player != usual:
            reasons.append(f"{usual} has no key; {player} does the {part}.")
    return chosen, reasons
