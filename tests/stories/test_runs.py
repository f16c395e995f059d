"""Stories of runs through the command line: start, look, follow, steer."""

from __future__ import annotations

import json
import os
import signal

from interlock.testing import Calls, Fault, SimulatedProvider, Text, call
from tests.stories.shell import Shell, ended, interrupt, wait_for

DF = Calls(call("shell", argv=["df", "-P", "/"]))


def test_a_task_goes_in_and_the_answer_comes_out_on_stdout_alone(served: Shell, sim: SimulatedProvider) -> None:
    sim.script = [DF, Text("Half full.")]

    said = served("run", "start", "How full is the disk?")

    assert said.code == 0
    assert said.out == "Half full.\n"
    assert "✓ tool/1" in said.err
    assert "df -P /" in said.err
    assert "\x1b" not in said.out + said.err


def test_a_started_run_is_listed_shown_and_watched_with_the_same_id(served: Shell, sim: SimulatedProvider) -> None:
    sim.script = [DF, Text("Half full.")]
    result = served("run", "start", "How full?", "--id", "disk-check", "--label", "team=ops", "--json").json
    assert (result["run_id"], result["status"], result["output"]) == ("disk-check", "completed", "Half full.")

    listed = served("run", "list", "--json").json
    assert set(listed) == {"as_of", "items", "next", "truncated", "counts"}
    assert [(item["run_id"], item["status"]) for item in listed["items"]] == [("disk-check", "completed")]
    assert listed["counts"] == {"completed": 1}

    line = served("run", "list").out.rstrip("\n").split("\t")
    assert line[:3] == ["disk-check", "completed", "openai"]
    assert line[5].endswith("Z")
    assert line[6] == "How full?"

    shown = served("run", "show", "disk-c", "--json", "--content").json
    assert [step["path"] for step in shown["steps"]] == ["model/1", "tool/1", "model/2"]
    assert shown["steps"][1]["output"]["exit_code"] == 0
    assert shown["labels"] == {"team": "ops"}
    assert "output" not in served("run", "show", "disk-check", "--json").json["steps"][1]
    assert "Half full." in served("run", "show", "disk-check").out

    facts = served("run", "watch", "disk-check", "--json").lines
    assert facts[0]["kind"] == "run.admitted"
    assert facts[-1]["kind"] == "result"
    assert facts[-1]["result"]["output"] == "Half full."


def test_the_same_id_gives_the_same_result_and_asks_no_model_twice(served: Shell, sim: SimulatedProvider) -> None:
    sim.script = [Text("Four.")]
    first = served("run", "start", "Two and two?", "--id", "sum", "--json").json
    again = served("run", "start", "Two and two?", "--id", "sum", "--json")

    assert again.code == 0
    assert again.json["output"] == first["output"] == "Four."
    assert len(sim.requests) == 1

    other = served("run", "start", "Something else", "--id", "sum", "--json")
    assert (other.code, other.json["error"]["code"]) == (1, "run.id_taken")


def test_a_refused_command_is_named_and_the_run_goes_on(served: Shell, sim: SimulatedProvider) -> None:
    sim.script = [Calls(call("shell", argv=["rm", "-rf", "/var/tmp/nothing-here"])), Text("I may not.")]

    said = served("run", "start", "Clean up")

    assert said.code == 0
    assert "⊘ tool/1" in said.err
    assert "rm -rf /var/tmp/nothing-here" in said.err


def test_allow_lets_one_more_command_run_and_only_for_this_run(served: Shell, sim: SimulatedProvider) -> None:
    sim.script = lambda view: (
        Text(list(view.results.values())[-1]) if view.results else Calls(call("shell", argv=["id"]))
    )

    assert "uid=" in served("run", "start", "Who am I?", "--allow", "id").out
    assert "Refused" in served("run", "start", "Who am I?").out


