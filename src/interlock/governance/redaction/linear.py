"""Patterns that match in linear time whatever the text: google-re2, loaded when the first pattern is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from typing import Any, Protocol

#: A budget, not an allocation: what RE2 may spend on the automaton of one pattern before it slows down.
_MEMORY = 256 << 20


class Match(Protocol):
    """Where a pattern matched."""

    def start(self, group: int = 0) -> int:
        """Offset of the first byte, -1 for a group that took no part."""

    def end(self, group: int = 0) -> int:
        """Offset behind the last byte."""

    def span(self, group: int = 0) -> tuple[int, int]:
        """Both offsets."""

    def group(self, group: int = 0) -> bytes:
        """The bytes themselves."""

    @property
    def re(self) -> Pattern:
        """The pattern."""


class Pattern(Protocol):
    """What we use of a compiled pattern."""

    @property
    def groups(self) -> int:
        """How many groups it has."""

    def finditer(self, text: bytes, pos: int | None = None, endpos: int | None = None) -> Iterator[Match]:
        """All matches, from left to right, not overlapping."""

    def search(self, text: bytes, pos: int | None = None, endpos: int | None = None) -> Match | None:
        """The first match."""

    def match(self, text: bytes, pos: int | None = None, endpos: int | None = None) -> Match | None:
        """A match that begins at `pos`."""

    def fullmatch(self, text: bytes) -> Match | None:
        """A match of all of the text."""


class PatternTooLarge(ValueError):
    """RE2 will not take the pattern."""


def compile_linear(pattern: bytes, *, groups: bool = True, memory: int = _MEMORY) -> Pattern:
    """Compile a pattern over bytes. `\\w` and `\\b` mean ASCII; any other byte is a byte.

    Args:
        pattern: In RE2's syntax.
        groups: Whether matches know their groups; without them they are found three times as fast.
        memory: What its automaton may take up, in bytes.

    Raises:
        PatternTooLarge: RE2 refuses it.
    """
    re2 = import_module("re2")
    try:
        compiled: Pattern = re2.compile(pattern, _options(groups=groups, memory=memory))
    except re2.error as refused:
        raise PatternTooLarge("RE2 refuses the pattern") from refused
    return compiled


@cache
def linear(pattern: bytes, *, groups: bool = True) -> Pattern:
    """The compiled form of one of our own rules, made once."""
    return compile_linear(pattern, groups=groups)


def which(patterns: list[bytes]) -> Callable[[bytes], list[int]]:
    """A function that says which of many patterns match all of a text, all tried at once."""
    re2 = import_module("re2")
    together = re2.Set.FullMatchSet(_options(groups=False))
    for pattern in patterns:
        together.Add(pattern)
    together.Compile()
    match: Callable[[bytes], list[int]] = together.Match
    return match


def _options(*, groups: bool, memory: int = _MEMORY) -> Any:
    re2 = import_module("re2")
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = memory
    options.log_errors = False
    options.never_capture = not groups
    return options
