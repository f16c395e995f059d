"""The OpenAI chat completions wire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from interlock.agents.provider import Message, StopReason, ToolCall
from interlock.testing.script import Api, RequestView
from interlock.testing.wire import Outgoing, event, pieces, text_of
from interlock.tools.tool import ToolSpec

API: Api = "openai-chat"
CALL_ID = "call_"
REQUEST_ID = "x-request-id"

_FINISH: dict[StopReason, str] = {
    "end": "stop",
    "tool_calls": "tool_calls",
    "length": "length",
    "refusal": "stop",
    "pause": "stop",
    "other": "content_filter",
}

#: Status: type, code, sentence, as OpenAI sends them.
_ERRORS: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "Invalid request."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("invalid_request_error", "unsupported_country_region_territory", "Access denied."),
    404: (
        "invalid_request_error",
        "model_not_found",
        "The model does not exist or you do not have access to it.",
    ),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests per min (RPM)."),
    500: ("server_error", None, "The server had an error while processing your request. Sorry about that!"),
    503: ("server_error", None, "The engine is currently overloaded, please try again later."),
}


def read(body: Mapping[str, Any], key: str, number: int) -> RequestView:
    """What is asked."""
    system: list[str] = []
    messages: list[Message] = []
    for message in body["messages"]:
        if message["role"] in ("system", "developer"):
            system.append(text_of(message["content"]))
        else:
            messages.append(_message(message))
    return RequestView(
        api=API,
        model=body["model"],
        system="\n\n".join(system),
        messages=tuple(messages),
        tools=tuple(
            _tool(tool["function"]) for tool in body.get("tools") or () if tool.get("type", "function") == "function"
        ),
        schema=_schema(body.get("response_format")),
        stream=bool(body.get("stream")),
        key=key,
        number=number,
    )


def _message(message: Mapping[str, Any]) -> Message:
    role, text = message["role"], text_of(message.get("content"))
    if role == "tool":
        return Message(role=role, text=text, tool_call_id=message["tool_call_id"])
    if role not in ("user", "assistant"):
        raise ValueError(f"Unknown role: {role}")
    calls = tuple(
        ToolCall(id=wish["id"], name=wish["function"]["name"], arguments=wish["function"]["arguments"])
        for wish in message.get("tool_calls") or ()
    )
    return Message(role=role, text=text, tool_calls=calls)


def _tool(function: Mapping[str, Any]) -> ToolSpec:
    return ToolSpec(
        name=function["name"],
        description=function.get("description") or "",
        parameters=function.get("parameters") or {},
    )


def _schema(wanted: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if wanted is None or wanted["type"] == "text":
        return None
    schema: Mapping[str, Any] = (
        wanted["json_schema"]["schema"] if wanted["type"] == "json_schema" else {"type": "object"}
    )
    return schema


def whole(out: Outgoing) -> dict[str, Any]:
    """The answer as one JSON object."""
    refused = out.stop == "refusal"
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if refused or (out.calls and not out.text) else out.text,
        "refusal": out.text if refused else None,
        "annotations": [],
    }
    if out.calls:
        message["tool_calls"] = [_call(wish, wish.arguments) for wish in out.calls]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _FINISH[out.stop]}
    return {**_head(out, "chat.completion"), "choices": [choice], "usage": _usage(out)}


def _call(wish: ToolCall, arguments: str) -> dict[str, Any]:
    return {"id": wish.id, "type": "function", "function": {"name": wish.name, "arguments": arguments}}


def _head(out: Outgoing, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{out.number:06d}",
        "object": kind,
        "created": out.at,
        "model": out.model,
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }


def _usage(out: Outgoing) -> dict[str, Any]:
    usage = out.usage
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens, "audio_tokens": 0},
    }


def events(out: Outgoing) -> Iterator[bytes]:
    """The answer as server-sent events."""
    head = _head(out, "chat.completion.chunk")
    counted = bool((out.body.get("stream_options") or {}).get("include_usage"))
    if counted:
        head["usage"] = None
    for delta in _deltas(out):
        yield event({**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]})
    last = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": _FINISH[out.stop]}
    yield event({**head, "choices": [last]})
    if counted:
        yield event({**head, "choices": [], "usage": _usage(out)})
    yield b"data: [DONE]\n\n"


def _deltas(out: Outgoing) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": None if out.calls and not out.text else "", "refusal": None}
    said = "refusal" if out.stop == "refusal" else "content"
    for piece in pieces(out.text):
        yield {said: piece}
    for place, wish in enumerate(out.calls):
        yield {"tool_calls": [{"index": place, **_call(wish, "")}]}
        for piece in pieces(wish.arguments):
            yield {"tool_calls": [{"index": place, "function": {"arguments": piece}}]}


def error(status: int, says: str, request_id: str) -> dict[str, Any]:
    """The body of an error; OpenAI sends the request's id in a header only."""
    kind, code, usual = _ERRORS.get(status) or _ERRORS[400 if status < 500 else 500]
    return {"error": {"message": says or usual, "type": kind, "param": None, "code": code}}
