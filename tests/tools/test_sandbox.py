"""The walls around commands, tried with real programs at every level this machine has.

A level it does not have is tested for its fallback: nothing that could change something is run.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interlock.errors import ToolFailed
from interlock.records.verdict import ALLOWED, Permit
from interlock.tools.sandbox import Sandbox, bubblewrap, probe, strength
from interlock.tools.sandbox.launch import LEVELS, Level
from interlock.tools.sandbox.launcher import landlock_abi
from interlock.tools.sandbox.probe import why_unavailable
from interlock.tools.sandbox.programs import executables
from interlock.tools.shell import TRUSTED, ShellTool
from interlock.tools.tool import Caller

CALLER = Caller(run_id="run-1", path="shell/1", agent="worker")
#: Those that keep a command from files it has no business with.
OF_FILES: tuple[Level, ...] = ("bubblewrap+landlock", "landlock", "bubblewrap")
WITH_LANDLOCK: tuple[Level, ...] = ("bubblewrap+landlock", "landlock")
CONNECT = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5); print('connected')"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


async def use(shell: ShellTool, *argv: str, approved_by: tuple[str, ...] = ()) -> dict[str, Any]:
    act = shell.act({"argv": list(argv)}, CALLER)
    found: dict[str, Any] = await shell.run(Permit(act, replace(ALLOWED, approved_by=approved_by)), CALLER)
    return found


async def behind(level: Level, workspace: Path, programs: Sequence[str] | None = None, **more: Any) -> ShellTool | None:
    """A shell behind these walls; where there are none of the kind, None, and it has refused to change something."""
    sandbox = Sandbox(level=level, programs=lambda: programs, **more)  # type: ignore[arg-type]
    shell = ShellTool(workspace, timeout=20, sandbox=sandbox)
    if not why_unavailable(level):
        return shell
    assert sandbox.found() == "none"
    with pytest.raises(ToolFailed) as caught:
        await use(shell, "touch", "made")
    assert caught.value.code == "sandbox.unavailable"
    assert not (workspace / "made").exists()
    return None


@pytest.mark.parametrize("level", OF_FILES)
async def test_a_command_writes_inside_the_workspace_and_nowhere_else(
    level: Level, workspace: Path, tmp_path: Path
) -> None:
    (tmp_path / "outside").write_text("as it was")
    shell = await behind(level, workspace)
    if shell is None:
        return
    for words in ("echo x > ../outside", "echo x > ../new", "rm ../outside", "mv ../outside .", "ln ../outside here"):
        assert (await use(shell, "sh", "-c", words))["exit_code"] != 0, words
    assert (tmp_path / "outside").read_text() == "as it was"
    assert not (tmp_path / "new").exists()
    made = await use(shell, "sh", "-c", "mkdir -p a/b && echo x > a/b/c && mv a/b/c d && cat d && rm d")
    assert (made["exit_code"], made["stdout"], made["sandbox"]) == (0, "x\n", level)


@pytest.mark.parametrize("level", OF_FILES)
async def test_a_secret_outside_the_workspace_cannot_be_read(level: Level, workspace: Path, tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_ed25519").write_text("a key")
    (workspace / "link").symlink_to(tmp_path / ".ssh" / "id_ed25519")
    shell = await behind(level, workspace)
    if shell is None:
        return
    for path in (f"{tmp_path}/.ssh/id_ed25519", "link", f"/proc/{os.getpid()}/environ", "/etc/shadow"):
        shown = await use(shell, "cat", path)
        assert (shown["exit_code"], shown["stdout"]) == (1, ""), path
    allowed = await behind(level, workspace, read=["../.ssh"])
    assert allowed is not None
    assert (await use(allowed, "cat", "link"))["stdout"] == "a key"


@pytest.mark.parametrize("level", LEVELS)
async def test_there_is_no_network_unless_somebody_says_so(level: Level, workspace: Path) -> None:
    shell, open_one = await behind(level, workspace), await behind(level, workspace, network=True)
    if shell is None or open_one is None:
        return
    with socket.create_server(("127.0.0.1", 0)) as server:
        argv = ["python3", "-c", CONNECT, str(server.getsockname()[1])]
        refused = await use(shell, *argv)
        assert refused["exit_code"] == 1
        assert "PermissionError" in refused["stderr"]
        assert (await use(open_one, *argv))["stdout"] == "connected\n"
        assert (await use(shell, *argv, approved_by=("ada",)))["stdout"] == "connected\n", "a person allowed it"


@pytest.mark.parametrize("level", LEVELS)
async def test_a_command_cannot_signal_whoever_started_it(level: Level, workspace: Path) -> None:
    shell = await behind(level, workspace)
    if shell is None:
        return
    done = await use(shell, "python3", "-c", f"import os; os.kill({os.getpid()}, 0)")
    kept = "bubblewrap" in level or ("landlock" in level and landlock_abi() >= 6)
    assert (done["exit_code"] != 0) is kept


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("words", ["unshare --user true", "unshare --mount true", "mount -t tmpfs none ."])
async def test_a_command_cannot_make_namespaces_or_mounts(level: Level, workspace: Path, words: str) -> None:
    shell = await behind(level, workspace)
    if shell is None:
        return
    assert (await use(shell, *words.split()))["exit_code"] != 0


@pytest.mark.parametrize("level", LEVELS)
async def test_no_power_of_root_is_left_but_that_over_files(level: Level, workspace: Path) -> None:
    shell = await behind(level, workspace)
    if shell is None:
        return
    status = (await use(shell, "cat", "/proc/self/status"))["stdout"]
    told = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(told["CapEff"], 16) & ~0b11111 == 0
    assert (told["NoNewPrivs"], told["Seccomp"]) == ("1", "2")


@pytest.mark.parametrize("level", WITH_LANDLOCK)
async def test_the_kernel_executes_only_what_is_listed(level: Level, workspace: Path) -> None:
    shell = await behind(level, workspace, ["sh", "ls", "cat"])
    if shell is None:
        return
    loader = executables((), TRUSTED, "/bin/sh")[0]
    shutil.copy(shutil.which("touch") or "", workspace / "copied")
    (workspace / "script").write_text("#!/bin/sh\necho > made\n")
    (workspace / "script").chmod(0o755)
    for words in (
        "touch made",
        "t=tou; ${t}ch made",
        "env touch made",
        f"{loader} /usr/bin/touch made",
        "./copied made",
        "./script",
        'python3 -c \'open("made", "w")\'',
    ):
        assert (await use(shell, "sh", "-c", words))["exit_code"] != 0, words
        assert not (workspace / "made").exists(), words
    assert "copied" in (await use(shell, "sh", "-c", "ls; cat script"))["stdout"]


async def test_bubblewrap_alone_leaves_out_the_programs_that_are_not_listed(workspace: Path) -> None:
    shell = await behind("bubblewrap", workspace, ["sh", "ls"])
    if shell is None:
        return
    loader = executables((), TRUSTED, "/bin/sh")[0]
    for words in ("touch made", f"{loader} /usr/bin/touch made"):
        assert (await use(shell, "sh", "-c", words))["exit_code"] != 0
    assert (await use(shell, "sh", "-c", "ls /usr/bin"))["stdout"].split() == ["ls", "sh"]


@pytest.mark.parametrize("level", OF_FILES)
async def test_what_governs_commands_cannot_be_made_changed_or_replaced_by_one(level: Level, workspace: Path) -> None:
    store = workspace / ".interlock"
    store.mkdir()
    (store / "interlock.db").write_text("facts")
    (workspace / "interlock.toml").write_text("rules")
    os.link(workspace / "interlock.toml", workspace / "by-another-name")
    (workspace / "src").mkdir()
    (workspace / "src" / "code").write_text("old")
    (workspace / "notes").write_text("old")
    protected = [store, workspace / "interlock.toml", workspace / "policy.toml"]
    shell = await behind(level, workspace, protected=protected)
    if shell is None:
        return
    for words in (
        "echo x > policy.toml",
        "cp notes policy.toml",
        "mv src/code policy.toml",
        "ln notes policy.toml",
        "mkdir policy.toml",
        "echo x > interlock.toml",
        "echo x > by-another-name",
        "rm interlock.toml",
        "mv interlock.toml src/",
        "mv .interlock src/",
        "echo x > .interlock/interlock.db",
        "echo x > .interlock/new",
        "cat .interlock/interlock.db",
        "cat interlock.toml",
    ):
        assert (await use(shell, "sh", "-c", words))["exit_code"] != 0, words
    assert not (workspace / "policy.toml").exists()
    assert (store / "interlock.db").read_text() == "facts"
    assert (workspace / "interlock.toml").read_text() == "rules"
    fine = await use(
        shell, "sh", "-c", "echo new > src/code && echo new > notes && echo more > src/more && rm src/more"
    )
    assert (fine["exit_code"], fine["stderr"]) == (0, "")
    assert (workspace / "src" / "code").read_text() == (workspace / "notes").read_text() == "new\n"


@pytest.mark.parametrize("level", OF_FILES)
async def test_a_workspace_can_be_there_to_be_read_only(level: Level, workspace: Path) -> None:
    (workspace / "notes").write_text("read me")
    shell = await behind(level, workspace, writable=False)
    if shell is None:
        return
    assert (await use(shell, "cat", "notes"))["stdout"] == "read me"
    for words in ("echo x > notes", "touch new", "chmod 777 notes"):
        assert (await use(shell, "sh", "-c", words))["exit_code"] != 0, words
    assert (await use(shell, "sh", "-c", "echo x > $TMPDIR/x && cat $HOME/x"))["stdout"] == "x\n"


@pytest.mark.parametrize("level", LEVELS)
async def test_ordinary_work_goes_on_inside(level: Level, workspace: Path) -> None:
    (workspace / "a.txt").write_text("one\n")
    shell = await behind(level, workspace, ["ls", "cat", "git", "python3", "df", "sort"])
    if shell is None:
        return
    for argv, said in (
        (["ls"], "a.txt"),
        (["cat", "a.txt"], "one"),
        (["git", "init", "-q"], ""),
        (["git", "add", "a.txt"], ""),
        (["git", "-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "-qm", "first"], ""),
        (["git", "status", "--short"], ""),
        (["git", "log", "--oneline"], "first"),
        (["python3", "-c", "import json, ssl, sqlite3, tempfile; tempfile.TemporaryFile(); print('ok')"], "ok"),
        (["python3", "-c", "import threading as t; x = t.Thread(target=print, args=['ran']); x.start()"], "ran"),
        (["python3", "-c", "import subprocess as s; print(s.check_output(['ls']))"], "a.txt"),
        (["df", "-P"], "Filesystem"),
        (["sort", "a.txt"], "one"),
    ):
        done = await use(shell, *argv)
        assert (done["exit_code"], done["stderr"]) == (0, ""), argv
        assert said in done["stdout"], argv


@pytest.mark.parametrize("level", LEVELS)
async def test_the_private_directory_of_a_command_does_not_outlive_it(level: Level, workspace: Path) -> None:
    shell = await behind(level, workspace)
    if shell is None:
        return
    made = await use(shell, "sh", "-c", 'mkdir "$HOME/deep" && echo x > "$TMPDIR/deep/file" && echo "$TMPDIR"')
    assert made["exit_code"] == 0
    assert not Path(made["stdout"].strip()).exists()


@pytest.mark.parametrize("level", LEVELS)
async def test_the_limits_hold(level: Level, workspace: Path) -> None:
    shell = await behind(level, workspace, memory_mb=200, file_mb=1)
    if shell is None:
        return
    large = await use(shell, "python3", "-c", "b = bytearray(400 << 20)")
    assert "MemoryError" in large["stderr"]
    long = await use(shell, "sh", "-c", "head -c 3000000 /dev/zero > file")
    assert long["exit_code"] != 0
    assert (workspace / "file").stat().st_size <= 1 << 20


@pytest.mark.parametrize("level", LEVELS)
async def test_a_program_that_cannot_be_executed_is_told_as_such(level: Level, workspace: Path) -> None:
    broken = workspace / "broken"
    broken.write_bytes(b"\x00\x01")
    broken.chmod(0o755)
    if await behind(level, workspace) is None:
        return
    shell = ShellTool(workspace, programs=[str(broken)], sandbox=Sandbox(level=level))  # type: ignore[arg-type]
    with pytest.raises(ToolFailed) as caught:
        await use(shell, str(broken))
    assert (caught.value.code, "could not be started" in caught.value.says) == ("tool.error", True)


@pytest.mark.parametrize("level", LEVELS)
async def test_a_command_that_is_stopped_by_its_time_ends_inside_too(level: Level, workspace: Path) -> None:
    shell = await behind(level, workspace)
    if shell is None:
        return
    shell.timeout = 1.0
    with pytest.raises(ToolFailed) as caught:
        await use(shell, "sh", "-c", "echo begun; sleep 61")
    assert caught.value.code == "tool.timeout"
    assert "begun" in caught.value.says


async def test_without_walls_only_commands_that_look_are_run(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap, "PROGRAMS", ())
    monkeypatch.setattr(probe, "_known", {})
    shell = ShellTool(workspace, sandbox=Sandbox(level="bubblewrap"))
    with pytest.raises(ToolFailed) as caught:
        await use(shell, "touch", "made")
    assert (caught.value.code, "doctor" in caught.value.do) == ("sandbox.unavailable", True)
    assert not (workspace / "made").exists()
    assert (await use(shell, "ls"))["sandbox"] == "none"
    told = await use(ShellTool(workspace, sandbox=Sandbox(level="off")), "touch", "made")
    assert (told["exit_code"], told["sandbox"]) == (0, "off")


async def test_walls_that_leave_files_open_hold_no_change_unless_somebody_asked_for_them(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = {one: "" if one == "seccomp" else "not here" for one in LEVELS}
    monkeypatch.setattr(probe, "_known", only)
    shell = ShellTool(workspace, sandbox=Sandbox(level="auto"))
    with pytest.raises(ToolFailed) as caught:
        await use(shell, "touch", "made")
    assert caught.value.code == "sandbox.unavailable"
    assert not (workspace / "made").exists()
    assert (await use(shell, "ls"))["exit_code"] == 0
    told = await use(ShellTool(workspace, sandbox=Sandbox(level="seccomp")), "touch", "made")
    assert (told["exit_code"], told["sandbox"]) == (0, "seccomp")


def test_auto_takes_the_strongest_there_is_and_says_what_better_ones_lack() -> None:
    level, missing = strength("auto")
    assert level == next((one for one in LEVELS if not why_unavailable(one)), "none")
    stronger = LEVELS[: LEVELS.index(level)] if level in LEVELS else LEVELS
    assert {why_unavailable(one) for one in stronger} == set(missing)
    assert strength("off") == ("off", [])


#: A driver that runs one long command, and says its process id.
DRIVER = """
import asyncio, sys
from interlock.records.verdict import ALLOWED, Permit
from interlock.tools.sandbox import Sandbox
from interlock.tools.shell import ShellTool
from interlock.tools.tool import Caller

async def main():
    shell = ShellTool(sys.argv[2], sandbox=Sandbox(level=sys.argv[1]))
    argv = ["python3", "-c", "import time; open('begun', 'w').close(); time.sleep(97.531)"]
    await shell.run(Permit(shell.act({"argv": argv}, Caller()), ALLOWED), Caller())

asyncio.run(main())
"""


def sleepers(workspace: Path) -> list[str]:
    """The processes that work in this folder and have not ended."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            ended = process.joinpath("stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
            if os.readlink(process / "cwd") == str(workspace) and not ended:
                found.append(process.name)
        except OSError:
            continue
    return found


@pytest.mark.parametrize("level", LEVELS)
async def test_a_command_dies_with_a_driver_that_is_killed(level: Level, workspace: Path) -> None:
    if await behind(level, workspace) is None:
        return
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, level, str(workspace)], cwd="/")
    until = time.monotonic() + 20
    while not (workspace / "begun").exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert sleepers(workspace)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    while sleepers(workspace) and time.monotonic() < until:
        time.sleep(0.02)
    assert not sleepers(workspace)
