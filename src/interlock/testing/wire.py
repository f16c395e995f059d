"""What the three wires have in common: a settled reply, and how it is cut into server-sent events."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from interlock.agents.provider import Message, StopReason, ToolCall
from interlock.records.money import Usage
from interlock.testing.script import Api, Fault, Reply, RequestView

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode

_WORDS = re.compile(r"\S+\s*|\s+")
_LONG = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A reply with everything settled that goes over the wire.

    Args:
        body: The request as it came, for what the vendor echoes.
        number: The request's number; ids are made from it.
        at: Seconds since 1970.
    """

    body: Mapping[str, Any]
    number: int
    at: int
    model: str
    text: str
    thinking: str
    calls: tuple[ToolCall, ...]
    stop: StopReason
    usage: Usage
    native: tuple[Mapping[str, Any], ...] = ()


class Wire(Protocol):
    """One vendor's way to write requests, answers and errors. The `wire_*` modules are the three."""

    API: Api
    CALL_ID: str
    REQUEST_ID: str

    def read(self, body: Mapping[str, Any], key: str, number: int) -> RequestView:
        """What is asked. Raises ValueError, KeyError, TypeError or AttributeError when it makes no sense."""
        ...

    def whole(self, out: Outgoing) -> dict[str, Any]:
        """The answer as one JSON object."""
        ...

    def events(self, out: Outgoing) -> Iterator[bytes]:
        """The answer as server-sent events."""
        ...

    def error(self, status: int, says: str, request_id: str) -> dict[str, Any]:
        """The body of an error, with the vendor's usual sentence when `says` is empty."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """What the HTTP server is to send: one body or a stream of events, and what goes wrong on the way.

    Args:
        status: The HTTP status.
        headers: Headers besides length and date.
        body: The body, unless there are events.
        events: The events, or None.
        fault: A `timeout`, `cut_stream` or `reset`, which are done on the connection itself.
        latency: Seconds until the first byte.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    events: Iterator[bytes] | None = None
    fault: Fault | None = None
    latency: float = 0.0


def settle(reply: Reply, view: RequestView, body: Mapping[str, Any], *, at: int, call_id: str) -> Outgoing:
    """Fill in what a reply leaves open.

    Args:
        at: Seconds since 1970.
        call_id: What the vendor's call ids begin with.
    """
    calls = tuple(
        wish
        if wish.id
        else ToolCall(id=f"{call_id}{view.number:06d}_{place}", name=wish.name, arguments=wish.arguments)
        for place, wish in enumerate(reply.calls)
    )
    return Outgoing(
        body=body,
        number=view.number,
        at=at,
        model=reply.model or view.model,
        text=reply.text,
        thinking=reply.thinking,
        calls=calls,
        stop=reply.stop or ("tool_calls" if calls else "end"),
        usage=reply.usage or _estimate(reply, view),
        native=reply.native,
    )


def _estimate(reply: Reply, view: RequestView) -> Usage:
    """Four characters to a token: the same for every wire, streamed or not."""
    sent = len(view.system) + sum(len(tool.name) + len(tool.description) for tool in view.tools)
    for message in view.messages:
        sent += len(message.text) + _length(message.tool_calls)
    thinking = len(reply.thinking) // 4
    return Usage(
        input_tokens=max(1, sent // 4),
        output_tokens=max(1, (len(reply.text) + _length(reply.calls)) // 4) + thinking,
        reasoning_tokens=thinking,
    )


def _length(calls: Sequence[ToolCall]) -> int:
    return sum(len(wish.name) + len(wish.arguments) for wish in calls)


def pieces(text: str) -> Sequence[str]:
    """Text as it is streamed: word by word, or in large pieces where it is long."""
    if len(text) <= _LONG:
        return _WORDS.findall(text)
    return [text[start : start + _LONG] for start in range(0, len(text), _LONG)]


def event(value: Mapping[str, Any], name: str = "") -> bytes:
    """One server-sent event."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + encode(value) + b"\n\n"


def text_of(content: Any) -> str:
    """The text in a message's content, which is a string, a list of parts, or nothing."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part if isinstance(part, str) else part.get("text") or part.get("refusal") or "" for part in content)


def objection(messages: Sequence[Message]) -> str:
    """Why a vendor refuses this conversation, or "": every tool call needs its result, right after it."""
    open_calls: set[str] = set()
    for message in messages:
        if message.role == "tool":
            if message.tool_call_id not in open_calls:
                return f"There is a tool result for {message.tool_call_id!r}, but no tool call with that id before it."
            open_calls.discard(message.tool_call_id)
        elif open_calls:
            break
        open_calls.update(wish.id for wish in message.tool_calls)
    if open_calls:
        return f"There is no tool result for {', '.join(sorted(open_calls))}; it must follow the tool call."
    return ""
