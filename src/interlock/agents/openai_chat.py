"""The OpenAI chat completions wire, spoken by OpenAI and by most others: Ollama, vLLM, DeepSeek, Gemini ..."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from interlock.agents.openai_client import OpenAIWire, form, openai_usage
from interlock.agents.provider import Message, ModelRequest, ModelResponse, OnText, StopReason, ToolCall
from interlock.agents.schemas import allows_strict, in_words
from interlock.agents.shapes import as_dict, as_list, as_text, text_of
from interlock.agents.vendor_errors import too_large
from interlock.agents.wire import Fold
from interlock.tools.tool import ToolSpec

_STOP: dict[str | None, StopReason] = {
    "stop": "end",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "refusal",
}
#: Fields of an assistant message that every server knows. Others (reasoning) go back as they came.
_USUAL = frozenset({"role", "content", "refusal", "annotations", "audio", "function_call", "tool_calls", "name"})
_USUAL_CALL = frozenset({"id", "type", "function", "index"})
#: What a piece of a streamed answer weighs besides its text.
_PIECE = 64


class _Choice(msgspec.Struct):
    message: dict[str, Any]
    finish_reason: str | None = None


class _Whole(msgspec.Struct):
    choices: list[_Choice] = []
    id: str | None = None
    model: str | None = None
    usage: Any = None
    error: Any = None


class _Delta(msgspec.Struct):
    delta: dict[str, Any] | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Delta] | None = None
    id: str | None = None
    model: str | None = None
    usage: Any = None
    error: Any = None


_whole = msgspec.json.Decoder(_Whole)
_chunk = msgspec.json.Decoder(_Chunk)


class OpenAIChat(OpenAIWire):
    """A provider that speaks chat completions."""

    path = "chat/completions"

    def body(self, request: ModelRequest, *, stream: bool, official: bool) -> dict[str, Any]:
        """The request as the vendor wants it."""
        messages = [self._message(message) for message in request.messages]
        body: dict[str, Any] = {"model": request.model, "messages": messages}
        body["max_completion_tokens" if official else "max_tokens"] = request.max_output_tokens
        if request.tools:
            body["tools"] = self.tools.written(request.tools, official)
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.schema is not None:
            if request.schema.get("type") == "object":
                body["response_format"] = {"type": "json_schema", "json_schema": form(request.schema)}
            else:
                messages.insert(0, {"role": "system", "content": in_words(request.schema)})
        if stream:
            body["stream"] = True
            body["stream_options"] = {"include_usage": True}
        return body

    def tool(self, spec: ToolSpec, official: bool) -> dict[str, Any]:
        """A tool as the vendor wants it described; `strict` only from those who surely know it."""
        strict = {"strict": True} if official and allows_strict(spec.parameters) else {}
        function = {"name": spec.name, "description": spec.description, "parameters": spec.parameters, **strict}
        return {"type": "function", "function": function}

    def _message(self, message: Message) -> Mapping[str, Any]:
        if message.role == "tool":
            text = f"Error: {message.text}" if message.is_error else message.text
            return {"role": "tool", "tool_call_id": message.tool_call_id, "content": text}
        if message.role != "assistant":
            return {"role": message.role, "content": message.text}
        own = self.own_items(message)
        if own:
            return as_dict(own[0])
        written: dict[str, Any] = {"role": "assistant", "content": message.text}
        if message.tool_calls:
            written["content"] = message.text or None
            written["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in message.tool_calls
            ]
        return written

    def read(self, body: bytes, request_id: str) -> ModelResponse:
        """The answer in a whole body."""
        whole = _whole.decode(body)
        if not whole.choices and whole.error:
            raise self.errors.of_event(whole.error)
        return self.response(whole, request_id)

    def response(self, whole: _Whole, request_id: str) -> ModelResponse:
        """The answer in a decoded body."""
        if not whole.choices:
            raise msgspec.ValidationError("no choices")
        choice = whole.choices[0]
        message = choice.message
        wishes = message.get("tool_calls") or []
        calls = tuple(_call(wish, f"{whole.id or 'call'}_{place}") for place, wish in enumerate(as_list(wishes)))
        refusal = message.get("refusal")
        stop = _STOP.get(choice.finish_reason, "other")
        if calls and stop == "end":  # some servers say so
            stop = "tool_calls"
        if isinstance(refusal, str) and refusal:
            stop = "refusal"
        else:
            refusal = ""
        native = [message] if _unusual(message, wishes) else []
        return ModelResponse(
            text=text_of(message.get("content")) or refusal,
            tool_calls=calls,
            stop=stop,
            usage=openai_usage(whole.usage, "prompt_tokens", "completion_tokens"),
            model=whole.model or "",
            request_id=request_id,
            native=self.native(native),
        )

    def fold(self, on_text: OnText) -> Fold:
        """What puts a streamed answer together."""
        return _ChatFold(self, on_text)


class _ChatFold:
    """Puts chunks together to the message they would have been."""

    def __init__(self, wire: OpenAIChat, on_text: OnText) -> None:
        self._wire, self._on_text = wire, on_text
        self._head = _Whole()
        self._finish: str | None = None
        self._spoken = False
        self._said: dict[str, list[str]] = {}
        self._lists: dict[str, list[Any]] = {}
        self._calls: list[dict[str, Any]] = []
        self._arguments: list[list[str]] = []
        self._places: dict[object, int] = {}
        self._size = 0

    def event(self, data: bytes) -> bool:
        """Take one chunk; True for the final `[DONE]`."""
        if data == b"[DONE]":
            return True
        chunk = _chunk.decode(data)
        if chunk.error:
            raise self._wire.errors.of_event(chunk.error)
        head = self._head
        head.id, head.model, head.usage = chunk.id or head.id, chunk.model or head.model, chunk.usage or head.usage
        for choice in (chunk.choices or ())[:1]:
            self._spoken = True
            self._finish = choice.finish_reason or self._finish
            if choice.delta:
                self._take(choice.delta)
        return False

    def _take(self, delta: dict[str, Any]) -> None:
        for name, value in delta.items():
            self._weigh(len(name))
            if name == "tool_calls":
                for wish in as_list(value or []):
                    self._take_call(as_dict(wish))
            elif name == "role":
                continue
            elif isinstance(value, str):
                if value:
                    self._add(self._said.setdefault(name, []), value)
                    if name in ("content", "refusal"):
                        self._on_text(value)
            elif isinstance(value, list) and value:
                self._weigh(len(msgspec.json.encode(value)))
                self._lists.setdefault(name, []).extend(value)

    def _take_call(self, wish: dict[str, Any]) -> None:
        function = as_dict(wish.get("function") or {})
        index, name = wish.get("index"), wish.get("id")
        place = self._places.get(index)
        # Some servers give every call the same index, or none: a new id begins a new call.
        if place is None or (name and self._calls[place].get("id") not in (None, "", name)):
            place = self._places[index] = len(self._calls)
            self._calls.append({"type": "function", "function": {"name": ""}})
            self._arguments.append([])
        call = self._calls[place]
        self._weigh(_PIECE)
        call.update({key: value for key, value in wish.items() if key not in ("function", "index") and value})
        call["function"]["name"] = call["function"]["name"] or as_text(function.get("name") or "")
        arguments = function.get("arguments")
        if arguments:
            text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
            self._add(self._arguments[place], text)

    def _add(self, pieces: list[str], piece: str) -> None:
        self._weigh(len(piece) + _PIECE)
        pieces.append(piece)

    def _weigh(self, size: int) -> None:
        self._size += size
        if self._size > self._wire.limit:
            raise too_large(self._wire.limit)

    def answer(self, request_id: str) -> ModelResponse:
        """The whole answer."""
        if self._spoken:
            message: dict[str, Any] = {"role": "assistant", "content": None, **self._lists}
            message.update({name: "".join(pieces) for name, pieces in self._said.items()})
            for call, pieces in zip(self._calls, self._arguments, strict=True):
                call["function"]["arguments"] = "".join(pieces)
            if self._calls:
                message["tool_calls"] = self._calls
            self._head.choices = [_Choice(message=message, finish_reason=self._finish)]
        return self._wire.response(self._head, request_id)


def _call(wish: object, otherwise: str) -> ToolCall:
    call = as_dict(wish)
    function = as_dict(call.get("function"))
    arguments = function.get("arguments")
    if not isinstance(arguments, str):  # some servers send the object itself
        arguments = msgspec.json.encode(arguments or {}).decode()
    identity = as_text(call.get("id") or otherwise)
    return ToolCall(id=identity, name=as_text(function.get("name")), arguments=arguments or "{}")


def _unusual(message: Mapping[str, Any], wishes: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a turn that calls tools holds what must go back with it: reasoning, signatures of thoughts."""
    if not wishes:
        return False
    return any(value and name not in _USUAL for name, value in message.items()) or any(
        not wish.keys() <= _USUAL_CALL for wish in wishes
    )
