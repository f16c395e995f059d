"""Which provider speaks which wire, and making one from settings."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from interlock.agents.anthropic_messages import AnthropicMessages
from interlock.agents.openai_chat import OpenAIChat
from interlock.agents.openai_responses import OpenAIResponses
from interlock.agents.provider import Provider, ProviderSettings
from interlock.agents.wire import WireProvider, missing_extra
from interlock.errors import SettingsError

_WIRES: dict[str, type[WireProvider]] = {
    "openai-responses": OpenAIResponses,
    "openai-chat": OpenAIChat,
    "anthropic": AnthropicMessages,
}


def make_provider(settings: ProviderSettings) -> Provider:
    """Make a provider. Nothing is imported or connected before its first request.

    Args:
        settings: How to reach it.

    Raises:
        SettingsError: `settings.missing_extra` when the SDK is not installed, `settings.api` or
            `settings.base_url` when these make no sense.
    """
    wire = _WIRES.get(settings.api)
    if wire is None:
        known = ", ".join(_WIRES)
        raise SettingsError(f"There is no API {settings.api!r}; known are {known}.", code="settings.api")
    if settings.base_url is not None:
        _check_url(settings.name, settings.base_url)
    if find_spec(wire.extra) is None or find_spec("aiohttp") is None:
        raise missing_extra(wire.extra)
    return wire(settings)


def own_tools_of(api: str) -> Mapping[str, Any]:
    """The tools that a vendor runs on its side, by our names for them, where one speaks this wire."""
    return _WIRES[api].own_tools if api in _WIRES else {}


def is_vendors(api: str, base_url: str | None) -> bool:
    """Whether an address is the vendor's own, and not someone else's that speaks its wire. None is the vendor's own."""
    if base_url is None:
        return True
    host = urlsplit(base_url).hostname or ""
    return api in _WIRES and (host == _WIRES[api].host or host.endswith(f".{_WIRES[api].host}"))


def _check_url(name: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or url != url.strip() or not url.isprintable():
        do = "Write it like https://api.example.com/v1."
        raise SettingsError(f"The base URL of {name} is not an http or https address.", do, code="settings.base_url")
