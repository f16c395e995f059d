"""The database tool on real SQLite and real PostgreSQL: it reads, within limits, and nothing else is possible."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from interlock.errors import Refused, ToolFailed, UsageError
from interlock.governance.gate import PolicyGate
from interlock.governance.sqltext import SqlPolicy, sql_judge
from interlock.records.verdict import ALLOWED, Effect, Permit, Verdict
from interlock.tools.database import DatabaseTool
from interlock.tools.database_rows import MAX_BYTES, MAX_VALUE
from interlock.tools.tool import Caller, Tool
from tests.postgres_server import PASSWORD, postgres_server

CALLER = Caller(run_id="run-1", path="tool/1", agent="worker")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a shop?#.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, updated_at TEXT, photo BLOB)")
        connection.execute("CREATE INDEX users_by_name ON users (name)")
        rows = [(n, f"user {n}", "2026-01-01", b"\x00\xff") for n in range(1, 11)]
        connection.executemany("INSERT INTO users VALUES (?, ?, ?, ?)", rows)
    return path


@pytest.fixture(scope="module")
def owner() -> Iterator[str]:
    """The URL of a superuser on a server with a small shop in it, and a user `reader`."""

    async def fill(url: str) -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(
            "CREATE TABLE users (id int PRIMARY KEY, name text, updated_at timestamptz);"
            "INSERT INTO users SELECT n, 'user ' || n, '2026-01-01' FROM generate_series(1, 10) AS n;"
            "CREATE SEQUENCE numbers;"
            "CREATE ROLE reader LOGIN PASSWORD 'reads-only'; GRANT SELECT ON users TO reader"
        )
        await connection.close()

    with postgres_server() as url:
        asyncio.run(fill(url))
        yield url


@pytest.fixture
def reader(owner: str) -> str:
    return owner.replace(f"postgres:{PASSWORD}", "reader:reads-only")


async def use(tool: DatabaseTool, sql: str, caller: Caller = CALLER, **arguments: Any) -> Any:
    """Run a statement past any policy: what holds here, the database holds by itself."""
    return await tool.run(Permit(tool.act({"sql": sql, **arguments}, caller), ALLOWED), caller)


async def failure(tool: DatabaseTool, sql: str, caller: Caller = CALLER) -> ToolFailed:
    with pytest.raises(ToolFailed) as caught:
        await use(tool, sql, caller)
    return caught.value


def test_it_is_a_tool_whose_act_is_the_exact_statement(file: Path) -> None:
    tool = DatabaseTool(file, about="The shop.")
    assert isinstance(tool, Tool)
    assert tool.repeatable
    assert tool.spec.description == "Run one SQL statement that only reads, in the dialect of SQLite. The shop."
    act = tool.act({"sql": "SELECT 1"}, CALLER)
    assert (act.kind, act.name) == ("tool", "database_query")
    assert act.arguments == {"sql": "SELECT 1", "dialect": "sqlite", "max_rows": 1000}


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"sql": " "},
        {"sql": 1},
        {"sql": "SELECT '\0'"},
        {"sql": "x" * 20_001},
        {"sql": "SELECT 1", "max_rows": 1001},
        {"sql": "SELECT 1", "max_rows": 0},
        {"sql": "SELECT 1", "max_rows": True},
        {"sql": "SELECT 1", "dialect": "mysql"},
    ],
)
def test_arguments_that_do_not_fit_are_refused(file: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(ToolFailed) as caught:
        DatabaseTool(file).act(arguments, CALLER)
    assert caught.value.code == "tool.arguments"


@pytest.mark.parametrize("database", ["", ":memory:", "mysql://me:hunter2@host/db", ".", "sqlite://", 5])
def test_what_is_no_file_and_no_postgresql_is_refused_without_repeating_it(database: Any) -> None:
    with pytest.raises(UsageError) as caught:
        DatabaseTool(database)
    assert caught.value.code == "usage.database"
    assert "hunter2" not in f"{caught.value!r} {caught.value.user_message}"


@pytest.mark.parametrize(
    "limits", [{"timeout": 0}, {"timeout": float("inf")}, {"max_rows": 0}, {"name": "a b"}, {"role": 'a"b'}]
)
def test_limits_and_names_that_make_no_sense_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        DatabaseTool("postgresql://host/db", **limits)


async def test_a_permit_that_was_given_for_something_else_runs_nothing(file: Path) -> None:
    one, other = DatabaseTool(file), DatabaseTool(file, name="other")
    with pytest.raises(UsageError):
        await other.run(Permit(one.act({"sql": "SELECT 1"}, CALLER), ALLOWED), CALLER)
    elsewhere = DatabaseTool("postgresql://nowhere.invalid/db")
    with pytest.raises(UsageError):
        await one.run(Permit(elsewhere.act({"sql": "SELECT 1"}, CALLER), ALLOWED), CALLER)
    with pytest.raises(Refused):
        Permit(one.act({"sql": "SELECT 1"}, CALLER), Verdict(effect=Effect.BLOCK))


# SQLite


@pytest.mark.parametrize("prefix", ["", "sqlite:///"])
async def test_a_file_is_read(file: Path, prefix: str) -> None:
    tool = DatabaseTool(f"{prefix}{file}")
    assert await use(tool, "SELECT id, name, updated_at, photo FROM users WHERE id <= 2 ORDER BY id") == {
        "columns": ["id", "name", "updated_at", "photo"],
        "rows": [[1, "user 1", "2026-01-01", "\\x00ff"], [2, "user 2", "2026-01-01", "\\x00ff"]],
        "truncated": False,
    }


async def test_no_more_rows_and_bytes_come_back_than_allowed(file: Path) -> None:
    tool = DatabaseTool(file, max_rows=3)
    three = await use(tool, "SELECT id FROM users ORDER BY id")
    assert (three["rows"], three["truncated"]) == ([[1], [2], [3]], True)
    one = await use(tool, "SELECT id FROM users ORDER BY id", max_rows=1)
    assert (one["rows"], one["truncated"]) == ([[1]], True)
    exact = await use(tool, "SELECT id FROM users LIMIT 3")
    assert not exact["truncated"]
    wide = await use(DatabaseTool(file), f"SELECT hex(zeroblob({MAX_VALUE})) FROM users, users AS more")
    assert wide["truncated"]
    assert len(wide["rows"]) <= MAX_BYTES // MAX_VALUE
    assert "bytes left out" in wide["rows"][0][0]


async def test_values_are_made_fit_for_models(file: Path) -> None:
    rows = (await use(DatabaseTool(file), "SELECT 9e999, 1.5, NULL, char(27) || '[31mred', cast(x'ff' AS TEXT)"))[
        "rows"
    ]
    assert rows == [["inf", 1.5, None, "red", "\ufffd"]]


WRITES = [
    "INSERT INTO users (id) VALUES (99)",
    "UPDATE users SET name = 'x'",
    "DELETE FROM users",
    "DROP TABLE users",
    "CREATE TABLE more (id)",
    "CREATE TEMP TABLE more (id)",
    "WITH gone AS (SELECT 1) DELETE FROM users",
    "VACUUM",
    "REINDEX",
    "PRAGMA user_version = 5",
    "PRAGMA query_only = OFF",
    "PRAGMA journal_mode = DELETE",
    "BEGIN",
    "ALTER TABLE users RENAME TO losers",
]


@pytest.mark.parametrize("sql", WRITES)
async def test_sqlite_itself_refuses_to_write(file: Path, sql: str) -> None:
    before = file.read_bytes()
    error = await failure(DatabaseTool(file), sql)
    assert error.code == "tool.sql"
    assert error.says == "The database allows only reading."
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "sql",
    ["ATTACH DATABASE '{}' AS more", "VACUUM INTO '{}'", "SELECT load_extension('{}')", "SELECT 1; DROP TABLE users"],
)
async def test_sqlite_reaches_nothing_outside_of_the_file(file: Path, tmp_path: Path, sql: str) -> None:
    error = await failure(DatabaseTool(file), sql.format(tmp_path / "more.db"))
    assert error.code == "tool.sql"
    assert sorted(tmp_path.iterdir()) == [file]


async def test_the_tables_of_a_file_can_be_looked_at(file: Path) -> None:
    tool = DatabaseTool(file)
    assert (await use(tool, "SELECT name FROM pragma_table_info('users')"))["rows"][0] == ["id"]
    assert (await use(tool, "SELECT name FROM sqlite_master WHERE type = 'table'"))["rows"] == [["users"]]
    assert (await use(tool, "EXPLAIN QUERY PLAN SELECT * FROM users"))["rows"]


ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


async def test_a_statement_without_end_is_ended(file: Path) -> None:
    error = await failure(DatabaseTool(file, timeout=0.1), ENDLESS)
    assert error.code == "tool.timeout"
    assert "0.1 seconds" in error.says
    error = await failure(DatabaseTool(file), ENDLESS, Caller(timeout=0.1))
    assert error.code == "tool.timeout"


async def test_when_nobody_waits_any_more_the_statement_stops(file: Path) -> None:
    tool = DatabaseTool(file, timeout=600)
    before = {thread.ident for thread in _workers()}
    waiting = asyncio.ensure_future(use(tool, ENDLESS))
    await asyncio.sleep(0.1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    for thread in _workers():
        if thread.ident not in before:
            await asyncio.to_thread(thread.join, 10)
            assert not thread.is_alive()


def _workers() -> list[Any]:
    import threading

    return [thread for thread in threading.enumerate() if thread.name == "interlock-tool"]


async def test_one_call_cannot_fill_the_memory(file: Path) -> None:
    assert (await failure(DatabaseTool(file), "SELECT length(zeroblob(900000000))")).code == "tool.sql"


async def test_a_wrong_statement_is_explained(file: Path) -> None:
    error = await failure(DatabaseTool(file), "SELECT nmae FROM users")
    assert (error.code, error.says) == ("tool.sql", "The database refuses the statement: no such column: nmae.")


async def test_a_file_that_is_missing_or_no_database_is_not_made_and_not_named(tmp_path: Path) -> None:
    (tmp_path / "letter.db").write_text("Dear reader, this is not a database at all." * 100)
    for name in ("missing.db", "letter.db"):
        error = await failure(DatabaseTool(tmp_path / name), "SELECT 1")
        assert error.code == "tool.database"
        assert str(tmp_path) not in f"{error!r} {error.user_message} {error.detail}"
    assert not (tmp_path / "missing.db").exists()


# PostgreSQL


async def test_postgresql_is_read_with_all_its_types(reader: str) -> None:
    tool = DatabaseTool(reader)
    assert tool.dialect == "postgres"
    found = await use(
        tool,
        "SELECT 1 AS n, 1.50::numeric AS exact, 'NaN'::float8 AS nan, date '2026-01-01' AS day, "
        "'{\"a\": 1}'::jsonb AS doc, ARRAY[1, NULL] AS list, '\\x00ff'::bytea AS raw, NULL AS none, "
        "true AS yes, row(1, 'a') AS pair, "
        "'00000000-0000-0000-0000-000000000001'::uuid AS id, interval '1 day' AS long, E'\\x1b[31mred' AS text",
    )
    assert dict(zip(found["columns"], found["rows"][0], strict=True)) == {
        "n": 1,
        "exact": "1.50",
        "nan": "nan",
        "day": "2026-01-01",
        "doc": '{"a": 1}',
        "list": [1, None],
        "raw": "\\x00ff",
        "none": None,
        "yes": True,
        "pair": [1, "a"],
        "id": "00000000-0000-0000-0000-000000000001",
        "long": "1 day, 0:00:00",
        "text": "red",
    }


async def test_postgresql_returns_no_more_rows_than_allowed(reader: str) -> None:
    tool = DatabaseTool(reader, max_rows=100)
    found = await use(tool, "SELECT a FROM generate_series(1, 20000) AS a, generate_series(1, 20000) AS b")
    assert (len(found["rows"]), found["truncated"]) == (100, True)
    found = await use(tool, "SELECT id FROM users", max_rows=10)
    assert (len(found["rows"]), found["truncated"]) == (10, False)
    assert (await use(tool, "EXPLAIN SELECT * FROM users"))["columns"] == ["QUERY PLAN"]
    assert await use(tool, "SELECT 1 AS n WHERE false") == {"columns": ["n"], "rows": [], "truncated": False}


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO users VALUES (99)",
        "WITH gone AS (DELETE FROM users RETURNING *) SELECT * FROM gone",
        "CREATE TABLE more (id int)",
        "SELECT nextval('numbers')",
        "SELECT * FROM users FOR UPDATE",
        "SELECT lo_create(0)",
        "SELECT 1; DROP TABLE users",
        "SELECT set_config('transaction_read_only', 'off', false)",
        "SET TRANSACTION READ WRITE",
        "COMMIT",
    ],
)
async def test_postgresql_itself_changes_nothing_even_for_a_superuser(owner: str, sql: str) -> None:
    with contextlib.suppress(ToolFailed):
        await use(DatabaseTool(owner), sql)
    connection = await asyncpg.connect(owner)
    try:
        assert await connection.fetchval("SELECT count(*) FROM users") == 10
        assert await connection.fetchval("SELECT count(*) FROM pg_class WHERE relname = 'more'") == 0
        assert await connection.fetchval("SELECT count(*) FROM pg_largeobject_metadata") == 0
        assert await connection.fetchval("SELECT is_called FROM numbers") is False
        assert await connection.fetchval("SHOW transaction_read_only") == "off"
    finally:
        await connection.close()


async def test_postgresql_says_why_it_does_not_write(reader: str) -> None:
    error = await failure(DatabaseTool(reader), "CREATE TABLE more (id int)")
    assert error.says == "The database allows only reading."
    error = await failure(DatabaseTool(reader), "SELECT nmae FROM users")
    assert error.says == 'The database refuses the statement: column "nmae" does not exist.'
    error = await failure(DatabaseTool(reader), "SELECT * FROM users WHERE id = $1")
    assert (error.code, "parameters" in error.says) == ("tool.sql", True)


async def test_a_superuser_becomes_a_role_without_powers(owner: str) -> None:
    tool = DatabaseTool(owner)
    assert (await use(tool, "SELECT current_user::text, current_setting('is_superuser')"))["rows"] == [
        ["pg_read_all_data", "off"]
    ]
    for outside in ("SELECT pg_read_file('/etc/hostname')", "SELECT pg_ls_dir('.')"):
        assert "permission denied" in (await failure(tool, outside)).says


async def test_statements_run_as_the_role_that_was_named(owner: str, reader: str) -> None:
    assert (await use(DatabaseTool(owner, role="reader"), "SELECT current_user::text"))["rows"] == [["reader"]]
    assert (await use(DatabaseTool(reader), "SELECT current_user::text"))["rows"] == [["reader"]]
    error = await failure(DatabaseTool(owner, role="postgres"), "SELECT 1")
    assert (error.code, "superuser" in error.says) == ("tool.database", True)
    assert (await failure(DatabaseTool(owner, role="nobody at all"), "SELECT 1")).code == "tool.database"


async def test_postgresql_ends_a_statement_that_takes_too_long(reader: str) -> None:
    error = await failure(DatabaseTool(reader, timeout=0.2), "SELECT pg_sleep(30)")
    assert error.code == "tool.timeout"
    error = await failure(
        DatabaseTool(reader), "SELECT count(*) FROM generate_series(1, 100000000000)", Caller(timeout=0.2)
    )
    assert error.code == "tool.timeout"


async def test_no_connection_stays_open(owner: str, reader: str) -> None:
    tool = DatabaseTool(reader, timeout=0.2)
    await use(tool, "SELECT 1")
    await failure(tool, "SELECT nmae")
    await failure(tool, "SELECT pg_sleep(30)")
    connection = await asyncpg.connect(owner)
    try:
        for _ in range(100):
            if not await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader'"):
                break
            await connection.execute("SELECT pg_sleep(0.05)")  # the server notices a client that left a little later
        else:
            raise AssertionError("a connection is still open")
    finally:
        await connection.close()


@pytest.mark.parametrize("wrong", ["password", "host", "database", "port"])
async def test_an_error_never_says_where_the_database_is(reader: str, wrong: str) -> None:
    url = {
        "password": reader.replace("reads-only", "hunter2"),
        "host": "postgresql://reader:hunter2@127.0.0.1:1/secretdb",
        "database": reader.replace("/postgres?", "/secretdb?"),
        "port": "postgresql://reader:hunter2@host:secretport/secretdb",
    }[wrong]
    tool = DatabaseTool(url)
    error = await failure(tool, "SELECT 1")
    assert (error.code, error.says) == ("tool.database", "The database could not be opened.")
    told = f"{error!r} {error.user_message} {error.detail} {tool!r} {tool.spec} {error.__cause__!r}"
    for secret in ("hunter2", "secret", "reader", "127.0.0.1", "/pg-"):
        assert secret not in told


# Both, behind the gate


async def test_behind_the_gate_only_what_reads_is_run(file: Path, reader: str) -> None:
    tools = {tool.spec.name: tool for tool in (DatabaseTool(file), DatabaseTool(reader, name="shop", max_rows=50))}
    policies = {"database_query": SqlPolicy(), "shop": SqlPolicy(dialect="postgres", max_rows=50, tables=["users"])}
    gate = PolicyGate(tools=set(tools), judges={"tool": [sql_judge(policies)]})

    async def ask(name: str, sql: str) -> Any:
        act = tools[name].act({"sql": sql}, CALLER)
        return await tools[name].run(Permit(act, await gate.admit(act)), CALLER)

    for name in tools:
        assert (await ask(name, "SELECT count(updated_at) FROM users"))["rows"] == [[10]]
        for sql in ("DROP TABLE users", "SELECT 1; SELECT 2", "SELECT pg_sleep(9)", "SELECT load_extension('x')"):
            with pytest.raises(Refused):
                await ask(name, sql)
    with pytest.raises(Refused):
        await ask("shop", "SELECT * FROM pg_class")
