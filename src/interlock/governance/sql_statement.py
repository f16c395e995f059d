"""Judge one SQL statement in one dialect: two readers must agree on it, and every part of it must be known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from interlock.governance.sql_functions import BEFORE_PARENTHESIS, HOMES, SECRET_TABLES
from interlock.governance.sql_lexer import Piece, read_pieces
from interlock.governance.sql_parse import BlockedSql, one_statement, parse
from interlock.tools.result import clean

if TYPE_CHECKING:
    from sqlglot import exp

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
#: What belongs to kinds of statements that write.
_WRITING: Mapping[str, frozenset[str]] = {
    "Insert": frozenset({"insert"}),
    "Schema": frozenset({"insert"}),
    "OnConflict": frozenset({"insert"}),
    "Update": frozenset({"update"}),
    "Delete": frozenset({"delete"}),
    "Returning": frozenset({"insert", "update", "delete"}),
}

#: What the parser knows as a function by itself and what does more than compute, whatever it is called.
_HARMFUL = _split("""
NextValueFor ReadCSV ReadParquet ToFile DynamicIdentifier Secret Columns Generator Predict VectorSearch
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
alter backup begin break bulk checkpoint close commit continue create dbcc deallocate declare delete deny drop
dump exec execute goto grant insert kill load merge open print raiserror readtext reconfigure restore return
revert revoke rollback save set setuser shutdown truncate update updatetext use waitfor while writetext
""")
#: T-SQL hints on tables that take no locks.
_QUIET_HINTS = _split("nolock readuncommitted readcommitted readcommittedlock readpast snapshot noexpand forceseek")


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
    pieces = one_statement(read_pieces(text, dialect))
    start = _explained(pieces)
    if start:
        return check_statement(text[pieces[start].start :], dialect, allowance)
    _check_words(pieces, dialect, allowance)
    root = parse(text, pieces, dialect)
    kind = next((kind for kind in allowance.statements if type(root).__name__ in _ROOTS[kind]), None)
    if kind is None or (type(root).__name__ == "Select" and not root.expressions):
        _refuse_kind(allowance)
    nodes = list(root.walk())
    for node in nodes:
        _check_node(node, dialect, allowance)
    _check_calls(pieces, nodes, dialect, allowance)
    return kind


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


def _check_node(node: exp.Expr, dialect: str, allowance: Allowance) -> None:
    name = type(node).__name__
    if name in _CHECKS:
        _CHECKS[name](node, dialect, allowance)
    if name in _READING or (name in _WRITING and _WRITING[name] & {*allowance.statements}):
        return
    from sqlglot import exp

    if not isinstance(node, exp.Func):
        raise BlockedSql("sql.construct", f"{name} is not among what a statement may hold.")
    if name in _HARMFUL or (name in _LIKE_KEYWORDS and not _LIKE_KEYWORDS[name] & allowance.calls):
        _refuse_call(name)
    if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc | exp.ParameterizedAgg):
        called = node.name.casefold()
        if called not in allowance.calls and not any(call.endswith(f".{called}") for call in allowance.calls):
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


def _check_insert(node: exp.Expr, dialect: str, allowance: Allowance) -> None:
    replaces = node.args.get("overwrite") or (node.args.get("alternative") or "").upper() == "REPLACE"
    if replaces and not {"update", "delete"} <= {*allowance.statements}:
        raise BlockedSql("sql.statement", "It would replace what is there.")


def _check_conflict(node: exp.Expr, dialect: str, allowance: Allowance) -> None:
    if node.expressions and "update" not in allowance.statements:
        raise BlockedSql("sql.statement", "ON CONFLICT would change what is there.")


def _check_with(node: exp.Expr, dialect: str, allowance: Allowance) -> None:
    if not any(type(node.this).__name__ in roots for roots in _ROOTS.values()):
        raise BlockedSql("sql.construct", "WITH must name a query.")


def _check_operator(node: exp.Expr, dialect: str, allowance: Allowance) -> None:
    if not node.text("operator").startswith("pg_catalog."):
        raise BlockedSql("sql.function", "An operator of its own may do anything.")


def _check_hints(node: exp.Expr, dialect: str, allowance: Allowance) -> None:
    if any(hint.name.casefold() not in _QUIET_HINTS for hint in node.expressions):
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
    "CTE": _check_with,
    "Column": _check_column,
    "Table": _check_table,
    "Insert": _check_insert,
    "Update": _check_target,
    "Delete": _check_target,
    "OnConflict": _check_conflict,
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
        if isinstance(node, exp.TableAlias) and (columns := node.args.get("columns")):
            if all(isinstance(column, exp.Identifier | exp.ColumnDef) for column in columns):
                yield node.name.casefold()
        elif isinstance(node, exp.Schema) and isinstance(node.this, exp.Table):
            yield node.this.name.casefold()
