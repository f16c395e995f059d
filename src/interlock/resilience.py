"""The MAOF guide's building blocks under its names: the shop window, whose goods live in the rooms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interlock.governance.cost_tracker import CostTracker
    from interlock.governance.rate_limiter import RateLimiter
    from interlock.platform.credentials import SecureCredentialManager

#: Every public name and the room it lives in. Nothing is imported before it is used.
_HOMES = {
    "CostTracker": "interlock.governance.cost_tracker",
    "RateLimiter": "interlock.governance.rate_limiter",
    "SecureCredentialManager": "interlock.platform.credentials",
}

__all__ = [
    "CostTracker",
    "RateLimiter",
    "SecureCredentialManager",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'interlock.resilience' has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(home), name)
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
