"""The tools of MCP servers as tools of ours: only what is listed, judged like everything else, and called with care."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from interlock.errors import InterlockError, ToolFailed, UsageError
from interlock.records.verdict import Act, Permit
from interlock.tools.function import shortest
from interlock.tools.mcp_results import ResultCache, read_result
from interlock.tools.mcp_session import LinkLost, ListedTool, McpSession
from interlock.tools.mcp_settings import ACT_PARTS, McpServer
from interlock.tools.schema import validate
from interlock.tools.signature import misfit, refuse_unknown
from interlock.tools.tool import Caller, Tool, ToolSpec, act_for, permitted

_log = logging.getLogger(__name__)

#: The pause before the first reconnection in seconds; each further failure doubles it.
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0

_FITTING = re.compile(r"[A-Za-z0-9_-]{1,64}")


class McpConnection:
    """The way to one server: opened when it is needed, opened anew when it broke, and used by everyone at once.

    It belongs to one event loop.

    Args:
        server: The definition.
        clock: Seconds that only go forward; by it kept answers grow old.
        environ: The environment that `${NAME}` refers to, read whenever a connection is opened.
        on_secret: Told the value of every secret and what it is called, before the value is used.
    """

    def __init__(
        self,
        server: McpServer,
        *,
        clock: Callable[[], float] = time.monotonic,
        environ: Mapping[str, str] = os.environ,
        on_secret: Callable[[str, str], Any] | None = None,
    ) -> None:
        self.server = server
        self._environ = environ
        self._on_secret = on_secret
        self._cache = ResultCache(server.cache_ttl, clock)
        self._session: McpSession | None = None
        self._ending: set[McpSession] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failures = 0
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The process of a server that is a program of ours, while it runs."""
        return self._session.pid if self._session is not None and self._session.alive else None

    async def tools(self) -> list[ListedTool]:
        """The tools that the server has and that may be called.

        Raises:
            ToolFailed: `tool.connection` or `tool.timeout`: the server does not answer.
            UsageError: `usage.mcp`: the definition cannot be connected to.
        """
        session = await self._open()
        listed = await session.tools()
        for name in self.server.allowed_tools or ():
            if name not in listed:
                _log.warning("The MCP server %s has no tool %s, which its allowed_tools name.", self.server.label, name)
        return [tool for name, tool in listed.items() if self.server.allows(name)]

    async def call(self, tool: ListedTool, arguments: Mapping[str, Any], timeout: float) -> Any:
        """Call a tool once, or give the answer of an identical call that is still good.

        Args:
            tool: The tool as it was listed.
            arguments: What it is called with.
            timeout: Seconds for all of it, reconnecting included.

        Raises:
            ToolFailed: `tool.error` with the server's words; `tool.timeout`; `tool.connection`; `tool.result`;
                `tool.changed` when the server offers something else under this name by now; `tool.in_doubt` when
                the connection broke and nobody knows whether the call happened.
            UsageError: the tool may not be called.
        """
        if not self.server.allows(tool.name):
            says = f"The tool {tool.name} of the MCP server {self.server.label} is not in its allowed_tools."
            raise UsageError(says, "Name it there if it may be called.", code="usage.permit")
        try:
            async with asyncio.timeout(timeout):
                return await self._cache.answer(tool.name, arguments, lambda: self._call(tool, arguments))
        except TimeoutError as error:
            raise ToolFailed(
                f"The tool {tool.name} of {self.server.label} took longer than {timeout:g} seconds.",
                "Ask for less at once, or give the server a longer timeout. It may have happened all the same.",
                code="tool.timeout",
            ) from error

    async def close(self) -> None:
        """End the connection, and the program behind it. Twice does nothing."""
        self._closed = True
        sessions = [*self._ending, *([self._session] if self._session else [])]
        self._session = None
        async with asyncio.TaskGroup() as group:
            for session in sessions:
                group.create_task(session.close())

    async def _call(self, tool: ListedTool, arguments: Mapping[str, Any]) -> Any:
        """Call, and once more over a new connection where that cannot do anything twice."""
        for attempt in (1, 2):
            session = await self._open()
            if not tool.same_call((await session.tools()).get(tool.name)):
                says = f"The tool {tool.name} of the MCP server {self.server.label} is not what it was any more."
                raise ToolFailed(says, "Connect again, and look at what it is now.", code="tool.changed")
            try:
                result = await session.call(tool.name, arguments)
            except LinkLost as lost:
                self._failures += 1
                if lost.sent and not tool.repeatable:
                    raise self._in_doubt(tool) from lost
                if attempt == 2:
                    raise self._lost() from lost
            else:
                self._failures = 0
                return read_result(tool.name, result)
        raise AssertionError("unreachable")

    async def _open(self) -> McpSession:
        """The session, which is opened if there is none that lives; everyone who needs it waits for the same one."""
        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop):
            says = f"The connection to the MCP server {self.server.label} belongs to another event loop."
            raise UsageError(says, "Make one for each event loop.", code="usage.loop")
        self._loop = loop
        if self._failures:
            await asyncio.sleep(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._failures - 1, 10)))
        if self._closed:
            raise self._lost()
        if self._session is None or not self._session.alive:
            await self._let_go(self._session)
        if self._session is None:
            reached = self.server.resolve(self._environ)
            for name, value in reached.secrets:
                if self._on_secret is not None:
                    self._on_secret(value, name)
            self._session = McpSession(self.server.label, reached, self.server.timeout)
        session = self._session
        try:
            await session.tools()
        except ToolFailed:
            self._failures += 1
            raise
        return session

    async def _let_go(self, session: McpSession | None) -> None:
        if session is None:
            return
        self._session = None if self._session is session else self._session
        self._ending.add(session)
        await session.close()
        self._ending.discard(session)  # not if we are cancelled meanwhile: then `close` waits for it

    def _in_doubt(self, tool: ListedTool) -> ToolFailed:
        return ToolFailed(
            f"The connection to the MCP server {self.server.label} broke while {tool.name} was called; "
            "nobody knows whether it happened.",
            "Look whether it did before you call it again.",
            code="tool.in_doubt",
        )

    def _lost(self) -> ToolFailed:
        return ToolFailed(
            f"There is no connection to the MCP server {self.server.label}.",
            "Check that it runs, and try again.",
            code="tool.connection",
        )


