"""Plans on the command line, run after run: what is told, what can be typed next, and large plans on one screen."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.cli import output
from interlock.cli.app import perform
from interlock.platform.platform import Platform
from interlock.records.plan import Plan, Step
from interlock.tools.function import tool
from tests.cli.conftest import Cli

PLAN = """
task_description: Sales
steps:
- {id: extract, tool: extract, tool_input: {limit: 4}}
- {id: total, tool: total, tool_input: {numbers: "${extract}"}, dependencies: [extract]}
"""
TOOLS = '''
import pathlib


def extract(limit: int) -> list[int]:
    """Numbers below a limit."""
    return list(range(limit))


def total(numbers: list[int]) -> int:
    """The sum, once there is a file `ready`."""
    if not pathlib.Path("ready").exists():
        raise ValueError("not ready")
    return sum(numbers)


ALL = [extract, total]
'''
WITH = ("--tools", "desk:ALL")


@pytest.fixture
def failed(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """A plan's run `q4` of which the second step failed, in a home folder of its own."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "desk.py").write_text(TOOLS)
    (tmp_path / "plan.yaml").write_text(PLAN)
    assert cli("plan", "run", "plan.yaml", "--run-id", "q4", *WITH, "--home", "store").code == 1
    yield cli
    __import__("sys").modules.pop("desk", None)


def commands(said: str) -> list[list[str]]:
    return [one.split()[1:] for one in re.findall(r"`(interlock [^`]*)`", said)]


def test_whatever_an_error_says_to_type_can_be_typed(failed: Cli, tmp_path: Path) -> None:
    said = failed("plan", "run", "plan.yaml", "--run-id", "q4", *WITH, "--home", "store").err
    show, resume = commands(said)
    assert "total" in failed(*show).out
    assert resume == ["run", "resume", "q4", *WITH, "--home", "store"]
    (tmp_path / "ready").touch()
    assert failed(*resume).code == 0


def test_a_run_that_failed_and_goes_on_is_told_to_its_end(failed: Cli, tmp_path: Path) -> None:
    (tmp_path / "ready").touch()
    resumed = failed("run", "resume", "q4", *WITH, "--home", "store")
    assert (resumed.code, json.loads(resumed.out)["outputs"]) == (0, {"total": 6})
    assert "1 of 2 steps done, not repeated" in resumed.err
    assert "✓ plan/total~2" in resumed.err
    assert "✕" not in resumed.err
    watched = failed("run", "watch", "q4", "--home", "store")
    assert watched.code == 0
    assert "✕ plan/total" in watched.err
    assert "✓ plan/total~2" in watched.err
    last = failed("run", "watch", "q4", "--home", "store", "--json").out.splitlines()[-1]
    assert json.loads(last)["status"] == "completed"


def test_a_resumed_plan_ends_with_the_exit_code_that_plan_run_has(failed: Cli, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text('[[tool]]\nname = "total"\ndecision = "block"\nmatch = ["total"]\n')
    assert failed("run", "resume", "q4", *WITH, "--home", "store").code == 5
    assert failed("run", "resume", "q4", *WITH, "--home", "store", "--json").code == 5


def test_a_fork_has_an_id_that_its_parents_leads_to(failed: Cli, tmp_path: Path) -> None:
    (tmp_path / "ready").touch()
    fork = ("run", "fork", "q4", "--from", "extract", "--set", "input.limit=10", "--home", "store")
    refused = failed(*fork)
    assert refused.code == 2
    (typed,) = commands(refused.err)  # with the tools that the parent was begun with
    assert failed(*typed).code == 0
    assert failed(*typed).code == 0
    runs = json.loads(failed("run", "list", "--json", "--home", "store").out)["items"]
    assert [run["run_id"] for run in runs] == ["q4-fork-2", "q4-fork", "q4"]
    assert failed("run", "diff", "q4", "q4-fork", "--home", "store").code == 0


def test_a_plan_that_was_changed_is_not_taken_for_the_one_that_goes_on(failed: Cli, tmp_path: Path) -> None:
    again = ("plan", "run", "plan.yaml", "--run-id", "q4", "--resume", *WITH, "--home", "store")
    assert "those in plan.yaml are others" not in failed(*again).err
    (tmp_path / "plan.yaml").write_text(PLAN.replace("limit: 4", "limit: 5"))
    assert "q4 goes on with the steps it began with; those in plan.yaml are others" in failed(*again).err


def test_servers_in_a_plans_file_are_found_again_by_the_file(cli: Cli, tmp_path: Path) -> None:
    server = "{type: mcp, server_label: stock, server_command: no-such-program, allowed_tools: [look]}"
    (tmp_path / "plan.yaml").write_text(f"tools: [{server}]\nsteps: [{{id: a, tool: look, tool_input: {{}}}}]\n")
    said = cli("plan", "run", "plan.yaml", "--run-id", "q4")
    assert said.code == 1
    assert commands(said.err)[1] == ["run", "resume", "q4", "--tools", "plan.yaml"]
    assert ["run", "resume", "q4", "--tools", "plan.yaml"] in commands(cli("run", "resume", "q4").err)


def test_a_task_may_be_a_list_or_come_from_standard_input(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def steps(*words: str) -> list[str]:
        return [step["description"] for step in json.loads(cli("plan", "make", *words, "--json").out)["steps"]]

    assert steps("- load\n- mail") == ["load", "mail"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"1. load\n2. mail\n")))
    assert steps("-") == ["load", "mail"]
    assert cli("run", "list", "--bogus").code == 2
    assert "no model was asked" in cli("plan", "make", "1. load 2. mail", "--out", "plan.yaml").err


