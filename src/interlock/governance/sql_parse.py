"""One SQL statement as the parser's tree, where the strict reader sees the same words as the parser."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import TYPE_CHECKING

from interlock.governance.sql_lexer import Piece

if TYPE_CHECKING:
    from sqlglot import Token, TokenType, exp

#: Deepest nesting of what the parser is slow at: brackets, types as in `date(date(...))`, dotted names, and these.
_MAX_SLOW_DEPTH = 5
_SLOW = frozenset({"div0", "div0null", "if"})
#: The parser's tokens for what has quotes.
_QUOTED = frozenset(
    {"STRING", "NATIONAL_STRING", "RAW_STRING", "HEREDOC_STRING", "UNICODE_STRING"}
    | {"BYTE_STRING", "BIT_STRING", "HEX_STRING", "IDENTIFIER"}
)


class BlockedSql(Exception):
    """A statement is refused.

    Args:
        rule: The rule's name.
        reason: The sentence for people.
    """

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule, self.reason = rule, reason


def one_statement(pieces: list[Piece]) -> list[Piece]:
    """The pieces without a semicolon at the end.

    Raises:
        BlockedSql: there is no statement, or more than one.
    """
    while pieces and pieces[-1].value == ";" and pieces[-1].kind == "sign":
        pieces.pop()
    if not pieces:
        raise BlockedSql("sql.statement", "There is no statement.")
    if any(piece.value == ";" and piece.kind == "sign" for piece in pieces):
        raise BlockedSql("sql.several", "It holds more than one statement.")
    return pieces


def parse(text: str, pieces: Sequence[Piece], dialect: str) -> exp.Expr:
    """The tree of a statement.

    Args:
        text: The statement.
        pieces: What the strict reader sees in it.
        dialect: How it is written.

    Raises:
        BlockedSql: the parser sees other words, or it would take long.
        sqlglot.errors.SqlglotError: it is no SQL of that dialect.
    """
    from sqlglot import Dialect, ErrorLevel, exp

    speaker = Dialect.get_or_raise(dialect)
    tokens = speaker.tokenize(text)
    if not _agree(tokens, pieces, text):
        raise BlockedSql("sql.unreadable", "Where its strings and comments end can be read in two ways.")
    _refuse_slow(tokens, speaker.parser_class.TYPE_TOKENS)
    trees = speaker.parser(error_level=ErrorLevel.IMMEDIATE).parse(tokens, text)
    found = [tree for tree in trees if tree is not None and not isinstance(tree, exp.Semicolon)]
    if len(found) != 1:
        raise BlockedSql("sql.several", "It must be one statement.")
    return found[0]


def _refuse_slow(tokens: Sequence[Token], types: Container[TokenType]) -> None:
    """The parser reads some things twice at every level, and so its time doubles with each of them."""
    levels: list[bool] = []
    for at, token in enumerate(tokens):
        if token.text in ("(", "["):
            before, dot = tokens[max(at - 1, 0)], tokens[max(at - 2, 0)]
            slow = before.token_type in types or before.text.lower() in _SLOW or dot.text == "."
            levels.append(slow or token.text == "[")
            if sum(levels) > _MAX_SLOW_DEPTH:
                raise BlockedSql("sql.unreadable", "It is nested too deeply.")
        elif token.text in (")", "]") and levels:
            levels.pop()


def _agree(tokens: Sequence[Token], pieces: Sequence[Piece], text: str) -> bool:
    """Whether the parser's own reader sees the same strings and quoted names, and skips nothing but comments.

    A token of the parser may be several pieces (`GROUP BY`, `->>`), but never begin inside of one.
    """
    tokens = [token for token in tokens if token.token_type.name != "SEMICOLON"]
    starts = {piece.start for piece in pieces}
    covered = [(token.start, token.end + 1) for token in tokens]
    at = 0
    for piece in pieces:
        while at < len(covered) and covered[at][1] <= piece.start:
            at += 1
        if at == len(covered) or not covered[at][0] <= piece.start < piece.end <= covered[at][1]:
            return False
    ours = {(piece.start, piece.end) for piece in pieces if piece.kind in ("string", "name")}
    theirs = {(token.start, token.end + 1) for token in tokens if _is_quoted(token, text)}
    return ours == theirs and all(start in starts for start, _ in covered)


def _is_quoted(token: Token, text: str) -> bool:
    # Bits and hexadecimal numbers come with quotes (x'1F') and without (0x1F).
    return token.token_type.name in _QUOTED and text[token.end] in "'\"`]$"
