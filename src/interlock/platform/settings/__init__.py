"""Settings, read once from file, profile, environment and arguments, and then frozen."""

from interlock.platform.settings.keys import Keys
from interlock.platform.settings.load import load, settings_from_configure
from interlock.platform.settings.money import BudgetSettings, PriceSettings, RateLimitSettings
from interlock.platform.settings.sections import (
    AgentSettings,
    ApprovalSettings,
    CommandSettings,
    GuardrailSettings,
    LimitSettings,
    LogSettings,
    ProviderAddress,
    RetrySettings,
    RoutingSettings,
    SandboxSettings,
    Settings,
)
from interlock.platform.settings.tooling import CodeInterpreterSettings, WebSearchSettings

__all__ = [
    "AgentSettings",
    "ApprovalSettings",
    "BudgetSettings",
    "CodeInterpreterSettings",
    "CommandSettings",
    "GuardrailSettings",
    "Keys",
    "LimitSettings",
    "LogSettings",
    "PriceSettings",
    "ProviderAddress",
    "RateLimitSettings",
    "RetrySettings",
    "RoutingSettings",
    "SandboxSettings",
    "Settings",
    "WebSearchSettings",
    "load",
    "settings_from_configure",
]
