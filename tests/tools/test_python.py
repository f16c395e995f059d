"""Code runs in a process of its own, with its files, and gets at nothing else."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interlock.errors import ToolFailed, UsageError
from interlock.records.verdict import ALLOWED, Act, Permit
from interlock.tools.python import MAX_CODE, MAX_FILES, PythonTool, folder_name
from interlock.tools.sandbox import Sandbox, probe
from interlock.tools.sandbox.launch import LEVELS
from interlock.tools.tool import Caller, Tool

CALLER = Caller(run_id="run-1", path="tool/1", agent="worker")


@pytest.fixture
def python(tmp_path: Path) -> PythonTool:
    return PythonTool(tmp_path / "home" / "scratch", timeout=20)


async def use(python: PythonTool, code: str, caller: Caller = CALLER) -> Any:
    return await python.run(Permit(python.act({"code": code}, caller), ALLOWED), caller)


async def error_in(python: PythonTool, code: str) -> str:
    found = await use(python, code)
    assert found["exit_code"] == 1
    return str(found["stderr"]).strip().splitlines()[-1]


def test_it_is_a_tool_and_its_act_is_the_code(python: PythonTool) -> None:
    assert isinstance(python, Tool)
    act = python.act({"code": "1 + 1"}, CALLER)
    assert (act.kind, act.name, act.arguments) == ("tool", "code_interpreter", {"code": "1 + 1"})
    assert (act.run_id, act.agent) == ("run-1", "worker")


async def test_code_says_what_it_printed_and_what_its_last_expression_is(python: PythonTool) -> None:
    found = await use(python, "print('out')\nimport sys\nprint('err', file=sys.stderr)\n[1, 'two']")
    assert (found["exit_code"], found["stdout"], found["stderr"]) == (0, "out\n", "err\n")
    assert found["value"] == "[1, 'two']"
    assert (await use(python, "x = 1"))["value"] is None
    assert (await use(python, "print('end', end='')\n'ä'"))["value"] == "'ä'"
    assert (await use(python, "print('end', end='')\n5"))["stdout"] == "end"


async def test_an_error_shows_the_lines_of_the_code_and_nothing_of_ours(python: PythonTool) -> None:
    found = await use(python, "def half(x):\n    return x / 0\nhalf(1)")
    assert found["exit_code"] == 1
    assert found["stderr"].count("File ") == 2
    assert 'File "<code>", line 2, in half\n    return x / 0' in found["stderr"]
    assert (await error_in(python, "1 +")).startswith("SyntaxError")
    assert (await use(python, "raise SystemExit(7)"))["exit_code"] == 7


async def test_classes_and_the_main_guard_work_as_in_a_script(python: PythonTool) -> None:
    code = "from dataclasses import dataclass\nimport pickle\n@dataclass\nclass A:\n    x: int\n"
    assert (await use(python, code + "pickle.loads(pickle.dumps(A(1)))"))["value"] == "A(x=1)"
    assert (await use(python, "if __name__ == '__main__':\n    print('main')"))["stdout"] == "main\n"
    assert (await use(python, "[name for name in dir() if not name.startswith('__')]"))["value"] == "[]"


async def test_files_last_from_one_call_to_the_next_of_the_same_run_only(python: PythonTool) -> None:
    made = await use(
        python, "import os\nos.mkdir('d')\nopen('d/a.csv', 'w').write('1,2')\nopen('helper.py', 'w').write('n = 7')"
    )
    assert made["files"] == [{"path": "helper.py", "bytes": 5}, {"path": "d/a.csv", "bytes": 3}]
    assert (await use(python, "import helper\nopen('d/a.csv').read(), helper.n"))["value"] == "('1,2', 7)"
    other = await use(python, "import os\nos.listdir()", replace(CALLER, run_id="run-2"))
    assert (other["value"], other["files"]) == ("[]", [])


async def test_without_a_run_the_files_are_gone_afterwards(python: PythonTool, tmp_path: Path) -> None:
    found = await use(python, "open('a', 'w').write('x')", Caller())
    assert found["files"] == [{"path": "a", "bytes": 1}]
    assert list((tmp_path / "home" / "scratch").iterdir()) == []


async def test_a_folder_with_many_files_is_listed_in_part(python: PythonTool) -> None:
    found = await use(python, f"for n in range({MAX_FILES + 3}): open(f'f{{n}}', 'w').close()")
    assert len(found["files"]) == MAX_FILES
    assert found["more_files"] == 3


@pytest.mark.parametrize(
    "run_id", ["../../etc", "..", ".", "a/b", "A", "a\0b", "", "x" * 300, "läuft", "\udc80", "run 1", ".hidden"]
)
def test_no_run_id_leads_out_of_the_scratch_folder_or_into_another_run(run_id: str) -> None:
    name = folder_name(run_id)
    assert name.startswith("_")
    assert name.isascii()
    assert "/" not in name
    assert name != folder_name(name)
    assert folder_name("run-1.b") == "run-1.b"


async def test_nothing_outside_the_scratch_folder_can_be_written_or_read(python: PythonTool, tmp_path: Path) -> None:
    secret = tmp_path / "home" / "interlock.db"
    secret.parent.mkdir()
    secret.write_text("secret")
    assert (await error_in(python, f"open({str(secret)!r}).read()")).startswith("PermissionError")
    assert (await error_in(python, f"open({str(tmp_path / 'new')!r}, 'w')")).startswith("PermissionError")
    await use(python, "open('theirs', 'w').write('x')", replace(CALLER, run_id="run-2"))
    theirs = tmp_path / "home" / "scratch" / "run-2" / "theirs"
    assert (await error_in(python, f"open({str(theirs)!r}).read()")).startswith("PermissionError")
    assert not (tmp_path / "new").exists()


async def test_there_is_no_network_and_no_other_program(python: PythonTool) -> None:
    assert (await error_in(python, "import socket\nsocket.socket()")).startswith("PermissionError")
    run = "import subprocess\nsubprocess.run([{!r}])"
    assert (await error_in(python, run.format("/bin/ls"))).startswith("PermissionError")


async def test_the_environment_of_this_process_is_not_seen(python: PythonTool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("PYTHONSTARTUP", "/tmp/x")
    seen = await use(python, "import os\nsorted(os.environ)")
    assert seen["value"] == str(sorted(["HOME", "LANG", "MPLBACKEND", "PATH", "TERM", "TMPDIR"]))
    other = await use(python, f"open('/proc/{os.getpid()}/environ').read()")
    assert "PermissionError" in other["stderr"]


async def test_the_packages_of_this_interpreter_are_there(python: PythonTool) -> None:
    found = await use(python, "import sys, msgspec\nsys.version_info[:3], sys.flags.isolated")
    assert found["value"] == str((sys.version_info[:3], 1))


async def test_the_workspace_is_read_only_where_that_was_said_and_what_is_protected_never(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("1,2")
    (tmp_path / "key.txt").write_text("secret")
    home = tmp_path / ".interlock"
    home.mkdir()
    (home / "vault.key").write_text("secret")
    walls = Sandbox(protected=[home, tmp_path / "key.txt"])
    blind = PythonTool(home / "scratch", sandbox=walls)
    seeing = PythonTool(home / "scratch", sandbox=walls, workspace=tmp_path)
    read = f"open({str(tmp_path)!r} + '/{{}}').read()"
    assert (await error_in(blind, read.format("data.csv"))).startswith("PermissionError")
    assert (await use(seeing, read.format("data.csv")))["value"] == "'1,2'"
    await use(seeing, "open('own', 'w').write('mine')")
    assert (await use(seeing, "open('own').read()"))["value"] == "'mine'"
    await use(seeing, "open('theirs', 'w').write('x')", replace(CALLER, run_id="run-2"))
    for name in ("key.txt", ".interlock/vault.key", ".interlock/scratch/run-2/theirs"):
        assert (await error_in(seeing, read.format(name))).startswith("PermissionError"), name
    assert (await error_in(seeing, f"open({str(tmp_path / 'data.csv')!r}, 'w')")).startswith("PermissionError")


async def test_code_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    python = PythonTool(tmp_path, timeout=0.6)
    with pytest.raises(ToolFailed, match=r"longer than 0.6 seconds.*before") as caught:
        await use(python, "print('before', flush=True)\nwhile True: pass")
    assert caught.value.code == "tool.timeout"
    with pytest.raises(ToolFailed, match=r"longer than 0.5 seconds"):
        await use(python, "while True: pass", replace(CALLER, timeout=0.5))


async def test_a_call_that_is_cancelled_leaves_no_process(python: PythonTool, tmp_path: Path) -> None:
    pid = tmp_path / "home" / "scratch" / "run-1" / "pid"
    call = asyncio.create_task(
        use(python, "import os, time\nopen('pid', 'w').write(f'{os.getpid()} ')\ntime.sleep(60)")
    )
    while not pid.exists() or " " not in pid.read_text():
        await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


async def test_much_output_is_cut_and_the_value_is_not_lost(tmp_path: Path) -> None:
    python = PythonTool(tmp_path, max_output=4000)
    found = await use(python, "print('x' * 50_000)\n'é' * 5000")
    assert found["truncated"]
    assert len(found["stdout"]) < 4100
    assert "bytes left out" in found["stdout"]
    assert found["value"].startswith("'éé")
    assert found["value"].endswith("é...")


async def test_more_memory_than_allowed_is_an_error_of_the_code(tmp_path: Path) -> None:
    python = PythonTool(tmp_path, sandbox=Sandbox(memory_mb=256, file_mb=1))
    assert await error_in(python, "len(bytearray(600_000_000))") == "MemoryError"
    assert (await error_in(python, "open('big', 'wb').write(b'x' * 3_000_000)")).startswith("OSError: [Errno 27]")


async def test_without_walls_no_code_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = dict.fromkeys(LEVELS, "it is not there")
    monkeypatch.setattr(probe, "_known", known)
    for level in ("auto", "landlock"):
        with pytest.raises(ToolFailed) as caught:
            await use(PythonTool(tmp_path, sandbox=Sandbox(level=level)), f"open({str(tmp_path / 'ran')!r}, 'w')")
        assert caught.value.code == "sandbox.unavailable"
        assert "sandbox.level" in caught.value.do
    assert not (tmp_path / "ran").exists()


async def test_a_filter_alone_is_not_enough_where_nobody_asked_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {**dict.fromkeys(LEVELS, "it is not there"), "seccomp": ""}
    monkeypatch.setattr(probe, "_known", known)
    with pytest.raises(ToolFailed) as caught:
        await use(PythonTool(tmp_path), "1")
    assert caught.value.code == "sandbox.unavailable"
    found = await use(PythonTool(tmp_path, sandbox=Sandbox(level="seccomp")), "1")
    assert (found["value"], found["sandbox"]) == ("1", "seccomp")


async def test_off_runs_without_walls_and_repeats_nothing(python: PythonTool, tmp_path: Path) -> None:
    off = PythonTool(tmp_path / "s", sandbox=Sandbox(level="off"))
    found = await use(off, f"open({str(tmp_path / 'made')!r}, 'w').write('x')")
    assert (found["value"], found["sandbox"]) == ("1", "off")
    assert (tmp_path / "made").read_text() == "x"
    assert not off.repeatable
    assert python.repeatable


@pytest.mark.parametrize(
    "arguments", [{}, {"code": ""}, {"code": "  \n"}, {"code": 1}, {"code": "x\0"}, {"code": "'\udc80'"}]
)
def test_what_is_no_code_is_refused(python: PythonTool, arguments: dict[str, Any]) -> None:
    with pytest.raises(ToolFailed) as caught:
        python.act(arguments, CALLER)
    assert caught.value.code == "tool.arguments"


async def test_code_has_a_length_that_can_be_run(python: PythonTool) -> None:
    longest = "x = 1\n" + "#" * (MAX_CODE - 6)
    assert (await use(python, longest))["exit_code"] == 0
    with pytest.raises(ToolFailed, match="bytes"):
        python.act({"code": longest + "#"}, CALLER)
    with pytest.raises(ToolFailed):
        python.act({"code": "1", "files": ["a"]}, CALLER)


async def test_a_permit_for_something_else_runs_nothing(python: PythonTool) -> None:
    permit = Permit(Act(kind="tool", name="other", arguments={"code": "1"}), ALLOWED)
    with pytest.raises(UsageError):
        await python.run(permit, CALLER)


def test_limits_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    for limits in ({"timeout": 0}, {"max_output": 0}, {"timeout": float("inf")}):
        with pytest.raises(UsageError):
            PythonTool(tmp_path, **limits)  # type: ignore[arg-type]
