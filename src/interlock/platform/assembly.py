"""Settings in, working parts out: the only place that knows every part of the house."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from interlock.agents.agent import BenchAgent
from interlock.agents.function import as_agent
from interlock.agents.model import ModelAgent
from interlock.agents.prices import PriceTable, Rates
from interlock.agents.provider import Provider
from interlock.agents.providers import make_provider
from interlock.engine.clock import Clock, SystemClock
from interlock.engine.engine import Engine, EngineSettings
from interlock.engine.retry import RetryPolicy
from interlock.errors import UsageError
from interlock.flows.hybrid import hybrid_flow
from interlock.flows.task import task_flow
from interlock.governance.commands import LOOK_AROUND, CommandPolicy
from interlock.governance.gate import PolicyGate
from interlock.governance.guardrails import Guardrail
from interlock.platform.ids import check_id
from interlock.platform.lookup import STORE
from interlock.platform.settings import AgentSettings, Settings
from interlock.platform.telemetry import Telemetry
from interlock.stores.sqlite import SqliteJournal
from interlock.tools.files import files_tools
from interlock.tools.shell import ShellTool
from interlock.tools.tool import Tool

#: Seconds a command may take where the settings set no limit.
A_DAY = 86_400.0
#: The profiles in which nothing is allowed that was not written down.
PRODUCTION = frozenset({"production", "prod"})
#: Tools that are there without being registered; no other may take their names.
BUILT_IN = frozenset({"shell", "files_read", "files_list", "files_write"})
#: What the store keeps in its home folder: the journal with its companions, and signs of life.
_STORED = (STORE, f"{STORE}-wal", f"{STORE}-shm", f"{STORE}-journal", "drivers")


@dataclass(slots=True, kw_only=True)
class Registry:
    """What a program told its platform: shared by all event loops it is used from.

    Attributes:
        agents: Agents by name.
        capabilities: What each registered agent is for.
        providers: Model back ends by name, with the model each is used with.
        tools: Tools by name, beyond the built-in ones.
        callable: Names of all tools that may be called; what is not here is refused whoever asks.
        guardrails: In the order they were added.
        commands: Which commands may run.
    """

    agents: dict[str, BenchAgent] = field(default_factory=dict)
    capabilities: dict[str, tuple[str, ...]] = field(default_factory=dict)
    providers: dict[str, tuple[Provider, str]] = field(default_factory=dict)
    tools: dict[str, Tool] = field(default_factory=dict)
    callable: set[str] = field(default_factory=set)
    guardrails: list[Guardrail] = field(default_factory=list)
    commands: CommandPolicy | None = None

    def check_new(self, name: str) -> None:
        """Make sure that an agent or a back end can be registered under a name.

        Raises:
            UsageError: it cannot be a name, or is taken.
        """
        check_id(name)
        if name == "hybrid":
            raise UsageError("`hybrid` is the name of a way of working, not of an agent.", code="usage.agent")
        if name in self.agents or name in self.providers:
            raise UsageError(f"There is already an agent {name!r}.", "Give it another name.", code="usage.agent")


def first_policy(settings: Settings) -> CommandPolicy:
    """The command policy to begin with: what is configured, else looking around, else (in production) nothing."""
    lists = settings.commands
    if lists.allowed is None and lists.forbidden is None and lists.require_approval is None:
        return CommandPolicy() if settings.profile in PRODUCTION else LOOK_AROUND
    return CommandPolicy(
        allowed=list(lists.allowed or ()),
        forbidden=list(lists.forbidden or ()),
        require_approval=list(lists.require_approval or ()),
    )


def protected_paths(settings: Settings) -> list[Path]:
    """What no agent may read or write through the files tools: the store, the settings file, files with API keys."""
    home = settings.home
    # Where agents work in the home folder or below it, not all of that can be out of bounds.
    shared = settings.workspace.resolve().is_relative_to(home.resolve())
    store = [home / name for name in _STORED] if shared else [home]
    return [*store, *([settings.file] if settings.file else []), *settings.key_files]


def open_journal(settings: Settings, clock: Clock | None = None) -> SqliteJournal:
    """Open the embedded store of a home folder.

    Raises:
        StoreFailed: it cannot be opened or written, or is not ours.
    """
    return SqliteJournal(settings.home / STORE, now=(clock or SystemClock()).now)


class House:
    """The parts that belong to one event loop: engine, gate, agents, connections to providers.

    Args:
        settings: What is set.
        registry: What the program registered.
        journal: Where facts rest; shared.
        telemetry: Who is told; shared.
        clock: The time.
        random: Numbers between 0 and 1, for jitter.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        journal: SqliteJournal,
        telemetry: Telemetry,
        clock: Clock,
        random: Callable[[], float] | None = None,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._providers: dict[str, Provider] = {}
        self._agents: dict[str, BenchAgent] = {}
        self._prices = price_table(settings)
        self._files = files_tools(settings.workspace, protected_paths(settings))
        registry.callable.update(tool.spec.name for tool in self._files)
        self.journal = journal
        self.gate = PolicyGate(
            commands=registry.commands,
            guardrails=lambda: registry.guardrails,
            tools=registry.callable,
        )
        retry = settings.retry
        policy = RetryPolicy(attempts=retry.attempts, base=retry.base, multiplier=retry.multiplier, cap=retry.cap)
        extra: dict[str, Any] = {} if random is None else {"random": random}
        self.engine = Engine(
            journal,
            self.gate,
            {"task": task_flow(self.agent), "hybrid": hybrid_flow(self.agent)},
            settings=EngineSettings(max_runs=settings.limits.max_runs, retry=policy, **extra),
            clock=clock,
            observer=telemetry,
        )
        self.loop = asyncio.get_running_loop()

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
            described = self._settings.provider(name)
            most = min(described.max_connections, self._settings.limits.max_model_calls)
            self._providers[name] = make_provider(replace(described, max_connections=most))
        return self._providers[name]

    def forget_agents(self) -> None:
        """Make the agents anew on their next use, because there are other tools now."""
        self._agents.clear()

    async def close(self, grace: float) -> None:
        """Stop the engine, then close the connections."""
        await self.engine.close(grace)
        for provider in self._providers.values():
            await provider.close()
        self._providers.clear()
        self._agents.clear()

    def _make(self, name: str) -> BenchAgent:
        registered = self._registry.providers.get(name)
        if registered is not None:
            provider, model = registered
            described = AgentSettings(provider=provider.name, model=model, tools=("shell", "files"))
            return self._model_agent(name, provider, model, described)
        configured = self._settings.agents.get(name)
        if configured is None:
            known = ", ".join(sorted({*self._settings.agents, *self._registry.agents})) or "none"
            raise UsageError(
                f"This process does not know the agent {name!r}.",
                f"Register it with platform.register_agent({name!r}, ...), then resume. Known: {known}.",
                code="usage.unknown_agent",
            )
        return self._model_agent(name, self.provider(configured.provider), configured.model, configured)

    def _model_agent(self, name: str, provider: Provider, model: str, described: AgentSettings) -> ModelAgent:
        limits = self._settings.limits
        return ModelAgent(
            name,
            provider,
            model,
            instructions=described.instructions,
            tools=self._tools_of(described.tools),
            max_turns=described.max_turns or limits.max_turns,
            max_output_tokens=described.max_output_tokens,
            temperature=described.temperature,
            timeout=described.timeout or limits.model_timeout,
            price=self._prices.micros,
            tool_timeout=limits.tool_timeout,
        )

    def _tools_of(self, names: Sequence[str]) -> list[Tool]:
        """The built-in tools an agent is described with, and everything the program registered."""
        found: dict[str, Tool] = {}
        for name in names:
            for tool in self._built_in(name):
                found[tool.spec.name] = tool
        found.update(self._registry.tools)
        return list(found.values())

    def _built_in(self, name: str) -> Sequence[Tool]:
        match name:
            case "shell":
                return [ShellTool(cwd=self._settings.workspace, timeout=self._settings.limits.tool_timeout or A_DAY)]
            case "files":
                return self._files
            case _ if name in self._registry.tools:
                return [self._registry.tools[name]]
            case _:
                raise UsageError(
                    f"There is no tool {name!r}.", "Register it with platform.register_tool(...).", code="usage.tool"
                )


def price_table(settings: Settings) -> PriceTable:
    """The maintained prices, with what the settings say instead."""
    overrides: Mapping[str, Rates] = {
        model: Rates(input=price.input, output=price.output, cached_input=price.cached_input)
        for model, price in settings.prices.items()
    }
    return PriceTable(overrides)


__all__ = [
    "BUILT_IN",
    "PRODUCTION",
    "STORE",
    "House",
    "Registry",
    "as_agent",
    "first_policy",
    "open_journal",
    "price_table",
]
