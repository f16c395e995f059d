"""Which walls this machine can build: each is built once around a small command that tries to get out."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading

from interlock.tools.sandbox.launch import LEVELS, Command, Level, walled, why_not
from interlock.tools.sandbox.reach import Reach

#: Seconds one try may take before it counts as failed.
PATIENCE = 5.0
#: Writes where it may, then tries what it may not; says what worked.
_TRIES = """\
echo x > "$1/inside" && echo inside
read line < "$2/secret" && echo read
echo x > "$2/outside" && echo wrote
"""

_lock = threading.Lock()
_known: dict[Level, str] = {}


def why_unavailable(level: Level) -> str:
    """Why a level is not to be had here; "" where it is. Tried once for each process; never raises."""
    if level not in LEVELS:
        return ""
    with _lock:
        if level not in _known:
            try:
                _known[level] = why_not(level) or _tried(level)
            except Exception as error:  # noqa: BLE001 - whatever goes wrong: these walls are not to be had
                _known[level] = f"it could not be tried ({type(error).__name__})"
        return _known[level]


def _tried(level: Level) -> str:
    folder = tempfile.mkdtemp(prefix="interlock-probe-")
    try:
        for name in ("workspace", "outside", "private"):
            os.mkdir(f"{folder}/{name}")
        with open(f"{folder}/outside/secret", "w", encoding="ascii") as file:
            file.write("secret\n")
        return _judged(level, f"{folder}/workspace", f"{folder}/outside", f"{folder}/private")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _judged(level: Level, workspace: str, outside: str, private: str) -> str:
    argv = ["sh", "-c", _TRIES, "sh", workspace, outside]
    command = Command(program="/bin/sh", argv=argv, cwd=workspace, env={}, reach=Reach(write=(workspace,)))
    with walled(level, command, private) as start:
        done = subprocess.run(
            list(start.argv),
            executable=start.program,
            env=dict(start.env),
            cwd=workspace,
            pass_fds=[start.channel],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE,
        )
        failure = start.failure()
    if failure is not None:
        return "the system does not let it be built"
    worked = set(done.stdout.decode(errors="replace").split())
    if "inside" not in worked:
        return "nothing runs in it on this system"
    leaks = level != "seccomp" and (worked & {"read", "wrote"} or os.path.exists(f"{outside}/outside"))
    return "it does not hold on this system" if leaks else ""
