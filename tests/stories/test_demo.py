"""The demo, as a new user sees it: no key, no server, a kill in the middle, a real answer."""

from __future__ import annotations

import re

from tests.stories.shell import Shell


def test_the_demo_survives_its_own_kill_and_repeats_no_finished_step(shell: Shell) -> None:
    shown = shell("demo", "--fast", "--json", "--home", "mine", env={"HOME": str(shell.folder)})

    assert shown.code == 0, shown
    told = shown.json
    assert told["status"] == "completed"
    assert told["repeated"] == 0
    steps = {step["path"]: (step["begun"], step["ended"]) for step in told["steps"]}
    assert steps["execution/model/3"] == (2, 1)
    assert steps["execution/tool/5"] == (0, 1)
    assert {count for path, count in steps.items() if path not in ("execution/model/3", "execution/tool/5")} == {(1, 1)}
    assert re.search(r"^ +\d+ %  /", told["output"], re.M)
    assert "What to clean first" in told["output"]
    assert "kill -9" in shown.err
    assert "refused" in shown.err

    run = shell("run", "show", told["run_id"], "--home", told["home"], "--json").json
    assert (run["status"], run["starts"], run["output"]) == ("completed", 2, told["output"])


def test_the_demo_ignores_settings_that_are_not_its_own_and_says_where_to_look(shell: Shell) -> None:
    (shell.folder / "interlock.toml").write_text('[commands]\nallowed = ["rm"]\n')

    shown = shell("demo", "--fast", env={"OPENAI_API_KEY": "sk-not-used", "HOME": str(shell.folder)})

    assert shown.code == 0, shown
    assert "The real thing: interlock run start" in shown.err
    assert "interlock run show run_" in shown.err
    assert "rm -rf" in shown.out
    assert "Refused" in shown.out


def test_a_demo_without_a_place_to_write_says_so(shell: Shell) -> None:
    said = shell("demo", "--fast", "--home", "/proc/nowhere", "--json")
    assert (said.code, said.json["error"]["code"]) == (1, "store.read_only")


def test_a_simulated_run_looks_at_the_real_disks_and_needs_no_way_to_the_network(shell: Shell) -> None:
    nowhere = dict.fromkeys(("HTTP_PROXY", "http_proxy", "OPENAI_BASE_URL"), "http://127.0.0.1:9")
    task = "How full are the disks here, and what should I clean first?"
    said = shell("run", "start", task, "--simulated", env=nowhere)
    assert said.code == 0
    assert re.search(r"^ +\d+ %  /", said.out, re.M)
    assert "simulated" in said.err
    other = shell("run", "start", "Write a poem", "--simulated")
    assert "simulated model" in other.out
