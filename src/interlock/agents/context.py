"""What a model is shown: the opening of a conversation, its growth, and what is left out when it gets too long."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from interlock.agents.agent import Brief
from interlock.agents.provider import Message
from interlock.errors import UsageError

#: Vendors wrap every message and tool call in a few tokens of their own.
WRAPPING = 16
#: Longest tool result shown to a model, in characters.
MAX_RESULT = 60_000

#: Says how many tokens a message is.
Count = Callable[[Message], int]


def at_most(message: Message) -> int:
    """An upper bound on a message's tokens: its UTF-8 bytes, as no byte-level tokenizer makes more, and wrapping."""
    size = len(message.text.encode()) + WRAPPING
    for call in message.tool_calls:
        size += len(f"{call.id}{call.name}{call.arguments}".encode()) + WRAPPING
    if message.native is not None:
        size += len(_encode(message.native))
    return size


def estimate(message: Message) -> int:
    """About how many tokens a message is: a quarter of the upper bound, which fits English prose and code."""
    return -(-at_most(message) // 4)


def prune(messages: Sequence[Message], max_tokens: int, count: Count = estimate) -> list[Message]:
    """Leave out the oldest messages until the rest fits.

    System messages, pinned messages and the newest turn always stay. An assistant's tool calls and their results
    are one turn: all of them stay or none. What stays keeps its order.

    Args:
        messages: A conversation, oldest first, each tool call followed by its results.
        max_tokens: The most it may come to.
        count: Says how many tokens a message is; `at_most` is a hard bound, `estimate` a soft one.

    Raises:
        UsageError: code `usage.context_too_large`, when what has to stay is too much already.
    """
    turns = list(_turns(messages))
    sizes = [sum(map(count, turn)) for turn in turns]
    stays = [any(message.pinned or message.role == "system" for message in turn) for turn in turns]
    if stays:
        stays[-1] = True
    left = max_tokens - sum(size for size, stay in zip(sizes, stays, strict=True) if stay)
    if left < 0:
        raise UsageError(
            f"The instructions, the task and the newest turn come to {max_tokens - left:,} tokens, "
            f"{max_tokens:,} are allowed.",
            "Shorten the task or its context, or allow the agent more context.",
            code="usage.context_too_large",
        )
    for number in range(len(turns) - 1, -1, -1):
        if stays[number]:
            continue
        left -= sizes[number]
        if left < 0:  # no gaps: what is older than the first turn that does not fit goes too
            break
        stays[number] = True
    return [message for turn, stay in zip(turns, stays, strict=True) if stay for message in turn]


def _turns(messages: Sequence[Message]) -> Iterator[list[Message]]:
    turn: list[Message] = []
    for message in messages:
        if message.role != "tool" and turn:
            yield turn
            turn = []
        turn.append(message)
    if turn:
        yield turn


def opening(brief: Brief, instructions: str = "") -> list[Message]:
    """The first messages of a conversation, pinned: standing orders as system message, and the task with its context.

    Args:
        brief: What is asked; its context is shown as JSON in a fence that its content cannot close.
        instructions: The agent's own standing orders, before those of the brief.
    """
    orders = "\n\n".join(part for part in (instructions, brief.instructions) if part)
    task = brief.text
    if brief.context:
        json = _encode(brief.context).decode()
        fence = _fence(json)
        task = f"{task}\n\nContext:\n{fence}json\n{json}\n{fence}"
    first = [Message(role="system", text=orders, pinned=True)] if orders else []
    return [*first, Message(role="user", text=task, pinned=True)]


def _fence(text: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return fence


def shown(output: Any, limit: int = MAX_RESULT) -> str:
    """A tool's output as the model sees it: text as it is, all else as JSON, the middle of what is too long left out.

    Args:
        output: A JSON value.
        limit: The most characters of it that are shown.
    """
    text = whole_characters(output) if isinstance(output, str) else _encode(output).decode()
    if len(text) <= limit:
        return text
    head = limit * 2 // 3
    tail = limit - head
    return f"{text[:head]}\n[... {len(text) - limit:,} characters left out ...]\n{text[len(text) - tail :]}"


def whole_characters(text: str) -> str:
    """The text without half characters: a lone surrogate, from a file name or a model, breaks every encoder."""
    return text if text.isascii() else text.encode(errors="replace").decode()


class Conversation:
    """The messages of one piece of work, with their size and digest kept as they come.

    Args:
        messages: The opening.
        max_tokens: How much of it a model may be shown, by `estimate`.

    Raises:
        UsageError: the opening alone is too large.
    """

    def __init__(self, messages: Sequence[Message], max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._restart(prune(messages, max_tokens))

    def _restart(self, messages: Sequence[Message]) -> None:
        self._messages: list[Message] = []
        self._bytes = 0
        self._hash = hashlib.sha256()
        for message in messages:
            self.add(message)

    def add(self, message: Message) -> None:
        """Put a message at the end."""
        self._messages.append(message)
        self._bytes += at_most(message)
        self._hash.update(msgspec.json.encode(message))

    def messages(self) -> list[Message]:
        """What to show now. When it has grown too long it is cut for good, and by a quarter more than it must be:
        the provider's cache holds a beginning that stays the same for some turns, not one that moves at each.

        Raises:
            UsageError: the newest turn is too large.
        """
        if self._bytes > self._max_tokens * 4:
            self._restart(self._cut())
        return list(self._messages)

    def _cut(self) -> list[Message]:
        try:
            return prune(self._messages, self._max_tokens * 3 // 4)
        except UsageError:
            return prune(self._messages, self._max_tokens)

    @property
    def size(self) -> int:
        """An upper bound on the tokens of what is shown."""
        return self._bytes

    def digest(self, *more: Any) -> str:
        """The SHA-256 of what is shown, together with `more`; each message is hashed once, however long it gets."""
        whole = self._hash.copy()
        whole.update(_encode(more))
        return whole.hexdigest()


def _encode(value: Any) -> bytes:
    return msgspec.json.encode(value, enc_hook=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError(type(value).__name__)
