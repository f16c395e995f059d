"""Judge one SQL statement in one dialect: two readers must agree on it, and every part of it must be known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from interlock.governance.sql_functions import BEFORE_PARENTHESIS, HOMES, SECRET_TABLES
from interlock.governance.sql_lexer import Piece, read_pieces
from interlock.tools.result import clean

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.tokens import Token, TokenType

#: The words a statement of a kind may begin with, and what the parser makes of the whole.
FIRST_WORDS: Mapping[str, frozenset[str]] = {
    "select": frozenset({"select", "with", "values", "table"}),
    "insert": frozenset({"insert", "with"}),
    "update": frozenset({"update", "with"}),
    "delete": frozenset({"delete", "with"}),
}
_ROOTS: Mapping[str, frozenset[str]] = {
    "select": frozenset({"Select", "Union", "Except", "Intersect", "Subquery", "Values"}),
    "insert": frozenset({"Insert"}),
    "update": frozenset({"Update"}),
    "delete": frozenset({"Delete"}),
}


def _split(words: str) -> frozenset[str]:
    return frozenset(words.split())


_EXPLAIN = _split("""
analyze verbose query plan format json text xml yaml tree traditional buffers costs settings timing summary wal memory
true false on off ( ) , =
""")

#: What the parser's tree may consist of, besides functions. What is not here is blocked.
_READING = _split("""
Select Subquery Union Except Intersect SetOperation Values With CTE RecursiveWithSearch TableAlias From Join Lateral
Table TableFromRows Where Group Having Order Ordered Limit LimitOptions Offset Fetch Distinct Qualify Window WindowSpec
Filter WithinGroup Cube Rollup GroupingSets TableSample Pivot PivotAlias PivotAny UnpivotColumns Tuple Version
HistoricalData ForClause QueryOption WithTableHint IndexTableHint Column Identifier Star Literal Null Boolean Var
Placeholder Parameter SessionParameter Dot Alias Aliases Bracket Slice Kwarg Paren Neg Not BitwiseNot Add Sub Mul Div
IntDiv Mod Pow DPipe BitwiseAnd BitwiseOr BitwiseXor BitwiseLeftShift BitwiseRightShift EQ NEQ GT GTE LT LTE NullSafeEQ
NullSafeNEQ Is Like ILike SimilarTo Glob Match Escape Between In Any All Overlaps ExtendsLeft ExtendsRight Adjacent
Distance DistanceNd Operator NestedJSONSelect AtTimeZone FromTimeZone Interval IntervalSpan IntervalOp DataType
DataTypeParam PseudoType ObjectIdentifier Lambda PropertyEQ HavingMax IgnoreNulls RespectNulls Introducer National
BitString HexString ByteString RawString UnicodeString Heredoc TimeUnit JSON JSONPath JSONPathFilter JSONPathKey
JSONPathRecursive JSONPathRoot JSONPathSelector JSONPathSlice JSONPathSubscript JSONPathUnion JSONPathWildcard
JSONKeyValue FormatJson JSONColumnDef JSONSchema JSONValue JSONExtractQuote OpenJSONColumnDef OnCondition ColumnDef
OverflowTruncateBehavior TranslateCharacters CharacterSet XMLNamespace Pseudocolumn TableColumn Variadic
PositionalColumn WithOperator Collate
""")
_WRITING = _split("Insert Update Delete Schema Returning OnConflict")

#: What the parser knows as a function by itself and what does more than compute, whatever it is called.
_HARMFUL = _split("""
NextValueFor ReadCSV ReadParquet ToFile DynamicIdentifier Secret Columns NetFunc Generator Predict VectorSearch
FeaturesAtTime GenerateEmbedding GenerateText GenerateTable GenerateBool GenerateInt GenerateDouble MLForecast
AIForecast MLTranslate AIClassify AIEmbed AISimilarity AIGenerate AIAgg AISummarizeAgg
""")
#: Functions the parser knows under a word that may stand before a parenthesis without a call.
_LIKE_KEYWORDS: Mapping[str, frozenset[str]] = {
    "Apply": frozenset({"apply"}),
    "ArrayFilter": frozenset({"filter"}),
    "Datetime": frozenset({"datetime"}),
    "Format": frozenset({"format"}),
    "String": frozenset({"string"}),
    "Struct": frozenset({"struct", "object_construct"}),
    "Time": frozenset({"time"}),
    "Timestamp": frozenset({"timestamp"}),
    "Xor": frozenset({"xor"}),
}

#: In T-SQL no semicolon is needed: these reserved words start a statement wherever they stand.
_TSQL_STARTERS = _split("""
alter backup begin break bulk checkpoint close commit continue create dbcc deallocate declare delete deny disable drop
dump enable exec execute goto grant insert kill load merge open print raiserror readtext reconfigure restore return
revert revoke rollback save set setuser shutdown truncate update updatetext use waitfor while writetext
""")
#: T-SQL hints on tables that take no locks.
_QUIET_HINTS = _split("nolock readuncommitted readcommitted readcommittedlock readpast snapshot noexpand forceseek")
#: Deepest nesting of what the parser is slow at: brackets, types as in `date(date(...))`, dotted names, and these.
_MAX_SLOW_DEPTH = 5
_SLOW = frozenset({"div0", "div0null", "if"})
#: The parser's tokens for what has quotes.
_QUOTED = _split("""
STRING NATIONAL_STRING RAW_STRING HEREDOC_STRING UNICODE_STRING BYTE_STRING BIT_STRING HEX_STRING IDENTIFIER
""")


class BlockedSql(Exception):
    """A statement is refused.

    Args:
        rule: The rule's name.
        reason: The sentence for people.
    """

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule, self.reason = rule, reason


@dataclass(frozen=True, slots=True)
class Allowance:
    """What statements may be and do.

    Args:
        statements: The kinds of statements.
        calls: The functions that may be called, in lower case.
        tables: The tables that may be named, in lower case; None for all but the secret ones.
    """

    statements: tuple[str, ...]
    calls: frozenset[str]
    tables: frozenset[str] | None


def check_statement(text: str, dialect: str, allowance: Allowance) -> str:
    """Check one statement and return its kind.

    Raises:
        BlockedSql: it may not run.
        UnreadableSql, sqlglot.errors.SqlglotError: it cannot be read; it may not run either.
    """
    pieces = _one_statement(read_pieces(text, dialect))
    start = _explained(pieces)
    if start:
        text, pieces = text[pieces[start].start :], read_pieces(text[pieces[start].start :], dialect)
    _check_words(pieces, dialect, allowance)
    root = _parse(text, pieces, dialect)
    kind = next((kind for kind in allowance.statements if type(root).__name__ in _ROOTS[kind]), None)
    if kind is None or (type(root).__name__ == "Select" and not root.expressions):
        _refuse_kind(allowance)
    nodes = list(root.walk())
    for node in nodes:
        _check_node(node, dialect, allowance)
    _check_calls(pieces, nodes, dialect, allowance)
    return kind


def _one_statement(pieces: list[Piece]) -> list[Piece]:
    while pieces and pieces[-1].value == ";" and pieces[-1].kind == "sign":
        pieces.pop()
    if not pieces:
        raise BlockedSql("sql.statement", "There is no statement.")
    if any(piece.value == ";" and piece.kind == "sign" for piece in pieces):
        raise BlockedSql("sql.several", "It holds more than one statement.")
    return pieces


def _explained(pieces: Sequence[Piece]) -> int:
    """Where the statement begins that an EXPLAIN explains; 0 where there is no EXPLAIN."""
    if pieces[0].value != "explain" or pieces[0].kind != "word":
        return 0
    for at, piece in enumerate(pieces[1:], 1):
        if piece.kind == "word" and piece.value in ("select", "with", "values", "insert", "update", "delete"):
            return at
        if piece.kind not in ("word", "sign") or piece.value not in _EXPLAIN:
            break
    raise BlockedSql("sql.statement", "EXPLAIN must be followed by a statement that is allowed itself.")


def _refuse_kind(allowance: Allowance) -> NoReturn:
    kinds = " and ".join(kind.upper() for kind in allowance.statements)
    raise BlockedSql("sql.statement", f"Only {kinds} is allowed here.")


def _check_words(pieces: Sequence[Piece], dialect: str, allowance: Allowance) -> None:
    first = next((piece for piece in pieces if piece.value != "("), pieces[0])
    if first.kind != "word" or not any(first.value in FIRST_WORDS[kind] for kind in allowance.statements):
        _refuse_kind(allowance)
    words = [piece.value for piece in pieces if piece.kind == "word"]
    if "into" in words and "insert" not in allowance.statements:
        raise BlockedSql("sql.into", "INTO would write what is read to somewhere else.")
    if dialect == "tsql" and (hidden := _TSQL_STARTERS.intersection(words[1:])):
        raise BlockedSql("sql.several", f"{min(hidden).upper()} would start a second statement.")


def _parse(text: str, pieces: Sequence[Piece], dialect: str) -> exp.Expr:
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


def _check_node(node: exp.Expr, dialect: str, allowance: Allowance) -> None:
    name = type(node).__name__
    if name in _CHECKS:
        _CHECKS[name](node, dialect, allowance)
    if name in _READING or (name in _WRITING and allowance.statements != ("select",)):
        return
    from sqlglot import exp

    if not isinstance(node, exp.Func):
        raise BlockedSql("sql.construct", f"{name} is not among what a statement may hold.")
    if name in _HARMFUL or (name in _LIKE_KEYWORDS and not _LIKE_KEYWORDS[name] & allowance.calls):
        _refuse_call(name)
    if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc | exp.ParameterizedAgg):
        called = node.name.casefold()
        if not any(call == called or call.endswith(f".{called}") for call in allowance.calls):
            _refuse_call(node.name)


def _refuse_call(name: str) -> NoReturn:
    raise BlockedSql("sql.function", f"The function {_shown(name)} is not among those that only compute and look.")


def _shown(name: str) -> str:
    return f"`{clean(name)[:60]}`"


def _check_table(node: exp.Expr, dialect: str, allowance: Allowance) -> None:
    from sqlglot import exp

    if isinstance(node.this, exp.Func) or node.args.get("rows_from"):
        return  # a function in place of a table is judged as a function
    parts = [part for part in _flattened(node) if isinstance(part, exp.Identifier)]
    if isinstance(node.this, exp.Parameter) and dialect == "tsql":
        return  # a table variable
    if not parts or not isinstance(node.this, exp.Identifier | exp.Dot):
        raise BlockedSql("sql.table", "It reads from something that is no table.")
    names = [part.name.casefold() for part in parts]
    if dialect == "tsql" and len(names) > 3:
        raise BlockedSql("sql.table", "It reads from another server.")
    if len(names) == 1 and _is_local(node, names[0]):
        return
    if allowance.tables is None:
        if names[-1] in SECRET_TABLES or ".".join(names[-2:]) in SECRET_TABLES:
            raise BlockedSql("sql.table", f"The table {_shown(names[-1])} holds the database's own passwords.")
    elif ".".join(names) not in allowance.tables and f"{'.'.join(names[:-1])}.*" not in allowance.tables:
        raise BlockedSql("sql.table", f"The table {_shown('.'.join(names))} may not be named here.")


def _flattened(node: exp.Expr) -> Iterator[exp.Expr]:
    """The parts of a table's name from left to right."""
    from sqlglot import exp

    for part in (node.args.get("catalog"), node.args.get("db"), node.this):
        if isinstance(part, exp.Dot):
            yield from part.flatten()
        elif part is not None:
            yield part


