"""The settings file: where it is found, what happens when it cannot be read, and the line of every key."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.errors import SettingsError
from interlock.platform.settings import load
from interlock.platform.settings.file import find, read
from interlock.records.toml_lines import lines_of


@pytest.fixture(autouse=True)
def _user_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))


def unreadable(cwd: Path, config: str | None = None) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        find(cwd, config)
    return caught.value


def test_the_nearest_file_is_read(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "xdg" / "interlock").mkdir(parents=True)
    (tmp_path / "xdg" / "interlock" / "interlock.toml").write_text("home = '/user'\n")
    assert load(environ={}, cwd=below).home == Path("/user")
    (tmp_path / "interlock.toml").write_text("home = '/above'\n")
    assert load(environ={}, cwd=below).home == Path("/above")
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.interlock]\nhome = '/project'\n")
    assert load(environ={}, cwd=below).home == Path("/project")
    (below / "interlock.toml").write_text("home = '/here'\n")
    assert load(environ={}, cwd=below).home == Path("/here")
    assert load(environ={"INTERLOCK_CONFIG": "../../interlock.toml"}, cwd=below).home == Path("/above")
    assert load(environ={}, cwd=below, config=tmp_path / "a" / "pyproject.toml").home == Path("/project")


def test_a_project_file_without_our_table_is_passed_over_even_if_it_is_broken(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project\nname = 'interlock-user'\n")
    assert find(tmp_path) is None


def test_a_project_file_names_its_own_lines(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n\n[tool.interlock.limits]\nmax_rns = 1\n")
    with pytest.raises(SettingsError, match=r"pyproject.toml:5 unknown key limits.max_rns \(did you mean max_runs\?\)"):
        load(environ={}, cwd=tmp_path)


def test_a_file_that_is_not_toml_is_named_with_line_and_column(tmp_path: Path) -> None:
    (tmp_path / "interlock.toml").write_text("[limits]\nmax_runs 3\n")
    error = unreadable(tmp_path)
    assert error.code == "settings.toml"
    assert error.says == "interlock.toml:2:10 is not valid TOML: expected '=' after a key in a key/value pair."
    (tmp_path / "interlock.toml").write_text("a = [")
    assert unreadable(tmp_path).says.startswith("interlock.toml (at its end) is not valid TOML")
    (tmp_path / "interlock.toml").write_text("a = " + "[" * 100_000)
    assert unreadable(tmp_path).code == "settings.toml"


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    assert "there is no such file" in unreadable(tmp_path, "nowhere.toml").says
    assert "there is no such file" in unreadable(tmp_path, "~nobody-of-this-name/x.toml").says
    (tmp_path / "interlock.toml").mkdir()
    assert unreadable(tmp_path).says == ("The settings file interlock.toml cannot be read: it is a folder, not a file.")
    (tmp_path / "latin.toml").write_bytes(b"a = '\xe9'")
    assert "it is not UTF-8 text, at byte 5" in unreadable(tmp_path, "latin.toml").says
    (tmp_path / "large.toml").write_bytes(b"#" * (1024 * 1024 + 1))
    assert "larger than 1 MB" in unreadable(tmp_path, "large.toml").says
    os.mkfifo(tmp_path / "pipe.toml")
    assert "no regular file" in unreadable(tmp_path, "pipe.toml").says
    (tmp_path / "dangling").mkdir()
    (tmp_path / "dangling" / "interlock.toml").symlink_to(tmp_path / "gone")
    assert unreadable(tmp_path / "dangling").code == "settings.unreadable"


def test_every_key_is_found_in_its_line_whatever_the_writing(tmp_path: Path) -> None:
    text = '''# a comment with [brackets] and = signs
a = """three
lines = here
""" # and a comment
b.c."d.e" = 1  # dotted
[t] # table
x = [ # a list
  { y = 1, z = "}" },
  [1979-05-27 07:32:00, 1.5],
]
[ u . "v w" ]
'k' = \'\'\'two
lines\'\'\'
last = true'''
    path = tmp_path / "interlock.toml"
    path.write_bytes(text.replace("\n", "\r\n").encode())
    found = read(path, tmp_path)
    assert found.lines == {
        ("a",): 2,
        ("b",): 5,
        ("b", "c"): 5,
        ("b", "c", "d.e"): 5,
        ("t",): 6,
        ("t", "x"): 7,
        ("t", "x", "y"): 8,
        ("t", "x", "z"): 8,
        ("u",): 11,
        ("u", "v w"): 11,
        ("u", "v w", "k"): 12,
        ("u", "v w", "last"): 14,
    }


def plain_lines(text: str) -> dict[tuple[Any, ...], int]:
    """The lines of keys, without those of the elements of lists."""
    return {key: line for key, line in lines_of(text).items() if not any(isinstance(part, int) for part in key)}


KEYS = st.text("ab-_.\"'\\=#[]{} é\n", min_size=1, max_size=4).map(lambda key: json.dumps(key, ensure_ascii=False))
VALUES = st.recursive(
    st.integers() | st.booleans() | st.text("a\"'\\=#[]{},. \n", max_size=6),
    lambda below: st.lists(below, max_size=3),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(KEYS, st.lists(st.tuples(KEYS, VALUES), max_size=3, unique_by=lambda p: p[0])),
        max_size=3,
        unique_by=lambda p: p[0],
    )
)
def test_the_lines_of_any_document_are_found(tables: list[tuple[str, list[tuple[str, Any]]]]) -> None:
    lines: list[str] = []
    wanted: dict[tuple[str, ...], int] = {}
    for name, pairs in tables:
        lines.append(f"[{name}] # ]")
        wanted[(json.loads(name),)] = len(lines)
        for key, value in pairs:
            lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}")
            wanted[(json.loads(name), json.loads(key))] = len(lines)
    text = "\n".join(lines)
    assert tomllib.loads(text).keys() == {key[0] for key in wanted}
    assert plain_lines(text) == wanted
