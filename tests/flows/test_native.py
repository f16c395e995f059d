"""Code as a provider is given it: the same code, with the value of its last expression shown."""

from __future__ import annotations

import contextlib
import io

import pytest

from interlock.flows.native import MARK, fenced, with_value_shown


def run(code: str) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(code, {})
    return said.getvalue()


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("6 * 7", "42"),
        ("x = 6\nx * 7  # the answer", "42"),
        ("x = 6\r\nx * 7\r\n", "42"),
        ("sum([\n  1,\n  2,\n])\n", "3"),
        ("'=> '", "'=> '"),
        ('"""a\nb"""', "'a\\nb'"),
        ("s = '\x0c'\nlen(s)", "1"),
    ],
)
def test_the_value_of_the_last_expression_is_shown(code: str, value: str) -> None:
    assert run(with_value_shown(code)) == f"{MARK}{value}\n"


@pytest.mark.parametrize("code", ["None", "print('x')"])
def test_none_is_not_shown(code: str) -> None:
    assert MARK not in run(with_value_shown(code))


@pytest.mark.parametrize(
    "code", ["x = 1", "x = 1; x", "1;", "if True:\n    1", "1 +", "a\0b", "(" * 10_000, "", "# nothing"]
)
def test_other_code_stays_as_it_is(code: str) -> None:
    assert with_value_shown(code) == code


def test_nothing_in_code_closes_its_fence() -> None:
    assert fenced("a = '```'\nb = '````'").split("\n")[0] == "`````python"
