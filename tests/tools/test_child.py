"""Child processes: bounded output, a time limit, and nothing of the group left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.tools.child import FLOOD, Capture, Ended, run_child

#: Starts a grandchild that ignores SIGTERM, tells its id, and waits or leaves.
PARENT = """
import os, signal, sys, time
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.argv[1] == "left":
        os.setsid()
    open(sys.argv[2], "w").write(str(os.getpid()))
    time.sleep(60)
while not os.path.exists(sys.argv[2]) or not open(sys.argv[2]).read():
    time.sleep(0.01)
print("started", flush=True)
if sys.argv[3] == "wait":
    time.sleep(60)
"""


async def run(program: str, *words: str, timeout: float = 20, max_output: int = 1000) -> Ended:
    return await run_child(
        program, [program, *words], cwd="/", env={"PATH": "/usr/bin:/bin"}, timeout=timeout, max_output=max_output
    )


def is_gone(pid: int) -> bool:
    """Whether a process has ended; a zombie that its new parent has not fetched yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def comes_true(what: object, *args: object) -> bool:
    until = time.monotonic() + 5
    while time.monotonic() < until:
        if what(*args):  # type: ignore[operator]
            return True
        time.sleep(0.01)
    return False


def own_children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


async def test_a_child_gives_its_code_and_both_streams() -> None:
    ended = await run(sys.executable, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)")
    assert (ended.ending, ended.exit_code, ended.stdout, ended.stderr) == ("exited", 7, "out\n", "err\n")
    assert not ended.truncated


async def test_a_child_ended_by_a_signal_says_so() -> None:
    ended = await run(sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert (ended.ending, ended.exit_code) == ("exited", -signal.SIGKILL)


async def test_a_child_cannot_wait_for_input() -> None:
    assert (await run("/bin/cat")).exit_code == 0


async def test_a_program_that_is_not_there_is_an_os_error() -> None:
    with pytest.raises(OSError):
        await run("/nonexistent/program")


async def test_a_child_that_ignores_sigterm_is_killed() -> None:
    program = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    ended = await run(sys.executable, "-c", program, timeout=0.6)
    assert (ended.ending, ended.exit_code, ended.stdout) == ("timeout", -signal.SIGKILL, "deaf\n")
    assert ended.seconds < 5


async def test_a_timeout_kills_grandchildren_too(tmp_path: Path) -> None:
    before = own_children()
    told = tmp_path / "pid"
    ended = await run(sys.executable, "-c", PARENT, "stay", str(told), "wait", timeout=1)
    assert ended.ending == "timeout"
    assert comes_true(is_gone, int(told.read_text()))
    assert own_children() <= before, "no zombie stays behind"


async def test_a_grandchild_that_outlives_its_parent_is_killed_and_holds_nobody_up(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    ended = await run(sys.executable, "-c", PARENT, "stay", str(told), "leave")
    assert (ended.ending, ended.exit_code, ended.stdout) == ("exited", 0, "started\n")
    assert ended.seconds < 10
    assert comes_true(is_gone, int(told.read_text()))


async def test_a_daemon_that_left_the_group_and_keeps_the_pipe_holds_nobody_up(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    ended = await run(sys.executable, "-c", PARENT, "left", str(told), "leave")
    try:
        assert (ended.ending, ended.stdout) == ("exited", "started\n")
        assert ended.seconds < 10
    finally:
        os.kill(int(told.read_text()), signal.SIGKILL)


@pytest.mark.parametrize("impatient", [False, True])
async def test_cancelling_kills_the_group(tmp_path: Path, impatient: bool) -> None:
    told = tmp_path / "pid"
    task = asyncio.create_task(run(sys.executable, "-c", PARENT, "stay", str(told), "wait"))
    while not (told.exists() and told.read_text()):
        await asyncio.sleep(0.01)
    task.cancel()
    if impatient:  # a second time, while the first is still being polite
        await asyncio.sleep(0)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert comes_true(is_gone, int(told.read_text()))
    assert comes_true(lambda: not any(is_gone(int(pid)) for pid in own_children())), "no zombie stays behind"


async def test_output_without_end_is_bounded_and_stopped() -> None:
    ended = await run("/usr/bin/yes", "y" * 1000, max_output=10_000)
    assert ended.ending == "flood"
    assert ended.truncated
    assert len(ended.stdout) < 11_000
    assert "bytes left out" in ended.stdout


async def test_many_children_run_side_by_side() -> None:
    ended = await asyncio.gather(*(run("/bin/echo", str(number)) for number in range(20)))
    assert [one.stdout for one in ended] == [f"{number}\n" for number in range(20)]


async def test_a_large_output_keeps_its_head_and_its_tail() -> None:
    program = "import sys; [print(n) for n in range(100_000)]; sys.stdout.flush()"
    ended = await run(sys.executable, "-c", program)
    assert ended.ending == "exited"
    assert ended.stdout.startswith("0\n1\n2\n")
    assert ended.stdout.endswith("99998\n99999\n")
    assert ended.truncated
    assert FLOOD > 1_000_000


async def test_what_a_terminal_would_obey_does_not_come_through() -> None:
    written = rb"\x1b[31mred\x1b[0m \x1b]0;title\x07a\r\nb\rc\xff\x00\x08d \xe2\x80\xae".decode()
    program = f"import sys; sys.stdout.buffer.write(b'{written}')"
    ended = await run(sys.executable, "-c", program)
    assert ended.stdout == "red a\nb\nc\ufffdd "


@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(1, 60))
def test_a_capture_keeps_the_head_and_the_tail_of_any_stream(chunks: list[bytes], limit: int) -> None:
    capture = Capture(limit)
    for chunk in chunks:
        capture.add(chunk.translate(None, bytes(range(32)) + bytes(range(127, 256))))
    whole = b"".join(chunks).translate(None, bytes(range(32)) + bytes(range(127, 256))).decode()
    half = max(1, limit // 2)
    if len(whole) <= 2 * half:
        assert capture.text() == whole
    else:
        left_out = len(whole) - 2 * half
        assert capture.text() == f"{whole[:half]}\n… {left_out:,} bytes left out …\n{whole[-half:]}"
        assert capture.left_out == left_out
