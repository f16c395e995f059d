"""SQL at the gate: statements that only read pass, whatever does more does not, however it is wrapped."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import time
from typing import Any

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.errors import UsageError
from interlock.governance.gate import PolicyGate
from interlock.governance.sql_functions import POSTGRES_VOLATILE, READING_FUNCTIONS
from interlock.governance.sql_lexer import MAX_TEXT, UnreadableSql, read_pieces
from interlock.governance.sqltext import ANY_DIALECT, SqlPolicy, judge_sql, sql_judge
from interlock.records.verdict import Act, Effect
from tests.governance.sql_samples import DOING_MORE, READING
from tests.postgres_server import postgres_server


def samples(of: dict[str, str]) -> list[tuple[str, str]]:
    return [
        (dialect, line.replace("\\n", "\n").replace("\\t", "\t"))
        for dialect, lines in of.items()
        for line in lines.strip("\n").split("\n")
    ]


@pytest.mark.parametrize(("dialect", "text"), samples(READING))
def test_a_statement_that_only_reads_is_allowed(dialect: str, text: str) -> None:
    verdict = judge_sql(text, dialect)
    assert verdict.allowed, verdict.reason
    assert verdict.rule == "sql.select"


@pytest.mark.parametrize(("dialect", "text"), samples(DOING_MORE))
def test_a_statement_that_does_more_is_blocked(dialect: str, text: str) -> None:
    verdict = judge_sql(text, dialect)
    assert verdict.effect is Effect.BLOCK
    assert verdict.rule.startswith("sql.")
    assert verdict.reason


@pytest.mark.parametrize(("dialect", "text"), samples(DOING_MORE))
def test_no_wrapping_makes_a_blocked_statement_an_allowed_one(dialect: str, text: str) -> None:
    wrappings = [f"/* SELECT 1 */ {text}", f"-- SELECT 1\n{text}", f"SELECT 1; {text}", f"WITH q AS ({text}) SELECT 1"]
    if text.startswith(("SELECT ", "WITH ", "VALUES ")):  # others would only become the names of tables
        wrappings += [f"({text})", f"SELECT * FROM ({text}) AS q", f"SELECT 1 UNION ALL {text}", f"EXPLAIN {text}"]
    if "'" not in text and '"' not in text:
        wrappings += [text.swapcase(), text.replace(" ", "/**/"), text.replace(" ", " \n\t")]
    for wrapped in wrappings:
        assert text in ("SELECT", ";") or not judge_sql(wrapped, dialect).allowed, wrapped


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1\rDELETE FROM t",
        "SELECT 1 -- x\rDELETE FROM t",
        "SELECT\xa01",
        "SELECT 1\u2028",
        "SELECT '\u202e'",
        "SELECT 1\x00",
        "SELECT '\ud800'",
        "SELECT 1" + " " * MAX_TEXT,
        "SELECT " + "(" * 3000,
        "SELECT " + "(" * 60 + "1" + ")" * 60,
        "SELECT `x`",
        "SELECT ¿",
    ],
)
def test_a_text_that_two_readers_may_read_differently_is_blocked(text: str) -> None:
    assert judge_sql(text, "postgres").rule == "sql.unreadable"


@pytest.mark.parametrize(
    ("dialect", "opened", "closed"),
    [
        ("postgres", "ARRAY[", "]"),
        ("postgres", "IF[", "]"),
        ("mysql", "date(", ")"),
        ("sqlite", "struct(", ")"),
        ("bigquery", "net.host(", ")"),
        ("snowflake", "div0(", ",1)"),
        ("postgres", "lower(", ")"),
        ("tsql", "CASE WHEN 1=1 THEN ", " END"),
    ],
)
def test_no_nesting_makes_judging_slow(dialect: str, opened: str, closed: str) -> None:
    judge_sql("SELECT 1", dialect)
    before = time.process_time()
    judge_sql("SELECT " + opened * 40 + "1" + closed * 40, dialect)
    assert time.process_time() - before < 1.0


def test_what_is_nested_within_reason_is_read() -> None:
    assert judge_sql("SELECT ARRAY[ARRAY[1, 2], ARRAY[date(date(now())), 3]]", "postgres").allowed
    deep = "replace(" * 15 + "name" + ", 'a', 'b')" * 15
    assert judge_sql(f"SELECT {deep} FROM t WHERE {' AND '.join(['date < now()'] * 30)}", "postgres").allowed


def test_an_unknown_dialect_is_blocked_and_the_names_people_use_are_known() -> None:
    assert judge_sql("SELECT 1", "klingon").rule == "sql.dialect"
    for name in ("PostgreSQL", "sqlite3", "mariadb", "mssql"):
        assert judge_sql("SELECT 1", name).allowed


def test_without_a_dialect_a_statement_must_be_harmless_in_all() -> None:
    assert judge_sql("SELECT id, updated_at FROM users WHERE state = 'deleted' -- all of them").allowed
    for dialect in ANY_DIALECT:
        for text in DOING_MORE[dialect].strip("\n").split("\n"):
            assert not judge_sql(text).allowed, text
    assert not judge_sql("SELECT $$; DROP TABLE t; --$$").allowed


def test_further_functions_are_allowed_exactly_as_they_are_named() -> None:
    policy = SqlPolicy(functions=["similarity", "geo.distance"], dialect="postgres")
    assert policy.judge("SELECT similarity(a, b), geo.distance(a, b) FROM t").allowed
    for text in ("SELECT distance(a, b) FROM t", "SELECT evil.similarity(a, b)", "SELECT pg_sleep(1)"):
        assert not policy.judge(text).allowed


def test_tables_can_be_limited_and_with_does_not_help() -> None:
    policy = SqlPolicy(tables=["users", "shop.*"], dialect="postgres")
    for text in (
        "SELECT * FROM users JOIN shop.orders USING (id)",
        "WITH recent AS (SELECT * FROM users) SELECT * FROM recent",
        "WITH a AS (SELECT 1), b AS (SELECT * FROM a) SELECT * FROM b",
        "WITH RECURSIVE n AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM n) SELECT * FROM n",
        "SELECT * FROM generate_series(1, 3) AS g",
    ):
        assert policy.judge(text).allowed, text
    for text in (
        "SELECT * FROM salaries",
        "SELECT * FROM hr.users",
        "SELECT (SELECT max(pay) FROM salaries)",
        "WITH salaries AS (SELECT * FROM salaries) SELECT * FROM salaries",
        "WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a",
        "SELECT * FROM (WITH salaries AS (SELECT 1) SELECT 1) q, salaries",
        "SELECT * FROM pg_authid",
        "TABLE salaries",
    ):
        assert policy.judge(text).rule == "sql.table", text


def test_writing_is_allowed_only_of_the_kinds_and_to_the_tables_that_are_named() -> None:
    policy = SqlPolicy(statements=["select", "insert", "update", "delete"], tables=["notes"], dialect="postgres")
    for text in (
        "INSERT INTO notes (id, text) VALUES (1, 'DROP TABLE x')",
        "INSERT INTO notes SELECT * FROM notes ON CONFLICT (id) DO NOTHING RETURNING id",
        "UPDATE notes SET text = lower(text) WHERE id = 1",
        "DELETE FROM notes WHERE id = 1",
        "SELECT * FROM notes",
    ):
        assert policy.judge(text).allowed, policy.judge(text).reason
    for text in (
        "DELETE FROM notes",
        "UPDATE notes SET text = ''",
        "INSERT INTO users VALUES (1)",
        "INSERT INTO notes SELECT * FROM users",
        "INSERT INTO notes VALUES (pg_sleep(1))",
        "INSERT INTO notes VALUES (1); DELETE FROM notes WHERE id = 1",
        "WITH gone AS (DELETE FROM notes RETURNING 1) SELECT * FROM gone",
        "DROP TABLE notes",
        "TRUNCATE notes",
        "MERGE INTO notes USING notes AS n ON true WHEN MATCHED THEN DELETE",
    ):
        assert not policy.judge(text).allowed, text
    only = SqlPolicy(statements=["insert"], tables=["notes"], dialect="postgres")
    assert only.judge("INSERT INTO notes VALUES (1) ON CONFLICT DO NOTHING").allowed
    assert not only.judge("INSERT OR REPLACE INTO notes VALUES (1)", "postgres").allowed
    assert (
        not SqlPolicy(["insert"], tables=["notes"]).judge("INSERT OR REPLACE INTO notes VALUES (1)", "sqlite").allowed
    )
    assert not only.judge("INSERT INTO notes VALUES (1) ON CONFLICT (id) DO UPDATE SET text = ''").allowed
    assert not only.judge(
        "WITH x AS (DELETE FROM notes WHERE id = 1 RETURNING id) INSERT INTO notes SELECT id FROM x"
    ).allowed
    assert not only.judge("SELECT * FROM notes").allowed
    assert not only.judge("UPDATE notes SET text = '' WHERE id = 1").allowed


@pytest.mark.parametrize(
    "wrong",
    [
        {"statements": ["drop"]},
        {"statements": "select"},
        {"statements": ["select", "insert"]},
        {"dialect": "klingon"},
        {"functions": "lower"},
        {"tables": "users"},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        SqlPolicy(**wrong)
    assert caught.value.code == "usage.sql"


def test_a_policy_judges_only_its_own_dialect() -> None:
    policy = SqlPolicy(dialect="postgres")
    assert policy.judge("SELECT 1", "postgresql").allowed
    assert policy.judge("SELECT 1", "mysql").rule == "sql.dialect"


async def test_the_gate_blocks_what_the_judge_blocks_and_calls_without_a_statement() -> None:
    policies = {"database_query": SqlPolicy(max_rows=10), "mine": SqlPolicy(dialect="mysql"), "any": SqlPolicy()}
    gate = PolicyGate(tools={*policies, "other"}, judges={"tool": [sql_judge(policies)]})

    async def rule(name: str, **arguments: Any) -> str:
        return (await gate.admit(Act(kind="tool", name=name, arguments=arguments))).rule

    async def allowed(name: str, **arguments: Any) -> bool:
        return (await gate.admit(Act(kind="tool", name=name, arguments=arguments))).allowed

    assert await allowed("database_query", sql="SELECT $$x$$", dialect="postgres", max_rows=10)
    assert await allowed("mine", query="SELECT `x` FROM t")
    assert await allowed("other", sql="DROP TABLE t")
    assert await rule("database_query", sql="SELECT 1", dialect="postgres", max_rows=11) == "sql.rows"
    assert await rule("database_query", sql="SELECT 1", dialect="postgres", max_rows="many") == "sql.rows"
    assert await rule("database_query", sql="DROP TABLE t", dialect="postgres") == "sql.statement"
    assert await rule("mine") == "sql.statement"
    assert await rule("mine", query=["DROP TABLE t"]) == "sql.statement"
    assert not await allowed("mine", query="SELECT 1", sql="DROP TABLE t")
    assert not await allowed("unknown", sql="SELECT 1")
    # What an agent says about the dialect of a tool of one's own counts for nothing.
    assert not await allowed("any", sql="SELECT $$; DROP TABLE t; --$$", dialect="postgres")


def test_only_what_the_catalogue_calls_stable_is_called_stable() -> None:
    """The list for PostgreSQL against a real one: nothing in it may write, but for what was reviewed."""

    async def ask(url: str) -> dict[str, set[str]]:
        connection = await asyncpg.connect(url)
        rows = await connection.fetch(
            "SELECT proname AS name, provolatile::text AS how FROM pg_proc "
            "WHERE pronamespace = 'pg_catalog'::regnamespace"
        )
        await connection.close()
        found: dict[str, set[str]] = {}
        for row in rows:
            found.setdefault(row["name"], set()).add(row["how"])
        return found

    with postgres_server() as url:
        catalogue = asyncio.run(ask(url))
    mine = READING_FUNCTIONS["postgres"]
    assert {name for name in mine if "v" in catalogue.get(name, ())} == POSTGRES_VOLATILE
    assert len(mine & set(catalogue)) > 400
    executing = {name for name in catalogue if name.endswith(("_to_xml", "_to_xml_and_xmlschema", "_to_xmlschema"))}
    assert not mine & (executing | {"ts_stat", "ts_rewrite", "txid_current", "pg_current_xact_id"})


def test_two_readers_find_the_same_pieces() -> None:
    pieces = read_pieces("SELECT a$b, E'\\'', $q$it's$q$, \"x\"\"y\" -- 'c\n/* /* */ ' */", "postgres")
    assert [(piece.kind, piece.value) for piece in pieces] == [
        ("word", "select"),
        ("word", "a$b"),
        ("sign", ","),
        ("string", "E'\\''"),
        ("sign", ","),
        ("string", "$q$it's$q$"),
        ("sign", ","),
        ("name", 'x"y'),
    ]
    with pytest.raises(UnreadableSql):
        read_pieces("SELECT /* /* */", "postgres")
    assert len(read_pieces("SELECT /* /* */", "mysql")) == 1


_PARTS = """SELECT|WITH|a|AS|(|)|,|;|*|FROM|t|WHERE|'x'|"t"|1|=|--|\n|/*|*/|INSERT|INTO|VALUES|DELETE|UPDATE|SET|DROP|
TABLE|UNION|lower|load_extension|nextval|RETURNING|PRAGMA|user_version|=|'|"|`|[|]|\\|CREATE|REPLACE|main|.|EXPLAIN"""


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(_PARTS.split("|")), max_size=14).map(" ".join), st.sampled_from(["", "SELECT * FROM t "])
)
def test_whatever_is_allowed_changes_nothing_in_a_real_database(text: str, start: str) -> None:
    text = start + text
    for dialect in READING_FUNCTIONS:
        judge_sql(text, dialect)  # never raises
    if not judge_sql(text, "sqlite").allowed:
        return
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript("CREATE TABLE t (a); INSERT INTO t VALUES ('x')")
        before = list(connection.iterdump()), connection.total_changes
        with contextlib.suppress(sqlite3.Error, sqlite3.Warning):
            connection.execute(text).fetchall()
        assert (list(connection.iterdump()), connection.total_changes) == before


def test_judging_is_quick() -> None:
    texts = [(text, dialect) for dialect, text in samples(READING)]
    times = []
    for text, dialect in texts:
        judge_sql(text, dialect)
        before = time.perf_counter()
        judge_sql(text, dialect)
        times.append(time.perf_counter() - before)
    assert sorted(times)[len(times) // 2] < 0.001


def test_the_parser_is_not_loaded_before_it_is_needed() -> None:
    code = "import sys, interlock.governance.sqltext, interlock.tools.database as _\n"
    code += "print({'sqlglot', 'asyncpg'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
