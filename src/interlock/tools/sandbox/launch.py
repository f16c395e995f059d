"""How a command is started inside its walls: the launcher's words, its order, and what it says when it fails."""

from __future__ import annotations

import contextlib
import marshal
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from interlock.tools.sandbox import bubblewrap
from interlock.tools.sandbox.launcher import landlock_abi
from interlock.tools.sandbox.reach import EXECUTE, USE_DEVICE, WRITE, Reach, Rule, rules_for
from interlock.tools.sandbox.seccomp import filter_program, machine

#: How strong the walls are, the strongest first. `off`: there are none because somebody said so.
Level = Literal["bubblewrap+landlock", "landlock", "bubblewrap", "seccomp", "none", "off"]
LEVELS: tuple[Level, ...] = get_args(Level)[:4]

#: The first version of Landlock that keeps a file from being emptied.
OLDEST_LANDLOCK = 3
_HERE = os.path.dirname(os.path.abspath(__file__))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one process of a command may use.

    Args:
        limits: Pairs of a `resource.RLIMIT_*` number and the most it may be.
    """

    limits: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command with what it may do.

    Args:
        program: Absolute path of what is executed.
        argv: Its words, its name first.
        cwd: Where it runs.
        env: Its whole environment.
        reach: Which places it may reach.
        network: Whether it may use the network.
        limits: What each of its processes may use.
    """

    program: str
    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    reach: Reach
    network: bool = False
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What is to be started in place of a command, so that it runs inside its walls.

    Args:
        program: Absolute path of what is executed.
        argv: Its words.
        env: Its environment.
        channel: A descriptor it has to inherit.
    """

    program: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    channel: int

    def failure(self) -> tuple[str, int, str] | None:
        """Why the command did not begin: `walls` or `exec`, an errno or 0, and a sentence for logs."""
        if self.channel < 0:
            return None
        left = os.pread(self.channel, os.fstat(self.channel).st_size, 0)
        if not left:
            return None
        told = marshal.loads(left)
        # The order itself is still there where something failed before the launcher could read it.
        return told if isinstance(told, tuple) else ("walls", 0, "the launcher was not reached")


def why_not(level: Level) -> str:
    """What a level lacks on this machine, as far as can be told without trying; "" where nothing is missing."""
    if not sys.platform.startswith("linux"):
        return "this is not Linux"
    if not sys.executable or getattr(sys, "frozen", False) or not os.path.isfile(f"{_HERE}/launcher.py"):
        return "there is no Python interpreter to start commands with"
    if level != "bubblewrap" and not machine():
        return "there is no system call filter for this processor"
    if "landlock" in level and landlock_abi() < OLDEST_LANDLOCK:
        return f"the kernel has no Landlock, or one before version {OLDEST_LANDLOCK} (Linux 6.2)"
    if "bubblewrap" in level and not bubblewrap.find_bubblewrap():
        return "bubblewrap is not installed"
    return ""


@contextlib.contextmanager
def walled(level: Level, command: Command, private: str) -> Iterator[Start]:
    """What to start so that a command runs behind the walls of a level.

    Args:
        level: One of `LEVELS`.
        command: The command.
        private: An empty directory made for it, where it may write whatever else it may.
    """
    reach = command.reach
    runs = EXECUTE if reach.programs is None else 0
    landlock, boxed = "landlock" in level, "bubblewrap" in level
    rules = [*rules_for(reach, listing=landlock), Rule(private, WRITE | runs, follow=False)]
    inside = [*rules, *_inside_bubblewrap(runs)] if boxed else rules
    filtered = filter_program(machine(), network=command.network, metadata=bool(reach.write)) if machine() else b""
    order = {
        "parent": 0 if boxed else os.getpid(),
        "limits": command.limits.limits,
        "rules": [tuple(rule) for rule in inside] if landlock else None,
        "network": command.network,
        "filter": filtered,
        "program": command.program,
        "argv": list(command.argv),
    }
    channel = os.memfd_create("interlock-order")
    try:
        os.write(channel, marshal.dumps(order))
        words = _launcher(channel)
        if boxed:
            arguments = bubblewrap.bubblewrap_arguments(
                rules, needed=_of_python(), cwd=command.cwd, whole=landlock, network=command.network
            )
            words = [bubblewrap.find_bubblewrap(), *arguments, *words]
        env = {**command.env, "HOME": private, "TMPDIR": private}
        yield Start(program=words[0], argv=tuple(words), env=env, channel=channel)
    finally:
        os.close(channel)


def _launcher(channel: int) -> list[str]:
    program = f"import sys; sys.path.append({_HERE!r}); import launcher; launcher.launch({channel})"
    return [sys.executable, "-I", "-S", "-B", "-c", program]


def _of_python() -> list[str]:
    """Where the launcher's interpreter and the launcher itself are read from."""
    real = os.path.realpath(sys.executable)
    return [*dict.fromkeys((sys.base_prefix, sys.prefix, os.path.dirname(os.path.dirname(real)), _HERE))]


def _inside_bubblewrap(runs: int) -> list[Rule]:
    """What bubblewrap makes anew, and is there for the command alone."""
    return [Rule("/dev/shm", WRITE | runs), Rule("/dev/pts", USE_DEVICE)]


def limits_of(*, seconds: float, memory: int, file: int, processes: int) -> Limits:
    """The kernel's limits for a command.

    Args:
        seconds: Seconds it may take; it may use all processors for that long.
        memory: Most data a process may hold, in MB.
        file: Largest file it may write, in MB.
        processes: Most processes and threads of its user, all together; the kernel does not limit root's.
    """
    import resource  # not there on every system

    megabyte = 1024 * 1024
    return Limits(
        limits=(
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_CPU, int(seconds * (os.cpu_count() or 1)) + 1),
            (resource.RLIMIT_DATA, memory * megabyte),
            (resource.RLIMIT_FSIZE, file * megabyte),
            (resource.RLIMIT_NPROC, processes),
            (resource.RLIMIT_NOFILE, 16_384),
        )
    )
