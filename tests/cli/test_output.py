"""What may reach a terminal, a pipe and a machine."""

from __future__ import annotations

import ast
import io
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import interlock
from interlock.cli.door import Door
from interlock.cli.output import Output, clean, one_line, visible
from interlock.cli.wording import Cell, Ink
from interlock.errors import NotFound

SOURCE = Path(interlock.__file__).parent
#: A program of its own, whose first line is its address; it never prints what an agent said.
MAY_PRINT = {"cli/output.py", "testing/simulated.py"}


def _exits(tree: ast.AST) -> list[int]:
    """The lines that print by another way than `cli/output.py`."""
    found = []
    for node in ast.walk(tree):
        name = node.func if isinstance(node, ast.Call) else node
        spoken = ast.unparse(name) if isinstance(name, ast.Name | ast.Attribute) else ""
        if isinstance(node, ast.Call) and spoken in ("print", "pprint", "click.echo", "click.secho"):
            found.append(node.lineno)
        if isinstance(node, ast.Attribute) and spoken in ("sys.stdout", "sys.__stdout__"):
            found.append(node.lineno)
    return found


def test_nothing_is_printed_but_through_the_one_exit() -> None:
    printing = {
        f"{path.relative_to(SOURCE).as_posix()}:{line}"
        for path in SOURCE.rglob("*.py")
        if path.relative_to(SOURCE).as_posix() not in MAY_PRINT
        for line in _exits(ast.parse(path.read_text()))
    }
    assert printing == set()


def test_the_search_for_other_exits_finds_them() -> None:
    assert _exits(ast.parse("print(1)\nclick.echo(2)\nsys.stdout.write('x')")) == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\nand more", "plain\ttext\nand more"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[Hcleared", "cleared"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;ZXZpbA==\x07copied", "copied"),
        ("\x9b31mC1\x9d0;x\x9c", "C1"),
        ("\x1bPdevice\x1b\\text", "text"),
        ("\x1b]never ended", "never ended"),
        ("over\rwritten", "overwritten"),
        ("dos\r\nlines", "dos\nlines"),
        ("back\x08\x7fspace\x00", "backspace"),
        ("abc\u202etxt.exe\u2066x\u2069", "abctxt.exex"),
        ("tags\U000e0041\U000e007f", "tags"),
        ("half \ud800 character", "half  character"),
        ("emoji 👩\u200d💻 stay", "emoji 👩\u200d💻 stay"),
        ("\x1b", ""),
    ],
)
def test_commands_to_the_terminal_are_taken_out(text: str, shown: str) -> None:
    assert clean(text) == shown


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "start", ["\x90", "\x9d", "\x1b]", "\x1bP", "\x90a", "\x9b", "\x9b0", "\x1b", "\x9d" + "a" * 200]
)
def test_megabytes_of_sequences_that_never_end_are_cleaned_in_passing(start: str) -> None:
    left = clean(start * (3_000_000 // len(start)))
    assert set(left) <= {"a"}


@given(st.text(alphabet=st.characters(codec=None)))
def test_no_text_at_all_can_carry_a_control_character_but_tab_and_line_feed(text: str) -> None:
    left = clean(text)
    assert not [char for char in left if (ord(char) < 32 and char not in "\t\n") or 0x7F <= ord(char) < 0xA0]
    assert "\n" not in one_line(text)


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none()))
def test_json_loses_nothing_and_shows_a_terminal_nothing_it_would_obey(value: dict[str, object]) -> None:
    before, sys.stdout = sys.stdout, io.StringIO()
    try:
        Output(json=True).record(value)
        written = sys.stdout.getvalue()
    finally:
        sys.stdout = before
    assert json.loads(written) == value
    assert written.count("\n") == 1
    assert not [char for char in written[:-1] if ord(char) < 32 or 0x7F <= ord(char) < 0xA0 or char in "\u202e\u2066"]


def test_a_pipe_gets_tabs_no_heading_and_one_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table(("run", "task"), [["r1", "two\nlines\tand a tab"], [Cell("5 s ago", "2026-01-01T00:00:00Z"), "x"]])
    assert capsys.readouterr().out == "r1\ttwo lines and a tab\n2026-01-01T00:00:00Z\tx\n"


@pytest.mark.parametrize(
    ("color", "env", "colored"),
    [
        ("auto", {}, False),
        ("auto", {"FORCE_COLOR": "1"}, True),
        ("auto", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ("always", {"NO_COLOR": "1"}, True),
        ("never", {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_is_asked_for_or_left_out(
    color: str, env: dict[str, str], colored: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    Output(color=color).say(Ink("good", "good"))  # type: ignore[arg-type]
    assert ("\x1b[32m" in capsys.readouterr().err) is colored


def test_quiet_leaves_the_errors(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(quiet=True)
    out.say("progress")
    out.error(NotFound("There is no run ID.", "`interlock run list`"))
    err = capsys.readouterr().err
    assert "progress" not in err
    assert "There is no run ID." in err


def test_the_next_step_can_be_typed_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    door = Door(Output(json=True), home="my store", options=("--tools", "shop:ALL"))
    door.refuse(NotFound("Gone.", "`interlock run show ID`, `interlock run resume ID` and IDEAS"), run="run_1")
    error = json.loads(capsys.readouterr().out)["error"]
    assert error == {
        "code": "run.not_found",
        "says": "Gone.",
        "do": (
            "`interlock run show run_1 --home 'my store'`, "
            "`interlock run resume run_1 --tools shop:ALL --home 'my store'` and IDEAS"
        ),
        "run": "run_1",
    }
    again = error["do"]
    assert door.typed(again, "run_1") == again  # what a process of its own has said already is not said twice


def test_nobody_is_asked_where_nobody_can_answer() -> None:
    assert Output().ask("Really?") is False


def test_the_bottom_line_is_never_drawn_where_it_cannot_be_rewritten(capsys: pytest.CaptureFixture[str]) -> None:
    Output().status("working")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("git push", "git push"),
        ("größe 日本", "größe 日本"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("rm\u202e-rf", "rm\\u{202e}-rf"),
        ("a\u200bb\u00a0c", "a\\u{200b}b\\u{00a0}c"),
        ("\x1b[2J", "\\u{001b}[2J"),
        ("\\u{202e}", "\\u{202e}"),
        ("\\u{202e}\x07", "\\\\u{202e}\\u{0007}"),
    ],
)
def test_nothing_hides_in_what_a_person_decides_about(text: str, shown: str) -> None:
    assert visible(text) == shown
