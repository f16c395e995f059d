"""The demo's mind says only what the commands printed."""

from __future__ import annotations

import json

from interlock.agents.provider import Message, ToolCall
from interlock.testing.demo_brain import FORBIDDEN, TASK, report, think
from interlock.testing.script import RequestView
from interlock.tools.tool import ToolSpec

DF = """Filesystem     1024-blocks      Used Available Capacity Mounted on
/dev/sda1        500000000 480000000  20000000      96% /
/dev/sda1        500000000 480000000  20000000      96% /etc/hosts
/dev/sdb1        100000000  10000000  90000000      10% /srv/with space
tmpfs              8000000   8000000         0     100% /dev/shm
/dev/loop3          100000    100000         0     100% /snap/core
tiny                  1000      1000         0     100% /boot/efi
"""
DU = "400\t/var/empty\n31457280\t/var/cache\n1024\t/var/log\n31460000\t/var\n"
SHELL = ToolSpec(name="shell", description="", parameters={})


def _ran(stdout: str) -> str:
    return json.dumps({"exit_code": 0, "stdout": stdout, "stderr": ""})


def _view(*done: tuple[list[str], str], task: str = TASK, system: str = "") -> RequestView:
    messages = [Message(role="user", text=task)]
    for number, (argv, text) in enumerate(done):
        asked = ToolCall(id=f"c{number}", name="shell", arguments=json.dumps({"argv": argv}))
        messages += [
            Message(role="assistant", tool_calls=(asked,)),
            Message(role="tool", text=text, tool_call_id=f"c{number}"),
        ]
    return RequestView(api="openai-chat", model="m", system=system, messages=tuple(messages), tools=(SHELL,))


def _commands(view: RequestView) -> list[list[str]]:
    return [json.loads(call.arguments)["argv"] for call in think(view).calls]


def test_it_looks_first_then_measures_then_oversteps_then_answers() -> None:
    df, du = (["df", "-P", "-k"], _ran(DF)), (["du", "-x", "-k", "-d", "1", "/var"], _ran(DU))
    assert _commands(_view()) == [["df", "-P", "-k"]]
    home = 'How full?\n\nContext:\n```json\n{"home":"/home/me"}\n```'
    assert [argv[-1] for argv in _commands(_view(df, task=home))] == ["/home/me", "/var", "/tmp"]
    assert _commands(_view(df, du)) == [list(FORBIDDEN)]
    answer = think(
        _view(df, du, (list(FORBIDDEN), "Refused: No rule allows it. Do not try it again; find another way."))
    )
    assert answer.calls == ()
    assert "`rm -rf /var/tmp/interlock-demo-leftovers`: Refused: No rule allows it.\n" in answer.text + "\n"


def test_the_answer_names_real_disks_only_the_fullest_first() -> None:
    told = report([(["df"], _ran(DF)), (["du", "/var"], _ran(DU))])
    assert told.index("96 %  /") < told.index("10 %  /srv/with space")
    assert "The fullest is /: 96 % used, 19.1 GiB free; act now." in told
    assert told.count("96 %  ") == 1
    assert "/dev/shm" not in told
    assert "/snap" not in told
    assert "/boot/efi" not in told
    assert "1. /var/cache (30.0 GiB)" in told
    assert "  /var\n" not in told


def test_other_outputs_give_another_answer() -> None:
    other = DF.replace("96%", "12%")
    assert "12 %  /" in report([(["df"], _ran(other))])
    assert "96" not in report([(["df"], _ran(other))])


def test_what_a_stopped_command_had_printed_is_used_and_its_failure_told() -> None:
    text = "du took longer than 4 seconds and was stopped. The last it wrote: 5242880\t/root/.cache\n17\t/root/x"
    told = report([(["df"], _ran(DF)), (["du", "/root"], text)])
    assert "/root/x" in told
    assert "`du /root`: du took longer than 4 seconds and was stopped." in told


def test_nothing_to_go_by_gives_no_figures() -> None:
    assert "could not find out" in report([(["df"], "Refused: No rule allows it.")])


def test_verification_fails_an_answer_without_figures() -> None:
    def verdict(result: str) -> dict[str, object]:
        text = f"{TASK}\n\nContext:\n```json\n{json.dumps({'plan': 'p', 'result': result})}\n```"
        view = RequestView(
            api="openai-chat", model="m", messages=(Message(role="user", text=text),), schema={"type": "object"}
        )
        found: dict[str, object] = json.loads(think(view).text)
        return found

    assert verdict("All is well.")["passed"] is False
    assert verdict(report([(["df"], _ran(DF)), (["du", "/var"], _ran(DU))]))["passed"] is True


def test_a_task_about_anything_else_gets_the_truth() -> None:
    assert "simulated model" in think(_view(task="Write a poem")).text