def test_a_plan_without_a_key_tells_what_to_set_and_then_to_go_on(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("steps: [{id: a, description: Think of a name.}]")
    said = cli("plan", "run", "plan.yaml", "--run-id", "q5")
    assert said.code == 4
    assert "Think of a name.  openai is not ready" in said.err
    assert "OPENAI_API_KEY" in said.err
    assert commands(said.err) == [["run", "resume", "q5"]]


def test_a_warning_before_there_is_a_home_folder_is_no_reason_to_fail(cli: Cli, tmp_path: Path) -> None:
    said = cli("plan", "make", "Do sales analysis")
    assert (said.code, "no API key" in said.err) == (4, True)
    log = tmp_path / ".interlock" / "interlock.log"
    assert "vague" in log.read_text()
    assert (log.parent.stat().st_mode & 0o777, log.stat().st_mode & 0o777) == (0o700, 0o600)


@tool
def half(number: int) -> int:
    """Half of an even number."""
    if number % 2:
        raise ValueError("odd")
    return number // 2


def at_terminal(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints where a person reads it, 80 columns wide."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "_is_terminal", lambda stream: True)
        patch.setenv("COLUMNS", "80")
        patch.setenv("NO_COLOR", "1")
        perform(words)
    return capsys.readouterr().out


def test_a_large_plan_fits_on_a_screen_and_is_whole_in_a_pipe(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    even = [Step(f"even-{n}", tool="half", tool_input={"number": 2 * n}) for n in range(100)]
    odd = [Step(f"odd-{n}", tool="half", tool_input={"number": 2 * n + 1}) for n in range(30)]
    end = Step("end", tool="half", tool_input={"number": 2}, dependencies=[step.id for step in odd])
    platform = Platform(home=".interlock")
    platform.execute_sync(Plan("Halve", [*even, *odd, end], tools=[half]), "large", max_concurrent=50)
    platform.close_sync()
    shown = at_terminal(["run", "show", "large"], capsys)
    assert len(shown.splitlines()) < 200
    assert "94 more" in shown  # completed steps
    assert "24 more" in shown  # failed ones
    assert shown.count("ValueError: odd") == 10
    assert "100 completed, 30 failed, 1 skipped of 131 steps; all of them: interlock run show large | less" in shown
    assert "more lines; the whole: interlock run show large --json | jq .output" in shown
    assert "half(number=198)" in shown
    piped = cli("run", "show", "large").out
    assert piped.count("ValueError: odd") == 60
    assert piped.count("half(number=") == 100


def test_a_step_is_shown_below_what_it_builds_on(cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plan.yaml").write_text(
        "steps: [{id: a}, {id: b}, {id: a2, dependencies: [a]}, {id: b2, dependencies: [b]},"
        " {id: end, dependencies: [a2, b2]}]"
    )
    shown = at_terminal(["plan", "show", "plan.yaml"], capsys).splitlines()
    tree = shown[next(number for number, line in enumerate(shown) if line.startswith("step ")) + 1 :]
    assert [line.split("  ")[0] for line in tree] == ["a", "└ a2", "b", "└ b2", "│ └ end"]
