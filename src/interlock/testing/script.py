"""Scripts for a simulated provider: the request it sees, the replies it gives, the faults it shows."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypedDict, Unpack

from interlock.agents.provider import Message, StopReason, ToolCall
from interlock.errors import UsageError
from interlock.records.money import Usage
from interlock.tools.tool import ToolSpec

Api = Literal["openai-chat", "openai-responses", "anthropic"]
FaultKind = Literal["status", "timeout", "malformed_json", "cut_stream", "wrong_content_type", "empty", "reset"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestView:
    """A model request in words no vendor owns.

    Args:
        api: Which wire it came over.
        model: The model it asks for.
        system: The system text, all of it.
        messages: The conversation without the system text; tool results are messages with role `tool`.
        tools: The functions the model may ask to call.
        native_tools: The vendor's own tools that are offered, by the types it gives them.
        schema: The JSON Schema the answer must fit, or None.
        stream: Whether the answer is to be streamed.
        key: The idempotency key that came along, or "".
        number: 1 for the first model request this server was asked to answer, 2 for the next.
    """

    api: Api
    model: str
    system: str = ""
    messages: tuple[Message, ...] = ()
    tools: tuple[ToolSpec, ...] = ()
    native_tools: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    stream: bool = False
    key: str = ""
    number: int = 0

    @property
    def results(self) -> dict[str, str]:
        """The text of every tool result so far, by call id, oldest first."""
        return {message.tool_call_id: message.text for message in self.messages if message.role == "tool"}

    @property
    def asked(self) -> str:
        """The newest thing the user said, or ""."""
        return next((message.text for message in reversed(self.messages) if message.role == "user"), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer of the model. Use `Text`, `Calls` or `Structured` unless all fields are wanted.

    Args:
        text: What it says.
        calls: The tool calls it wants; a call without an id gets one.
        thinking: Reasoning shown before the answer, where the wire has a place for it.
        native: Items before the text as the vendor writes them, such as those of a web search of its own.
        usage: What it reports as consumed; None counts four characters as a token, the same every time.
        stop: Why it stopped; None for the natural reason.
        model: The model that it says answered; "" for the one asked for.
        latency: Seconds until the first byte; None for the server's own.
    """

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    thinking: str = ""
    native: tuple[Mapping[str, Any], ...] = ()
    usage: Usage | None = None
    stop: StopReason | None = None
    model: str = ""
    latency: float | None = None


class Manner(TypedDict, total=False):
    """What every kind of reply may say besides its content; see `Reply`."""

    thinking: str
    native: tuple[Mapping[str, Any], ...]
    usage: Usage | None
    stop: StopReason | None
    model: str
    latency: float | None


class Text(Reply):
    """A reply in plain words."""

    __slots__ = ()

    def __init__(self, text: str, **manner: Unpack[Manner]) -> None:
        Reply.__init__(self, text=text, **manner)


class Calls(Reply):
    """A reply that wants tools called, one or several at once: `Calls(call("shell", argv=["df"]))`."""

    __slots__ = ()

    def __init__(self, *calls: ToolCall, text: str = "", **manner: Unpack[Manner]) -> None:
        Reply.__init__(self, calls=calls, text=text, **manner)


class Structured(Reply):
    """A reply that is a JSON value, as models give it when a schema was asked for. It is sent as it is
    given, also when it does not fit."""

    __slots__ = ()

    def __init__(self, value: Any, **manner: Unpack[Manner]) -> None:
        Reply.__init__(self, text=json.dumps(value), **manner)


def call(name: str, /, **arguments: Any) -> ToolCall:
    """A tool call for `Calls`. For arguments that are no JSON at all, make the `ToolCall` yourself."""
    return ToolCall(id="", name=name, arguments=json.dumps(arguments))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong. Made by its class methods, one for each kind."""

    kind: FaultKind
    code: int = 200
    says: str = ""
    retry_after: float | None = None
    after_chunks: int = 0
    reply: Reply | None = None

    @classmethod
    def status(cls, code: int, *, retry_after: float | None = None, says: str = "") -> Fault:
        """The vendor's error body for an HTTP status.

        Args:
            code: 400 to 599.
            retry_after: Seconds for the Retry-After header.
            says: The vendor's sentence; "" for the usual one.

        Raises:
            UsageError: the code is no HTTP error.
        """
        if not 400 <= code <= 599:
            raise UsageError(f"{code} is no HTTP error status.", "Give a code from 400 to 599.", code="usage.fault")
        return cls(kind="status", code=code, retry_after=retry_after, says=says)

    @classmethod
    def timeout(cls, after_chunks: int = 0, reply: Reply | None = None) -> Fault:
        """The request is taken and never answered, until the client gives up or the server closes.
        A streamed answer falls silent after so many events."""
        return cls(kind="timeout", after_chunks=after_chunks, reply=reply)

    @classmethod
    def malformed_json(cls) -> Fault:
        """A 200 whose JSON ends too early; in a stream, the third event does."""
        return cls(kind="malformed_json")

    @classmethod
    def cut_stream(cls, after_chunks: int = 1, reply: Reply | None = None) -> Fault:
        """The connection is reset after so many events; an answer that is not streamed is cut in half."""
        return cls(kind="cut_stream", after_chunks=after_chunks, reply=reply)

    @classmethod
    def wrong_content_type(cls) -> Fault:
        """A 200 with an HTML page, as captive portals and proxies send it."""
        return cls(kind="wrong_content_type")

    @classmethod
    def giant(cls, megabytes: int = 8) -> Reply:
        """A correct answer whose text has so many million characters."""
        return Text("x" * (megabytes * 1_000_000))

    @classmethod
    def empty(cls) -> Fault:
        """A 200 with nothing in it."""
        return cls(kind="empty")

    @classmethod
    def reset(cls) -> Fault:
        """The connection is reset as soon as the request has arrived."""
        return cls(kind="reset")


Move: TypeAlias = Reply | Fault
#: Replies and faults in the order of the requests, or a function that decides from the conversation.
ScriptSource: TypeAlias = Iterable[Move] | Callable[[RequestView], Move]

DEFAULT_REPLY = Text("This is the simulated provider.")


class Script:
    """Says what comes back for each request.

    Args:
        source: A list, used up one per request, or a function of the request.
        default: The reply when the list is used up.
        strict: Refuse a request (400) when the list is used up.

    Raises:
        UsageError: the list holds something that is neither a reply nor a fault.
    """

    def __init__(self, source: ScriptSource | None, *, default: Reply = DEFAULT_REPLY, strict: bool = False) -> None:
        self._decide = source if callable(source) else None
        self._moves = deque(() if source is None or callable(source) else source)
        self._default = default
        self._strict = strict
        for move in self._moves:
            _checked(move)

    @property
    def unused(self) -> int:
        """How many moves of the list have not been used yet."""
        return len(self._moves)

    def move(self, view: RequestView) -> Move:
        """What comes back for this request.

        Raises:
            UsageError: the function gave something that is neither a reply nor a fault.
        """
        if self._decide is not None:
            return _checked(self._decide(view))
        if self._moves:
            return self._moves.popleft()
        if self._strict:
            return Fault.status(400, says=f"The script is used up; this is request {view.number}.")
        return self._default


def _checked(move: object) -> Move:
    if isinstance(move, Reply | Fault):
        return move
    raise UsageError(
        f"A script holds replies and faults, not {type(move).__name__}.",
        "Use Text, Calls, Structured or Fault.",
        code="usage.script",
    )
