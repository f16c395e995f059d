"""A child process with a clean start, bounded output, a time limit, and no survivors in its group."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import IO, Literal

from interlock.tools.result import clean

#: Seconds between SIGTERM and SIGKILL.
GRACE = 1.0
#: Seconds to wait for what is left in the pipes once the child has ended: someone who left its group may hold them.
DRAIN = 0.25
#: Seconds to wait for a killed child; the kernel may hold it longer, and then a thread waits for it.
REAP = 2.0
#: A child that writes more than this is stopped, in bytes.
FLOOD = 64 * 1024 * 1024

Ending = Literal["exited", "timeout", "flood"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a child ended.

    Args:
        ending: By itself, or stopped for its time or for the amount of its output.
        exit_code: What it returned; minus the signal's number if one ended it.
        stdout: What it wrote, readable and bounded.
        stderr: The same for its errors.
        seconds: How long it took.
        truncated: Whether some output was left out.
    """

    ending: Ending
    exit_code: int
    stdout: str
    stderr: str
    seconds: float
    truncated: bool


class Capture:
    """The head and the tail of a stream, in bounded memory.

    Args:
        limit: Bytes kept at most.
    """

    def __init__(self, limit: int) -> None:
        self._half = max(1, limit // 2)
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def add(self, chunk: bytes) -> None:
        """Take in the next piece."""
        self.total += len(chunk)
        room = self._half - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[room:]
        if len(self._tail) > 4 * self._half:
            del self._tail[: -self._half]

    @property
    def left_out(self) -> int:
        """How many bytes are not kept."""
        return max(0, self.total - 2 * self._half)

    def text(self) -> str:
        """What was kept, readable: invalid UTF-8 replaced, control characters gone, a mark where bytes are missing."""
        if not self.left_out:
            return clean((self._head + self._tail).decode(errors="replace"))
        head, tail = self._head.decode(errors="replace"), self._tail[-self._half :].decode(errors="replace")
        return clean(f"{head}\n… {self.left_out:,} bytes left out …\n{tail}")


async def run_child(
    program: str,
    argv: Sequence[str],
    *,
    cwd: str,
    env: Mapping[str, str],
    timeout: float,
    max_output: int,
    channel: int = -1,
) -> Ended:
    """Run a program without a shell, in its own process group, and leave nothing of the group behind.

    Its standard input is empty. When it takes too long, writes without end, or this is cancelled, the whole
    group gets SIGTERM and soon after SIGKILL. A process that left the group (a daemon) is beyond reach here;
    it cannot delay the answer.

    Args:
        program: Absolute path of what is executed.
        argv: Its arguments, its name first.
        cwd: Where it runs.
        env: Its whole environment.
        timeout: Seconds it may take.
        max_output: Bytes kept of each of its two streams.
        channel: A descriptor it inherits beside its streams, if any.

    Raises:
        OSError: it could not be started.
    """
    started = time.monotonic()
    child = _Child(program, argv, cwd, env, max_output, channel)
    ending: Ending = "exited"
    try:
        async with asyncio.timeout(timeout):
            await asyncio.wait([child.exited, child.flooded], return_when=asyncio.FIRST_COMPLETED)
            if not child.exited.done():
                ending = "flood"
    except TimeoutError:
        ending = "timeout"
    finally:
        await child.stop()
    return Ended(
        ending=ending,
        exit_code=child.exit_code,
        stdout=child.out.text(),
        stderr=child.err.text(),
        seconds=round(time.monotonic() - started, 3),
        truncated=bool(child.out.left_out or child.err.left_out),
    )


class _Child:
    """A running process group with its two pipes, read by the event loop.

    The leader is watched without being reaped until the group has been killed: as long as it is there, even as
    a zombie, no other process can get the group's number and so a signal meant for it.
    """

    def __init__(
        self, program: str, argv: Sequence[str], cwd: str, env: Mapping[str, str], limit: int, channel: int
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[None] = self._loop.create_future()
        self.flooded: asyncio.Future[None] = self._loop.create_future()
        self._drained: asyncio.Future[None] = self._loop.create_future()
        self.out, self.err = Capture(limit), Capture(limit)
        self._popen = subprocess.Popen(
            list(argv),
            executable=program,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            pass_fds=() if channel < 0 else (channel,),
        )
        assert self._popen.stdout is not None and self._popen.stderr is not None  # noqa: PT018 - for the types
        self._pipes: list[IO[bytes]] = [self._popen.stdout, self._popen.stderr]
        self._open = set(self._pipes)
        for pipe, capture in zip(self._pipes, (self.out, self.err), strict=True):
            os.set_blocking(pipe.fileno(), False)
            self._loop.add_reader(pipe.fileno(), self._read, pipe, capture)
        threading.Thread(target=self._watch, name="interlock-child", daemon=True).start()

    @property
    def exit_code(self) -> int:
        """The return code, or that of a kill where the kernel has not let it go yet."""
        return -signal.SIGKILL if self._popen.returncode is None else self._popen.returncode

    async def stop(self) -> None:
        """End the group, politely first, then for good; also when this itself is cancelled."""
        try:
            if not self.exited.done():
                self._signal(signal.SIGTERM)
                await asyncio.wait([self.exited], timeout=GRACE)
            self._signal(signal.SIGKILL)
            await asyncio.wait([self.exited], timeout=REAP)
            await asyncio.wait([self._drained], timeout=DRAIN)
        finally:
            self._signal(signal.SIGKILL)
            self._close()

    def _watch(self) -> None:
        with contextlib.suppress(OSError):  # someone else in this process has reaped it: then it is over as well
            if hasattr(os, "waitid"):
                os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOWAIT)
            else:
                self._popen.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(_settle, self.exited)

    def _signal(self, number: int) -> None:
        if self._popen.returncode is None:
            # Nobody is left, or it has become another user's (sudo), who is not ours to kill.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, number)

    def _read(self, pipe: IO[bytes], capture: Capture) -> None:
        try:
            chunk = os.read(pipe.fileno(), 65_536)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        capture.add(chunk)
        if not chunk:
            self._loop.remove_reader(pipe.fileno())
            self._open.discard(pipe)
            if not self._open:
                _settle(self._drained)
        elif capture.total > FLOOD:
            _settle(self.flooded)

    def _close(self) -> None:
        for pipe in self._pipes:
            self._loop.remove_reader(pipe.fileno())
            pipe.close()
        if self._popen.poll() is None:
            threading.Thread(target=partial(self._popen.wait), name="interlock-reaper", daemon=True).start()


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
