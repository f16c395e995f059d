"""A user's shell in tests: real processes of the command line, in a folder and an environment of their own."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: What of the developer's own environment must not leak into a test.
_THEIRS = ("INTERLOCK_", "OPENAI_", "ANTHROPIC_", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTHONDONTWRITEBYTECODE")
PATIENCE = 60.0


@dataclass(frozen=True)
class Said:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value on stdout."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The JSON values on stdout, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


class Shell:
    """Runs `interlock ...` in a folder.

    Args:
        folder: The current folder of the commands.
        bytecode: Where compiled code is kept, so that not every process compiles the vendors' packages anew.
        env: Variables beside the plain ones.
    """

    def __init__(self, folder: Path, bytecode: Path, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(_THEIRS)}
        self.env |= {"PYTHONPYCACHEPREFIX": str(bytecode), "PYTHONUTF8": "1", **(env or {})}

    def __call__(self, *words: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Said:
        """Run a command to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "interlock", *words],
            cwd=self.folder,
            env={**self.env, **(env or {})},
            input=stdin,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        return Said(done.returncode, done.stdout.decode(), done.stderr.decode())

    def at_terminal(self, *words: str, width: int = 100) -> str:
        """What a person at a terminal sees of a command, with all its control sequences."""
        process, near = self.open_terminal(*words, term="xterm-256color", width=width)
        seen = b""
        with contextlib.suppress(OSError):  # the terminal is gone when the command has ended
            while piece := os.read(near, 65536):
                seen += piece
        os.close(near)
        process.wait(PATIENCE)
        return seen.decode()

    def open_terminal(
        self, *words: str, term: str = "xterm", width: int = 0, out: int | None = None
    ) -> tuple[subprocess.Popen[bytes], int]:
        """Start a command at a terminal; gives the person's end of it, to be read, written and closed.

        Args:
            words: The command.
            term: What kind of terminal.
            width: Its columns; 0 leaves them unknown.
            out: Where the output goes instead.
        """
        near, far = pty.openpty()
        if width:
            fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-m", "interlock", *words],
            cwd=self.folder,
            env={**self.env, "TERM": term},
            stdin=far,
            stdout=far if out is None else out,
            stderr=far,
            start_new_session=True,
        )
        os.close(far)
        return process, near

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command and leave it running."""
        return subprocess.Popen(
            [sys.executable, "-m", "interlock", *words],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


def ended(process: subprocess.Popen[bytes]) -> Said:
    """Wait for a command that was left running."""
    out, err = process.communicate(timeout=PATIENCE)
    return Said(process.returncode, out.decode(), err.decode())


def interrupt(process: subprocess.Popen[bytes]) -> None:
    """What Ctrl-C does."""
    process.send_signal(signal.SIGINT)


def wait_for(true: Any) -> None:
    """Wait until something another process does has happened."""
    late = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < late, "it did not happen"
        time.sleep(0.02)