def _is_local(node: exp.Expr, name: str) -> bool:
    """Whether a name is that of a WITH part the node can see: one before it, or any where they are recursive."""
    below: exp.Expr = node
    above = node.parent
    while above is not None:
        scope = above if type(above).__name__ == "With" else above.args.get("with_")
        if scope is not None and below is not scope:
            parts = scope.expressions
            if below in parts and not scope.args.get("recursive"):
                parts = parts[: next(at for at, part in enumerate(parts) if part is below)]
            if any(part.alias.casefold() == name for part in parts):
                return True
        below, above = above, above.parent
    return False


def _check_target(node: exp.Expr, dialect: str, allowance: Allowance) -> None:
    if node.args.get("where") is None:
        raise BlockedSql("sql.everything", f"{type(node).__name__.upper()} without WHERE changes every row.")


def _check_operator(node: exp.Expr, dialect: str, allowance: Allowance) -> None:
    if not node.text("operator").startswith("pg_catalog."):
        raise BlockedSql("sql.function", "An operator of its own may do anything.")


def _check_hints(node: exp.Expr, dialect: str, allowance: Allowance) -> None:
    if any(
        hint.name.casefold() not in _QUIET_HINTS and type(hint).__name__ != "Anonymous" for hint in node.expressions
    ):
        raise BlockedSql("sql.lock", "A hint on a table takes a lock.")


