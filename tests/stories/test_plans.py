"""A sentence becomes a plan in a file, the plan is carried out, watched, forked and compared; all in real processes."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from interlock.testing import SimulatedProvider, Structured, Text
from tests.stories.shell import Shell, ended, interrupt, wait_for

TOOLS = '''
import pathlib, time


def extract(limit: int) -> list[int]:
    """Numbers below a limit."""
    _note("extract")
    return list(range(limit))


def total(numbers: list[int]) -> int:
    """The sum of numbers."""
    _note("total")
    if len(numbers) == 7:
        raise ValueError("seven are too many")
    return sum(numbers)


def slow(seconds: float) -> str:
    """Takes its time."""
    _note("slow")
    time.sleep(seconds)
    return "slept"


def _note(name: str) -> None:
    with open(pathlib.Path(__file__).parent / "calls", "a") as file:
        file.write(name + "\\n")


ALL = [extract, total, slow]
'''
PLAN = """
task_description: Add up the sales
steps:
- id: extract
  tool: extract
  tool_input: {limit: 4}
- id: total
  tool: total
  tool_input: {numbers: "${extract}"}
  dependencies: [extract]
- id: aside
  tool: slow
  tool_input: {seconds: 0}
- id: report
  tool: slow
  tool_input: {seconds: 0}
  dependencies: [total]
