"""The Anthropic messages wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from interlock.agents.native import searches_in
from interlock.agents.provider import (
    Message,
    ModelRequest,
    ModelResponse,
    OnText,
    ProviderSettings,
    StopReason,
    ToolCall,
)
from interlock.agents.schemas import in_words
from interlock.agents.shapes import as_dict, as_list, as_text, count, usage_of
from interlock.agents.vendor_errors import too_large
from interlock.agents.wire import Fold, WireProvider
from interlock.records.money import Usage
from interlock.tools.tool import ToolSpec

if TYPE_CHECKING:
    import httpx2

_STOP: dict[str | None, StopReason] = {
    "end_turn": "end",
    "stop_sequence": "end",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
    "pause_turn": "pause",
}
_PLAIN_BLOCKS = frozenset({"text", "tool_use"})
#: Kind of a streamed piece: the field of the block that it goes on with.
_PIECES = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}
#: What a piece of a streamed answer weighs besides its text.
_PIECE = 64


class _Whole(msgspec.Struct):
    content: list[dict[str, Any]]
    stop_reason: str | None = None
    model: str | None = None
    usage: Any = None
    container: Any = None


class _Failure(msgspec.Struct):
    error: Any = None


_whole = msgspec.json.Decoder(_Whole)
_failure = msgspec.json.Decoder(_Failure)


class AnthropicMessages(WireProvider):
    """A provider that speaks Anthropic's messages."""

    extra = "anthropic"
    path = "v1/messages"
    models_path = "v1/models"
    host = "api.anthropic.com"
    request_id_header = "request-id"
    # Later kinds of both need models of their year, and bring code that runs on the results of a search.
    own_tools = MappingProxyType(
        {
            "web_search": {"type": "web_search_20250305", "name": "web_search"},
            "code_interpreter": {"type": "code_execution_20250825", "name": "code_execution"},
        }
    )

    def connect(self, settings: ProviderSettings, api_key: str | None, limits: httpx2.Limits) -> tuple[Any, Any]:
        """Make the SDK's client and the HTTP client it uses."""
        import aiohttp  # noqa: F401 - the SDK says RuntimeError where it is missing
        import anthropic

        http = anthropic.DefaultAioHttpClient(limits=limits, follow_redirects=False)
        try:
            client = anthropic.AsyncAnthropic(
                api_key=api_key, base_url=settings.base_url, max_retries=0, http_client=http
            )
        except anthropic.AnthropicError as error:
            raise self.no_key() from error
        return client, http

    def body(self, request: ModelRequest, *, stream: bool, official: bool) -> dict[str, Any]:
        """The request as the vendor wants it."""
        system = [message.text for message in request.messages if message.role == "system" and message.text]
        body: dict[str, Any] = {
            "model": request.model,
            "max_tokens": request.max_output_tokens,
            "messages": self._turns(request),
        }
        if request.schema is not None:
            native = _form(request.schema)
            if native is None:
                system.append(in_words(request.schema))
            else:
                body["output_config"] = {"format": {"type": "json_schema", "schema": native}}
        if system:
            body["system"] = "\n\n".join(system)
        if tools := self.offered(request, official):
            body["tools"] = tools
        if "code_interpreter" in request.native_tools and (place := self._place(request)):
            body["container"] = place
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if stream:
            body["stream"] = True
        return body

    def terms(self, name: str, request: ModelRequest) -> Mapping[str, Any]:
        """How often it may search; nothing bounds how often it may run code."""
        most = request.native_uses.get(name, 0) if name == "web_search" else 0
        return {"max_uses": most} if most else {}

    def tool(self, spec: ToolSpec, official: bool) -> dict[str, Any]:
        """A tool as the vendor wants it described."""
        return {"name": spec.name, "description": spec.description, "input_schema": spec.parameters}

    def _place(self, request: ModelRequest) -> str:
        """Where code goes on: where this conversation ran it last, else where the request says; empty for a new one."""
        own = (message.native for message in reversed(request.messages) if self.own_items(message))
        return next((native["container"] for native in own if native and "container" in native), request.container)

    def _turns(self, request: ModelRequest) -> list[dict[str, Any]]:
        """The conversation in turns: what follows one another from the same side is one turn, tool results first."""
        turns: list[dict[str, Any]] = []
        for message in request.messages:
            if message.role == "system":
                continue
            role = "assistant" if message.role == "assistant" else "user"
            blocks = self._blocks(message)
            if turns and turns[-1]["role"] == role:
                turns[-1]["content"] += blocks
            elif blocks:
                turns.append({"role": role, "content": blocks})
        return turns

    def _blocks(self, message: Message) -> list[Any]:
        if message.role == "tool":
            failed = {"is_error": True} if message.is_error else {}
            return [{"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.text, **failed}]
        own = self.own_items(message)
        if own:
            return list(own)
        # An empty text block is refused.
        said = [{"type": "text", "text": message.text}] if message.text else []
        return said + [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": _input(call.arguments)}
            for call in message.tool_calls
        ]

    def read(self, body: bytes, request_id: str) -> ModelResponse:
        """The answer in a whole body."""
        error = _failure.decode(body).error
        if error:
            raise self.errors.of_event(error)
        return self.response(_whole.decode(body), request_id, {})

    def response(self, whole: _Whole, request_id: str, arguments: Mapping[int, str]) -> ModelResponse:
        """The answer in a decoded body.

        Args:
            arguments: The arguments of tool calls as they were streamed, by the block's place.
        """
        blocks = whole.content
        calls = tuple(
            ToolCall(
                id=as_text(block.get("id")),
                name=as_text(block.get("name")),
                arguments=arguments.get(place) or msgspec.json.encode(as_dict(block.get("input"))).decode(),
            )
            for place, block in enumerate(blocks)
            if block.get("type") == "tool_use"
        )
        # What comes with thinking goes back whole and in order; all else can be written anew from text and calls.
        native = blocks if any(block.get("type") not in _PLAIN_BLOCKS for block in blocks) else ()
        place = whole.container.get("id") if isinstance(whole.container, dict) else None
        usage = _usage(whole.usage)
        if native and (searches := _searches(whole.usage, native)):
            usage = replace(usage, searches=searches)
        return ModelResponse(
            text="".join(as_text(block.get("text")) for block in blocks if block.get("type") == "text"),
            tool_calls=calls,
            stop=_STOP.get(whole.stop_reason, "other"),
            usage=usage,
            model=whole.model or "",
            request_id=request_id,
            native=self.native(native, place if isinstance(place, str) else ""),
        )

    def fold(self, on_text: OnText) -> Fold:
        """What puts a streamed answer together."""
        return _AnthropicFold(self, on_text)


class _AnthropicFold:
    """Puts events together to the message they would have been."""

    def __init__(self, wire: AnthropicMessages, on_text: OnText) -> None:
        self._wire, self._on_text = wire, on_text
        self._whole = _Whole(content=[])
        self._usage: dict[str, Any] = {}
        self._pieces: dict[tuple[int, str], list[str]] = {}
        self._begun = False
        self._size = 0

    def event(self, data: bytes) -> bool:
        """Take one event; True for `message_stop`."""
        event = as_dict(msgspec.json.decode(data))
        match event.get("type"):
            case "message_start":
                self._begin(as_dict(event.get("message")))
            case "content_block_start":
                self._weigh(len(data))
                self._whole.content.append(as_dict(event.get("content_block")))
            case "content_block_delta":
                self._take(as_dict(event.get("delta")))
            case "message_delta":
                delta = as_dict(event.get("delta"))
                self._whole.stop_reason = delta.get("stop_reason")
                self._whole.container = delta.get("container") or self._whole.container
                self._count(event.get("usage"))
            case "message_stop":
                return True
            case "error":
                raise self._wire.errors.of_event(event.get("error"))
        return False

    def _begin(self, message: dict[str, Any]) -> None:
        self._begun = True
        model = message.get("model")
        self._whole.model = model if isinstance(model, str) else None
        self._count(message.get("usage"))

    def _count(self, usage: object) -> None:
        """Take newer counts: each event says them anew, from the beginning."""
        if isinstance(usage, dict):
            self._usage.update({name: value for name, value in usage.items() if value is not None})

    def _take(self, delta: dict[str, Any]) -> None:
        kind = as_text(delta.get("type"))
        if kind == "citations_delta" and self._whole.content:  # sources of a search, which go back with the text
            self._weigh(len(msgspec.json.encode(delta)))
            block = self._whole.content[-1]
            block["citations"] = [*as_list(block.get("citations") or []), delta.get("citation")]
        field = "partial_json" if kind == "input_json_delta" else _PIECES.get(kind)
        if field is None:  # what is yet to come
            return
        if not self._whole.content:
            raise msgspec.ValidationError("a piece of no block")
        piece = as_text(delta.get(field))
        self._weigh(len(piece) + _PIECE)
        self._pieces.setdefault((len(self._whole.content) - 1, field), []).append(piece)
        if field == "text" and piece:
            self._on_text(piece)

    def _weigh(self, size: int) -> None:
        self._size += size
        if self._size > self._wire.limit:
            raise too_large(self._wire.limit)

    def answer(self, request_id: str) -> ModelResponse:
        """The whole answer."""
        if not self._begun:
            raise msgspec.ValidationError("no message")
        arguments: dict[int, str] = {}
        for (place, field), pieces in self._pieces.items():
            block = self._whole.content[place]
            if field == "partial_json":
                arguments[place] = "".join(pieces)
                block["input"] = _input(arguments[place])
            else:
                block[field] = f"{block.get(field) or ''}{''.join(pieces)}"
        self._whole.usage = self._usage
        return self._wire.response(self._whole, request_id, arguments)


def _input(arguments: str) -> dict[str, Any]:
    """Arguments as an object. What a model wrote wrongly is sent back to it in the only way this wire has."""
    try:
        value = msgspec.json.decode(arguments or "{}")
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"invalid_json": arguments}


def _form(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema as Anthropic takes it, or None where it takes no such schema."""
    import anthropic

    if schema.get("type") != "object":
        return None
    try:
        return anthropic.transform_schema(dict(schema))
    except (AttributeError, TypeError, ValueError, RecursionError):
        return None


def _usage(usage: object) -> Usage:
    if not isinstance(usage, dict):
        return usage_of(None, None)
    cached, written = usage.get("cache_read_input_tokens"), usage.get("cache_creation_input_tokens")
    parts = [count(usage.get("input_tokens")), *(0 if one is None else count(one) for one in (cached, written))]
    details = usage.get("output_tokens_details")
    return usage_of(
        None if None in parts else sum(one for one in parts if one is not None),
        usage.get("output_tokens"),
        cached=cached,
        cache_write=written,
        reasoning=details.get("thinking_tokens") if isinstance(details, dict) else None,
    )


def _searches(usage: object, items: Sequence[Mapping[str, Any]]) -> int:
    """How many searches are billed: as it reports them, else as it lists them."""
    own = usage.get("server_tool_use") if isinstance(usage, dict) else None
    reported = count(own.get("web_search_requests")) if isinstance(own, dict) else None
    return searches_in(items) if reported is None else reported
