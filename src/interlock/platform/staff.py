"""The staff of one event loop: agents by name, made when first asked for, and their connections to providers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from interlock.agents.agent import BenchAgent
from interlock.agents.model import ModelAgent
from interlock.agents.prices import PriceTable
from interlock.agents.provider import Provider
from interlock.agents.providers import make_provider
from interlock.errors import UsageError
from interlock.flows.native import Native
from interlock.governance.commands import CommandPolicy
from interlock.platform.built_in import BUILT_IN_TOOLS, built_in_tool, native_uses
from interlock.platform.policing import PRODUCTION
from interlock.platform.registry import BUILT_IN, Registry, protected_paths
from interlock.platform.safeguards import provider_with_key
from interlock.platform.sandboxing import sandbox_for
from interlock.platform.settings import AgentSettings, Settings
from interlock.platform.toolbox import Toolbox
from interlock.platform.where import NATIVE, Where, where_for
from interlock.records.plan import Step
from interlock.records.veil import Veil
from interlock.tools.files import files_tools
from interlock.tools.mcp import McpToolbox
from interlock.tools.shell import ShellTool
from interlock.tools.tool import Tool

#: Seconds a command may take where the settings set no limit.
A_DAY = 86_400.0
#: What an agent works with whose settings name no tools.
_USUAL = ("shell", "files")


class Staff:
    """Agents and providers by name. They belong to one event loop, as their connections do.

    Args:
        settings: What is set.
        registry: What the program registered.
        prices: What model calls cost.
        commands: Which commands may run just now; the sandbox's list of programs follows it.
        veil: Takes secrets out of what models are sent.
        on_secret: Told of secrets, by value and name, before they are used.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        prices: PriceTable,
        commands: Callable[[], CommandPolicy | None],
        veil: Veil,
        on_secret: Callable[[str, str], Any] | None = None,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._prices = prices
        self.veil = veil
        self._on_secret = on_secret
        self._providers: dict[str, Provider] = {}
        self._agents: dict[str, BenchAgent] = {}
        self._lent: dict[str, McpToolbox] = {}
        self._files = files_tools(settings.workspace, protected_paths(settings))
        registry.callable.update(tool.spec.name for tool in self._files)
        self._sandbox = sandbox_for(settings, commands, protected_paths(settings), Path.cwd())

    def agent(self, name: str) -> BenchAgent:
        """An agent by name.

        Raises:
            UsageError: code `usage.unknown_agent`, when neither the settings nor this process know it.
        """
        found = self._registry.agents.get(name) or self._agents.get(name)
        if found is None:
            found = self._agents[name] = self._make(name)
        return found

    def provider(self, name: str) -> Provider:
        """A provider by name, its connections shared by all agents of this loop."""
        if name not in self._providers:
            described = provider_with_key(self._settings, name, self._registry.vault)
            most = min(described.max_connections, self._settings.limits.max_model_calls)
            self._providers[name] = make_provider(replace(described, max_connections=most))
        return self._providers[name]

    def agent_with(self, name: str, tools: Mapping[str, Tool], native: str = "") -> BenchAgent:
        """The same agent with more tools in its hands. One that is no model agent brings its own, and stays as it is.

        Args:
            name: The agent.
            tools: The tools, by name.
            native: A tool of its provider's own that it may use besides; empty for none.

        Raises:
            UsageError: see `agent`.
        """
        if not (tools or native) or name in self._registry.agents:
            return self.agent(name)
        return self._make(name, tools, native)

    def where(self, step: Step, crew: Sequence[str]) -> Where | None:
        """Where a step has its tool used; None for a tool that is always used here. See `where_for`."""
        return where_for(step, crew, self._settings, self._registry) if step.tool in NATIVE else None

    def native(self, name: str, tool: Tool) -> Native:
        """An agent that touches nothing here, and uses its provider's own tool in place of one of ours.

        Args:
            name: The agent.
            tool: Ours, which knows the arguments.

        Raises:
            UsageError: see `agent`; or the provider has no such tool.
        """
        provider, model, described = self._described(name)
        described = replace(described, tools=(), native_tools=cast(Any, (tool.spec.name,)), instructions="")
        agent = self._model_agent(name, provider, model, described, [])
        return Native(agent=agent, name=name, tool=tool, limit=self._settings.web_search.limit)

    def planner(self, name: str, model: str | None, temperature: float | None) -> BenchAgent:
        """An agent that makes plans and touches nothing: the named one without its tools.

        Args:
            name: The agent.
            model: Another model at the same provider, or None for its own.
            temperature: The sampling temperature, or None for the model's own.

        Raises:
            UsageError: see `agent`.
        """
        if name in self._registry.agents:
            return self.agent(name)
        provider, own, described = self._described(name)
        chosen = own if model is None or model in self._settings.agents else model
        described = replace(described, tools=(), native_tools=(), temperature=temperature, instructions="")
        return self._model_agent(name, provider, chosen, described, [])

    async def tools_lent(self, run_id: str, box: Toolbox) -> dict[str, Tool]:
        """The tools that were lent to a run, those of MCP servers among them, by name.

        Args:
            run_id: The run; its servers are connected once.
            box: What was lent.

        Raises:
            ToolFailed: a server does not answer.
        """
        if not box.servers:
            return box.tools
        if run_id not in self._lent:
            self._lent[run_id] = McpToolbox(
                list(box.servers.values()),
                taken={*box.tools, *self._registry.tools, *BUILT_IN},
                production=self._settings.profile in PRODUCTION,
                on_secret=self._on_secret,
            )
        found = {tool.spec.name: tool for tool in await self._lent[run_id].tools()}
        self._registry.callable.update(found)
        return {**box.tools, **found}

    async def dismiss(self, run_id: str) -> None:
        """Give back what was lent to a run that is over."""
        lent = self._lent.pop(run_id, None)
        if lent is not None:
            await lent.close()

    def can_work(self, name: str) -> bool:
        """Whether an agent is there, and has the key it needs."""
        return self._registry.can_work(name, self._settings)

    def forget_agents(self) -> None:
        """Make the agents anew on their next use, because there are other tools now."""
        self._agents.clear()

    async def close(self) -> None:
        """Close the connections."""
        for run_id in list(self._lent):
            await self.dismiss(run_id)
        for provider in self._providers.values():
            await provider.close()
        self._providers.clear()
        self._agents.clear()

    def _make(self, name: str, more: Mapping[str, Tool] | None = None, native: str = "") -> BenchAgent:
        provider, model, described = self._described(name)
        if native:
            described = replace(described, native_tools=cast(Any, (*described.native_tools, native)))
        tools = {**self._tools_of(described.tools), **(more or {})}
        return self._model_agent(name, provider, model, described, list(tools.values()))

    def _described(self, name: str) -> tuple[Provider, str, AgentSettings]:
        """The provider, the model and the settings of a model agent."""
        registered = self._registry.providers.get(name)
        if registered is not None:
            provider, model = registered
            return provider, model, AgentSettings(provider=provider.name, model=model, tools=_USUAL)
        configured = self._settings.agents.get(name)
        if configured is None:
            known = ", ".join(sorted({*self._settings.agents, *self._registry.agents})) or "none"
            raise UsageError(
                f"This process does not know the agent {name!r}.",
                f"Register it with platform.register_agent({name!r}, ...), then resume. Known: {known}.",
                code="usage.unknown_agent",
            )
        return self.provider(configured.provider), configured.model, configured

    def _model_agent(
        self, name: str, provider: Provider, model: str, described: AgentSettings, tools: Sequence[Tool]
    ) -> ModelAgent:
        limits = self._settings.limits
        self._registry.callable.update(described.native_tools)
        return ModelAgent(
            name,
            provider,
            model,
            instructions=described.instructions,
            tools=tools,
            max_turns=described.max_turns or limits.max_turns,
            max_output_tokens=described.max_output_tokens,
            temperature=described.temperature,
            timeout=described.timeout or limits.model_timeout,
            price=self._prices.micros,
            tool_timeout=limits.tool_timeout,
            veil=self.veil,
            native_tools=described.native_tools,
            native_uses=native_uses(self._settings),
        )

    def _tools_of(self, names: Sequence[str]) -> dict[str, Tool]:
        """The built-in tools an agent is described with, and everything the program registered."""
        found: dict[str, Tool] = {}
        for name in names:
            for tool in self._built_in(name):
                found[tool.spec.name] = tool
        found.update(self._registry.tools)
        return found

    def _built_in(self, name: str) -> Sequence[Tool]:
        match name:
            case "shell":
                timeout = self._settings.limits.tool_timeout or A_DAY
                return [ShellTool(cwd=self._settings.workspace, timeout=timeout, sandbox=self._sandbox)]
            case "files":
                return self._files
            case _ if name in self._registry.tools:
                return [self._registry.tools[name]]
            case _ if name in BUILT_IN_TOOLS:
                self._registry.callable.add(name)
                return [built_in_tool(name, self._settings, self._registry)]
            case _:
                raise UsageError(
                    f"There is no tool {name!r}.", "Register it with platform.register_tool(...).", code="usage.tool"
                )