class McpTool:
    """One tool of an MCP server, for agents.

    Args:
        connection: The way to the server.
        listed: The tool as the server lists it.
        name: What it is called here.

    Raises:
        UsageError: code `usage.permit`: the server's definition does not allow the tool.
    """

    def __init__(self, connection: McpConnection, listed: ListedTool, name: str) -> None:
        if not connection.server.allows(listed.name):
            raise UsageError(f"{listed.name} is not in the allowed_tools of its server.", code="usage.permit")
        self._connection = connection
        self._listed = listed
        self.spec = ToolSpec(name=name, description=listed.description, parameters=listed.parameters)
        #: Whether the server says that calling it twice does no more than calling it once.
        self.repeatable = listed.repeatable
        #: Whether a person must agree to every call; `governance.mcp_policy.mcp_judge` sees to it.
        self.needs_approval = connection.server.require_approval == "always"

    def __repr__(self) -> str:
        return f"McpTool({self.spec.name}, {self.server.label})"

    @property
    def server(self) -> McpServer:
        """The definition of its server."""
        return self._connection.server

    def act(self, arguments: Mapping[str, Any], caller: Caller) -> Act:
        """Check the arguments, and say which tool of which server would be called with what.

        Raises:
            ToolFailed: code `tool.arguments`: they do not fit the schema.
        """
        name, schema = self.spec.name, self.spec.parameters
        if isinstance(arguments, Mapping):
            arguments = self._inner(arguments)
        open_ended = schema.get("additionalProperties") is not False
        refuse_unknown(name, arguments, arguments if open_ended else schema["properties"])
        if faults := validate(dict(arguments), schema):
            raise misfit(name, "; ".join(faults))
        return act_for(caller, "tool", name, self._asked(msgspec.to_builtins(dict(arguments))))

    async def run(self, permit: Permit, caller: Caller) -> Any:
        """Call what the permit allows, and return the answer as JSON.

        Raises:
            ToolFailed: see `McpConnection.call`.
            UsageError: the permit is for something else.
        """
        allowed = permitted(permit, "tool", self.spec.name)
        if (allowed.get("server"), allowed.get("tool")) != (self.server.label, self._listed.name):
            raise UsageError("This permit is for another MCP tool.", code="usage.permit")
        timeout = shortest(self.server.timeout, caller.timeout) or self.server.timeout
        return await self._connection.call(self._listed, allowed["arguments"], timeout)

    def _asked(self, arguments: Any) -> dict[str, Any]:
        asked = {"server": self.server.label, "tool": self._listed.name, "arguments": arguments}
        return {**asked, "approval": self.server.require_approval}

    def _inner(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments of a whole act: whoever allows a call may change it as it was shown, but not which it is."""
        if arguments.keys() != ACT_PARTS or self._listed.parameters["properties"].keys() >= ACT_PARTS:
            return arguments
        inner = arguments["arguments"]
        if not isinstance(inner, Mapping) or arguments != self._asked(inner):
            raise misfit(self.spec.name, "which tool is called cannot be changed")
        return inner


class McpToolbox:
    """The tools of some MCP servers, and the connections to them. It belongs to one event loop; close it at the end.

    Args:
        servers: Definitions, read or as users write them.
        taken: Names of other tools, which none of these may get.
        production: Whether definitions are refused that let every tool be called without a person.
        clock: Seconds that only go forward; by it kept answers grow old.
        environ: The environment that `${NAME}` refers to, read whenever a connection is opened.
        on_secret: Told `(value, name)` of every secret before it is used, for example `Redactor.register`.

    Raises:
        UsageError: `usage.mcp`, `usage.mcp_open`: a definition cannot be used, or two have one label.
    """

    def __init__(
        self,
        servers: Iterable[McpServer | Mapping[str, Any]],
        *,
        taken: Collection[str] = (),
        production: bool = False,
        clock: Callable[[], float] = time.monotonic,
        environ: Mapping[str, str] = os.environ,
        on_secret: Callable[[str, str], Any] | None = None,
    ) -> None:
        self.servers = tuple(_server(given, production=production) for given in servers)
        labels = [server.label for server in self.servers]
        if len(set(labels)) < len(labels):
            raise UsageError("Two MCP servers have the same server_label.", "Rename one of them.", code="usage.mcp")
        self._taken = frozenset(taken)
        self._connections = [
            McpConnection(server, clock=clock, environ=environ, on_secret=on_secret) for server in self.servers
        ]
        for server in self.servers:
            for warning in server.warnings:
                _log.warning("%s", warning)

    async def __aenter__(self) -> McpToolbox:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the definitions allow and is yet not advisable, in sentences."""
        return tuple(warning for server in self.servers for warning in server.warnings)

    def connection(self, label: str) -> McpConnection:
        """The way to one of the servers.

        Raises:
            UsageError: code `usage.mcp`: there is no such server.
        """
        for connection in self._connections:
            if connection.server.label == label:
                return connection
        raise UsageError(f"There is no MCP server {label!r:.80}.", code="usage.mcp")

    async def tools(self, labels: Collection[str] | None = None) -> list[Tool]:
        """Connect, and return every tool that may be called, in the servers' order.

        A tool keeps its name if models accept it and nothing else has it; otherwise it is `LABEL__NAME`.

        Args:
            labels: Of these servers only; None for all.

        Raises:
            ToolFailed: `tool.connection`, `tool.timeout`: a server does not answer.
            UsageError: `usage.mcp`: a server cannot be connected to.
        """
        asked = [one for one in self._connections if labels is None or one.server.label in labels]
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(_listed(connection)) for connection in asked]
        lists = [task.result() for task in asking]
        for failure in lists:
            if isinstance(failure, InterlockError):
                raise failure
        pairs = zip(asked, lists, strict=True)
        found = [(one, tool) for one, tools in pairs if isinstance(tools, list) for tool in tools]
        names = _names([(connection.server.label, tool.name) for connection, tool in found], self._taken)
        return [McpTool(connection, tool, name) for (connection, tool), name in zip(found, names, strict=True)]

    async def close(self) -> None:
        """End every connection and the programs behind them. Twice does nothing."""
        async with asyncio.TaskGroup() as group:
            for connection in self._connections:
                group.create_task(connection.close())


