"""One connection to an MCP server, from its first byte to its last, owned by one task."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interlock.errors import InterlockError, ToolFailed, UsageError
from interlock.tools.function import in_thread
from interlock.tools.mcp_http import MAX_MESSAGE, TRACK, Track, http_client
from interlock.tools.mcp_results import failed, words_of
from interlock.tools.mcp_settings import Resolved
from interlock.tools.mcp_stdio import ServerProcess, pipes_of

if TYPE_CHECKING:
    from mcp import Client, MCPError
    from mcp.client._transport import TransportStreams
    from mcp.shared.message import SessionMessage
    from mcp_types import CallToolResult, Tool

_log = logging.getLogger(__name__)

#: Most tools that are taken from one server, and most pages of its list.
MAX_TOOLS = 1_000
MAX_PAGES = 50
#: The largest description of arguments that is taken, as JSON, in characters.
MAX_SCHEMA = 100_000
#: Most characters of a tool's own description that a model is shown.
MAX_DESCRIPTION = 4_000
#: Seconds to take leave; a server that takes longer is cut off.
LEAVE = 5.0


class LinkLost(Exception):
    """The way to the server broke during a call.

    Args:
        sent: Whether the call may have reached it.
    """

    def __init__(self, *, sent: bool) -> None:
        super().__init__()
        self.sent = sent


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedTool:
    """A tool as its server lists it. Everything but the name is the server's word and no more.

    Args:
        name: Its name there.
        description: What it does, for models.
        parameters: JSON Schema of its arguments.
        repeatable: Whether the server says that calling it twice does no more than calling it once.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    repeatable: bool

    def same_call(self, other: ListedTool | None) -> bool:
        """Whether the other one is called in the same way; descriptions may differ."""
        return other is not None and (self.parameters, self.repeatable) == (other.parameters, other.repeatable)


class McpSession:
    """A connection that opens at once. What the SDK opened in a task must be closed in that task, so it has one.

    Args:
        label: What the server is called, for errors.
        reached: How it is reached.
        timeout: Seconds that opening may take.
    """

    def __init__(self, label: str, reached: Resolved, timeout: float) -> None:
        self._label = label
        self._reached = reached
        self._timeout = timeout
        self._over = asyncio.Event()
        self._client: Client | None = None
        self._program: ServerProcess | None = None
        loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[dict[str, ListedTool] | InterlockError] = loop.create_future()
        # It outlives whoever needed it first, and so does not belong to that one's run.
        self._owner = loop.create_task(self._own(), name=f"mcp-{label}", context=contextvars.Context())

    @property
    def alive(self) -> bool:
        """Whether it may be used: it is open, or still opening."""
        return not self._over.is_set()

    @property
    def pid(self) -> int | None:
        """The process of a server that is a program of ours."""
        return self._program.pid if self._program else None

    async def tools(self) -> Mapping[str, ListedTool]:
        """The server's tools by name, as soon as the connection is open.

        Raises:
            ToolFailed: it cannot be opened.
        """
        await asyncio.wait([self._opened])
        found = self._opened.result()
        if isinstance(found, InterlockError):
            raise type(found)(found.says, found.do, code=found.code, detail=found.detail)
        return found

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> CallToolResult:
        """Call a tool. The session must be open.

        Raises:
            LinkLost: the connection broke, or has been broken before.
            ToolFailed: code `tool.error` or `tool.result`: the server refused, or its answer is none.
        """
        from mcp import MCPError

        if self._client is None or not self.alive:
            raise LinkLost(sent=False)
        track = Track()
        mark = TRACK.set(track)
        try:
            return await self._client.call_tool(tool, dict(arguments))
        except MCPError as error:
            if track.expired:
                self._over.set()
                raise LinkLost(sent=False) from error
            if track.lost or not self.alive or _cut_off(error):
                raise LinkLost(sent=track.sent) from error
            raise failed(tool, _says(error, track)) from error
        except Exception as error:  # the SDK checks what came back, and says in many ways that it will not do
            if not self.alive:
                raise LinkLost(sent=track.sent) from error
            says = f"The answer of the tool {tool} does not fit what its server announced."
            raise ToolFailed(says, code="tool.result", detail=words_of(str(error))) from error
        finally:
            TRACK.reset(mark)

    async def close(self) -> None:
        """End the connection, and the program behind it. Twice does nothing."""
        self._over.set()
        if not self._opened.done():
            self._owner.cancel()
        await asyncio.wait([self._owner], timeout=LEAVE)
        if not self._owner.done():
            self._owner.cancel()
            await asyncio.wait([self._owner])

    async def _own(self) -> None:
        found: dict[str, ListedTool] | InterlockError = _closed(self._label)
        track = Track()
        TRACK.set(track)
        try:
            await in_thread(_load)
            async with asyncio.timeout(self._timeout) as limit, self._open() as client:
                found = await _listed(client, self._label)
                limit.reschedule(None)
                self._client = client
                if self.alive:
                    self._opened.set_result(found)
                try:
                    await self._over.wait()
                finally:  # from here on nobody uses it, whatever ends it
                    self._over.set()
        except Exception as error:  # noqa: BLE001 - whatever ends a connection is told to those who wait for it
            found = self._why(error, track)
            _log.debug("The connection to the MCP server %s ended: %s", self._label, found.says)
        finally:
            self._over.set()
            if not self._opened.done():
                self._opened.set_result(found if isinstance(found, InterlockError) else _closed(self._label))

    @contextlib.asynccontextmanager
    async def _open(self) -> AsyncIterator[Client]:
        from mcp import Client
        from mcp.client.stdio import get_default_environment
        from mcp.client.streamable_http import streamable_http_client

        async with contextlib.AsyncExitStack() as stack:
            if self._reached.command:
                # Nothing of our environment but what every program needs.
                env = {**get_default_environment(), **self._reached.env}
                self._program = ServerProcess(self._reached.command, env)
                transport = pipes_of(self._program, self._over.set)
            else:
                http = await stack.enter_async_context(http_client(self._reached.headers))
                transport = streamable_http_client(self._reached.url, http_client=http, max_sse_event_size=MAX_MESSAGE)
            # No callbacks: a server may neither ask the model nor a person, nor see our files.
            yield await stack.enter_async_context(Client(_tracked(transport), cache=None))

    def _why(self, error: BaseException, track: Track) -> InterlockError:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, InterlockError):
            return error
        detail = self._program.stderr.text() if self._program else words_of(str(error))
        if isinstance(error, TimeoutError):
            says = f"The MCP server {self._label} did not get ready within {self._timeout:g} seconds."
            return ToolFailed(says, "Give it a longer timeout.", code="tool.timeout", detail=detail)
        if isinstance(error, ImportError):
            says = "MCP servers need the mcp package."
            return UsageError(says, "Install it with `pip install 'interlock[mcp]'`.", code="usage.extra")
        if isinstance(error, OSError) and self._reached.command and self._program is None:
            says, do = f"The program of the MCP server {self._label} cannot be started.", "Check its server_command."
        elif self._reached.command:
            says, do = f"The MCP server {self._label} ended before it was ready.", "Check its command, its env and log."
        elif track.status >= 400:
            says = f"The MCP server {self._label} answered with HTTP {track.status}."
            do = "Check its address and its headers."
        else:
            says, do = f"The MCP server {self._label} cannot be reached.", "Check its address, and that it runs."
        return ToolFailed(says, do, code="tool.connection", detail=detail)


