"""Tools as users write them, read into tools as agents use them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interlock.errors import UsageError
from interlock.platform.built_in import BUILT_IN_TOOLS, built_in_tool
from interlock.platform.policing import PRODUCTION
from interlock.platform.settings import Settings
from interlock.tools.function import as_tool
from interlock.tools.mcp_settings import McpServer
from interlock.tools.tool import Tool

if TYPE_CHECKING:
    from interlock.platform.registry import Registry

_log = logging.getLogger("interlock.plan")


@dataclass(slots=True)
class Toolbox:
    """The tools of one plan.

    Attributes:
        given: What the user wrote.
        tools: The tools by name.
        built_in: Which of them are those that come with Interlock, by name.
        servers: MCP servers by label; what tools they have is known once they have been asked.
        warnings: What the user should know about them.
    """

    given: list[Any] = field(default_factory=list)
    tools: dict[str, Tool] = field(default_factory=dict)
    built_in: set[str] = field(default_factory=set)
    servers: dict[str, McpServer] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def described(self) -> list[dict[str, str]]:
        """Name and description of every tool, for whoever plans."""
        known = [{"name": name, "description": tool.spec.description} for name, tool in self.tools.items()]
        return known + [
            {"name": name, "description": f"A tool of the server {server.label}."}
            for server in self.servers.values()
            for name in server.allowed_tools or ()
            if name != "*"
        ]

    def may_have(self, name: str) -> bool:
        """Whether there is a tool of this name, or a server that has not been asked may have it."""
        return name in self.tools or any(
            server.allows(name) or name.startswith(f"{server.label}__") for server in self.servers.values()
        )


def read_tools(given: Sequence[Any], settings: Settings, registry: Registry) -> Toolbox:
    """Read a list of tools.

    Args:
        given: Names of built-in or registered tools, functions, `@tool`s, descriptions with an `implementation`, MCP
            servers.
        settings: What is set.
        registry: What was registered.

    Raises:
        UsageError: code `usage.tool`: one of them is no tool, or two have one name.
    """
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise UsageError(f"tools is a list, not {type(given).__name__}.", code="usage.tool")
    box = Toolbox(given=list(given))
    for one in given:
        if isinstance(one, Mapping) and one.get("type") == "mcp":
            server = McpServer.read(one, production=settings.profile in PRODUCTION)
            if server.label in box.servers:
                raise UsageError(f"Two MCP servers are called {server.label!r}.", code="usage.mcp")
            box.servers[server.label] = server
            box.warnings += server.warnings
            continue
        tool = _read(one, settings, registry)
        name = tool.spec.name
        if name in box.tools and box.tools[name] is not tool:
            raise UsageError(f"Two tools are called {name!r}.", "Give one of them another name.", code="usage.tool")
        box.tools[name] = tool
        if isinstance(one, str) and one not in registry.tools:
            box.built_in.add(name)
    return box


def _read(one: Any, settings: Settings, registry: Registry) -> Tool:
    if isinstance(one, str):
        if one in registry.tools:
            return registry.tools[one]
        if one in BUILT_IN_TOOLS:
            return built_in_tool(one, settings, registry)
        known = ", ".join([*BUILT_IN_TOOLS, *registry.tools])
        raise UsageError(f"There is no tool {one!r}.", f"There are: {known}.", code="usage.tool")
    if isinstance(one, Mapping) and one.get("type") not in (None, "function"):
        raise UsageError(f"{one.get('type')!r:.40} is no type of tool.", "Use function or mcp.", code="usage.tool")
    return as_tool(one)
