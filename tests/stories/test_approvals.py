"""Stories of approvals through the command line: asked in one process, answered in another, done in a third."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time

import pytest

from interlock.testing import Calls, SimulatedProvider, Text, call
from tests.stories.shell import PATIENCE, Shell, wait_for

TOUCH = Calls(call("shell", argv=["touch", "made.txt"]))


@pytest.fixture
def asks(served: Shell, sim: SimulatedProvider) -> Shell:
    """A shell where `touch` must be allowed by a person."""
    (served.folder / "interlock.toml").write_text(
        '[commands]\nallowed = ["df", "cat"]\nrequire_approval = ["touch", "bash"]\nforbidden = ["rm"]\n'
        '[sandbox]\nlevel = "off"\n'  # the store lies in the workspace here, and so its walls would keep files out
    )
    sim.script = lambda view: Text(list(view.results.values())[-1]) if view.results else TOUCH
    return served


def begin(shell: Shell, *more: str) -> str:
    """Start a run that waits for an approval, and give its id."""
    said = shell("run", "start", "Make it", "--run-id", "run-made", "--json", *more)
    assert said.code == 3, said
    assert said.json["status"] == "awaiting_approval"
    return str(said.json["approval_id"])


def made(shell: Shell) -> bool:
    return (shell.folder / "made.txt").exists()


def ended_as(shell: Shell, status: str, run_id: str = "run-made") -> str:
    """Wait for the end of a run that goes on by itself, and give its output."""
    wait_for(lambda: shell("run", "show", run_id, "--json").json["status"] == status)
    return str(shell("run", "show", run_id, "--json").json["output"])


def test_a_run_waits_with_exit_code_3_and_says_where_to_look(asks: Shell) -> None:
    said = asks("run", "start", "Make it")
    assert said.code == 3
    approval = asks("approval", "list", "--json").json["items"][0]["id"]
    assert approval in said.err
    assert f"interlock approval show {approval}" in said.err.replace(sys.executable, "interlock")
    assert not made(asks)


def test_what_is_asked_is_listed_and_shown_as_it_would_be_done(asks: Shell) -> None:
    approval = begin(asks)
    listed = asks("approval", "list", "--json").json
    assert [(one["id"], one["run_id"], one["does"]) for one in listed["items"]] == [
        (approval, "run-made", "touch made.txt")
    ]
    line = asks("approval", "list").out.rstrip("\n").split("\t")
    assert line[:4] == [approval, "run-made", "anyone", "touch made.txt"]

    shown = asks("approval", "show", approval[:9], "--json").json
    assert shown["asks"]["arguments"]["argv"] == ["touch", "made.txt"]
    assert shown["asks"]["evidence"]["program"].endswith("/touch")
    assert shown["expires_at"] > shown["asked_at"]
    assert 'rule = "touch made.txt"' in shown["rule_text"]
    card = asks("approval", "show", approval).out
    for part in ("touch made.txt", shown["digest"], str(asks.folder), "denied at"):
        assert part in card
    assert approval in asks("run", "show", "run-made").out


def test_a_yes_from_another_process_has_the_run_go_on_by_itself(asks: Shell) -> None:
    approval = begin(asks)
    said = asks("approval", "allow", approval, "--by", "rana", "--reason", "fine", "--json")
    assert said.code == 0
    assert (said.json["target"], said.json["applied"]) == (approval, True)
    assert (said.json["detail"]["status"], said.json["detail"]["by"]) == ("allowed", "rana")
    assert '"exit_code":0' in ended_as(asks, "completed").replace(" ", "")
    assert made(asks)
    assert asks("approval", "list").out == ""
    assert asks("approval", "show", approval, "--json").json["status"] == "used"
    again = asks("approval", "deny", approval, "--by", "noor", "--json")
    assert (again.code, again.json["error"]["code"]) == (1, "approval.already_answered")
    assert "rana answered first, and said yes" in again.json["error"]["says"]


def test_a_no_with_its_reason_goes_back_to_the_agent(asks: Shell) -> None:
    approval = begin(asks)
    assert asks("approval", "deny", approval, "--by", "rana", "--reason", "not on a Friday").code == 0
    output = ended_as(asks, "completed")
    assert "rana said no: not on a Friday. Do not try it again" in output
    assert not made(asks)


def test_a_changed_command_is_judged_again_and_the_agent_hears_what_ran(asks: Shell) -> None:
    approval = begin(asks)
    edit = '{"argv": ["touch", "other.txt"]}'
    assert asks("approval", "allow", approval, "--by", "rana", "--edit", edit).code == 0
    assert "rana changed this call before allowing it. What really ran: `touch other.txt`" in ended_as(
        asks, "completed"
    )
    assert (asks.folder / "other.txt").exists()
    assert not made(asks)


def test_a_command_changed_to_a_forbidden_one_does_not_run(asks: Shell) -> None:
    (asks.folder / "keep.txt").write_text("keep")
    approval = begin(asks)
    assert asks("approval", "allow", approval, "--edit", '{"argv": ["rm", "keep.txt"]}').code == 0
    assert "which may not be done" in ended_as(asks, "completed")
    assert (asks.folder / "keep.txt").exists()


def test_a_script_that_changed_after_it_was_shown_is_asked_about_again(asks: Shell, sim: SimulatedProvider) -> None:
    script = asks.folder / "go.sh"
    script.write_text("touch made.txt\n")
    runs = Calls(call("shell", argv=["bash", "go.sh"]))
    sim.script = lambda view: Text(list(view.results.values())[-1]) if view.results else runs
    first = begin(asks)
    assert "go.sh" in asks("approval", "show", first, "--json").json["asks"]["evidence"]["files"]
    script.write_text("touch worse.txt\n")
    asks("approval", "allow", first, "--by", "rana")
    wait_for(lambda: [one["id"] for one in asks("approval", "list", "--json").json["items"]] not in ([], [first]))
    (second,) = [one["id"] for one in asks("approval", "list", "--json").json["items"]]
    assert asks("approval", "show", first, "--json").json["status"] == "void"
    assert not made(asks)
    assert not (asks.folder / "worse.txt").exists()
    assert asks("approval", "allow", second, "--by", "rana").code == 0
    ended_as(asks, "completed")
    assert (asks.folder / "worse.txt").exists()


def test_nobody_allows_what_they_asked_for(asks: Shell) -> None:
    approval = begin(asks, "--user", "ann")
    said = asks("approval", "allow", approval, "--by", "ann", "--json")
    assert (said.code, said.json["error"]["code"]) == (5, "approval.self")
    assert not made(asks)


def test_of_two_who_must_agree_the_first_is_named_and_the_run_waits_for_the_second(asks: Shell) -> None:
    rules = '[[command]]\nrule = "touch"\ndecision = "approval"\nreason = "It makes files."\nquorum = 2\n'
    (asks.folder / "policy.toml").write_text(rules)
    approval = begin(asks)
    first = asks("approval", "allow", approval, "--by", "rana")
    assert first.out == f"{approval} is allowed so far by rana.\n"
    assert "1 more must agree." in first.err
    assert "2 must agree, so far rana" in asks("approval", "show", approval).out
    assert asks("approval", "allow", approval, "--by", "noor").out == f"{approval} is allowed by noor.\n"
    ended_as(asks, "completed")
    assert made(asks)


def test_silence_is_shown_as_a_no_before_anybody_drives_the_run_again(asks: Shell) -> None:
    asks.env["INTERLOCK_APPROVALS__EXPIRES_AFTER"] = "3"
    approval = begin(asks)
    wait_for(lambda: asks("approval", "show", approval, "--json").json["status"] == "expired")
    said = asks("run", "show", "run-made")
    assert f"{approval} expired" in said.out.replace("  ", " ")
    assert "run resume run-made" in said.err
    assert asks("run", "show", "run-made", "--json").json["questions"][0]["state"] == "expired"
    resumed = asks("run", "resume", "run-made")
    assert resumed.code == 0
    assert "Refused: No one said yes: nobody answered in time. Do not try it again" in resumed.out
    assert not made(asks)


def test_control_characters_cannot_hide_anything_on_the_card(asks: Shell, sim: SimulatedProvider) -> None:
    sneaky = Calls(call("shell", argv=["touch", "a\tb", "--", "$(x)\\u{202e}"]))
    sim.script = lambda view: Text("done") if view.results else sneaky
    card = asks("approval", "show", begin(asks)).out
    assert "touch a\\tb -- $(x)\\u{202e}\n" in card  # nothing odd is in the last word: it stands there as it is


def test_what_is_not_there_is_not_found(asks: Shell) -> None:
    for verb in ("show", "allow", "deny"):
        said = asks("approval", verb, "q_nothing", "--json")
        assert (said.code, said.json["error"]["code"]) == (7, "approval.not_found")
    assert asks("approval", "list", "--json").json["items"] == []


def test_a_plan_whose_tools_are_elsewhere_is_not_said_to_go_on_by_itself(served: Shell) -> None:
    (served.folder / "policy.toml").write_text(
        '[[tool]]\nname = "deploy"\ndecision = "approval"\nreason = "It deploys."\n'
    )
    (served.folder / "tl.py").write_text('def deploy() -> str:\n    "Deploy."\n    return "deployed"\n')
    plan = {"task_description": "p", "steps": [{"id": "go", "tool": "deploy", "tool_input": {}}]}
    (served.folder / "plan.json").write_text(json.dumps(plan))
    assert served("plan", "run", "plan.json", "--run-id", "p1", "--tools", "tl:deploy").code == 3
    (waiting,) = served("approval", "list", "--json").json["items"]
    said = served("approval", "allow", waiting["id"])
    assert "by itself" not in said.out + said.err
    assert "--tools tl:deploy" in said.out + said.err
    assert served("run", "resume", "p1", "--tools", "tl:deploy").code == 0


def at_terminal(shell: Shell, words: list[str], answers: list[tuple[bytes, bytes]]) -> tuple[int, str]:
    """A person at a terminal, who types an answer once its question is seen. Gives the exit code and what was seen."""
    process, near = shell.open_terminal(*words)
    seen, late = b"", time.monotonic() + PATIENCE
    with contextlib.suppress(OSError):  # the terminal is gone when the command has ended
        while piece := os.read(near, 65536):
            seen += piece
            assert time.monotonic() < late
            if answers and answers[0][0] in seen:
                os.write(near, answers.pop(0)[1])
    os.close(near)
    return process.wait(PATIENCE), seen.decode()


def test_at_a_terminal_it_is_asked_in_place(asks: Shell) -> None:
    code, seen = at_terminal(asks, ["run", "start", "Make it"], [(b"[a] allow once", b"a\n")])
    assert code == 0
    assert "touch" in seen
    assert "on silence" in seen
    assert made(asks)


def test_at_a_terminal_a_no_takes_a_reason(asks: Shell) -> None:
    code, seen = at_terminal(asks, ["run", "start", "Make it"], [(b"[a] allow once", b"d\n"), (b"why?", b"no need\n")])
    assert code == 0
    assert "said no: no need" in seen
    assert not made(asks)


def test_what_is_answered_from_a_second_terminal_closes_the_question_in_the_first(asks: Shell) -> None:
    process, near = asks.open_terminal("run", "start", "Make it", "--run-id", "run-made", out=subprocess.PIPE)
    seen = b""
    while b"[a] allow once" not in seen:
        seen += os.read(near, 65536)
    (approval,) = [one["id"] for one in asks("approval", "list", "--json").json["items"]]
    assert asks("approval", "allow", approval, "--by", "rana").code == 0
    with contextlib.suppress(OSError):
        while piece := os.read(near, 65536):
            seen += piece
    os.close(near)
    assert process.stdout is not None
    process.stdout.read()
    process.stdout.close()
    assert process.wait(PATIENCE) == 0
    assert made(asks)
