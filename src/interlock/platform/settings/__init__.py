"""Settings, read once from file, profile, environment and arguments, and then frozen."""

from interlock.platform.settings.keys import Keys
from interlock.platform.settings.load import load, settings_from_configure
from interlock.platform.settings.sections import (
    AgentSettings,
    CommandSettings,
    LimitSettings,
    LogSettings,
    PriceSettings,
    ProviderAddress,
    RetrySettings,
    RoutingSettings,
    Settings,
)

__all__ = [
    "AgentSettings",
    "CommandSettings",
    "Keys",
    "LimitSettings",
    "LogSettings",
    "PriceSettings",
    "ProviderAddress",
    "RetrySettings",
    "RoutingSettings",
    "Settings",
    "load",
    "settings_from_configure",
]
