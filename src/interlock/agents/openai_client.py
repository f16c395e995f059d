"""What both of OpenAI's wires share: the SDK's client, and how tools and answers' forms are described."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from interlock.agents.provider import ProviderSettings
from interlock.agents.schemas import allows_strict
from interlock.agents.shapes import usage_of
from interlock.agents.wire import WireProvider
from interlock.records.money import Usage

if TYPE_CHECKING:
    import httpx2


class OpenAIWire(WireProvider):
    """A provider reached through OpenAI's SDK."""

    extra = "openai"
    models_path = "models"
    host = "api.openai.com"
    request_id_header = "x-request-id"

    def connect(self, settings: ProviderSettings, api_key: str | None, limits: httpx2.Limits) -> tuple[Any, Any]:
        """Make the SDK's client and the HTTP client it uses."""
        import aiohttp  # noqa: F401 - the SDK says RuntimeError where it is missing
        import openai

        http = openai.DefaultAioHttpClient(limits=limits, follow_redirects=False)
        try:
            client = openai.AsyncOpenAI(api_key=api_key, base_url=settings.base_url, max_retries=0, http_client=http)
        except openai.OpenAIError as error:
            raise self.no_key() from error
        return client, http


def form(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The form of an answer; the schema's root must be an object, OpenAI takes no other."""
    strict = {"strict": True} if allows_strict(schema) else {}
    return {"name": "answer", "schema": schema, **strict}


def openai_usage(usage: object, sent: str, received: str) -> Usage:
    """What a request consumed.

    Args:
        usage: As OpenAI reports it, or anything else where it does not.
        sent: What the wire calls the tokens that went in.
        received: What it calls those that came out.
    """
    if not isinstance(usage, dict):
        return usage_of(None, None)
    into, out = _details(usage, sent), _details(usage, received)
    return usage_of(
        usage.get(sent),
        usage.get(received),
        cached=into.get("cached_tokens", usage.get("prompt_cache_hit_tokens")),  # the latter is DeepSeek's
        cache_write=into.get("cache_write_tokens"),
        reasoning=out.get("reasoning_tokens"),
    )


def _details(usage: dict[str, Any], of: str) -> dict[str, Any]:
    details = usage.get(f"{of}_details")
    return details if isinstance(details, dict) else {}
