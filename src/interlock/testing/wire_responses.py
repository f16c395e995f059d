"""The OpenAI responses wire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from interlock.agents.provider import Message, ToolCall
from interlock.testing import wire_chat
from interlock.testing.script import Api, RequestView
from interlock.testing.wire import Outgoing, event, pieces, text_of
from interlock.tools.tool import ToolSpec

API: Api = "openai-responses"
CALL_ID = wire_chat.CALL_ID
REQUEST_ID = wire_chat.REQUEST_ID
error = wire_chat.error

#: What stops an answer early, as OpenAI names it.
_INCOMPLETE = {"length": "max_output_tokens", "other": "content_filter"}


def read(body: Mapping[str, Any], key: str, number: int) -> RequestView:
    """What is asked."""
    given = body["input"]
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    system = [text_of(body.get("instructions"))]
    messages: list[Message] = []
    for item in items:
        if item.get("role") in ("system", "developer"):
            system.append(text_of(item["content"]))
        else:
            _append(messages, item)
    return RequestView(
        api=API,
        model=body["model"],
        system="\n\n".join(text for text in system if text),
        messages=tuple(messages),
        tools=tuple(_tool(tool) for tool in body.get("tools") or () if tool["type"] == "function"),
        native_tools=tuple(tool["type"] for tool in body.get("tools") or () if tool["type"] != "function"),
        schema=_schema((body.get("text") or {}).get("format")),
        stream=bool(body.get("stream")),
        key=key,
        number=number,
    )


def _append(messages: list[Message], item: Mapping[str, Any]) -> None:
    """Add an item; text and calls of one turn are separate items here, and one message in the view."""
    kind = item.get("type", "message")
    if kind == "function_call_output":
        messages.append(Message(role="tool", text=text_of(item["output"]), tool_call_id=item["call_id"]))
    elif kind == "function_call":
        wish = ToolCall(id=item["call_id"], name=item["name"], arguments=item["arguments"])
        before = _open_turn(messages)
        messages.append(Message(role="assistant", text=before.text, tool_calls=(*before.tool_calls, wish)))
    elif kind == "message" and item["role"] == "assistant":
        before = _open_turn(messages)
        messages.append(
            Message(role="assistant", text=before.text + text_of(item["content"]), tool_calls=before.tool_calls)
        )
    elif kind == "message" and item["role"] == "user":
        messages.append(Message(role="user", text=text_of(item["content"])))
    elif kind not in ("reasoning", "item_reference", "web_search_call", "code_interpreter_call"):
        raise ValueError(f"Invalid value: {kind}")


def _open_turn(messages: list[Message]) -> Message:
    if messages and messages[-1].role == "assistant":
        return messages.pop()
    return Message(role="assistant")


def _tool(tool: Mapping[str, Any]) -> ToolSpec:
    return ToolSpec(
        name=tool["name"], description=tool.get("description") or "", parameters=tool.get("parameters") or {}
    )


def _schema(wanted: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if wanted is None or wanted["type"] == "text":
        return None
    schema: Mapping[str, Any] = wanted["schema"] if wanted["type"] == "json_schema" else {"type": "object"}
    return schema


def whole(out: Outgoing) -> dict[str, Any]:
    """The answer as one JSON object."""
    reason = _INCOMPLETE.get(out.stop)
    return {
        **_shell(out),
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": _items(out),
        "usage": _usage(out),
    }


def _shell(out: Outgoing) -> dict[str, Any]:
    """A response that has just begun: what was asked, echoed, and nothing answered yet."""
    body = out.body
    return {
        "id": f"resp_{out.number:06d}",
        "object": "response",
        "created_at": out.at,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": body.get("metadata") or {},
        "model": out.model,
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": body.get("reasoning") or {"effort": None, "summary": None},
        "service_tier": "default",
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": None,
    }


def _usage(out: Outgoing) -> dict[str, Any]:
    usage = out.usage
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


def _items(out: Outgoing) -> list[dict[str, Any]]:
    items = [_reasoning(out)] if out.thinking else []
    items.extend(dict(item) for item in out.native)
    if out.text or not (out.calls or any(item.get("type") == "message" for item in out.native)):
        items.append(_said(out))
    items.extend(
        {
            "id": f"fc_{out.number:06d}_{place}",
            "type": "function_call",
            "status": "completed",
            "call_id": wish.id,
            "name": wish.name,
            "arguments": wish.arguments,
        }
        for place, wish in enumerate(out.calls)
    )
    return items


def _reasoning(out: Outgoing) -> dict[str, Any]:
    item: dict[str, Any] = {
        "id": f"rs_{out.number:06d}",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": out.thinking}],
    }
    if "reasoning.encrypted_content" in (out.body.get("include") or ()):
        item["encrypted_content"] = f"simulated-{out.number:06d}"
    return item


def _said(out: Outgoing) -> dict[str, Any]:
    part = (
        {"type": "refusal", "refusal": out.text}
        if out.stop == "refusal"
        else {"type": "output_text", "text": out.text, "annotations": [], "logprobs": []}
    )
    return {
        "id": f"msg_{out.number:06d}",
        "type": "message",
        "role": "assistant",
        "status": "incomplete" if out.stop in _INCOMPLETE else "completed",
        "content": [part],
    }


def events(out: Outgoing) -> Iterator[bytes]:
    """The answer as server-sent events, numbered as OpenAI numbers them."""
    for number, (name, value) in enumerate(_named(out)):
        yield event({"type": name, "sequence_number": number, **value}, name)


def _named(out: Outgoing) -> Iterator[tuple[str, dict[str, Any]]]:
    begun, done = _shell(out), whole(out)
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    for index, item in enumerate(done["output"]):
        yield "response.output_item.added", {"output_index": index, "item": _begun(item)}
        at = {"item_id": item["id"], "output_index": index}
        if item["type"] == "message":
            yield from _content({**at, "content_index": 0}, item["content"][0])
        elif item["type"] == "function_call":
            for piece in pieces(item["arguments"]):
                yield "response.function_call_arguments.delta", {**at, "delta": piece}
            arguments = {"name": item["name"], "arguments": item["arguments"]}
            yield "response.function_call_arguments.done", {**at, **arguments}
        yield "response.output_item.done", {"output_index": index, "item": item}
    yield f"response.{done['status']}", {"response": done}


def _begun(item: dict[str, Any]) -> dict[str, Any]:
    if item["type"] == "message":
        return {**item, "status": "in_progress", "content": []}
    if item["type"] == "function_call":
        return {**item, "status": "in_progress", "arguments": ""}
    return {**item, "summary": []} if item["type"] == "reasoning" else {**item, "status": "in_progress"}


def _content(at: dict[str, Any], part: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    kind, said = part["type"], "refusal" if part["type"] == "refusal" else "text"
    extra: dict[str, Any] = {} if kind == "refusal" else {"logprobs": []}
    yield "response.content_part.added", {**at, "part": {**part, said: ""}}
    for piece in pieces(part[said]):
        yield f"response.{kind}.delta", {**at, "delta": piece, **extra}
    yield f"response.{kind}.done", {**at, said: part[said], **extra}
    yield "response.content_part.done", {**at, "part": part}
