"""The shell tool: one program, no shell, nothing inherited, nothing left behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from interlock.errors import Refused, ToolFailed, UsageError
from interlock.records.verdict import ALLOWED, Act, Effect, Permit, Verdict
from interlock.tools.shell import META, READ_ONLY, TRUSTED, ShellTool, read_command
from interlock.tools.tool import Caller, RepeatableActs, Tool, repeatable_for

CALLER = Caller(run_id="run-1", path="shell/1", agent="worker")


@pytest.fixture
def shell(tmp_path: Path) -> ShellTool:
    return ShellTool(tmp_path, timeout=20)


async def use(shell: ShellTool, caller: Caller = CALLER, **arguments: Any) -> Any:
    return await shell.run(Permit(shell.act(arguments, caller), ALLOWED), caller)


def refused(shell: ShellTool, **arguments: Any) -> str:
    with pytest.raises(ToolFailed) as caught:
        shell.act(arguments, CALLER)
    assert caught.value.code == "tool.arguments"
    return caught.value.says


def test_it_is_a_tool(shell: ShellTool) -> None:
    assert isinstance(shell, Tool)
    assert isinstance(shell, RepeatableActs)
    assert shell.spec.name == "shell"


async def test_a_command_runs_in_the_workspace_and_a_failing_one_is_a_result(shell: ShellTool, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("content\n")
    found = await use(shell, command="cat 'a file'")
    assert {**found, "seconds": 0} == {
        "exit_code": 0,
        "stdout": "content\n",
        "stderr": "",
        "seconds": 0,
        "truncated": False,
        "sandbox": "off",
    }
    missing = await use(shell, argv=["ls", "nothing here"])
    assert missing["exit_code"] == 2
    assert "nothing here" in missing["stderr"]


def test_an_act_says_exactly_what_would_be_executed(shell: ShellTool, tmp_path: Path) -> None:
    act = shell.act({"command": 'grep -rn "two words" .'}, CALLER)
    assert (act.kind, act.name, act.cwd, act.run_id, act.agent) == ("command", "grep", str(tmp_path), "run-1", "worker")
    assert act.arguments["argv"] == ["grep", "-rn", "two words", "."]
    assert act.arguments["program"] in {f"{directory}/grep" for directory in TRUSTED}
    assert act.arguments["cwd"] == str(tmp_path)


async def test_no_word_of_an_argv_is_ever_interpreted(shell: ShellTool) -> None:
    words = ["$(id)", "`id`", "*", "~", "a;b", "a|b", ">x", "two\nlines", "", "it's"]
    found = await use(shell, argv=["printf", "%s|", *words])
    assert found["stdout"] == "".join(f"{word}|" for word in words)


@pytest.mark.parametrize(
    "command",
    [
        "",
        "   ",
        "''",
        "ls; id",
        "ls && id",
        "ls & id",
        "cat x | sh",
        "ls > x",
        "ls 2>/dev/null",
        "cat < x",
        "echo $HOME",
        'echo "$HOME"',
        "echo `id`",
        'echo "`id`"',
        "(ls)",
        "{ ls; }",
        "ls *.py",
        "ls ?",
        "ls [a]",
        "ls ~",
        "ls --color=~",
        "ls # comment",
        "! ls",
        "ls \\; id",
        'ls "a\\"b"',
        "A=1 ls",
        "PATH+=x ls",
        "a[0]=1 ls",
        "ls 'open",
        'ls "open',
        "ls\nid",
        "ls\rid",
        "ls\tid",
        "ls\x00id",
        "ls\x1b[2K",
        "ls\u202eid",
        "ls\u00a0id",
        "ls\u2028id",
        "l\u200bs",
        "ls " + "a" * 100_001,
    ],
)
def test_anything_but_one_simple_command_is_refused(shell: ShellTool, command: str) -> None:
    with pytest.raises(ValueError):
        read_command(command)
    assert "do not fit" in refused(shell, command=command)


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        ("df -h", ["df", "-h"]),
        ("  git   log -n 5  ", ["git", "log", "-n", "5"]),
        ("grep -E 'a|b;$(x)*' f", ["grep", "-E", "a|b;$(x)*", "f"]),
        ('git commit -m "Fix: a; b | c!"', ["git", "commit", "-m", "Fix: a; b | c!"]),
        ("git diff HEAD~1", ["git", "diff", "HEAD~1"]),
        ("ls --sort=time 'a'\"b\"c", ["ls", "--sort=time", "abc"]),
        ("printf ''", ["printf", ""]),
        ("ls café", ["ls", "café"]),
    ],
)
def test_one_simple_command_is_split_as_a_shell_would(command: str, argv: list[str]) -> None:
    assert read_command(command) == argv


def test_what_is_wrong_is_told_to_the_model(shell: ShellTool) -> None:
    assert "only one simple command is possible, without pipes" in refused(shell, command="ls | wc")
    assert "nothing lasts from one command to the next" in refused(shell, command="cd /tmp")
    assert "no program 'nosuchprogram'" in refused(shell, command="nosuchprogram -x")


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"argv": ["ls"], "command": "ls"},
        {"argv": "ls"},
        {"argv": []},
        {"argv": ["ls", 1]},
        {"argv": [""]},
        {"argv": ["ls", "a\x00b"]},
        {"argv": ["ls", "\x1b[31m"]},
        {"argv": ["ls\n"]},
        {"argv": ["ls", "\ud800"]},
        {"argv": ["ls", "a" * 100_001]},
        {"command": ["ls"]},
        {"command": None},
        {"argv": ["ls"], "cwd": "/"},
    ],
)
def test_arguments_of_another_shape_are_refused(shell: ShellTool, arguments: dict[str, Any]) -> None:
    refused(shell, **arguments)


#: Pieces that between them spell about everything a shell knows, and some that it does not.
PIECES = st.sampled_from(
    [
        *META,
        "'",
        '"',
        "'",
        '"',
        " ",
        " ",
        "ls",
        "id",
        "a",
        "-l",
        "~",
        "=",
        ":",
        "\t",
        "\r",
        "\x00",
        "é",
        "$(",
        "${",
        "&&",
    ]
)


@given(st.lists(PIECES, max_size=14).map("".join))
@settings(max_examples=400)
@example("ls 'a' ; id")
@example("ls ''';id'''")
def test_no_text_with_a_metacharacter_outside_quotes_is_a_command(text: str) -> None:
    try:
        read_command(text)
    except ValueError:
        return
    outside, quote = "", ""
    for char in text:
        if not quote and char in "'\"":
            quote = char
        elif char == quote:
            quote = ""
        elif not quote:
            outside += char
        else:
            assert quote == "'" or char not in "$`\\"
    assert not quote
    assert not META & set(outside)


@given(st.lists(st.lists(PIECES, max_size=10).map("".join), min_size=20, max_size=60))
@settings(max_examples=8, deadline=None)
def test_what_is_accepted_means_the_same_to_a_real_shell(texts: list[str]) -> None:
    commands = {}
    for text in texts:
        try:
            commands[text] = read_command(text)
        except ValueError:
            continue
    # Each is only shown to a function that prints its words: nothing of it can be executed by mistake.
    script = "show() { printf '%s\\0' \"$@\"; printf '\\n\\0'; }\n" + "".join(f"show {text}\n" for text in commands)
    done = subprocess.run(
        [shutil.which("bash") or "/bin/sh", "-c", script], capture_output=True, env={"LANG": "C.UTF-8"}, cwd="/"
    )
    assert done.stderr == b""
    words = [word.decode() for word in done.stdout.split(b"\0")[:-1]]
    assert words == [word for argv in commands.values() for word in [*argv, "\n"]]


def test_a_program_is_looked_up_in_trusted_directories_only(
    shell: ShellTool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "ls"
    own.write_text("#!/bin/sh\necho fooled\n")
    own.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shell.act({"command": "ls"}, CALLER).arguments["program"] in ("/usr/bin/ls", "/bin/ls")
    for path in (
        str(own),
        "./ls",
        "../ls",
        "bin/ls",
        "/usr/bin/../bin/ls",
        "//usr/bin/ls",
        "/usr/bin//ls",
        "/etc/passwd",
    ):
        assert "may not be given by its path" in refused(shell, argv=[path])
    for name in (".", "..", "no-such"):
        assert "no program" in refused(shell, argv=[name])


def test_a_path_in_a_trusted_directory_is_judged_by_its_name_and_executed_as_given(shell: ShellTool) -> None:
    act = shell.act({"argv": ["/usr/bin/env", "ls"]}, CALLER)
    assert act.name == "env"
    assert act.arguments["argv"] == ["env", "ls"]
    assert act.arguments["program"] == "/usr/bin/env"


async def test_further_directories_and_programs_can_be_trusted(tmp_path: Path) -> None:
    for place in ("bin/hello", "deploy"):
        program = tmp_path / place
        program.parent.mkdir(exist_ok=True)
        program.write_text('#!/bin/sh\necho "$0"\n')
        program.chmod(0o755)
    shell = ShellTool(tmp_path, directories=[f"{tmp_path}/bin"], programs=[f"{tmp_path}/deploy"])
    assert (await use(shell, command="hello"))["stdout"] == f"{tmp_path}/bin/hello\n"
    act = shell.act({"argv": [f"{tmp_path}/deploy"]}, CALLER)
    assert act.arguments["argv"] == [f"{tmp_path}/deploy"]
    assert (await shell.run(Permit(act, ALLOWED), CALLER))["stdout"] == f"{tmp_path}/deploy\n"


async def test_a_command_sees_a_clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-never")
    monkeypatch.setenv("LD_PRELOAD_NOT", "x")
    monkeypatch.setenv("CI", "true")
    found = await use(ShellTool(tmp_path, env_allow=["CI", "NOT_SET"]), command="env")
    seen = dict(line.split("=", 1) for line in found["stdout"].splitlines())
    assert {name for name in seen if "GIT" not in name} == {"PATH", "HOME", "LANG", "TERM", "PAGER", "CI"}
    assert (seen["TERM"], seen["PATH"], seen["CI"]) == ("dumb", ":".join(TRUSTED), "true")
    assert "sk-never" not in found["stdout"]


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "GITHUB_TOKEN", "PGPASSWORD", "client_secret", "DATABASE_URL"])
def test_a_secret_cannot_be_let_through_by_its_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="secret"):
        ShellTool(tmp_path, env_allow=[name])


async def test_a_repository_cannot_make_git_run_its_own_programs(shell: ShellTool, tmp_path: Path) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True)

    hook = tmp_path / "hook.sh"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/fooled\n")
    hook.chmod(0o755)
    git("init", "-q")
    git("config", "core.fsmonitor", str(hook))
    found = await use(shell, command="git status --short")
    assert (found["exit_code"], found["stdout"]) == (0, "?? hook.sh\n")
    assert not (tmp_path / "fooled").exists()


@pytest.mark.parametrize("setting", ["diff.external", "diff.shown.textconv"])
async def test_a_repository_cannot_choose_what_shows_its_differences(
    shell: ShellTool, tmp_path: Path, setting: str
) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True)

    program = tmp_path / "program.sh"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/fooled\n")
    program.chmod(0o755)
    (tmp_path / "a.txt").write_text("one\n")
    (tmp_path / ".gitattributes").write_text("*.txt diff=shown\n")
    git("init", "-q")
    git("add", "a.txt")
    git("config", setting, str(program))
    (tmp_path / "a.txt").write_text("two\n")
    found = await use(shell, command="git --no-pager diff -- a.txt")
    assert found["exit_code"] == 0
    assert "+two" in found["stdout"]
    assert not (tmp_path / "fooled").exists()


@pytest.mark.parametrize(
    ("written", "run"),
    [
        ("git diff", "git diff --no-ext-diff --no-textconv"),
        ("git log -p -- log", "git log -p --no-ext-diff --no-textconv -- log"),
        ("git show --no-textconv HEAD", "git show --no-textconv HEAD --no-ext-diff"),
        ("git status", "git status"),
        ("git commit -m diff", "git commit -m diff"),
        ("git", "git"),
    ],
)
def test_what_git_may_not_run_is_part_of_the_act(shell: ShellTool, written: str, run: str) -> None:
    assert shell.act({"command": written}, CALLER).arguments["argv"] == run.split()


async def test_a_slow_command_is_stopped_and_says_how_far_it_came(tmp_path: Path) -> None:
    shell = ShellTool(tmp_path, timeout=20)
    with pytest.raises(ToolFailed) as caught:
        await use(shell, Caller(timeout=0.3), argv=["sh", "-c", "echo half way; sleep 60"])
    assert caught.value.code == "tool.timeout"
    assert "0.3 seconds" in caught.value.says
    assert "half way" in caught.value.says


async def test_output_without_end_is_stopped(tmp_path: Path) -> None:
    found = await use(ShellTool(tmp_path, max_output=500), command="yes")
    assert found["truncated"]
    assert len(found["stdout"]) < 700
    assert "wrote without end" in found["stderr"]


async def test_a_file_that_cannot_be_executed_is_a_failure_of_the_tool(tmp_path: Path) -> None:
    program = tmp_path / "broken"
    program.write_bytes(b"\x00\x01")
    program.chmod(0o755)
    with pytest.raises(ToolFailed) as caught:
        await use(ShellTool(tmp_path, programs=[str(program)]), argv=[str(program)])
    assert caught.value.code == "tool.error"


async def test_only_a_permit_for_a_command_runs(shell: ShellTool) -> None:
    with pytest.raises(Refused):
        Permit(shell.act({"command": "ls"}, CALLER), Verdict(effect=Effect.BLOCK))
    with pytest.raises(UsageError):
        await shell.run(Permit(Act(kind="tool", name="shell", arguments={"argv": ["ls"]}), ALLOWED), CALLER)


@pytest.mark.parametrize(
    ("command", "harmless"),
    [
        ("ls -l", True),
        ("git status", True),
        ("git log -n 1", True),
        ("git push", False),
        ("git", False),
        ("rm -rf x", False),
        ("touch x", False),
        ("find . -delete", False),
    ],
)
def test_only_commands_that_look_may_be_repeated(shell: ShellTool, command: str, harmless: bool) -> None:
    assert repeatable_for(shell, shell.act({"command": command}, CALLER)) is harmless
    assert "find" not in READ_ONLY


@pytest.mark.parametrize(
    "settings_",
    [{"cwd": "/no/such"}, {"timeout": 0}, {"max_output": 0}, {"directories": ["bin"]}, {"programs": ["/a/../b"]}],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, settings_: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        ShellTool(**{"cwd": tmp_path, **settings_})
    assert caught.value.code == "usage.shell"


async def test_fifty_commands_at_once_leave_no_open_files(shell: ShellTool) -> None:
    before = len(os.listdir("/proc/self/fd"))
    await asyncio.gather(*(use(shell, command="uname") for _ in range(50)))
    assert len(os.listdir("/proc/self/fd")) <= before + 1
