"""SQL at random: comments, blanks, brackets and case around a refused statement never make it an allowed one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.governance.sqltext import judge_sql
from tests.fuzz.size import tried

DIALECTS = ("postgres", "sqlite", "mysql")
DENIED = (
    *(
        "DROP TABLE users",
        "DELETE FROM users",
        "UPDATE users SET a = 1",
        "INSERT INTO users VALUES (1)",
        "TRUNCATE users",
    ),
    *("ALTER TABLE users ADD a int", "CREATE TABLE x (a int)", "GRANT ALL ON users TO x", "SELECT 1; DROP TABLE users"),
    *("SELECT * INTO copy FROM users", "WITH x AS (DELETE FROM users RETURNING *) SELECT * FROM x", "CALL wipe()"),
    *("SELECT pg_sleep(9)", "SELECT load_file('/etc/passwd')", "SELECT pg_read_file('/etc/passwd')", "SELECT sleep(9)"),
    *(
        "COPY users TO PROGRAM 'id'",
        "ATTACH DATABASE 'x' AS y",
        "PRAGMA writable_schema = 1",
        "SET ROLE admin",
        "VACUUM",
    ),
    *("SELECT load_extension('x')", "LOCK TABLE users", "DO $$ BEGIN DELETE FROM users; END $$", "EXECUTE plan"),
    *(
        "SELECT * FROM users FOR UPDATE",
        "SELECT nextval('s')",
        "SELECT lo_import('/etc/passwd')",
        "EXPLAIN ANALYZE DELETE FROM users",
    ),
)
HARMLESS = ("SELECT 1", "SELECT a, count(*) FROM users WHERE b = 'x' GROUP BY a", "SELECT * FROM users LIMIT 5")
BLANKS = st.sampled_from([" ", "  ", "\n", "\t", "/**/", " /* x */ ", "-- x\n", "/* ; */", " \n\n", "/* -- */"])
FRAMES = (
    "{}",
    " {}",
    "{};",
    "/* SELECT */ {}",
    "-- SELECT 1\n{}",
    "{} -- x",
    "{} /* x */",
    "({})",
    "\n{}\n",
    "SELECT 1; {}",
    "{}; SELECT 1",
)


@tried(400)
@given(st.sampled_from(DENIED), st.sampled_from(DIALECTS), st.sampled_from(FRAMES), st.data())
def test_nothing_around_a_refused_statement_makes_it_an_allowed_one(
    denied: str, dialect: str, frame: str, data: st.DataObject
) -> None:
    words = re.split(r" (?=(?:[^']*'[^']*')*[^']*$)", denied)
    spelled = [
        data.draw(st.sampled_from([word, word.lower(), word.swapcase()])) if "'" not in word else word for word in words
    ]
    text = spelled[0] + "".join(data.draw(BLANKS) + word for word in spelled[1:])
    text = frame.format(text)
    assert not judge_sql(text, dialect).allowed, text


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("denied", DENIED)
def test_each_refused_statement_is_refused_by_itself(denied: str, dialect: str) -> None:
    assert not judge_sql(denied, dialect).allowed


@tried(100)
@given(st.sampled_from(HARMLESS), st.sampled_from(DIALECTS), BLANKS)
def test_what_only_reads_stays_allowed_whatever_the_blanks(harmless: str, dialect: str, blank: str) -> None:
    assert judge_sql(harmless.replace(" ", blank, 1), dialect).allowed
