"""What a command is given at the door: the common options, and from them settings, output and store."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.cli.output import Output
from interlock.errors import InterlockError

if TYPE_CHECKING:
    from interlock.platform.settings import Settings
    from interlock.stores.sqlite import SqliteJournal

LOG = "interlock.log"
_COMMAND = re.compile(r"`interlock ([^`]*)`")
#: The verbs that do work, and need the tools, rules and models again with which a run was begun.
_WORKS = ("run resume", "run fork", "plan run")


@dataclass(slots=True)
class Door:
    """The options every verb has, and what is made from them when it is first needed.

    Attributes:
        out: Where words go.
        home: The folder of the store, where the command line says it.
        profile: The settings profile, where the command line says it.
        run: The run the command is about, once it is known; errors name it.
        options: What leads to the same tools, rules and models; commands that go on with the run have it.
        known: The settings, once they are read.
    """

    out: Output = field(default_factory=Output)
    home: str | None = None
    profile: str | None = None
    run: str | None = None
    options: tuple[str, ...] = ()
    known: Settings | None = None

    def settings(self) -> Settings:
        """The settings, read once.

        Raises:
            SettingsError: something in them is wrong.
        """
        if self.known is None:
            from interlock.platform.settings import load

            self.known = load(home=self.home, profile=self.profile)
        return self.known

    def command(self, verb: str, *words: str) -> str:
        """A command line for people to copy, with the options that lead to the same store."""
        return shlex.join([program(), *verb.split(), *words, *self._place()])

    def _place(self) -> list[str]:
        """The options that lead to the same store."""
        home = ["--home", self.home] if self.home else []
        return [*home, *(["--profile", self.profile] if self.profile else [])]

    def typed(self, do: str, run: str | None = None) -> str:
        """A next step whose commands can be copied as they stand: with the run's id, its tools and its store.

        Args:
            do: The next step; commands in it stand in backticks.
            run: The run that `ID` stands for.
        """

        def whole(found: re.Match[str]) -> str:
            words = found[1]
            options = self.options if words.startswith(_WORKS) and "--tools" not in words else ()
            place = () if "--home" in words or "--profile" in words else self._place()
            return f"`{' '.join([program(), words, shlex.join([*options, *place])]).rstrip()}`"

        return _COMMAND.sub(whole, re.sub(r"\bID\b", run, do) if run else do)

    def refuse(self, error: InterlockError, run: str | None = None) -> None:
        """Say what went wrong and what to do, in words that can be typed here.

        Args:
            error: What went wrong.
            run: The run it is about.
        """
        self.out.error(error, do=self.typed(error.do, run), run=run)

    def log_file(self) -> Path:
        """The log in the home folder; the folder need not exist, and the settings may be broken."""
        if self.known is not None:
            return self.known.home / LOG
        return Path(self.home or os.environ.get("INTERLOCK_HOME", "").strip() or ".interlock").absolute() / LOG

    @asynccontextmanager
    async def stored(self) -> AsyncIterator[SqliteJournal | None]:
        """The store, for looking things up; None where nothing was ever written, and then nothing is made.

        Raises:
            StoreFailed: it cannot be opened.
        """
        from interlock.platform.lookup import open_stored

        journal = open_stored(self.settings())
        try:
            yield journal
        finally:
            if journal is not None:
                await journal.close()


def program() -> str:
    """What people have to type to get this program: its name where the shell finds it, else the way to it."""
    import shutil

    called = Path(sys.argv[0])
    if shutil.which("interlock") or called.name != "interlock":
        return "interlock"
    return os.path.relpath(called) if called.is_absolute() else str(called)
