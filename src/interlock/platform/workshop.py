"""The front door's workshop: what a program tells its platform to work with, and by which rules."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from interlock.agents.function import as_agent
from interlock.agents.provider import Provider
from interlock.errors import UsageError
from interlock.governance.budgets import Budget
from interlock.governance.commands import CommandPolicy
from interlock.governance.guardrail_lint import why_it_never_matches
from interlock.governance.guardrails import Guardrail
from interlock.governance.vault import Vault
from interlock.platform.access import Access
from interlock.platform.approvals import Approvals, nobody_configured
from interlock.platform.auditing import AuditTrail
from interlock.platform.parts import Parts
from interlock.platform.policing import database_of, require_guardrails, under_policy
from interlock.platform.registry import BUILT_IN, first_registry
from interlock.platform.spending import add_budget, rate_limits
from interlock.tools.function import as_tool
from interlock.tools.web import as_web_search

_log = logging.getLogger(__name__)


class Workshop(Parts):
    """The verbs of a `Platform` that register agents, tools and rules. They hold for work that begins afterwards."""

    @property
    def approvals(self) -> Approvals:
        """What waits for people, and how they answer: `pending()`, `await approve(id, by=...)`, `reject`, `link` ..."""
        access = self._registry.access
        rules = access.rules if access is not None else nobody_configured
        return Approvals(
            self._open, self._settings.home, self._clock.now, rules=rules, go_on=lambda *of: self._house().carry_on(*of)
        )

    @property
    def access(self) -> Access:
        """Users, tenants, roles and API tokens."""
        assert self._registry.access is not None
        return self._registry.access

    @property
    def vault(self) -> Vault:
        """The secrets of this platform."""
        assert self._registry.vault is not None
        return self._registry.vault

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
        if (database := database_of(tool)) is not None:
            self._registry.databases[tool.spec.name] = database
        for house in self._open_houses():
            house.forget_agents()
        return fn

    def register_web_search(self, provider: Any) -> None:
        """Have the tool `web_search` ask this, in place of the search engine of the settings.

        Args:
            provider: Something with `search(query, limit)`, or a function of the same arguments, sync or async; see
                `tools.web.WebSearch`.

        Raises:
            UsageError: it is neither.
        """
        self._registry.web_search = as_web_search(provider)

    def add_guardrail(self, guardrail: Guardrail) -> None:
        """Have everything at a guardrail's points judged by it from now on.

        Raises:
            UsageError: it is no guardrail.
        """
        if not isinstance(guardrail, Guardrail):
            raise UsageError("add_guardrail takes a Guardrail.", code="usage.guardrail")
        if doubt := why_it_never_matches(guardrail):
            _log.warning("%s", doubt)
        self._registry.guardrails.append(guardrail)

    @property
    def command_policy(self) -> CommandPolicy:
        """Which commands agents may run."""
        return self._registry.commands or CommandPolicy()

    def set_command_policy(self, policy: CommandPolicy) -> None:
        """Say which commands agents may run; it replaces the policy there was.

        What the policy file forbids or wants a person to allow stays so, whatever a program says.

        Raises:
            UsageError: it is no policy.
        """
        if not isinstance(policy, CommandPolicy):
            raise UsageError("set_command_policy takes a CommandPolicy.", code="usage.command_policy")
        self._registry.commands = under_policy(policy, self._registry.policy)
        for house in self._open_houses():
            house.gate.commands = self._registry.commands

    def reload_policy(self) -> str:
        """Read the policy file again, for everything that is judged from now on; otherwise it is read once.

        What `set_command_policy` said is forgotten.

        Returns:
            The new policy's digest; empty where there is no file any more.

        Raises:
            PolicyError: the file cannot be used; the policy there was goes on.
        """
        fresh = first_registry(self._settings)
        self._registry.policy, self._registry.commands = fresh.policy, fresh.commands
        for house in self._open_houses():
            house.gate.policy, house.gate.commands = fresh.policy, fresh.commands
        return fresh.policy.digest

    def _check_guardrails(self) -> None:
        """Take no work where there must be a guardrail and is none."""
        require_guardrails(self._settings, [*self._registry.policy.guardrails, *self._registry.guardrails])

    def add_budget(self, budget: Budget) -> None:
        """Limit what may be spent, from now on; what a call may cost at most is reserved before it is made.

        Raises:
            UsageError: it is no budget, or there is one of that name.
        """
        add_budget(self._registry.budgets, budget)

    def set_rate_limits(self, **limits: Any) -> None:
        """Limit how much may be begun in a time; it replaces the limits there were.

        Args:
            limits: The fields of `governance.limits.RateLimits`: `max_tasks_per_minute`, `max_tasks_per_day`,
                `max_cost_per_day` (US dollars), `max_claude_executions_per_hour`, `max_requests_per_minute` and
                `max_tokens_per_minute` (for each provider), `tiers` and `queue`.

        Raises:
            UsageError: a limit is no whole number of 1 or more, or there is no such limit.
        """
        self._registry.limits = rate_limits(limits)

    @property
    def audit(self) -> AuditTrail:
        """The audit log: `await verify()`, `await show(...)`, `await export(path)`."""
        assert self._registry.audit is not None
        return self._registry.audit

    def enable_audit_log(
        self,
        destination: str = "store",
        include_context: bool = True,
        include_results: bool = True,
        retention_days: int = 365,
        *,
        max_lag: float = 30.0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Send the audit log somewhere, from now on; called again, to one more place. In the store it always is.

        Args:
            destination: `s3://bucket/prefix`, `gs://...`, `az://...`, a folder, `logger`, or `store`.
            include_context: Whether tasks, arguments and what people were shown are in the entries from now on.
            include_results: Whether results are in them, bounded; without, only their digests are.
            retention_days: Entries that are older, signed and sent are let go of.
            max_lag: Seconds the destination may fail or be behind before new work is refused.
            options: What the object store needs besides the environment, such as `{"endpoint": ...}`.

        Raises:
            SettingsError: the destination is wrong, or a package is missing.
            UsageError: a value is out of range.
        """
        self.audit.enable(
            destination,
            include_context=include_context,
            include_results=include_results,
            retention_days=retention_days,
            max_lag=max_lag,
            options=options,
        )

    def enable_tracing(self, destination: Any = "otlp", api_key: str | None = None) -> None:
        """Send OpenTelemetry spans (GenAI conventions) of tasks, routing, agents, models and tools somewhere.

        Args:
            destination: `logfire`, `otlp`, `console`, or an OpenTelemetry span exporter.
            api_key: Key for the destination, where it needs one.

        Raises:
            SettingsError: the destination is not known, or a package is missing; the message says which.
        """
        self._telemetry.enable_tracing(destination, api_key)