def _check_column(node: exp.Expr, dialect: str, allowance: Allowance) -> None:
    if dialect == "snowflake" and node.name.casefold() == "nextval":
        raise BlockedSql("sql.function", "It takes a number from a sequence.")


def _check_assignment(node: exp.Expr, dialect: str, allowance: Allowance) -> None:
    if type(node.parent).__name__ != "Struct":
        raise BlockedSql("sql.construct", "It assigns a value to a variable.")


def _check_equality(node: exp.Expr, dialect: str, allowance: Allowance) -> None:
    if dialect == "tsql" and type(node.this).__name__ == "Parameter" and type(node.parent).__name__ == "Select":
        raise BlockedSql("sql.construct", "It assigns a value to a variable.")


_CHECKS: Mapping[str, Callable[[exp.Expr, str, Allowance], None]] = {
    "Column": _check_column,
    "Table": _check_table,
    "Update": _check_target,
    "Delete": _check_target,
    "Operator": _check_operator,
    "WithTableHint": _check_hints,
    "PropertyEQ": _check_assignment,
    "EQ": _check_equality,
}


def _check_calls(pieces: Sequence[Piece], nodes: Sequence[exp.Expr], dialect: str, allowance: Allowance) -> None:
    """Every name with a parenthesis behind it must be a function that may be called, or name a list of columns.

    The parser maps names to functions of its own; here it is the name as written that counts.
    """
    lists = Counter(_column_lists(nodes))
    for at, piece in enumerate(pieces[:-1]):
        behind = pieces[at + 1]
        if behind.value != "(" or behind.kind != "sign" or piece.kind not in ("word", "name"):
            continue
        called = _dotted(pieces, at, dialect)
        if called in allowance.calls or (piece.kind == "word" and called in BEFORE_PARENTHESIS):
            continue
        name = piece.value.casefold()
        lists[name] -= 1
        if lists[name] < 0:
            _refuse_call(called)


def _dotted(pieces: Sequence[Piece], at: int, dialect: str) -> str:
    """A name with what stands in front of it, unless that is where the database keeps its own functions."""
    names = [pieces[at].value]
    while at >= 2 and pieces[at - 1].value == "." and pieces[at - 2].kind in ("word", "name"):
        at -= 2
        names.insert(0, pieces[at].value)
    if len(names) == 2 and names[0] in HOMES.get(dialect, ()):
        names = names[1:]
    return ".".join(names)


def _column_lists(nodes: Sequence[exp.Expr]) -> Iterator[str]:
    from sqlglot import exp

    for node in nodes:
        if isinstance(node, exp.TableAlias) and node.args.get("columns"):
            yield node.name.casefold()
        elif isinstance(node, exp.Schema) and isinstance(node.this, exp.Table):
            yield node.this.name.casefold()
