"""kill -9 in the middle of steps that may not be repeated: what the operator is shown, and how each answer is given."""

from __future__ import annotations

import pytest

from tests.stories.shell import Shell, ended, wait_for

TOOLS = '''
import pathlib, time

HERE = pathlib.Path(__file__).parent


def charge(amount: int) -> str:
    """Charge a card."""
    with open(HERE / "calls", "a") as file:
        file.write(f"{amount}\\n")
    while (HERE / "slow").exists():
        time.sleep(0.02)
    return f"charged {amount}"


def broken() -> str:
    """Does not work."""
    raise ConnectionError("postgres://bob:hunter2hunter2@db/sales is not there")


ALL = [charge, broken]
'''
PLAN = """
task_description: Bill two customers
steps:
- {id: ann, tool: charge, tool_input: {amount: 1}}
- {id: ben, tool: charge, tool_input: {amount: 2}}
- {id: thank, tool: charge, tool_input: {amount: 3}, dependencies: [ben]}
"""
BROKEN = """
task_description: Look
steps:
- {id: look, tool: broken}
"""
WITH = ("--tools", "shop:ALL")
RUN = ("plan", "run", "plan.yaml", "--run-id", "bills")


@pytest.fixture
def here(shell: Shell) -> Shell:
    (shell.folder / "shop.py").write_text(TOOLS)
    (shell.folder / "plan.yaml").write_text(PLAN)
    (shell.folder / "broken.yaml").write_text(BROKEN)
    return shell


def calls(shell: Shell) -> list[str]:
    file = shell.folder / "calls"
    return sorted(file.read_text().split()) if file.exists() else []


def killed(shell: Shell) -> None:
    """A run whose process was killed while it charged ann and ben."""
    (shell.folder / "slow").touch()
    process = shell.begin(*RUN, *WITH)
    wait_for(lambda: calls(shell) == ["1", "2"])
    process.kill()
    ended(process)
    (shell.folder / "slow").unlink()


def test_whoever_is_called_at_night_finds_the_question_and_both_commands_everywhere(here: Shell) -> None:
    killed(here)
    assert "run resume bills --tools shop:ALL" in here("run", "show", "bills").err
    asked = here(*RUN, "--resume", *WITH)
    assert asked.code == 3
    assert calls(here) == ["1", "2"], "nobody knows whether it happened: a person is asked"
    commands = [
        f"interlock run resume bills --{how} {who} --tools shop:ALL"
        for how in ("repeat", "skip")
        for who in ("ann", "ben")
    ]
    listed, shown = here("approval", "list"), here("run", "show", "bills")
    for text in (asked.err, listed.err, shown.out):
        assert [command for command in commands if command not in text] == []
    assert [line.split("\t")[3] for line in listed.out.splitlines()] == [
        'ann in doubt: charge({"amount": 1})',
        'ben in doubt: charge({"amount": 2})',
    ]
    items = here("approval", "list", "--json").json["items"]
    assert [(one["about"], one["run_id"], one["step"], one["status"]) for one in items] == [
        ("in_doubt", "bills", "ann", "pending"),
        ("in_doubt", "bills", "ben", "pending"),
    ]
    assert items[1]["answers"] == {"repeat": commands[1], "skip": commands[3]}
    card = here("approval", "show", items[0]["id"]).out
    assert "key\tbills/plan/ann/1/tool" in card, "what the other side knows it by"
    steps = here("run", "show", "bills", "--json").json["plan"]["steps"]
    assert [step["kind"] for step in steps] == ["in_doubt", "in_doubt", ""]
    assert f"`{commands[0]}`" in steps[0]["error"]


def test_a_step_in_doubt_is_neither_allowed_nor_denied(here: Shell) -> None:
    killed(here)
    here(*RUN, "--resume", *WITH)
    (first, _) = here("approval", "list", "--json").json["items"]
    for word in ("allow", "deny"):
        said = here("approval", word, first["id"], "--json")
        assert (said.code, said.json["error"]["code"]) == (2, "usage.in_doubt")
        assert first["answers"]["repeat"] in said.json["error"]["do"]
        assert first["answers"]["skip"] in said.json["error"]["do"]
    assert calls(here) == ["1", "2"]


def test_each_step_has_its_own_answer_and_one_that_is_skipped_is_never_done_again(here: Shell) -> None:
    killed(here)
    here(*RUN, "--resume", *WITH)
    wrong = here("run", "resume", "bills", "--repeat", "anne", *WITH)
    assert (wrong.code, "In doubt: ann, ben." in wrong.err) == (2, True)
    half = here("run", "resume", "bills", "--repeat", "ann", *WITH)
    assert (half.code, calls(here)) == (3, ["1", "1", "2"])
    assert "--skip ben" in half.err
    assert "--skip ann" not in half.err
    done = here("run", "resume", "bills", "--skip", "ben", *WITH)
    assert (done.code, "1 completed, 1 failed, 1 skipped" in here(*RUN, "--resume", *WITH).err) == (1, True)
    assert here("run", "resume", "bills", *WITH).code == 1
    assert calls(here) == ["1", "1", "2"], "nobody knows whether ben was charged: no resume does it again"
    late = here("run", "resume", "bills", "--repeat", "ben", *WITH)
    assert (late.code, "not in doubt any more" in late.err) == (2, True)
    assert here("approval", "list").out == ""


def test_an_answer_counts_where_the_tools_are_missing_and_the_run_is_left_as_it_is(here: Shell) -> None:
    killed(here)
    here(*RUN, "--resume", *WITH)
    said = here("run", "resume", "bills", "--skip", "ann")
    assert said.code == 2
    assert "What you said is written down." in said.err
    assert "run resume bills --tools shop:ALL" in said.err
    shown = here("run", "show", "bills", "--json").json
    assert (shown["status"], shown["finished_at"]) == ("awaiting_approval", None)
    assert {one["step"]: one["state"] for one in shown["questions"]} == {"ann": "skip", "ben": "pending"}


def test_a_run_that_is_not_there_is_begun_and_nobody_can_miss_it(here: Shell) -> None:
    first = here(*RUN, "--resume", *WITH)
    assert (first.code, "No run bills was found; it was begun anew." in first.err) == (0, True)
    typo = here("plan", "run", "plan.yaml", "--run-id", "bill", "--resume", "--json", *WITH)
    says = "No run bill was found (did you mean 'bills'?); it was begun anew."
    assert (typo.code, typo.lines[-1]["begun_anew"]) == (0, says)
    again = here(*RUN, "--resume", "--json", *WITH)
    assert (again.code, again.lines[-1]["begun_anew"], "begun anew" in again.err) == (0, None, False)


def test_a_tool_that_fails_says_so_in_a_sentence_and_its_traceback_is_in_the_private_log(here: Shell) -> None:
    done = here("plan", "run", "broken.yaml", *WITH)
    assert (done.code, "The tool broken failed: ConnectionError" in done.err) == (1, True)
    asked = here("plan", "run", "broken.yaml", *WITH, env={"INTERLOCK_LOG__LEVEL": "warning"})
    told = [line for line in asked.err.splitlines() if "error.explained" in line]
    assert len(told) == 1
    assert "broken (shop.py:" in told[0]
    private = (here.folder / ".interlock" / "interlock.log").read_text()
    assert "Traceback" in private
    for text in (done.err, asked.err):
        assert "Traceback" not in text
    assert "hunter2" not in done.err + asked.err + private
