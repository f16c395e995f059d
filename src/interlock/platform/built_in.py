"""The tools that come with Interlock and are named by their name alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from interlock.errors import UsageError
from interlock.platform.registry import Registry, protected_paths
from interlock.platform.sandboxing import sandbox_for
from interlock.platform.scratch import SCRATCH
from interlock.platform.settings import Settings
from interlock.platform.settings.keys import find_key
from interlock.tools.python import PythonTool
from interlock.tools.search import file_search_tool
from interlock.tools.tool import Tool
from interlock.tools.web import SearXNG, WebSearch, web_search_tool

BUILT_IN_TOOLS = ("web_search", "code_interpreter", "file_search")


def built_in_tool(name: str, settings: Settings, registry: Registry) -> Tool:
    """A tool of `BUILT_IN_TOOLS`.

    Args:
        name: Its name.
        settings: What is set.
        registry: Who was registered to search the web.

    Raises:
        UsageError: there is no such tool, or the workspace is no folder.
    """
    match name:
        case "web_search":
            return web_search_tool(lambda: web_search_for(settings, registry), settings.web_search.limit)
        case "code_interpreter":
            return _code_interpreter(settings)
        case "file_search":
            return file_search_tool(settings.workspace, protected_paths(settings))
    raise UsageError(f"There is no built-in tool {name!r}.", code="usage.tool")


def native_uses(settings: Settings) -> dict[str, int]:
    """How often a model may use each tool at its provider in one request, by name."""
    return {
        "web_search": settings.web_search.native_uses,
        "code_interpreter": settings.code_interpreter.native_uses,
    }


def web_search_for(settings: Settings, registry: Registry) -> WebSearch | None:
    """Who searches the web: whom the program registered, else what the settings name, else nobody."""
    wanted = settings.web_search
    if registry.web_search is not None or wanted.url is None:
        return registry.web_search
    return SearXNG(wanted.url, key=lambda: web_search_key(settings), timeout=wanted.timeout)


def web_search_key(settings: Settings, environ: Mapping[str, str] = os.environ) -> str | None:
    """The key for the search engine, where it needs one and there is one.

    Raises:
        SettingsError: the variable holds no usable key.
    """
    variable = settings.web_search.key_env
    found = find_key(variable, environ, Path.cwd()) if variable else None
    return found[0] if found else None


def _code_interpreter(settings: Settings) -> PythonTool:
    wanted = settings.code_interpreter
    return PythonTool(
        settings.home / SCRATCH,
        sandbox=sandbox_for(settings, lambda: None, protected_paths(settings), Path.cwd()),
        workspace=settings.workspace if wanted.workspace == "read" else None,
        timeout=wanted.timeout,
    )
