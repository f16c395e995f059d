"""The sandbox of one workspace: how strong its walls are, and what each command may reach."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from interlock.errors import ToolFailed
from interlock.tools.folders import remove
from interlock.tools.sandbox.launch import LEVELS, Command, Level, Start, limits_of, walled
from interlock.tools.sandbox.probe import why_unavailable
from interlock.tools.sandbox.programs import executables
from interlock.tools.sandbox.reach import SYSTEM, Reach

#: What may be asked for: a level, the best there is, or none at all.
Wanted = Literal["auto", "bubblewrap+landlock", "landlock", "bubblewrap", "seccomp", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """What commands are kept from, whatever the policy overlooked.

    Args:
        level: Which walls: one kind, `auto` for the strongest this machine has, `off` for none.
        writable: Whether commands may change the workspace.
        network: Whether every command may use the network.
        programs: Names of the programs that may be executed, asked for each command; None for all of the system's.
        helpers: Further programs that those may run.
        read: Further places commands may read. `~` is the user's home; what is relative is so to the workspace.
        write: Further places they may change.
        protected: What stays out of their reach wherever it is, be it there or not.
        memory_mb: Most data one process may hold.
        file_mb: Largest file a command may write.
        processes: Most processes and threads of the user, all together.
    """

    level: Wanted = "auto"
    writable: bool = True
    network: bool = False
    programs: Callable[[], Iterable[str] | None] = field(default=lambda: None)
    helpers: Sequence[str] = ()
    read: Sequence[str] = ()
    write: Sequence[str] = ()
    protected: Sequence[str | Path] = ()
    memory_mb: int = 4096
    file_mb: int = 4096
    processes: int = 4096

    def found(self) -> Level:
        """The level commands get: `none` where the one that was asked for is not to be had. Tries it the first time."""
        return strength(self.level)[0]

    @contextlib.asynccontextmanager
    async def around(
        self,
        program: str,
        argv: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        seconds: float,
        network: bool,
        directories: Sequence[str],
    ) -> AsyncIterator[tuple[Level, Start]]:
        """What to start so that a command runs behind these walls, and which they are.

        The command gets a directory of its own as home and for temporary files, which is removed afterwards.

        Args:
            program: Absolute path of what is executed.
            argv: Its words, its name first.
            cwd: The workspace.
            env: Its environment.
            seconds: Seconds it may take.
            network: Whether this command may use the network, even if others may not.
            directories: Where programs are looked for.
        """
        level = await asyncio.to_thread(self.found)
        if level in ("none", "off"):
            yield level, Start(program=program, argv=tuple(argv), env=env, channel=-1)
            return
        command = Command(
            program=program,
            argv=argv,
            cwd=cwd,
            env={**env, **self._git(cwd)},
            reach=self._reach(program, cwd, directories),
            network=network or self.network,
            limits=limits_of(seconds=seconds, memory=self.memory_mb, file=self.file_mb, processes=self.processes),
        )
        private = tempfile.mkdtemp(prefix="interlock-")
        try:
            with walled(level, command, private) as start:
                yield level, start
        finally:
            await _remove(private)

    def _reach(self, program: str, cwd: str, directories: Sequence[str]) -> Reach:
        names = self.programs()
        listed = None if names is None else executables((*names, *self.helpers), directories, program)
        read = [_place(one, cwd) for one in self.read]
        write = [_place(one, cwd) for one in self.write]
        (write if self.writable else read).append(cwd)
        own = (program,) if listed is None else ()
        return Reach(
            programs=listed,
            read=(*read, *own, *_installations(listed or own)),
            write=tuple(write),
            protected=tuple(str(Path(one).expanduser()) for one in self.protected),
        )

    def _git(self, cwd: str) -> dict[str, str]:
        """A user's own settings of git are seen only where somebody made them readable."""
        own = os.path.expanduser("~/.gitconfig")
        return {"GIT_CONFIG_GLOBAL": own} if own in {_place(one, cwd) for one in self.read} else {}


def strength(wanted: Wanted) -> tuple[Level, list[str]]:
    """The level that is had where this one is wanted, `none` where it cannot be had, and why no stronger one is."""
    if wanted == "off":
        return "off", []
    missing: list[str] = []
    for level in LEVELS if wanted == "auto" else (wanted,):
        lacks = why_unavailable(level)
        if not lacks:
            return level, missing
        missing += [lacks] if lacks not in missing else []
    return "none", missing


def unavailable(wanted: Wanted) -> ToolFailed:
    """The error for a command that could change something, where the walls it needs cannot be had."""
    kind = "around files" if wanted == "auto" else f"of the kind {wanted}"
    return ToolFailed(
        f"This machine has no sandbox {kind}, so only commands that look are run.",
        'Run `interlock doctor` to see what is missing; `sandbox.level = "off"` runs commands without walls.',
        code="sandbox.unavailable",
    )


def _place(path: str, cwd: str) -> str:
    return os.path.normpath(os.path.join(cwd, os.path.expanduser(path)))


def _installations(programs: Iterable[str]) -> list[str]:
    """Where programs that are no part of the system keep what they need: the folder beside their `bin`."""
    found = []
    for program in programs:
        folder, name = os.path.split(os.path.dirname(os.path.realpath(program)))
        if name in ("bin", "sbin") and not folder.startswith(SYSTEM) and folder not in ("/", os.path.expanduser("~")):
            found.append(folder)
    return found


async def _remove(private: str) -> None:
    try:
        os.rmdir(private)  # as a rule nothing was left there
    except OSError:
        with contextlib.suppress(OSError):
            await asyncio.to_thread(remove, private)
