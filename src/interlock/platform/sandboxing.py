"""The sandbox around commands, as the settings, the command policy and what is protected want it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from interlock.governance.commands import CommandPolicy
from interlock.governance.programs import listed_programs
from interlock.platform.settings import Settings
from interlock.tools.sandbox import Sandbox

#: Files that Interlock would read when it is started again; nobody who is governed by them may make them.
RULES = ("interlock.toml", "policy.toml")


def sandbox_for(
    settings: Settings, commands: Callable[[], CommandPolicy | None], protected: Sequence[Path], cwd: Path
) -> Sandbox:
    """The walls around the commands of agents.

    Args:
        settings: What is set.
        commands: Gives the command policy as it is now; what it lists is what the kernel lets them execute.
        protected: What no agent may read or change.
        cwd: Where this process was started, and would look for its settings again.
    """
    wanted = settings.sandbox
    programs = (lambda: listed_programs(commands())) if wanted.exec == "policy" else (lambda: None)
    return Sandbox(
        level=wanted.level,
        writable=wanted.workspace == "write",
        network=wanted.network,
        programs=programs,
        helpers=wanted.helpers,
        read=wanted.read,
        write=wanted.write,
        protected=(*protected, *rules_read_from(cwd)),
        memory_mb=wanted.memory_mb,
        file_mb=wanted.file_mb,
        processes=wanted.processes,
    )


def rules_read_from(cwd: Path) -> list[Path]:
    """Where a start in this folder would look for settings and rules, be they there or not."""
    return [folder / name for folder in (cwd, *cwd.parents) for name in RULES]