"""
LONG = """
task_description: Sleep twice
steps:
- {id: a, tool: slow, tool_input: {seconds: 1.0}}
- {id: b, tool: slow, tool_input: {seconds: 0.1}, dependencies: [a]}
"""
WITH = ("--tools", "shop:ALL")


@pytest.fixture
def here(shell: Shell) -> Shell:
    (shell.folder / "shop.py").write_text(TOOLS)
    (shell.folder / "plan.yaml").write_text(PLAN)
    (shell.folder / "long.yaml").write_text(LONG)
    return shell


def calls(shell: Shell) -> list[str]:
    file = shell.folder / "calls"
    return file.read_text().split() if file.exists() else []


def test_a_numbered_task_becomes_a_plan_in_a_file_without_a_key(shell: Shell) -> None:
    said = shell("plan", "make", "1. extract the sales 2. compare regions 3. report", "--out", "plan.yaml")
    assert (said.code, said.out) == (0, "plan.yaml\n")
    shown = shell("plan", "show", "plan.yaml", "--json").json
    assert [(step["id"], step["dependencies"], step["level"]) for step in shown["steps"]] == [
        ("step_1", [], 0),
        ("step_2", ["step_1"], 1),
        ("step_3", ["step_2"], 2),
    ]
    assert shown["estimate"]["estimated"] is True
    assert shell("plan", "check", "plan.yaml").code == 0
    assert shell("plan", "make", "1. a 2. b", "--out", "plan.yaml").code == 2
    assert shell("plan", "make", "1. a 2. b 3. c", "--max-steps", "2").code == 1
    assert shell("plan", "make", "Do everything that is needed for the sales").code == 4


def test_a_model_makes_the_plan_where_there_is_a_key(served: Shell, sim: SimulatedProvider) -> None:
    step = {"id": "find", "description": "Find it", "tool": None, "tool_input": None, "dependencies": []}
    sim.script = [Structured({"steps": [step], "success_criteria": ["It is found"]})]
    said = served("plan", "make", "Find the sales figures of the last quarter", "--json")
    assert said.code == 0
    assert [one["id"] for one in said.json["steps"]] == ["find"]
    sim.script = [Structured({"steps": [step], "success_criteria": ["It is found"]})]
    served("plan", "make", "Find the sales figures of the last quarter", "--out", "plan.yaml")
    assert "It is found" in served("plan", "show", "plan.yaml").out
    sim.script = [Text("It was 4.")]
    done = served("plan", "run", "plan.yaml", "--run-id", "find-1")
    assert done.code == 0, done.err
    assert json.loads(done.out)["outputs"] == {"find": "It was 4."}


def test_a_plan_is_carried_out_and_shown_step_by_step(here: Shell) -> None:
    done = here("plan", "run", "plan.yaml", "--run-id", "q4-plan", *WITH)
    assert (done.code, json.loads(done.out)["outputs"]) == (0, {"aside": "slept", "report": "slept"})
    assert "✓ plan/total" in done.err
    assert "4 completed of 4 steps" in done.err
    steps = here("run", "show", "q4-plan").out
    assert [line.split("\t")[:2] for line in steps.splitlines() if line.startswith(("extract", "total", "report"))] == [
        ["extract", "completed"],
        ["total", "completed"],
        ["report", "completed"],
    ]
    assert "plan/total/1/tool" not in steps
    assert "plan/total/1/tool" in here("run", "show", "q4-plan", "--steps").out
    assert here("plan", "run", "plan.yaml", "--run-id", "q4-plan", "--resume", *WITH).code == 0
    assert sorted(calls(here)) == ["extract", "slow", "slow", "total"], "nothing is done twice"


def test_a_step_that_failed_is_explained_with_the_state_of_what_it_builds_on(here: Shell) -> None:
    (here.folder / "bad.yaml").write_text(PLAN.replace("limit: 4", "limit: 7"))
    done = here("plan", "run", "bad.yaml", "--run-id", "q4-bad", *WITH)
    assert done.code == 1
    assert "2 completed, 1 failed, 1 skipped of 4 steps" in done.err
    shown = here("run", "show", "q4-bad").out
    for told in ("failed\ttotal", "seven are too many", "class\ttool_error", "needs\textract: completed", "holds up\t"):
        assert told in shown
    plan = here("run", "show", "q4-bad", "--json").json["plan"]
    total = next(step for step in plan["steps"] if step["step_id"] == "total")
    assert (total["status"], total["kind"], total["attempts"]) == ("failed", "tool_error", 1)
    assert total["dependencies"] == [{"step_id": "extract", "status": "completed"}]


def test_json_tells_every_fact_and_last_the_result_with_its_steps(here: Shell) -> None:
    done = here("plan", "run", "plan.yaml", "--run-id", "q4-json", "--json", *WITH)
    kinds = [line["kind"] for line in done.lines]
    assert (kinds[0], kinds[-2], kinds[-1]) == ("run.admitted", "run.finished", "result")
    assert kinds.count("step.finished") == 8
    assert {step["step_id"]: step["status"] for step in done.lines[-1]["steps"]} == dict.fromkeys(
        ("extract", "total", "aside", "report"), "completed"
    )
    assert [line["kind"] for line in here("run", "replay", "q4-json", "--json").lines] == kinds


def test_a_terminal_gets_lines_that_stay_and_a_table(here: Shell) -> None:
    seen = here.at_terminal("plan", "run", "plan.yaml", "--run-id", "q4-tty", *WITH, width=120)
    assert "✓ plan/extract" in seen.replace("\x1b[32m", "").replace("\x1b[0m", "")
    assert "\x1b[2J" not in seen, "the screen is never cleared"
    table = here.at_terminal("run", "show", "q4-tty", width=120)
    assert "└ total" in table
    assert "│ └ report" in table


def test_a_terminal_shows_what_is_going_on_in_a_plan_and_takes_it_away_again(here: Shell) -> None:
    seen = here.at_terminal("plan", "run", "long.yaml", "--run-id", "live", *WITH)
    assert re.search(r"▶ 0 of 2 done, 1 at work, .*\n.*plan/a  slow\(seconds=1\.0\)  0\.\d s", seen)
    left = on_screen(seen)
    assert [line for line in left if "at work" in line or line.startswith("    plan/")] == []
    assert [line.split("  ")[1:3] for line in left if "✓ plan/" in line] == [["✓ plan/a", ""], ["✓ plan/b", ""]]
    assert not any("configured default" in line for line in left), "no agent takes part in this plan"


def on_screen(seen: str) -> list[str]:
    """The lines that a terminal shows at the end; it knows just what the command line uses."""
    lines, at = [""], 0
    for piece in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", seen):
        if piece == "\n":
            at += 1
            lines += [""] * (at == len(lines))
        elif piece == "\x1b[1A":
            at -= 1
        elif piece == "\x1b[2K":
            lines[at] = ""
        elif piece[0] not in "\x1b\r":
            lines[at] += piece
    return [line.rstrip() for line in lines]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_lets_the_running_step_finish_and_the_plan_goes_on_later(
    here: Shell, number: signal.Signals, code: int
) -> None:
    process = here.begin("plan", "run", "long.yaml", "--run-id", "long-1", *WITH)
    wait_for(lambda: calls(here) == ["slow"])
    interrupt(process) if number is signal.SIGINT else process.send_signal(number)
    said = ended(process)
    assert (said.code, said.out) == (code, "")
    assert "interlock plan run long.yaml --run-id long-1 --resume" in said.err
    without = here("run", "resume", "long-1")
    assert (without.code, "slow" in without.err, "--tools" in without.err) == (2, True, True)
    shown = here("run", "show", "long-1", "--json").json
    assert [step["status"] for step in shown["plan"]["steps"]] == ["completed", "pending"]
    words = ("plan", "run", "long.yaml", "--run-id", "long-1", "--resume")
    assert here(*(words if code else ("run", "resume", "long-1")), *WITH).code == 0
    assert calls(here) == ["slow", "slow"]


def test_a_step_that_takes_longer_than_the_grace_is_cut_off_and_is_in_doubt(here: Shell) -> None:
    (here.folder / "long.yaml").write_text(LONG.replace("1.0", "40"))
    here.env["INTERLOCK_LIMITS__SHUTDOWN_GRACE"] = "0.2"
    process = here.begin("plan", "run", "long.yaml", "--run-id", "long-2", "--json", *WITH)
    wait_for(lambda: calls(here) == ["slow"])
    process.send_signal(signal.SIGTERM)
    said = ended(process)
    assert said.code == 0
    assert (said.lines[-1]["kind"], said.lines[-1]["run_id"]) == ("parked", "long-2")
    again = here("plan", "run", "long.yaml", "--run-id", "long-2", "--resume", *WITH)
    assert again.code == 3
    assert calls(here) == ["slow"], "nobody knows whether it happened: a person is asked"


def test_a_killed_plan_goes_on_without_repeating_what_is_done(here: Shell) -> None:
    process = here.begin("plan", "run", "long.yaml", "--run-id", "long-3", "--json", *WITH)
    assert process.stdout is not None
    for line in process.stdout:
        fact: dict[str, Any] = json.loads(line)
        if fact["kind"] == "step.finished" and fact["path"] == "plan/a":
            break
    process.kill()
    ended(process)
    assert here("plan", "run", "long.yaml", "--run-id", "long-3", "--resume", "--json", *WITH).code in (0, 3)
    assert calls(here).count("slow") <= 2
    steps = here("run", "show", "long-3", "--json").json["plan"]["steps"]
    assert (steps[0]["status"], steps[0]["attempts"]) == ("completed", 1)


def test_a_plan_is_forked_from_a_step_and_compared_with_its_parent(here: Shell) -> None:
    here("plan", "run", "plan.yaml", "--run-id", "q4-plan", *WITH)
    before = calls(here)
    tried = here("run", "fork", "q4-plan", "--from", "total", "--dry-run", "--json").json
    assert (tried["applied"], tried["detail"]["kept"], tried["detail"]["to_do"]) == (
        False,
        ["plan/extract", "plan/aside"],
        ["total", "report"],
    )
    words = ("run", "fork", "q4-plan", "--from", "extract", "--set", "input.limit=10", "--run-id", "q4-fork")
    assert here(*words).code == 2, "this process does not know the tools"
    forked = here(*words, *WITH)
    assert forked.code == 0
    assert sorted(calls(here)[len(before) :]) == ["extract", "slow", "total"]
    shown = here("run", "show", "q4-fork", "--json").json
    assert shown["parent"] == "q4-plan"
    assert [step["inherited"] for step in shown["plan"]["steps"]] == [None, None, "q4-plan", None]
    told = here("run", "diff", "q4-plan", "q4-fork", "--json").json
    assert {step["step"]: step["differs"] for step in told["steps"]} == {
        "extract": ["input", "output"],
        "total": ["output"],
        "aside": [],
        "report": [],
    }
    table = here("run", "diff", "q4-plan", "q4-fork").out
    assert "q4-fork: 45" in table
    assert here("run", "fork", "q4-plan", "--from", "nothing").code == 2
    assert here("run", "diff", "q4-plan", "no-such-run").code == 7


def test_a_fork_goes_on_by_itself_when_it_is_detached(here: Shell) -> None:
    here("plan", "run", "plan.yaml", "--run-id", "q4-plan", *WITH)
    said = here("run", "fork", "q4-plan", "--from", "report", "--run-id", "behind", "--detach", "--json", *WITH)
    assert (said.code, said.json["target"]) == (0, "behind")
    assert here("run", "watch", "behind").code == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("plan", "run", "none.yaml"), 2),
        (("plan", "run", "plan.yaml"), 2),
        (("plan", "run", "plan.yaml", "--resume"), 2),
        (("plan", "check", "plan.yaml"), 2),
        (("plan", "run", "plan.yaml", "--max-concurrent", "0", *WITH), 2),
        (("plan", "check", "plan.yaml", *WITH), 0),
    ],
)
def test_what_cannot_be_carried_out_is_refused_before_anything_is_done(
    here: Shell, words: tuple[str, ...], code: int
) -> None:
    assert here(*words).code == code
    assert calls(here) == []


def test_a_step_that_a_rule_refuses_ends_with_the_exit_code_of_refusals(here: Shell) -> None:
    rule = '[[tool]]\nname = "slow"\ndecision = "block"\nreason = "no sleeping"\nmatch = ["slow"]\n'
    (here.folder / "policy.toml").write_text(rule)
    assert here("plan", "run", "long.yaml", "--run-id", "long-4", *WITH).code == 5
    (here.folder / "policy.toml").write_text(rule.replace("block", "approval"))
    waits = here("plan", "run", "long.yaml", "--run-id", "long-5", *WITH)
    assert waits.code == 3
    assert calls(here) == []


def test_logs_of_steps_come_with_debug_and_none_with_error(tmp_path: Path, shell: Shell) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import logging, sys\n"
        "from interlock import Plan, Step, execute\n"
        "logging.getLogger('interlock').setLevel(getattr(logging, sys.argv[1]))\n"
        "def work() -> str:\n    'Works.'\n    return 'done'\n"
        "def fail() -> str:\n    'Fails.'\n    raise ValueError('no')\n"
        "execute(Plan('p', [Step('a', tool='work'), Step('b', tool='fail')], tools=[work, fail]))\n"
    )

    def errors(level: str) -> str:
        words = [sys.executable, str(program), level]
        done = subprocess.run(
            words, cwd=tmp_path, env=shell.env, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stderr

    loud = errors("DEBUG")
    assert "step.started" in loud
    assert "step=plan/a" in loud
    assert [line.split()[1] for line in loud.splitlines() if "step.finished" in line and "step=plan/a " in line] == [
        "debug"
    ]
    assert any("warning" in line for line in loud.splitlines() if "step.failed" in line)
    quiet = errors("WARNING")
    assert "step.failed" in quiet
    assert "step.started" not in quiet
    assert "step." not in errors("ERROR").replace("step.py", "")


def test_a_plan_without_a_key_or_without_money_ends_with_the_exit_code_of_that(
    shell: Shell, served: Shell, sim: SimulatedProvider
) -> None:
    (shell.folder / "think.yaml").write_text("steps:\n- {id: think, description: Think}\n")
    assert shell("plan", "run", "think.yaml", "--run-id", "keyless").code == 4
    dear = served("plan", "run", "think.yaml", "--run-id", "dear", "--max-cost", "0.01")
    assert (dear.code, len(sim.requests)) == (6, 0)
    assert "interlock run fork dear --from think --set max_cost=USD" in dear.err
    sim.script = [Text("Thought.")]
    forked = served("run", "fork", "dear", "--from", "think", "--set", "max_cost=2", "--run-id", "dearer")
    assert (forked.code, json.loads(forked.out)["outputs"]) == (0, {"think": "Thought."})
