"""Which SQL statements may run: those of an allowed kind that two readers understand alike, and no surprise inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from interlock.errors import UsageError
from interlock.governance.sql_functions import DIALECTS, READING_FUNCTIONS
from interlock.governance.sql_lexer import UnreadableSql
from interlock.governance.sql_parse import BlockedSql
from interlock.governance.sql_statement import FIRST_WORDS, Allowance, check_statement
from interlock.records.verdict import Act, Effect, Verdict, strictest

#: What a statement must read like in every one of, when nobody says which database it is for.
ANY_DIALECT = ("postgres", "sqlite", "mysql", "tsql")
#: The name of the built-in tool, whose acts name the dialect of the database it is connected to.
DATABASE_TOOL = "database_query"
#: Arguments under which tools take a statement.
STATEMENT_ARGUMENTS = ("sql", "query", "statement")


@dataclass(frozen=True, slots=True)
class SqlPolicy:
    """What SQL agents may run. Everything else is blocked, and so is what cannot be read beyond doubt.

    One statement at a time, of an allowed kind in all its parts, calling only reviewed functions. It reads the text;
    the database must enforce the rest, with a read-only transaction and a role that may do no more (`DatabaseTool`).

    Args:
        statements: Kinds of statements: `select` (with `EXPLAIN` of one), `insert`, `update` and `delete`.
        functions: Further functions that may be called, as they are written ("similarity", "geo.distance").
        dialect: What the database speaks, for example `postgres`. Without it, a statement must be harmless in
            PostgreSQL, SQLite, MySQL and SQL Server alike.
        max_rows: Most rows one call of a tool may ask for.
        tables: The tables that may be named, as they are written ("users", "shop.orders", "shop.*"). None means any,
            which is for reading only. The tables with the database's own passwords are never allowed by None.

    Raises:
        UsageError: code `usage.sql`: an unknown kind or dialect, or writing without naming the tables.
    """

    statements: Sequence[str] = ("select",)
    functions: Sequence[str] = ()
    dialect: str | None = None
    max_rows: int = 1_000
    tables: Sequence[str] | None = None
    _allowances: Mapping[str, Allowance] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("statements", "functions", "tables"):
            given = getattr(self, name)
            if isinstance(given, str):
                raise _unusable(f"SqlPolicy.{name} must be a list of names, not one text.")
            object.__setattr__(self, name, None if given is None else tuple(word.casefold() for word in given))
        if unknown := sorted(set(self.statements) - set(FIRST_WORDS)):
            raise _unusable(f"SqlPolicy does not know statements of the kind {unknown[0]!r}.")
        if self.dialect is not None and self.dialect.casefold() not in DIALECTS:
            raise _unusable(f"SqlPolicy does not know the dialect {self.dialect!r}.")
        if self.tables is None and set(self.statements) - {"select"}:
            raise _unusable("A SqlPolicy that lets agents write must name the tables.")
        object.__setattr__(self, "_allowances", {dialect: self._allowance(dialect) for dialect in READING_FUNCTIONS})

    def _allowance(self, dialect: str) -> Allowance:
        return Allowance(
            statements=tuple(self.statements),
            calls=READING_FUNCTIONS[dialect].union(self.functions),
            tables=None if self.tables is None else frozenset(self.tables),
        )

    def judge(self, text: str, dialect: str | None = None) -> Verdict:
        """May this statement run? Pure; never raises: what goes wrong is a block.

        Args:
            text: The statement.
            dialect: What the database speaks; by default the policy's own. One that differs from it is blocked.
        """
        try:
            dialects = self._spoken(dialect)
            kinds = [check_statement(text, one, self._allowances[one]) for one in dialects]
        except BlockedSql as blocked:
            return Verdict(effect=Effect.BLOCK, rule=blocked.rule, reason=blocked.reason)
        except UnreadableSql as error:
            return Verdict(effect=Effect.BLOCK, rule="sql.unreadable", reason=str(error))
        except Exception:  # noqa: BLE001 - fail closed: the parser's own failures of any kind are a block as well
            return Verdict(effect=Effect.BLOCK, rule="sql.unreadable", reason=_UNREADABLE)
        return Verdict(effect=Effect.ALLOW, rule=f"sql.{kinds[0]}")

    def _spoken(self, given: str | None) -> Sequence[str]:
        """The dialects a statement must be harmless in."""
        asked = {DIALECTS.get(name.casefold(), "") for name in (given, self.dialect) if name is not None}
        if len(asked) > 1 or "" in asked:
            raise BlockedSql("sql.dialect", "Statements for this kind of database are not judged here.")
        return tuple(asked) or ANY_DIALECT


_SELECT_ONLY = SqlPolicy()
_UNREADABLE = "It cannot be read as SQL of this database beyond doubt."


def judge_sql(text: str, dialect: str | None = None) -> Verdict:
    """May this statement run where only reading is allowed? See `SqlPolicy.judge`."""
    return _SELECT_ONLY.judge(text, dialect)


def sql_judge(policies: Mapping[str, SqlPolicy]) -> Callable[[Act], Verdict | None]:
    """A voice at the gate for tools that take SQL: give it to `PolicyGate(judges={"tool": [...]})`.

    The statement is read from the argument `sql`, `query` or `statement`; a call without one is blocked. The dialect
    is the policy's; only the built-in `database_query` may name its own, since there it is not the agent who does.

    Args:
        policies: The policy for each tool, by the tool's name. Of other tools the judge says nothing.
    """
    import sqlglot  # noqa: F401 - paid for now, and not by the first call

    def judge(act: Act) -> Verdict | None:
        policy = policies.get(act.name) if act.kind == "tool" else None
        if policy is None:
            return None
        texts = [act.arguments[name] for name in STATEMENT_ARGUMENTS if name in act.arguments]
        if not texts or not all(isinstance(text, str) for text in texts):
            return Verdict(effect=Effect.BLOCK, rule="sql.statement", reason="The call holds no statement to judge.")
        rows = act.arguments.get("max_rows", 0)
        if not isinstance(rows, int) or rows > policy.max_rows:
            reason = f"It asks for more than {policy.max_rows:,} rows at once."
            return Verdict(effect=Effect.BLOCK, rule="sql.rows", reason=reason)
        dialect = act.arguments.get("dialect") if act.name == DATABASE_TOOL else None
        return strictest([policy.judge(text, dialect) for text in texts])

    return judge


def _unusable(says: str) -> UsageError:
    return UsageError(says, "Correct the SQL policy.", code="usage.sql")
