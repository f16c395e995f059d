"""The screen: one look for the signs of secrets, so that a text without any costs next to nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from itertools import groupby

from interlock.governance.redaction import command_lines, key_blocks, personal
from interlock.governance.redaction.assignments import find_assignments
from interlock.governance.redaction.connections import assignment_signs
from interlock.governance.redaction.findings import Finding
from interlock.governance.redaction.linear import Pattern, compile_linear, linear
from interlock.governance.redaction.places import find_in_places, place_signs
from interlock.governance.redaction.providers import find_tokens
from interlock.governance.redaction.token_forms import token_signs

#: Finds what must not stay in a text.
Rule = Callable[[bytes], Iterable[Finding]]

#: What is in every text that a rule finds anything in. A rule that is not here looks through all texts.
_SIGNS: dict[Rule, Callable[[], bytes]] = {
    find_tokens: token_signs,
    key_blocks.find_key_blocks: lambda: key_blocks.SIGNS,
    find_in_places: place_signs,
    command_lines.find_in_command_lines: lambda: command_lines.SIGNS,
    find_assignments: assignment_signs,
    personal.find_personal: lambda: personal.SIGNS,
}
#: Signs that are looked for by themselves: with others they would make one large automaton of two small ones.
_ALONE = (find_assignments, personal.find_personal)
#: In texts up to this size, in bytes, other signs are looked for at once. A longer one of random letters could fill the
#: memory of their automaton more than once, and it is fast only as long as that does not happen.
_SHORT = 8 * 1024
_MEMORY = 64 << 20


def likely(rules: tuple[Rule, ...], raw: bytes) -> list[Rule]:
    """The rules that may find something in a text, in their order; the others would find nothing.

    Args:
        rules: The rules to choose from.
        raw: The text.
    """
    groups = _groups(rules) if len(raw) <= _SHORT else _each(rules)
    return [rule for signs, group in groups if signs.search(raw) is not None for rule in group]


@cache
def _groups(rules: tuple[Rule, ...]) -> tuple[tuple[Pattern, tuple[Rule, ...]], ...]:
    """The rules whose signs are looked for at once, and the pattern of those."""
    groups = [tuple(group) for _, group in groupby(rules, lambda rule: _ALONE.index(rule) if rule in _ALONE else -1)]
    return tuple((_signs(group), group) for group in groups)


@cache
def _each(rules: tuple[Rule, ...]) -> tuple[tuple[Pattern, tuple[Rule, ...]], ...]:
    return tuple((_signs((rule,)), (rule,)) for rule in rules)


def _signs(rules: tuple[Rule, ...]) -> Pattern:
    signs = [_SIGNS[rule]() if rule in _SIGNS else b"" for rule in rules]
    if len(signs) == 1:
        return linear(signs[0], groups=False)
    return compile_linear(b"|".join(b"(?:" + sign + b")" for sign in signs), groups=False, memory=_MEMORY)
