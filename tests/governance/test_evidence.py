"""What an approval holds for: the policy, the program and the files a command names, as they were when asked."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from interlock.governance.commands import CommandPolicy
from interlock.governance.evidence import LARGEST, MOST_FILES, files_of, gather
from interlock.governance.gate import PolicyGate
from interlock.governance.guardrails import Guardrail, GuardrailType
from interlock.records.verdict import Act, Effect
from interlock.stores.sqlite_file import open_writer

ASKS = CommandPolicy(allowed=["ls"], require_approval=["bash"])


def command(*argv: str, cwd: str) -> Act:
    return Act(kind="command", name=argv[0], arguments={"argv": list(argv), "program": f"/bin/{argv[0]}"}, cwd=cwd)


def test_files_that_a_command_names_are_known_by_their_content(tmp_path: Path) -> None:
    (tmp_path / "go.sh").write_text("one")
    (tmp_path / "conf.yaml").write_text("x: 1")
    (tmp_path / "folder").mkdir()
    argv = ["bash", "go.sh", "--file=conf.yaml", "folder", "missing", "-"]
    before = files_of(argv, str(tmp_path))
    assert set(before) == {"go.sh", "conf.yaml"}
    (tmp_path / "go.sh").write_text("two")
    after = files_of(argv, str(tmp_path))
    assert after["go.sh"] != before["go.sh"]
    assert after["conf.yaml"] == before["conf.yaml"]
    (tmp_path / "missing").write_text("now it is here")
    assert "missing" in files_of(argv, str(tmp_path))


def test_what_a_program_reads_without_being_told_counts_too(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("all:\n\ttrue\n")
    (tmp_path / "data.json").write_text("{}")
    assert set(files_of(["make", "all"], str(tmp_path))) == {"Makefile"}
    assert set(files_of(["curl", "-d", "@data.json"], str(tmp_path))) == {"data.json"}
    assert set(files_of(["tar", "-fdata.json"], str(tmp_path))) == {"data.json"}


def test_nothing_outside_the_workspace_is_read_and_no_link_leads_out(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.write_text("secret")
    (inside / "link").symlink_to(outside)
    assert files_of(["cat", "../out", str(outside), "link", "/etc/passwd", "~"], str(inside)) == {}


def test_pipes_large_files_and_many_files_hold_nothing_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"x" * (LARGEST + 1))
    names = [f"f{number}" for number in range(MOST_FILES + 3)]
    for name in names:
        (tmp_path / name).write_text(name)
    found = files_of(["cat", "pipe", "large", *names], str(tmp_path))
    assert "pipe" not in found
    assert found["large"].startswith(f"{LARGEST + 1} bytes")
    assert sum(state.startswith("sha256:") for state in found.values()) == MOST_FILES - 1
    assert set(found) == {"large", *names}


def test_the_store_itself_is_never_opened_beside(tmp_path: Path) -> None:
    store = open_writer(tmp_path / "interlock.db")
    assert files_of(["cp", "interlock.db", "copy"], str(tmp_path)) == {}
    store.close()


async def test_an_approval_carries_its_evidence_and_an_allowed_act_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "go.sh").write_text("one")
    gate = PolicyGate(commands=ASKS)
    asked = await gate.admit(command("bash", "go.sh", cwd=str(tmp_path)))
    assert asked.effect is Effect.APPROVAL
    assert asked.evidence["program"] == "/bin/bash"
    assert set(asked.evidence["files"]) == {"go.sh"}
    assert (await gate.admit(command("ls", cwd=str(tmp_path)))).evidence == {}


async def test_another_policy_is_another_digest_and_the_same_one_is_the_same_everywhere(tmp_path: Path) -> None:
    act = command("bash", "go.sh", cwd=str(tmp_path))
    guard = Guardrail(name="x", type=GuardrailType.BLOCK, condition=lambda act: False, message="No.", on=["tool_call"])
    same = CommandPolicy(allowed=["ls"], require_approval=["bash"])
    digests = [
        (await gather(act, commands, guardrails))["policy"]
        for commands, guardrails in (
            (ASKS, []),
            (same, []),
            (CommandPolicy(allowed=["ls", "df"], require_approval=["bash"]), []),
            (replace(ASKS, on_unknown="approval"), []),
            (ASKS, [guard]),
        )
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4


def test_a_large_file_that_is_changed_in_place_is_known_for_it_even_with_its_time_set_back(tmp_path: Path) -> None:
    large = tmp_path / "deploy.py"
    large.write_bytes(b"#" * (LARGEST + 1))
    before, about = files_of(["python3", "deploy.py"], str(tmp_path)), large.stat()
    with large.open("r+b") as file:
        file.write(b"EVIL")
    os.utime(large, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert files_of(["python3", "deploy.py"], str(tmp_path)) != before


def test_files_in_a_text_of_commands_in_a_list_and_behind_m_are_seen(tmp_path: Path) -> None:
    (tmp_path / "deploy.py").write_text("one")
    (tmp_path / "one.txt").write_text("one")
    for argv in (["bash", "-c", "set -e; python3 deploy.py --now"], ["python3", "-m", "deploy"]):
        assert set(files_of(argv, str(tmp_path))) == {"deploy.py"}
    assert set(files_of(["lint", "--files=deploy.py,one.txt"], str(tmp_path))) == {"deploy.py", "one.txt"}


async def test_a_program_of_the_workspace_is_known_by_its_content(tmp_path: Path) -> None:
    program = tmp_path / "tool"
    program.write_text("one")
    act = Act(kind="command", name="tool", arguments={"argv": ["tool"], "program": str(program)}, cwd=str(tmp_path))
    assert set((await gather(act, ASKS, ()))["files"]) == {"tool"}
