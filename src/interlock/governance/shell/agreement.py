"""A second opinion on shell text: tree-sitter must see the same commands in the same places."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Parser, Query

#: What tree-sitter may not find in a text we believe to understand.
_ODD = (
    "command_substitution process_substitution function_definition declaration_command unset_command test_command "
    "arithmetic_expansion array subscript"
)


def agrees(text: str, names: Iterable[tuple[int, int]]) -> bool:
    """Whether tree-sitter reads a text without an error and finds exactly these command names.

    Args:
        text: The shell text.
        names: Where our own reader saw the names of commands: first character, and the one after the last.
    """
    from tree_sitter import QueryCursor

    parser, query = _bash()
    root = parser.parse(text.encode()).root_node
    if root.has_error:
        return False
    found = QueryCursor(query).captures(root)
    if "odd" in found:
        return False
    seen = sorted((node.start_byte, node.end_byte) for node in found.get("name", ()))
    return seen == sorted(names if text.isascii() else _in_bytes(text, names))


def _in_bytes(text: str, names: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(len(text[:start].encode()), len(text[:end].encode())) for start, end in names]


@cache
def _bash() -> tuple[Parser, Query]:
    import tree_sitter_bash
    from tree_sitter import Language, Parser, Query

    language = Language(tree_sitter_bash.language())
    odd = " ".join(f"({kind})" for kind in _ODD.split())
    return Parser(language), Query(language, f"(command_name) @name [{odd}] @odd")
