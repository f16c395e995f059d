"""Every example runs as it is, without a key, and shows what it says it shows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def _output_of(name: str, home: Path) -> list[str]:
    """Run an example in a folder of its own, with nothing of this environment but the search path."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        cwd=home,
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_run_killed_in_its_third_step_goes_on_in_another_process_and_repeats_no_finished_step(tmp_path: Path) -> None:
    assert _output_of("resume_after_kill.py", tmp_path) == [
        "the first process was ended by SIGKILL",
        "completed: ['collect done', 'sort done', 'publish done']",
        "done how often: {'collect': 1, 'sort': 1, 'publish': 2}",
    ]


def test_a_destructive_command_is_refused_in_every_wrapping_and_the_agent_goes_on(tmp_path: Path) -> None:
    lines = _output_of("refused_command.py", tmp_path)
    assert [line.split()[:2] for line in lines[:3]] == [["allow", "uname"], ["block", "rm"], ["block", "sh"]]
    assert lines[3] == "completed: I could look, but I was not allowed to delete anything."


def test_a_call_that_was_turned_away_is_made_again_and_a_tool_is_called(tmp_path: Path) -> None:
    lines = _output_of("retried_call.py", tmp_path)
    assert [line.split() for line in lines[:3]] == [
        ["model/1", "model", "finished", "tries:", "2"],
        ["tool/1", "tool", "finished", "tries:", "1"],
        ["model/2", "model", "finished", "tries:", "1"],
    ]
    assert lines[3] == "completed: There are 7 lamps left."


def test_every_example_has_a_test() -> None:
    tested = Path(__file__).read_text()
    assert [path.name for path in EXAMPLES.glob("*.py") if f'"{path.name}"' not in tested] == []
