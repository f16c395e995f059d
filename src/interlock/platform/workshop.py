"""The front door's workshop: what a program tells its platform to work with, and by which rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from interlock.agents.function import as_agent
from interlock.agents.provider import Provider
from interlock.errors import UsageError
from interlock.governance.commands import CommandPolicy
from interlock.governance.guardrails import Guardrail
from interlock.platform.assembly import BUILT_IN, House, Registry
from interlock.platform.telemetry import Telemetry
from interlock.tools.function import as_tool


class Workshop:
    """The verbs of a `Platform` that register agents, tools and rules. They hold for work that begins afterwards."""

    _registry: Registry
    _telemetry: Telemetry

    def _open_houses(self) -> Iterable[House]:
        """The parts that are already at work, one set for each event loop."""
        raise NotImplementedError

    def register_agent(self, name: str, agent: Any, capabilities: Sequence[str] = ()) -> None:
        """Add an agent: an object with `process`, a function, or anything that works at a bench.

        Args:
            name: What tasks are routed to.
            agent: The agent.
            capabilities: Task types it is for; those are then routed to it first.

        Raises:
            UsageError: it is no agent, or the name cannot be used or is taken. A built-in agent may be replaced, once.
        """
        self._registry.check_new(name)
        if isinstance(capabilities, str):
            raise UsageError("capabilities is a list of task types, not one text.", code="usage.agent")
        self._registry.agents[name] = as_agent(name, agent)
        self._registry.capabilities[name] = tuple(str(c) for c in capabilities)

    def register_platform(
        self, name: str, provider: Provider | Any, *, model: str = "", capabilities: Sequence[str] = ()
    ) -> None:
        """Add a model back end, or an agent, under a name that tasks can be routed to.

        Args:
            name: What tasks are routed to.
            provider: Something with `complete` (see `agents.provider.Provider`), or an agent.
            model: The model to use there; needed for a provider.
            capabilities: Task types it is for.

        Raises:
            UsageError: a provider without a model, something that is neither, or a name that is taken.
        """
        if not hasattr(provider, "complete"):
            self.register_agent(name, provider, capabilities)
            return
        if not model:
            raise UsageError(f"Which model should {name} use?", "Pass model='...'.", code="usage.model")
        self._registry.check_new(name)
        self._registry.providers[name] = (provider, model)
        self._registry.capabilities[name] = tuple(str(c) for c in capabilities)

    def register_tool(self, fn: Any) -> Any:
        """Let agents call a function, a `@tool`, or a tool's description with its implementation.

        Returns:
            What was given, so that it can be used as a decorator.

        Raises:
            UsageError: it is no tool, or its name is taken.
        """
        tool = as_tool(fn)
        if tool.spec.name in self._registry.tools or tool.spec.name in BUILT_IN:
            raise UsageError(f"There is already a tool {tool.spec.name!r}.", "Give it another name.", code="usage.tool")
        self._registry.tools[tool.spec.name] = tool
        self._registry.callable.add(tool.spec.name)
        for house in self._open_houses():
            house.forget_agents()
        return fn

    def add_guardrail(self, guardrail: Guardrail) -> None:
        """Have every task judged by a guardrail from now on.

        Raises:
            UsageError: it is no guardrail.
        """
        if not isinstance(guardrail, Guardrail):
            raise UsageError("add_guardrail takes a Guardrail.", code="usage.guardrail")
        self._registry.guardrails.append(guardrail)

    def set_command_policy(self, policy: CommandPolicy) -> None:
        """Say which commands agents may run; it replaces the policy there was.

        Raises:
            UsageError: it is no policy.
        """
        if not isinstance(policy, CommandPolicy):
            raise UsageError("set_command_policy takes a CommandPolicy.", code="usage.command_policy")
        self._registry.commands = policy
        for house in self._open_houses():
            house.gate.commands = policy

    def enable_tracing(self, destination: Any = "otlp", api_key: str | None = None) -> None:
        """Send OpenTelemetry spans (GenAI conventions) of tasks, routing, agents, models and tools somewhere.

        Args:
            destination: `logfire`, `otlp`, `console`, or an OpenTelemetry span exporter.
            api_key: Key for the destination, where it needs one.

        Raises:
            SettingsError: the destination is not known, or a package is missing; the message says which.
        """
        self._telemetry.enable_tracing(destination, api_key)