def _server(given: McpServer | Mapping[str, Any], *, production: bool) -> McpServer:
    server = given if isinstance(given, McpServer) else McpServer.read(given)
    return server.for_production() if production else server


async def _listed(connection: McpConnection) -> list[ListedTool] | InterlockError:
    try:
        return await connection.tools()
    except InterlockError as error:  # the other servers are heard all the same
        return error


def _names(tools: Sequence[tuple[str, str]], taken: frozenset[str]) -> list[str]:
    """A name for each (label, tool): its own where that is good and free, else one with the label before it."""
    often = Counter(tool for _, tool in tools)
    given: dict[tuple[str, str], str] = {}
    used = set(taken)
    for label, tool in tools:
        if _FITTING.fullmatch(tool) and often[tool] == 1 and tool not in taken:
            given[label, tool] = tool
            used.add(tool)
    for label, tool in tools:
        if (label, tool) not in given:
            name = f"{label}__{re.sub(r'[^A-Za-z0-9_-]', '_', tool)}"
            if len(name) > 64 or name in used or not _FITTING.fullmatch(tool):
                # The digest makes it unique, and the same in every process.
                name = f"{name[:55]}_{hashlib.sha256(tool.encode()).hexdigest()[:8]}"
            given[label, tool] = name
            used.add(name)
    return [given[one] for one in tools]
