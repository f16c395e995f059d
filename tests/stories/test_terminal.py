"""What a person at a terminal sees, and what a pipe gets of the same."""

from __future__ import annotations

import re

from interlock.testing import Calls, SimulatedProvider, Text, call
from tests.stories.shell import Shell


def test_a_terminal_gets_colour_and_relative_times_and_a_pipe_gets_neither(
    served: Shell, sim: SimulatedProvider
) -> None:
    sim.script = [Text("Four.")]
    served("run", "start", "Two and two, and a title that is much too long for one line of a terminal", "--id", "sum")

    seen = served.at_terminal("run", "list", width=80)
    assert "\x1b[32m✓ completed" in seen
    assert re.search(r"just now|\d+ s ago", seen)
    assert "…" in seen
    assert all(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) <= 80 for line in seen.splitlines())

    piped = served("run", "list").out
    assert "\x1b" not in piped
    assert "one line of a terminal\n" in piped

    plain = served.at_terminal("run", "list", "--color", "never")
    assert "\x1b" not in plain
    assert "✓ completed" in plain


def test_progress_rewrites_one_line_and_never_owns_the_screen(served: Shell, sim: SimulatedProvider) -> None:
    sim.script = [Calls(call("shell", argv=["df", "-P", "/"]), latency=0.6), Text("Half full.", latency=0.6)]

    seen = served.at_terminal("run", "start", "How full?")

    assert "▶ model/1" in seen
    assert "✓ \x1b[0mtool/1" in seen
    assert "\r\x1b[2K" in seen
    assert "Half full.\r\n" in seen
    # No clearing, no cursor home, no other screen, no hidden cursor: the scrollback stays the user's.
    assert set(re.findall(r"\x1b\[[0-9;?]*([A-Za-z])", seen)) <= {"m", "K"}


def test_a_real_model_is_offered_where_there_is_a_key_and_somebody_to_ask(served: Shell) -> None:
    import os
    import pty
    import subprocess
    import sys

    near, far = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "interlock", "demo", "--fast"],
        cwd=served.folder,
        env={**served.env, "HOME": str(served.folder)},
        stdin=far,
        stdout=subprocess.DEVNULL,
        stderr=far,
        start_new_session=True,
    )
    os.close(far)
    seen = b""
    while b"[y/N]" not in seen:
        seen += os.read(near, 4096)
    assert b"There is a key for openai and claude" in seen
    process.kill()
    process.wait()
    os.close(near)
