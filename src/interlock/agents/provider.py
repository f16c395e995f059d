"""The Provider protocol: one request to a model, one answer, in words no vendor owns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from interlock.records.money import NOTHING_USED, Usage
from interlock.tools.tool import ToolSpec

Role = Literal["system", "user", "assistant", "tool"]
StopReason = Literal["end", "tool_calls", "length", "refusal", "pause", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A model's wish to call a tool. `arguments` is the model's text, parsed by whoever runs it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation.

    Args:
        role: Who speaks. `tool` messages answer the tool call named by `tool_call_id`.
        text: What is said.
        tool_calls: On assistant messages: what it wants called.
        tool_call_id: On tool messages: which call this answers.
        is_error: On tool messages: the call failed.
        pinned: Never pruned from the context.
        native: Opaque vendor items that must be sent back as they came (reasoning, thinking), tagged
            with the provider they belong to: `{"provider": name, "items": [...]}`.
    """

    role: Role
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    is_error: bool = False
    pinned: bool = False
    native: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One request.

    Args:
        model: The model's name at the provider.
        messages: The conversation so far, system message first.
        tools: What it may ask to call.
        native_tools: Names of the provider's own tools it may use, such as `web_search`.
        native_uses: How often it may use each of them for this request, where the provider lets that be said.
        container: The provider's id of a place where code was run before, to go on with its files; empty for none.
        max_output_tokens: Upper bound on the answer, reasoning included.
        temperature: Sampling temperature, or None for the model's own.
        schema: JSON Schema the answer must fit, or None.
        key: Idempotency key sent along; the same for every retry of this request.
        timeout: Seconds until the request is given up.
    """

    model: str
    messages: Sequence[Message]
    tools: Sequence[ToolSpec] = ()
    native_tools: Sequence[str] = ()
    native_uses: Mapping[str, int] = field(default_factory=dict)
    container: str = ""
    max_output_tokens: int = 4096
    temperature: float | None = None
    schema: Mapping[str, Any] | None = None
    key: str = ""
    timeout: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelResponse:
    """One answer.

    Args:
        text: What the model said.
        tool_calls: What it wants called, in order.
        stop: Why it stopped; `pause` where it wants to be asked to go on.
        usage: What it consumed, as the provider reported it; `requests` is 1.
        model: The model that answered, as the provider names it.
        request_id: The provider's id for support questions.
        native: See `Message.native`.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    stop: StopReason = "end"
    usage: Usage = NOTHING_USED
    model: str = ""
    request_id: str = ""
    native: Mapping[str, Any] | None = None


#: Called with pieces of text as they arrive.
OnText = Callable[[str], None]


class Provider(Protocol):
    """A model back end. All errors come out as the `AgentFailed` family of `interlock.errors`; nothing is
    retried inside (the engine does that, and writes it down)."""

    name: str

    async def complete(self, request: ModelRequest, on_text: OnText | None = None) -> ModelResponse:
        """Send one request. With `on_text` the answer is streamed; the returned response is the same.

        Raises:
            RateLimitError, AuthenticationError, AgentTimeoutError, AgentAPIError, ConnectionFailed,
            InvalidRequest, OutputInvalid: as the tree says, with `retry_after` where the provider sent it.
        """
        ...

    async def ping(self) -> None:
        """Check that the provider can be reached with this key, without paying for a model call.

        Raises:
            AgentFailed: it cannot.
        """
        ...

    async def close(self) -> None:
        """Close the connections. Closing twice does nothing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """How to reach a provider.

    Args:
        name: The name it is known by, for example `openai`.
        api: Which wire it speaks.
        api_key: The key, never shown or written.
        base_url: Where, or None for the vendor's own address.
        max_connections: Connections kept at most.
    """

    name: str
    api: Literal["openai-responses", "openai-chat", "anthropic"]
    api_key: str | None = field(default=None, repr=False)
    base_url: str | None = None
    max_connections: int = 512
