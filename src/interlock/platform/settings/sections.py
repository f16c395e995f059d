"""The sections of the settings: what can be set, its type, its meaning and its default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from interlock.errors import SettingsError
from interlock.platform.settings.keys import Keys
from interlock.platform.settings.layers import dotted, leaves, nearest
from interlock.platform.settings.money import BudgetSettings, PriceSettings, RateLimitSettings
from interlock.platform.settings.people import AccessSettings, Name, RoleSettings, UserSettings, VaultSettings
from interlock.platform.settings.recording import AuditSettings
from interlock.platform.settings.tooling import Address, CodeInterpreterSettings, Seconds, Variable, WebSearchSettings

if TYPE_CHECKING:
    from interlock.agents.provider import ProviderSettings

Count = Annotated[int, Meta(ge=1, le=1_000_000, description="a whole number from 1 to 1,000,000")]
Grace = Annotated[float, Meta(ge=0, le=86_400, description="a number of seconds from 0 to 86,400")]
Factor = Annotated[float, Meta(ge=1, le=1000, description="a number from 1 to 1,000")]
Temperature = Annotated[float, Meta(ge=0, le=2, description="a number from 0 to 2")]
_NOT_SETTABLE = {"settable": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderAddress:
    """`[providers.NAME]`: how to reach a model back end.

    Args:
        api: Which wire it speaks.
        base_url: Where, or None for the vendor's own address.
        key_env: The environment variable that holds its key; None where it needs none.
        key_vault: What its key is called in the vault; used where the variable holds none.
        max_connections: Connections kept at most.
    """

    api: Literal["openai-responses", "openai-chat", "anthropic"] = "openai-chat"
    base_url: Address | None = None
    key_env: Variable | None = None
    key_vault: Name | None = None
    max_connections: Count = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """`[agents.NAME]`: a model with tools that tasks can be routed to.

    Args:
        provider: One of the providers.
        model: The model's name at the provider.
        instructions: Standing orders.
        tools: Names of the tools it may ask for; what it may do with them is the policy's to say.
        native_tools: The provider's own tools it may use; the gate is asked once for each, not for what it does.
        max_turns: Most model requests in one piece of work; None for `limits.max_turns`.
        max_output_tokens: Most tokens of one answer, reasoning included.
        temperature: Sampling temperature; None for the model's own.
        timeout: Seconds for one model request; None for `limits.model_timeout`.
        permissions: What it may do at most, whoever it works for, such as `tool:use:files_*`; None for no limit.
    """

    provider: Name
    model: Name
    instructions: str = ""
    tools: tuple[str, ...] = ()
    native_tools: tuple[Literal["web_search", "code_interpreter"], ...] = ()
    max_turns: Count | None = None
    max_output_tokens: Count = 16_384
    temperature: Temperature | None = None
    timeout: Seconds | None = None
    permissions: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingSettings:
    """`[routing]`: who gets a task.

    Args:
        default: Who gets what the routing table has no place for.
        substitute: Whether another agent may take a task when the chosen one has no key.
    """

    default: Name = "openai"
    substitute: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSettings:
    """`[commands]`: which commands agents may run; a list that is absent is None.

    Args:
        allowed: Programs and leading words that may run.
        forbidden: What never runs, whatever else is allowed.
        require_approval: What a person must agree to first.
    """

    allowed: tuple[str, ...] | None = None
    forbidden: tuple[str, ...] | None = None
    require_approval: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardrailSettings:
    """`[guardrails]`: whether work is taken where nobody set up a guardrail.

    Args:
        required: Where there must be at least one: in the profiles `production` and `prod`, always, or never.
    """

    required: Literal["production", "always", "never"] = "production"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalSettings:
    """`[approvals]`: how people are asked.

    Args:
        expires_after: Seconds after which silence is a denial, where the rule that asks says nothing else.
    """

    expires_after: Seconds = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """`[sandbox]`: what the kernel keeps commands from, whatever the policy overlooked.

    Args:
        level: Which walls; `auto` takes the strongest this machine has, `off` runs commands without any.
        workspace: Whether commands may change the workspace, or only read it.
        network: Whether commands may use the network; one that a person allowed may in any case.
        exec: Whether only programs that the command policy names can be executed, or any program.
        helpers: Programs that those may run beside what they are known to need.
        read: Further files and folders commands may read.
        write: Further files and folders they may change.
        memory_mb: Most data one process may hold, in MB.
        file_mb: Largest file a command may write, in MB.
        processes: Most processes and threads of the user, all together; the kernel does not hold root to it.
    """

    level: Literal["auto", "bubblewrap+landlock", "landlock", "bubblewrap", "seccomp", "off"] = "auto"
    workspace: Literal["write", "read"] = "write"
    network: bool = False
    exec: Literal["policy", "any"] = "policy"
    helpers: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    memory_mb: Count = 4096
    file_mb: Count = 4096
    processes: Count = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """`[limits]`: how much at once, and how long; times in seconds, None for no limit.

    Args:
        max_runs: Runs driven at the same time.
        max_model_calls: Model requests at the same time, for each provider; it bounds `max_connections`.
        run_timeout: Seconds for a whole run.
        tool_timeout: Seconds for one tool call; a tool's own limit may be shorter.
        model_timeout: Seconds for one model request.
        max_turns: Most model requests in one piece of work of one agent.
        max_prompt_length: Most characters of a task's text, its context included.
        shutdown_grace: Seconds that running steps get to finish when the process is asked to stop.
    """

    max_runs: Count = 256
    max_model_calls: Count = 256
    run_timeout: Seconds | None = None
    tool_timeout: Seconds | None = 120.0
    model_timeout: Seconds = 120.0
    max_turns: Count = 30
    max_prompt_length: Count = 100_000
    shutdown_grace: Grace = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySettings:
    """`[retry]`: how often a failed step is tried again, with full jitter between the tries.

    Args:
        attempts: Tries in all; 1 for no retry.
        base: Longest wait before the second try, in seconds.
        multiplier: How much longer each wait may be than the one before.
        cap: Longest wait, in seconds.
    """

    attempts: Count = 4
    base: Seconds = 0.5
    multiplier: Factor = 2.0
    cap: Seconds = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """`[log]`: what is written to stderr.

    Args:
        level: From which level on; None leaves it to the application, and so to Python's `warning`.
        format: Lines for people, or one JSON object a line.
    """

    level: Literal["debug", "info", "warning", "error", "critical"] | None = None
    format: Literal["text", "json"] = "text"


PROVIDERS: Mapping[str, ProviderAddress] = MappingProxyType(
    {
        "openai": ProviderAddress(api="openai-responses", key_env="OPENAI_API_KEY"),
        "anthropic": ProviderAddress(api="anthropic", key_env="ANTHROPIC_API_KEY"),
    }
)
AGENTS: Mapping[str, AgentSettings] = MappingProxyType(
    {
        "openai": AgentSettings(provider="openai", model="gpt-6.1-sol", tools=("shell", "files")),
        "claude": AgentSettings(provider="anthropic", model="claude-sonnet-5-5", tools=("shell", "files")),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, read once and frozen.

    Args:
        home: The folder of the embedded store.
        workspace: The folder that agents work in.
        providers: Model back ends by name.
        agents: Model agents by name.
        routing: Who gets a task.
        commands: Which commands agents may run.
        policy: The policy file; None for the `policy.toml` beside the settings file, or in the workspace, if any.
        guardrails: Whether work is taken without any guardrail.
        sandbox: What the kernel keeps commands from.
        code_interpreter: How the code interpreter runs code.
        web_search: Who searches the web for agents.
        approvals: How people are asked.
        limits: How much at once, and how long.
        retry: How often a failed step is tried again.
        log: What is written to stderr.
        audit: Where the audit log goes, and what is in it.
        vault: Where the key of the vault is.
        access: Whether users must say who they are.
        roles: Roles by name, besides the built-in ones.
        users: Users by name, besides those of the store.
        prices: Prices by model, where they differ from the price table.
        budgets: How much may be spent, by name.
        rate_limits: How much may be begun in a time.
        profile: The chosen profile, if any.
        file: The settings file that was read, if any.
        keys: API keys by provider, never shown.
        key_files: The files that variables such as OPENAI_API_KEY_FILE name, whether they were needed or not.
        origins: Where each value comes from, by dotted key.
        withheld: Providers whose key is not used, with the place in the file that sends them elsewhere.
    """

    home: Path
    workspace: Path
    providers: Mapping[str, ProviderAddress] = field(default_factory=lambda: PROVIDERS)
    agents: Mapping[str, AgentSettings] = field(default_factory=lambda: AGENTS)
    routing: RoutingSettings = RoutingSettings()
    commands: CommandSettings = CommandSettings()
    policy: Path | None = None
    guardrails: GuardrailSettings = GuardrailSettings()
    sandbox: SandboxSettings = SandboxSettings()
    code_interpreter: CodeInterpreterSettings = field(default_factory=CodeInterpreterSettings)
    web_search: WebSearchSettings = field(default_factory=WebSearchSettings)
    approvals: ApprovalSettings = ApprovalSettings()
    limits: LimitSettings = LimitSettings()
    retry: RetrySettings = RetrySettings()
    log: LogSettings = LogSettings()
    audit: AuditSettings = field(default_factory=AuditSettings)
    vault: VaultSettings = field(default_factory=VaultSettings)
    access: AccessSettings = field(default_factory=AccessSettings)
    roles: Mapping[str, RoleSettings] = field(default_factory=dict)
    users: Mapping[str, UserSettings] = field(default_factory=dict)
    prices: Mapping[str, PriceSettings] = field(default_factory=dict)
    budgets: Mapping[str, BudgetSettings] = field(default_factory=dict)
    rate_limits: RateLimitSettings = field(default_factory=RateLimitSettings)
    profile: str | None = field(default=None, metadata=_NOT_SETTABLE)
    file: Path | None = field(default=None, metadata=_NOT_SETTABLE)
    keys: Keys = field(default_factory=Keys, metadata=_NOT_SETTABLE)
    key_files: tuple[Path, ...] = field(default=(), metadata=_NOT_SETTABLE)
    origins: Mapping[str, str] = field(default_factory=dict, metadata=_NOT_SETTABLE, repr=False)
    withheld: Mapping[str, str] = field(default_factory=dict, metadata=_NOT_SETTABLE, repr=False)

    def provider(self, name: str) -> ProviderSettings:
        """How to reach a provider, its key included.

        Raises:
            SettingsError: there is no such provider.
        """
        if name not in self.providers:
            raise SettingsError(f"There is no provider {name!r} (did you mean {nearest(name, self.providers)}?).")
        from interlock.agents.provider import ProviderSettings  # not for verbs that only look at the store

        found = self.providers[name]
        return ProviderSettings(
            name=name,
            api=found.api,
            api_key=self.keys.get(name),
            base_url=found.base_url,
            max_connections=found.max_connections,
        )

    def has_key(self, agent: str) -> bool:
        """Whether an agent of these settings has the key it needs, or needs none."""
        found = self.agents.get(agent)
        provider = self.providers.get(found.provider) if found else None
        if found is None or provider is None:
            return False
        return not provider.key_env or found.provider in self.keys or provider.key_vault is not None

    def variable_of(self, agent: str) -> str:
        """The environment variable that holds the key an agent needs; OpenAI's where nobody knows the agent."""
        found = self.agents.get(agent)
        provider = self.providers.get(found.provider) if found else None
        return (provider.key_env if provider else None) or "OPENAI_API_KEY"

    def is_withheld(self, agent: str) -> bool:
        """Whether there is a key for an agent that is not used, since a file sends its provider elsewhere."""
        found = self.agents.get(agent)
        return found is not None and found.provider in self.withheld

    def lacks(self, agent: str) -> tuple[str, str]:
        """Why an agent that has no key has none, and what to do about it; see `has_key`."""
        found = self.agents.get(agent)
        if found is not None and self.is_withheld(agent):
            says = f"{agent} has no key: {self.withheld[found.provider]} sends {found.provider} to another address."
            return says, f"Name key_env there to use the key in {self.variable_of(agent)}."
        provider = self.providers.get(found.provider) if found else None
        variable = provider.key_env if provider else None
        return f"{agent} has no key.", f"Set {variable}." if variable else "Describe its provider in interlock.toml."

    def entries(self) -> list[tuple[str, Any, str]]:
        """Every dotted key with its JSON value and its origin; of API keys only whether they are set."""
        told = [(dotted(key), _plain(value)) for key, value in leaves(self)]
        told += [(dotted(("keys", name)), self._key_state(name)) for name in self.providers]
        return [(key, value, self.origins.get(key, "default")) for key, value in told]

    def as_dict(self) -> dict[str, Any]:
        """All settings as JSON values; of API keys only whether they are set."""
        found: dict[str, Any] = {"profile": self.profile, "file": str(self.file) if self.file else None}
        for key, value in leaves(self):
            below = found
            for part in key[:-1]:
                below = below.setdefault(part, {})
            below[key[-1]] = _plain(value)
        found["keys"] = {name: self._key_state(name) for name in self.providers}
        return found

    def _key_state(self, provider: str) -> str:
        if provider in self.withheld:
            return "not used"
        return "set" if provider in self.keys else "not set"


def not_used(provider: str, where: str) -> str:
    """Why a key that is there is not used."""
    return f"{where} sends {provider} to another address; name key_env there to use the key"


def _plain(value: Any) -> Any:
    if isinstance(value, Path | Decimal):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