def test_a_failed_run_has_its_code_and_goes_on_when_resumed(served: Shell, sim: SimulatedProvider) -> None:
    sim.script = [DF, Fault.status(401)]
    failed = served("run", "start", "How full?", "--run-id", "run-1")
    assert failed.code == 4
    assert "[agent.authentication]" in failed.err
    assert failed.out == ""

    sim.script = [Text("Half full.")]
    sim.requests.clear()
    said = served("run", "resume", "run-1")
    assert (said.code, said.out) == (0, "Half full.\n")
    assert len(sim.requests) == 1


def test_agent_text_reaches_the_terminal_without_its_commands(served: Shell, sim: SimulatedProvider) -> None:
    sim.script = [Text("safe\x1b]0;owned\x07 \x1b[2Jtext \u202egnp.exe\x9b31m!")]

    said = served("run", "start", "Say something", "--run-id", "run-1")
    assert said.out == "safe text gnp.exe!\n"
    assert served("run", "start", "Say something\x1b[31m", "--run-id", "run-2").code == 3, "a person looks at it first"
    for command in (("run", "show", "run-1", "--content"), ("run", "list"), ("run", "watch", "run-1")):
        shown = served(*command)
        assert not set("\x1b\x07\u202e\x9b") & set(shown.out + shown.err), command
    exact = served("run", "show", "run-1", "--json")
    assert not set("\x1b\x07\u202e\x9b") & set(exact.out)
    assert exact.json["output"] == "safe\x1b]0;owned\x07 \x1b[2Jtext \u202egnp.exe\x9b31m!"


def test_a_task_is_read_from_standard_input(served: Shell, sim: SimulatedProvider) -> None:
    sim.script = [Text("Read.")]
    assert served("run", "start", "-", stdin="Größe prüfen\n".encode()).out == "Read.\n"
    assert sim.requests[0].view is not None
    assert sim.requests[0].view.asked == "Größe prüfen"


def test_a_detached_run_is_durable_before_the_shell_comes_back_and_then_ends_by_itself(
    served: Shell, sim: SimulatedProvider
) -> None:
    sim.script = [Text("Done.", latency=1.0)]

    said = served("run", "start", "Take your time", "--detach", "--json")

    assert said.code == 0
    record = said.json
    assert (record["kind"], record["applied"], record["dry_run"]) == ("launch", True, False)
    run_id = record["target"]
    assert served("run", "show", run_id, "--json").json["status"] in ("running", "completed")
    assert os.getsid(record["detail"]["pid"]) == record["detail"]["pid"]
    watched = served("run", "watch", run_id)
    assert (watched.code, watched.out) == (0, "Done.\n")


def test_a_detached_run_that_cannot_work_says_so_at_once(shell: Shell) -> None:
    said = shell("run", "start", "Anything", "--detach")
    assert said.code == 4
    assert "[agent.authentication]" in said.err


def test_ctrl_c_parks_a_run_and_resume_completes_it_without_repeating_a_step(
    served: Shell, sim: SimulatedProvider
) -> None:
    sim.script = [Calls(call("shell", argv=["df", "-P", "/"]), latency=1.0), Text("Half full.")]
    process = served.begin("run", "start", "How full?", "--run-id", "run-1")
    wait_for(lambda: sim.requests)
    interrupt(process)
    said = ended(process)

    assert said.code == 130
    assert said.out == ""
    assert "interlock run resume run-1" in said.err
    shown = served("run", "show", "run-1", "--json").json
    assert (shown["status"], shown["waiting"]["reason"]) == ("waiting", "shutdown")

    resumed = served("run", "resume", "run-1")
    assert (resumed.code, resumed.out) == (0, "Half full.\n")
    assert len(sim.requests) == 2


def test_sigterm_parks_a_run_and_json_says_how_to_go_on(served: Shell, sim: SimulatedProvider) -> None:
    sim.script = [Calls(call("shell", argv=["df", "-P", "/"]), latency=1.0), Text("Half full.")]
    process = served.begin("run", "start", "How full?", "--run-id", "run-1", "--json")
    wait_for(lambda: sim.requests)
    process.send_signal(signal.SIGTERM)
    said = ended(process)

    assert said.code == 130
    assert said.json["error"]["code"] == "run.interrupted"
    assert said.json["error"]["do"] == "interlock run resume run-1"


