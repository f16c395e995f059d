"""The OpenAI responses wire, used without storing anything at OpenAI."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import msgspec

from interlock.agents.native import searches_in
from interlock.agents.openai_client import OpenAIWire, form, openai_usage
from interlock.agents.provider import Message, ModelRequest, ModelResponse, OnText, StopReason, ToolCall
from interlock.agents.schemas import allows_strict, in_words
from interlock.agents.shapes import as_dict, as_list, as_text
from interlock.agents.wire import Fold
from interlock.tools.tool import ToolSpec

#: Models that do not reason refuse a request that asks for encrypted reasoning.
_NEVER_REASON = ("gpt-3.5", "gpt-4", "chatgpt-4o")
#: What it leaves out of the steps of its own tools unless it is asked for.
_INCLUDED = {"web_search": "web_search_call.action.sources", "code_interpreter": "code_interpreter_call.outputs"}
#: The API refuses less.
_MIN_OUTPUT_TOKENS = 16
_PLAIN_ITEMS = frozenset({"message", "function_call"})
_FINAL_EVENTS = frozenset({"response.completed", "response.incomplete", "response.failed"})
_TEXT_EVENTS = frozenset({"response.output_text.delta", "response.refusal.delta"})
_INCOMPLETE: dict[object, StopReason] = {"max_output_tokens": "length", "content_filter": "refusal"}


class _Whole(msgspec.Struct):
    output: list[dict[str, Any]]
    status: str | None = None
    model: str | None = None
    usage: Any = None
    error: Any = None
    incomplete_details: dict[str, Any] | None = None


class _Failure(msgspec.Struct):
    error: Any = None


class _Event(msgspec.Struct):
    type: str
    delta: Any = None
    response: msgspec.Raw = msgspec.Raw(b"")


_whole = msgspec.json.Decoder(_Whole)
_failure = msgspec.json.Decoder(_Failure)
_event = msgspec.json.Decoder(_Event)


class OpenAIResponses(OpenAIWire):
    """A provider that speaks responses."""

    path = "responses"
    own_tools = MappingProxyType(
        {
            "web_search": {"type": "web_search"},
            "code_interpreter": {"type": "code_interpreter", "container": {"type": "auto"}},
        }
    )

    def body(self, request: ModelRequest, *, stream: bool, official: bool) -> dict[str, Any]:
        """The request as the vendor wants it."""
        items = [item for message in request.messages for item in self._items(message)]
        body: dict[str, Any] = {
            "model": request.model,
            "input": items,
            "max_output_tokens": max(request.max_output_tokens, _MIN_OUTPUT_TOKENS),
            "store": False,
        }
        if not request.model.startswith(_NEVER_REASON):
            body["include"] = ["reasoning.encrypted_content"]
        if tools := self.offered(request, official):
            body["tools"] = tools
        if request.native_tools:
            body["include"] = [*body.get("include", ()), *(_INCLUDED[name] for name in request.native_tools)]
            if most := sum(request.native_uses.get(name, 0) for name in request.native_tools):
                body["max_tool_calls"] = most
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.schema is not None:
            if request.schema.get("type") == "object":
                body["text"] = {"format": {"type": "json_schema", **form(request.schema)}}
            else:
                items.insert(0, {"role": "system", "content": in_words(request.schema)})
        if stream:
            body["stream"] = True
        return body

    def terms(self, name: str, request: ModelRequest) -> Mapping[str, Any]:
        """Code goes on where it was run before."""
        return {"container": request.container} if name == "code_interpreter" and request.container else {}

    def tool(self, spec: ToolSpec, official: bool) -> dict[str, Any]:
        """A tool as the vendor wants it described; here `strict` is the default, so it is always said."""
        described = {"name": spec.name, "description": spec.description, "parameters": spec.parameters}
        return {"type": "function", **described, "strict": allows_strict(spec.parameters)}

    def _items(self, message: Message) -> Iterator[Mapping[str, Any]]:
        if message.role == "tool":
            text = f"Error: {message.text}" if message.is_error else message.text
            yield {"type": "function_call_output", "call_id": message.tool_call_id, "output": text}
            return
        own = self.own_items(message)
        if own:
            yield from own
            return
        if message.text or message.role != "assistant":
            yield {"role": message.role, "content": message.text}
        for call in message.tool_calls:
            yield {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}

    def read(self, body: bytes, request_id: str) -> ModelResponse:
        """The answer in a whole body."""
        error = _failure.decode(body).error
        if error:
            raise self.errors.of_event(error)
        return self._response(_whole.decode(body), request_id)

    def _response(self, whole: _Whole, request_id: str) -> ModelResponse:
        calls = tuple(_call(item) for item in whole.output if item.get("type") == "function_call")
        text, refused = _said(whole.output)
        stop: StopReason = "tool_calls" if calls else "end"
        if whole.status == "incomplete":
            stop = _INCOMPLETE.get((whole.incomplete_details or {}).get("reason"), "other")
        elif whole.status == "failed":
            raise self.errors.of_event(None)
        if refused:
            stop = "refusal"
        # What comes with reasoning goes back whole and in order; all else can be written anew from text and calls.
        native = whole.output if any(item.get("type") not in _PLAIN_ITEMS for item in whole.output) else ()
        usage = openai_usage(whole.usage, "input_tokens", "output_tokens")
        if native and (searches := searches_in(native)):  # billed, but not reported: counted where they are listed
            usage = replace(usage, searches=searches)
        return ModelResponse(
            text=text,
            tool_calls=calls,
            stop=stop,
            usage=usage,
            model=whole.model or "",
            request_id=request_id,
            native=self.native(native),
        )

    def fold(self, on_text: OnText) -> Fold:
        """What puts a streamed answer together."""
        return _ResponsesFold(self, on_text)


class _ResponsesFold:
    """Passes text on, and waits for the final event: it holds the whole answer."""

    def __init__(self, wire: OpenAIResponses, on_text: OnText) -> None:
        self._wire, self._on_text = wire, on_text
        self._whole = b""

    def event(self, data: bytes) -> bool:
        """Take one event; True for the one that holds the whole response."""
        if data == b"[DONE]":
            return False
        event = _event.decode(data)
        if event.type in _TEXT_EVENTS:
            self._on_text(as_text(event.delta))
        elif event.type in _FINAL_EVENTS:
            self._whole = bytes(event.response)
            return True
        elif event.type == "error":
            error = msgspec.json.decode(data)
            raise self._wire.errors.of_event(error.get("error") or {**error, "type": None})
        return False

    def answer(self, request_id: str) -> ModelResponse:
        """The whole answer."""
        return self._wire.read(self._whole, request_id)


def _call(item: Mapping[str, Any]) -> ToolCall:
    return ToolCall(
        id=as_text(item.get("call_id")), name=as_text(item.get("name")), arguments=as_text(item.get("arguments"))
    )


def _said(items: list[dict[str, Any]]) -> tuple[str, bool]:
    """The text of all messages, and whether it is a refusal."""
    text, refused = [], False
    for item in items:
        if item.get("type") == "message":
            for part in map(as_dict, as_list(item.get("content"))):
                if part.get("type") == "output_text":
                    text.append(as_text(part.get("text")))
                elif part.get("type") == "refusal":
                    refused = True
                    text.append(as_text(part.get("refusal")))
    return "".join(text), refused
