"""An MCP server that is a program of ours: messages are lines on its pipes, and nothing of its group outlives it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from interlock.tools.child import Capture

if TYPE_CHECKING:
    from anyio.abc import ObjectReceiveStream, ObjectSendStream
    from mcp.client._transport import TransportStreams
    from mcp.shared.message import SessionMessage

_log = logging.getLogger(__name__)

#: A line longer than this ends the connection, in bytes.
MAX_LINE = 8 * 1024 * 1024
#: Seconds that a server gets to leave by itself after its standard input is closed, and again after SIGTERM.
GRACE = 1.0
#: Seconds to wait for a killed process; the kernel may hold it longer, and then a thread waits for it.
REAP = 2.0
#: Seconds for what is left in the pipes of a server that has ended.
DRAIN = 0.1
#: Bytes kept of what it writes to its standard error, for the log.
KEPT_STDERR = 8_192


class ServerProcess:
    """A running process group, led by an MCP server.

    The leader is watched without being reaped until the group has been killed: as long as it is there, even as
    a zombie, no other process can get the group's number and so a signal meant for it.

    Args:
        command: The program, as it is found on the PATH, and its arguments.
        env: Its whole environment.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[None] = self._loop.create_future()
        self.stderr = Capture(KEPT_STDERR)
        program = shutil.which(command[0], path=env.get("PATH"))
        if program is None:
            raise FileNotFoundError(f"no program {command[0]}")
        self._popen = subprocess.Popen(
            list(command),
            executable=program,
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        pipes = (self._popen.stdin, self._popen.stdout, self._popen.stderr)
        self._stdin, self._stdout, self._stderr = (cast("Any", pipe) for pipe in pipes)
        for pipe in (self._stdin, self._stdout, self._stderr):
            os.set_blocking(pipe.fileno(), False)
        threading.Thread(target=self._watch, name="interlock-mcp", daemon=True).start()

    @property
    def pid(self) -> int:
        """The number of the leader, and of the group."""
        return self._popen.pid

    async def read(self) -> bytes:
        """The next piece of its output; nothing when there will be no more."""
        return await _read(self._stdout.fileno())

    async def write(self, data: bytes) -> None:
        """Write to its standard input.

        Raises:
            OSError: it does not read any more.
        """
        from anyio import wait_writable

        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._stdin.fileno(), rest) :]
            except BlockingIOError:
                await wait_writable(self._stdin.fileno())

    async def keep_stderr(self) -> None:
        """Read its errors until they end, and keep the beginning and the end of them."""
        while chunk := await _read(self._stderr.fileno()):
            self.stderr.add(chunk)

    async def stop(self) -> None:
        """End the group: its input is closed, then SIGTERM, then SIGKILL; also when this itself is cancelled."""
        from anyio import notify_closing

        try:
            notify_closing(self._stdin.fileno())  # whoever waits to write to it
            self._stdin.close()
            if not self.exited.done():
                await asyncio.wait([self.exited], timeout=GRACE)
            if not self.exited.done():
                self._signal(signal.SIGTERM)
                await asyncio.wait([self.exited], timeout=GRACE)
            self._signal(signal.SIGKILL)
            await asyncio.wait([self.exited], timeout=REAP)
        finally:
            self._signal(signal.SIGKILL)
            if self._popen.poll() is None:
                threading.Thread(target=self._popen.wait, name="interlock-reaper", daemon=True).start()

    def close(self) -> None:
        """Let go of the pipes, when nobody reads them any more."""
        for pipe in (self._stdin, self._stdout, self._stderr):
            pipe.close()

    def _watch(self) -> None:
        with contextlib.suppress(OSError):  # someone else in this process has reaped it: then it is over as well
            os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._has_exited)

    def _has_exited(self) -> None:
        if not self.exited.done():
            self.exited.set_result(None)

    def _signal(self, number: int) -> None:
        if self._popen.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, number)


async def _read(descriptor: int) -> bytes:
    from anyio import wait_readable

    while True:
        try:
            return os.read(descriptor, 65_536)
        except BlockingIOError:
            await wait_readable(descriptor)
        except OSError:
            return b""


@contextlib.asynccontextmanager
async def pipes_of(program: ServerProcess, on_end: Callable[[], None]) -> AsyncIterator[TransportStreams]:
    """The SDK's two streams over the pipes of a program, which is stopped at the end.

    Args:
        program: The server.
        on_end: Called as soon as the server says nothing more, before anyone who waits for an answer is told.
    """
    import anyio
    from mcp.shared.message import SessionMessage

    told, heard = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, taken = anyio.create_memory_object_stream[SessionMessage](0)
    try:
        async with anyio.create_task_group() as group, told, heard, outgoing, taken:
            group.start_soon(_hear, program, told, on_end)
            group.start_soon(_tell, program, taken, on_end)
            group.start_soon(program.keep_stderr)
            group.start_soon(_notice_the_end, program, on_end)
            try:
                yield heard, outgoing
            finally:
                with anyio.CancelScope(shield=True):
                    await program.stop()
                group.cancel_scope.cancel()
    finally:
        program.close()


async def _hear(
    program: ServerProcess, told: ObjectSendStream[SessionMessage | Exception], on_end: Callable[[], None]
) -> None:
    from anyio import BrokenResourceError, ClosedResourceError
    from mcp.shared.message import SessionMessage
    from mcp_types import jsonrpc_message_adapter

    buffer = bytearray()
    try:
        while len(buffer) <= MAX_LINE and (chunk := await program.read()):
            *lines, rest = chunk.split(b"\n")
            for line in lines:
                buffer += line
                with contextlib.suppress(ValueError):  # no message: a print that went to the wrong place
                    await told.send(SessionMessage(jsonrpc_message_adapter.validate_json(bytes(buffer), by_name=False)))
                buffer.clear()
            buffer += rest
        if len(buffer) > MAX_LINE:
            _log.warning("An MCP server wrote a line of more than %d bytes; the connection is closed.", MAX_LINE)
    except (BrokenResourceError, ClosedResourceError):
        pass  # nobody listens any more
    finally:
        on_end()
        await told.aclose()


async def _tell(program: ServerProcess, taken: ObjectReceiveStream[SessionMessage], on_end: Callable[[], None]) -> None:
    from anyio import ClosedResourceError

    try:
        async for message in taken:
            line = message.message.model_dump_json(by_alias=True, exclude_unset=True)
            await program.write(line.encode() + b"\n")
    except (OSError, ValueError, ClosedResourceError):
        pass  # it does not read any more
    finally:
        on_end()
        await taken.aclose()


async def _notice_the_end(program: ServerProcess, on_end: Callable[[], None]) -> None:
    await asyncio.wait([program.exited])
    await asyncio.sleep(DRAIN)  # its children may hold the pipes open, so their end cannot be waited for
    on_end()