def test_the_second_ctrl_c_ends_at_once(served: Shell, sim: SimulatedProvider) -> None:
    sim.script = [Text("Too late.", latency=50.0)]
    process = served.begin("run", "start", "Wait", "--run-id", "run-1")
    wait_for(lambda: sim.requests)
    interrupt(process)
    assert process.stderr is not None
    for line in process.stderr:
        if b"stopping" in line:
            break
    interrupt(process)
    assert ended(process).code == 130


def test_ctrl_c_on_watch_leaves_the_run_going(served: Shell, sim: SimulatedProvider) -> None:
    sim.script = [Text("Done.", latency=3.0)]
    run_id = served("run", "start", "Take your time", "--detach", "--json").json["target"]
    process = served.begin("run", "watch", run_id)
    assert process.stderr is not None
    process.stderr.readline()
    interrupt(process)
    said = ended(process)
    assert (said.code, said.out) == (130, "")

    assert served("run", "watch", run_id).out == "Done.\n"


def test_cancel_reaches_a_run_in_another_process(served: Shell, sim: SimulatedProvider) -> None:
    sim.script = [Text("Too late.", latency=50.0)]
    process = served.begin("run", "start", "Wait", "--run-id", "run-1", "--json")
    wait_for(lambda: sim.requests)

    said = served("run", "cancel", "run-1", "--reason", "not needed", "--json").json
    assert (said["target"], said["applied"], said["detail"]["status"]) == ("run-1", True, "cancelled")
    driven = ended(process)
    assert (driven.code, driven.json["status"], driven.json["error_code"]) == (1, "cancelled", "run.cancelled")
    assert served("run", "cancel", "run-1", "--json").json["applied"] is False


def test_a_run_that_is_being_driven_is_not_driven_twice(served: Shell, sim: SimulatedProvider) -> None:
    sim.script = [Text("Done.", latency=4.0)]
    process = served.begin("run", "start", "Wait", "--run-id", "run-1")
    wait_for(lambda: sim.requests)
    said = served("run", "resume", "run-1", "--json")
    assert (said.code, said.json["error"]["code"], said.json["error"]["run"]) == (1, "run.driven_elsewhere", "run-1")
    assert "interlock run watch run-1" in said.json["error"]["do"]
    assert ended(process).out == "Done.\n"


def test_pause_holds_a_run_until_it_is_resumed(served: Shell, sim: SimulatedProvider) -> None:
    sim.script = [Calls(call("shell", argv=["df", "-P", "/"]), latency=3.0), Text("Half full.")]
    process = served.begin("run", "start", "How full?", "--run-id", "run-1")
    wait_for(lambda: sim.requests)
    assert served("run", "pause", "run-1", "--json").json["applied"] is True
    assert ended(process).code == 3
    assert served("run", "resume", "run-1").out == "Half full.\n"


def test_a_run_whose_process_was_killed_is_shown_as_interrupted_and_goes_on(
    served: Shell, sim: SimulatedProvider
) -> None:
    sim.script = [DF, Text("Half full.", latency=50.0)]
    process = served.begin("run", "start", "How full?", "--run-id", "run-1")
    wait_for(lambda: len(sim.requests) == 2)
    process.kill()
    ended(process)

    (item,) = served("run", "list", "--status", "interrupted", "--json").json["items"]
    assert (item["run_id"], item["status"], item["driven"]) == ("run-1", "running", False)
    assert "interlock run resume" in served("run", "show", "run-1").err
    assert "run-1" in json.dumps(served("doctor", "--json").json["items"])

    sim.script = [Text("Half full.")]
    assert served("run", "resume", "run-1").out == "Half full.\n"
    assert [step["attempts"] for step in served("run", "show", "run-1", "--json").json["steps"]] == [1, 1, 1]