def _load() -> None:
    """Load the SDK, which takes too long to do it where everybody else waits for it."""
    import mcp.client.streamable_http  # noqa: F401


def _closed(label: str) -> ToolFailed:
    return ToolFailed(f"The connection to the MCP server {label} is closed.", code="tool.connection")


def _cut_off(error: MCPError) -> bool:
    """Whether the SDK says, in the server's stead, that no answer will come."""
    return error.code == -32000 and error.message.startswith("SSE stream")


def _says(error: MCPError, track: Track) -> str:
    if track.status >= 400 and error.message == "Server returned an error response":
        return f"the server answered with HTTP {track.status}"
    return error.message


async def _listed(client: Client, label: str) -> dict[str, ListedTool]:
    found: dict[str, ListedTool] = {}
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        for tool in page.tools:
            if (listed := _taken(tool)) is not None:
                found.setdefault(tool.name, listed)
            else:
                _log.warning("A tool of the MCP server %s is left out: its arguments cannot be read.", label)
        cursor = page.next_cursor
        if cursor is None or len(found) > MAX_TOOLS:
            break
    return dict(list(found.items())[:MAX_TOOLS])


def _taken(tool: Tool) -> ListedTool | None:
    schema = {"type": "object", "properties": {}, **tool.input_schema}
    try:
        size = len(json.dumps(schema, allow_nan=False))
    except (ValueError, TypeError, RecursionError):
        return None
    if schema["type"] != "object" or not isinstance(schema["properties"], dict) or size > MAX_SCHEMA:
        return None
    hints = tool.annotations
    return ListedTool(
        name=tool.name,
        description=words_of(tool.description or tool.title or "", MAX_DESCRIPTION),
        parameters=schema,
        repeatable=hints is not None and bool(hints.read_only_hint or hints.idempotent_hint),
    )


class _Outgoing:
    """The SDK's stream to the server, which notes for each call whether it may have gone out."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def send(self, item: SessionMessage) -> None:
        from anyio import BrokenResourceError, ClosedResourceError

        track = TRACK.get() or Track()
        before, track.sent = track.sent, True
        try:
            await self._stream.send(item)
        except (BrokenResourceError, ClosedResourceError):
            track.sent = before
            raise

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def __aenter__(self) -> _Outgoing:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


@contextlib.asynccontextmanager
async def _tracked(
    transport: contextlib.AbstractAsyncContextManager[TransportStreams],
) -> AsyncIterator[TransportStreams]:
    async with transport as (read, write):
        yield read, _Outgoing(write)
