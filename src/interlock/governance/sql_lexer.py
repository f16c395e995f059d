"""A strict reader of SQL's words, one per dialect: the second pair of eyes beside the parser's own.

Whoever hides a statement in a text hides it where two readers disagree about what is a comment, a string or a name.
So this one shares nothing with the parser, knows only what it was told, and gives up at anything else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

PieceKind = Literal["word", "name", "string", "number", "sign"]

#: Most characters of a statement that is read.
MAX_TEXT = 20_000
#: Deepest nesting of parentheses and brackets.
MAX_DEPTH = 50

# Control and direction characters, unusual spaces, and a carriage return alone, which ends a line for some only.
_UNSAFE = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xa0\xad\u0600-\u0605\u061c\u06dd\u070f\u1680\u180e\u2000-\u200f"
    r"\u2028-\u202f\u205f-\u206f\u3000\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]|\r(?!\n)"
)
_EXECUTABLE = re.compile(r"/\*M?!", re.IGNORECASE)


class UnreadableSql(Exception):
    """The text cannot be read beyond doubt. Its message is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One word, quoted name, string, number or sign, and where it stands.

    Args:
        kind: `word` is a name or keyword without quotes, `name` a quoted one.
        value: The word in lower case, a quoted name without its quotes, a sign; otherwise as written.
        start: Its first character.
        end: The one behind its last.
    """

    kind: PieceKind
    value: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How one dialect writes what has quotes, and its comments."""

    pattern: re.Pattern[str]
    nested: bool


_PLAIN = r"'(?:[^']|'')*'"
_ESCAPED = r"'(?:[^'\\]|''|\\.)*'"
_DOUBLE = r'"(?:[^"]|"")*"'
_BACKTICK = r"`(?:[^`]|``)*`"
_LINE = r"--[^\n]*"


def _dialect(strings: Sequence[str], names: Sequence[str], comments: Sequence[str], *, nested: bool) -> _Dialect:
    kinds = {
        "space": r"[ \t\r\n]+",
        "comment": "|".join(comments),
        "block": r"/\*",
        "string": "|".join(strings),
        "name": "|".join(names),
        "number": r"\d[\w.]*",
        "word": r"[^\W\d][\w$]*",
        "sign": r"[-+*/%<>=!~^&|?:;,.()\[\]{}@#$]",
    }
    return _Dialect(re.compile("|".join(f"(?P<{kind}>{how})" for kind, how in kinds.items()), re.DOTALL), nested)


_DIALECTS: Mapping[str, _Dialect] = {
    "postgres": _dialect(
        [
            rf"[eE]{_ESCAPED}",
            rf"(?:[bBxXnN]|[uU]&)?{_PLAIN}",
            r"\$\$.*?\$\$",
            r"\$(?P<tag>[^\W\d]\w*)\$.*?\$(?P=tag)\$",
        ],
        [_DOUBLE],
        [_LINE],
        nested=True,
    ),
    "sqlite": _dialect([rf"[xX]?{_PLAIN}"], [_DOUBLE, _BACKTICK, r"\[[^\]]*\]"], [_LINE], nested=False),
    "mysql": _dialect(
        [rf"[nNxXbB]?{_ESCAPED}", r'"(?:[^"\\]|""|\\.)*"'],
        [_BACKTICK],
        [r"--(?=\s|$)[^\n]*", r"#[^\n]*"],
        nested=False,
    ),
    "tsql": _dialect([rf"[nN]?{_PLAIN}"], [_DOUBLE, r"\[(?:[^\]]|\]\])*\]"], [_LINE], nested=True),
    "snowflake": _dialect([_ESCAPED, r"\$\$.*?\$\$"], [_DOUBLE], [_LINE, r"//[^\n]*"], nested=False),
    "bigquery": _dialect(
        [
            rf"(?:[rR][bB]?|[bB][rR]?)?{quotes}"
            for quotes in (
                r'"""(?:[^\\]|\\.)*?"""',
                r"'''(?:[^\\]|\\.)*?'''",
                r'"(?:[^"\\\n]|\\.)*"',
                r"'(?:[^'\\\n]|\\.)*'",
            )
        ],
        [r"`(?:[^`\\]|\\.)*`"],
        [_LINE, r"#[^\n]*"],
        nested=False,
    ),
}
_BLOCK_EDGE = re.compile(r"/\*|\*/")


def read_pieces(text: str, dialect: str) -> list[Piece]:
    """The pieces of a text in order, without space and comments.

    Args:
        text: The statement.
        dialect: One of the reviewed dialects.

    Raises:
        UnreadableSql: it is too long or too deep, or holds what this reader does not know.
        KeyError: there is no such dialect.
    """
    _refuse_unsafe(text)
    rules = _DIALECTS[dialect]
    pieces: list[Piece] = []
    at = depth = 0
    while at < len(text):
        found = rules.pattern.match(text, at)
        if found is None:
            raise UnreadableSql("It holds a character that has no meaning in this dialect, or a quote without an end.")
        kind = found.lastgroup
        at = found.end() if kind != "block" else _past_comment(text, found.end(), rules.nested)
        if kind in ("space", "comment", "block"):
            continue
        piece = _piece(kind, text, found.start(), at)
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(piece.value, 0) if kind == "sign" else 0
        if depth > MAX_DEPTH:
            raise UnreadableSql("It is nested too deeply.")
        pieces.append(piece)
    return pieces


def _refuse_unsafe(text: str) -> None:
    if len(text) > MAX_TEXT:
        raise UnreadableSql(f"It is longer than {MAX_TEXT:,} characters.")
    if _UNSAFE.search(text):
        raise UnreadableSql("It holds control, direction or unusual space characters.")
    if _EXECUTABLE.search(text):
        raise UnreadableSql("It holds a comment that MySQL and MariaDB execute.")


def _past_comment(text: str, at: int, nested: bool) -> int:
    depth = 1
    while depth:
        edge = _BLOCK_EDGE.search(text, at)
        if edge is None:
            raise UnreadableSql("A comment has no end.")
        at = edge.end()
        if edge[0] == "*/":
            depth -= 1
        elif nested:
            depth += 1
        else:  # `/*/` must not hide the end of a comment that does not nest
            at = edge.start() + 1
    return at


def _piece(kind: str | None, text: str, start: int, end: int) -> Piece:
    written = text[start:end]
    match kind:
        case "word":
            return Piece("word", written.lower(), start, end)
        case "name":
            close = written[-1]
            return Piece("name", written[1:-1].replace(close * 2, close), start, end)
        case "string" | "number" | "sign":
            return Piece(kind, written, start, end)
    raise UnreadableSql("It cannot be read.")
