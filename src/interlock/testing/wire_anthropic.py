"""The Anthropic messages wire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from interlock.agents.provider import Message, StopReason, ToolCall
from interlock.testing.script import Api, RequestView
from interlock.testing.wire import Outgoing, decode, encode, event, pieces, text_of
from interlock.tools.tool import ToolSpec

API: Api = "anthropic"
CALL_ID = "toolu_"
REQUEST_ID = "request-id"

_STOP: dict[StopReason, str] = {
    "end": "end_turn",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "refusal": "refusal",
    "pause": "pause_turn",
    "other": "pause_turn",
}

#: Status: type and sentence, as Anthropic sends them.
_ERRORS: dict[int, tuple[str, str]] = {
    400: ("invalid_request_error", "Invalid request."),
    401: ("authentication_error", "invalid x-api-key"),
    403: ("permission_error", "Your API key does not have permission to use this resource."),
    404: ("not_found_error", "The requested resource could not be found."),
    413: ("request_too_large", "Request exceeds the maximum size."),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit."),
    500: ("api_error", "Internal server error"),
    529: ("overloaded_error", "Overloaded"),
}


def read(body: Mapping[str, Any], key: str, number: int) -> RequestView:
    """What is asked."""
    if not isinstance(body.get("max_tokens"), int):
        raise ValueError("max_tokens: Field required")
    messages: list[Message] = []
    for message in body["messages"]:
        messages.extend(_messages(message["role"], message["content"]))
    wanted = (body.get("output_config") or {}).get("format") or body.get("output_format")
    return RequestView(
        api=API,
        model=body["model"],
        system=text_of(body.get("system")),
        messages=tuple(messages),
        tools=tuple(_tool(tool) for tool in body.get("tools") or () if "input_schema" in tool),
        native_tools=tuple(tool["type"] for tool in body.get("tools") or () if "input_schema" not in tool),
        schema=None if wanted is None else wanted["schema"],
        stream=bool(body.get("stream")),
        key=key,
        number=number,
    )


def _messages(role: str, content: Any) -> Iterator[Message]:
    """One turn of Anthropic's; tool results are blocks of the user's turn here, and messages in the view."""
    if role not in ("user", "assistant"):
        raise ValueError(f"messages: Unexpected role {role!r}")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    calls = tuple(
        ToolCall(id=block["id"], name=block["name"], arguments=encode(block["input"]).decode())
        for block in blocks
        if block["type"] == "tool_use"
    )
    for block in blocks:
        if block["type"] == "tool_result":
            failed = bool(block.get("is_error"))
            text = text_of(block.get("content"))
            yield Message(role="tool", text=text, tool_call_id=block["tool_use_id"], is_error=failed)
    said = [block["text"] for block in blocks if block["type"] == "text"]
    if said or calls or not blocks:
        yield Message(role="user" if role == "user" else "assistant", text="".join(said), tool_calls=calls)


def _tool(tool: Mapping[str, Any]) -> ToolSpec:
    return ToolSpec(name=tool["name"], description=tool.get("description") or "", parameters=tool["input_schema"])


def whole(out: Outgoing) -> dict[str, Any]:
    """The answer as one JSON object."""
    return {
        "id": f"msg_{out.number:06d}",
        "type": "message",
        "role": "assistant",
        "model": out.model,
        "content": _blocks(out),
        "stop_reason": _STOP[out.stop],
        "stop_sequence": None,
        "usage": _usage(out),
        "container": _container(out),
    }


def _container(out: Outgoing) -> dict[str, Any] | None:
    """Where code was run: the place that was asked for, else a new one; nothing where none was."""
    ran = any(str(block.get("type")).endswith("code_execution_tool_result") for block in out.native)
    name = out.body.get("container") or f"container_{out.number:06d}"
    return {"id": name, "expires_at": "2099-01-01T00:00:00Z"} if ran else None


def _blocks(out: Outgoing) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if out.thinking:
        blocks.append({"type": "thinking", "thinking": out.thinking, "signature": f"simulated-{out.number:06d}"})
    blocks.extend(dict(block) for block in out.native)
    if out.text:
        blocks.append({"type": "text", "text": out.text})
    blocks.extend(
        {"type": "tool_use", "id": wish.id, "name": wish.name, "input": _input(wish.arguments)} for wish in out.calls
    )
    return blocks


def _input(arguments: str) -> Any:
    """The arguments as an object; this wire has no other form, so what is no JSON goes in as its text."""
    try:
        value = decode(arguments)
    except msgspec.DecodeError:
        return {"INVALID_JSON": arguments}
    return value if isinstance(value, dict) else {"INVALID_JSON": arguments}


def _usage(out: Outgoing) -> dict[str, Any]:
    usage = out.usage
    return {
        "input_tokens": max(0, usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_input_tokens,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
        "server_tool_use": _tools_used(out),
        "service_tier": "standard",
    }


def _tools_used(out: Outgoing) -> dict[str, int] | None:
    """How often tools of its own were used, as it bills them; nothing where none was."""
    searches = sum(block.get("name") == "web_search" for block in out.native)
    return {"web_search_requests": searches, "web_fetch_requests": 0} if searches else None


def events(out: Outgoing) -> Iterator[bytes]:
    """The answer as server-sent events."""
    for value in _values(out):
        yield event(value, value["type"])


def _values(out: Outgoing) -> Iterator[dict[str, Any]]:
    done = whole(out)
    usage = {**done["usage"], "output_tokens": 1}
    begun: dict[str, Any] = {"content": [], "stop_reason": None, "container": None, "usage": usage}
    yield {"type": "message_start", "message": {**done, **begun}}
    yield {"type": "ping"}
    arguments = [wish.arguments for wish in out.calls]
    for index, block in enumerate(done["content"]):
        yield {"type": "content_block_start", "index": index, "content_block": _begun(block)}
        for delta in _deltas(block, arguments):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    last = {"stop_reason": done["stop_reason"], "stop_sequence": None, "container": done["container"]}
    counted = {name: count for name, count in done["usage"].items() if name != "service_tier"}
    yield {"type": "message_delta", "delta": last, "usage": counted}
    yield {"type": "message_stop"}


def _begun(block: dict[str, Any]) -> dict[str, Any]:
    match block["type"]:
        case "text":
            return {"type": "text", "text": ""}
        case "thinking":
            return {"type": "thinking", "thinking": "", "signature": ""}
        case "tool_use" | "server_tool_use":
            return {**block, "input": {}}
        case _:
            return block


def _deltas(block: dict[str, Any], arguments: list[str]) -> Iterator[dict[str, Any]]:
    match block["type"]:
        case "text":
            for source in block.get("citations") or ():
                yield {"type": "citations_delta", "citation": source}
            for piece in pieces(block["text"]):
                yield {"type": "text_delta", "text": piece}
        case "thinking":
            for piece in pieces(block["thinking"]):
                yield {"type": "thinking_delta", "thinking": piece}
            yield {"type": "signature_delta", "signature": block["signature"]}
        case "server_tool_use":
            yield {"type": "input_json_delta", "partial_json": encode(block["input"]).decode()}
        case "tool_use":
            # The text as the script has it, so that arguments that are no JSON can be streamed too.
            for piece in pieces(arguments.pop(0)):
                yield {"type": "input_json_delta", "partial_json": piece}


def error(status: int, says: str, request_id: str) -> dict[str, Any]:
    """The body of an error."""
    kind, usual = _ERRORS.get(status) or _ERRORS[400 if status < 500 else 500]
    return {"type": "error", "error": {"type": kind, "message": says or usual}, "request_id": request_id}
